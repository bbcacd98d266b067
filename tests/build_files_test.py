"""BUILD files, WORKSPACE, MODULE.bazel and the lock agree where no run of Bazel 4 shows it."""

from __future__ import annotations

import ast
import collections
import functools
import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(os.path.abspath(__file__)).parent.parent
ROOMS = ("benchmarks", "common", "serving", "tests", "tuner", "zoo")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKSPACE, MODULE, LOCK = (
    (ROOT / name).read_text() for name in ("WORKSPACE", "MODULE.bazel", "requirements_lock.txt")
)


def normalize(requirement: str) -> str:
    """Returns the name of a distribution as `pip.parse` spells it in labels."""
    return re.sub(r"[-_.]+", "_", re.split(r"[\[=<>~!; ]", requirement)[0]).lower()


def pins(lock: str) -> set[str]:
    """Returns the distributions of a lock, each of which stands there once and with a hash."""
    found = re.findall(r"^([\w.-]+)\S*==.* \\\n    --hash=sha256:", lock, re.MULTILINE)
    names = {normalize(name) for name in found}
    assert len(names) == len(re.findall(r"^\S", lock, re.MULTILINE))
    return names


def required(node: ast.AST) -> Iterator[str]:
    """Yields the first name of every import that has to succeed."""
    match node:
        case ast.Import():
            yield from (alias.name.split(".")[0] for alias in node.names)
        case ast.ImportFrom(module=str(module)):
            yield module.split(".")[0]
        case ast.If() if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        case ast.Try(handlers=[handler, *_]) if re.search(
            "(Import|ModuleNotFound)Error", ast.unparse(handler.type or handler)
        ):
            return
        case _:
            for child in ast.iter_child_nodes(node):
                yield from required(child)


distributions = functools.cache(importlib.metadata.packages_distributions)


def undeclared(text: str, declared: set[str]) -> list[str]:
    """Names what a source imports and neither a label nor a distribution of `declared` brings."""
    return [
        name
        for name in sorted(set(required(ast.parse(text))) - sys.stdlib_module_names)
        if not {f"//{name}", *map(normalize, distributions().get(name, [name]))} & declared
    ]


def stated(text: str) -> dict[str, set[str]]:
    """Returns what WORKSPACE or MODULE.bazel says about the facts that both of them state."""
    patterns = {
        "project": r'^(?:workspace\(|module\(\n    )name = "(.+?)"',
        "rules_python": r'(?:rules_python-|/download/|"rules_python", version = ")(\d[.\d]*\d)',
        "python": r'python_(?:version = ")?(\d+[._]\d+)',
        "hub": r'(?:pip_parse\(\n    |hub_)name = "(.+?)"',
        "lock": r'requirements_lock = "(.+?)"',
    }
    return {
        fact: {found.replace("3_", "3.") for found in re.findall(pattern, text, re.MULTILINE)}
        for fact, pattern in patterns.items()
    }


def test_every_import_is_declared_and_locked():
    declared, lock = {}, pins(LOCK)
    for room in ROOMS:
        build = collections.defaultdict(mock.MagicMock)
        exec((ROOT / room / "BUILD").read_text(), {}, build)  # Bazel's language is Python's here.
        library = build["odyssey_library"].call_args.kwargs
        packages = {*library.get("packages", ()), *build.get("PACKAGES", ())}
        assert packages - lock == set()
        declared[room] = {f"//{room}", *library.get("deps", ()), *packages}
    # Each test has all rooms, and pytest.
    declared["tests"] = {"pytest"}.union(*declared.values())
    extras = PROJECT["optional-dependencies"].values()
    elsewhere = {normalize(name) for extra in extras for name in extra} - lock
    # Peers of the benchmarks and KServe's package: in environments of their own.
    elsewhere |= {"kserve", "kubernetes", "ray", "torch"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert (path, undeclared(path.read_text(), declared[room] | elsewhere)) == (path, [])


def test_workspace_and_module_agree():
    assert stated(MODULE) == stated(WORKSPACE)
    assert {len(values) for values in stated(MODULE).values()} == {1}


def test_module_and_pyproject_agree():
    name, version = re.findall(r'^    (?:name|version) = "(.+)",', MODULE, re.MULTILINE)
    assert (name, version) == (normalize(PROJECT["name"]), PROJECT["version"])


# --- Each check can fail ---


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import math, numpy.linalg\nfrom absl import flags", ["absl"]),
        ("def f():\n    import sklearn", ["sklearn"]),
        ("from tuner import run\nimport zoo.cells", ["tuner"]),
        ("if TYPE_CHECKING:\n    import absl\nif x:\n    import jax", ["jax"]),
        ("try:\n    import absl\nexcept ImportError:\n    pass", []),
        ("try:\n    import absl\nexcept OSError:\n    pass", ["absl"]),
    ],
)
def test_undeclared_import_is_found(source, names):
    assert undeclared(source, {"//zoo", "numpy"}) == names


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "lstm_odyssey"', 'name = "lstm"'),
        ('version = "2.3.2"', 'version = "2.3.1"'),
        ('python.toolchain(python_version = "3.11")', 'python.toolchain(python_version = "3.12")'),
        ('hub_name = "pypi"', 'hub_name = "pip"'),
        (":requirements_lock.txt", ":requirements.txt"),
    ],
)
def test_disagreement_is_found(old, new):
    assert old in MODULE and stated(MODULE.replace(old, new)) != stated(WORKSPACE)


@pytest.mark.parametrize("lock", ["a==1", "a==1 \\\n    --hash=sha256:0\n" * 2])
def test_pin_without_hash_or_twice_is_found(lock):
    with pytest.raises(AssertionError):
        pins(lock)
