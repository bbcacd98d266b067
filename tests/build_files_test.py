"""The BUILD files of this checkout have no fault, and every fault would be found."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from tests import build_files
from tests.build_files import Target

ROOT = Path(os.path.abspath(__file__)).parent.parent


@pytest.fixture(scope="module")
def targets() -> dict[str, Target]:
    return build_files.read_targets(ROOT)


@pytest.fixture(scope="module")
def lock() -> set[str]:
    return build_files.read_lock((ROOT / "requirements_lock.txt").read_text())


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_source_has_a_target(targets):
    assert build_files.sources_without_target(ROOT, targets) == []


def test_every_import_is_declared(targets, lock, project):
    extras = {
        build_files.normalize(re.split(r"[\[=<>~!; ]", requirement)[0])
        for requirements in project["optional-dependencies"].values()
        for requirement in requirements
    }
    # These have environments of their own: `make bench-peers`, `make bench-ray` and
    # `make deploy-check`.
    optional = extras - lock | {"torch", "ray", "kserve", "kubernetes"}
    assert build_files.undeclared_imports(ROOT, targets, optional=optional) == []


def test_every_label_exists(targets, lock):
    assert build_files.labels_outside_lock(targets, lock) == []


def test_workspace_and_module_agree():
    workspace, module = _both()
    assert build_files.disagreements(workspace, module) == []


def test_module_and_pyproject_agree(project):
    module = dict(build_files.calls((ROOT / "MODULE.bazel").read_text()))["module"]
    assert module == {"name": build_files.normalize(project["name"]), "version": project["version"]}


def test_lock_pins_each_package_once_with_hashes():
    text = (ROOT / "requirements_lock.txt").read_text()
    pins = re.findall(r"^[\w.-]+==\S+.*(?:\\\n.*)+", text, re.MULTILINE)
    assert (
        len(pins)
        == len(build_files.read_lock(text))
        == len(re.findall("==", re.sub(" ; .*", "", text)))
    )
    assert all("--hash=sha256:" in pin for pin in pins)


def _both() -> tuple[str, str]:
    return (ROOT / "WORKSPACE").read_text(), (ROOT / "MODULE.bazel").read_text()


# --- Each check can fail ---


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small house without a fault."""
    files = {
        "zoo/BUILD": """\
py_library(name = "cells", srcs = ["cells.py"], deps = ["@pypi//keras", "@pypi//tensorflow"])
py_library(name = "zoo", srcs = ["__init__.py"], data = glob(["*.csv"]), deps = [":cells"])
""",
        "zoo/__init__.py": "from zoo.cells import Cell\n",
        "zoo/cells.py": "import math\nimport keras\nCell = 1\n",
        "tests/BUILD": """\
py_library(name = "conftest", srcs = ["conftest.py"])
pytest_test(name = "cells_test", srcs = ["cells_test.py"], deps = ["//zoo"])
""",
        "tests/conftest.py": "",
        "tests/cells_test.py": "import pytest\nfrom zoo import Cell\nfrom zoo import cells\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


LOCK = {"keras", "numpy", "pytest", "pytest_timeout", "tensorboard", "tensorflow"}


def _faults(root: Path) -> list[str]:
    targets = build_files.read_targets(root)
    return [
        *build_files.sources_without_target(root, targets),
        *build_files.undeclared_imports(root, targets, optional={"fanova"}),
        *build_files.labels_outside_lock(targets, LOCK),
    ]


def test_a_good_house_has_no_faults(house):
    assert _faults(house) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("zoo/gates.py", "", "x = 1\n", "zoo/gates.py: no target has it in srcs"),
        ("tests/BUILD", "pytest_test", "py_test", "cells_test.py: no pytest_test has it in srcs"),
        (
            "zoo/cells.py",
            "import math",
            "import numpy",
            "//zoo:cells: zoo/cells.py imports @pypi//numpy",
        ),
        (
            "zoo/cells.py",
            "import math",
            "def f():\n    import absl.flags",
            "imports @pypi//absl_py",
        ),
        ("zoo/cells.py", "import math", "from tests import x", "imports tests/__init__.py"),
        ("tests/BUILD", '"//zoo"', '"//zoo:cells"', "imports zoo/__init__.py"),
        ("zoo/BUILD", 'deps = [":cells"]', "deps = []", "imports zoo/cells.py"),
        ("zoo/BUILD", ', "@pypi//tensorflow"', "", "//zoo:cells: keras without tensorflow"),
        ("zoo/BUILD", '"@pypi//keras"', '"@pypi//kerass"', "@pypi//kerass is not in the lock"),
        ("tests/BUILD", '"//zoo"', '"//zoo", ":cell"', "//tests:cell does not exist"),
    ],
)
def test_a_fault_is_named(house, file, old, new, fault):
    path = house / file
    text = path.read_text() if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert fault in "\n".join(_faults(house))


@pytest.mark.parametrize(
    "text",
    [
        "from __future__ import annotations\nimport os.path\n",
        "import fanova\n",
        "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n",
    ],
)
def test_what_needs_no_label(house, text):
    (house / "zoo/cells.py").write_text(text)
    assert _faults(house) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            'version = "2.3.2"',
            'version = "2.3.1"',
            "rules_python: WORKSPACE has 2.3.2, MODULE.bazel has 2.3.1",
        ),
        (
            'python.toolchain(python_version = "3.11")',
            "",
            "python: WORKSPACE has 3.11, MODULE.bazel has None",
        ),
        (
            '    python_version = "3.11"',
            '    python_version = "3.12"',
            "pip's python: WORKSPACE has 3.11",
        ),
        ('hub_name = "pypi"', 'hub_name = "pip"', "hub: WORKSPACE has pypi, MODULE.bazel has pip"),
        ("//:requirements_lock.txt", "//:lock.txt", "lock: WORKSPACE has //:requirements_lock.txt"),
        ('name = "lstm_odyssey"', 'name = "odyssey"', "project: WORKSPACE has lstm_odyssey"),
    ],
)
def test_a_disagreement_is_named(old, new, fault):
    workspace, module = _both()
    assert old in module
    (found,) = build_files.disagreements(workspace, module.replace(old, new))
    assert fault in found


def test_an_address_of_another_version_is_named():
    workspace, module = _both()
    workspace = workspace.replace("download/2.3.2/", "download/2.3.1/")
    (found,) = build_files.disagreements(workspace, module)
    assert found.startswith("rules_python: WORKSPACE has 2.3.2, but https://")
