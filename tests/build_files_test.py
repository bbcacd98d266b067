"""BUILD files, WORKSPACE, MODULE.bazel and the lock agree where no run of Bazel 4 shows it."""

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

ROOT = Path(os.path.abspath(__file__)).parent.parent
ROOMS = ("benchmarks", "common", "serving", "tests", "tuner", "zoo")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKSPACE, MODULE, LOCK = (
    (ROOT / name).read_text() for name in ("WORKSPACE", "MODULE.bazel", "requirements_lock.txt")
)

distributions = functools.cache(importlib.metadata.packages_distributions)


def normalize(requirement: str) -> str:
    """Returns the name of a distribution as `pip.parse` spells it in labels."""
    return re.sub(r"[-_.]+", "_", re.split(r"[\[=<>~!; ]", requirement)[0]).lower()


def hashed(lock: str) -> list[str]:
    """Returns the distributions that a lock pins with a hash."""
    pins = re.findall(r"^([\w.-]+)\S*==.* \\\n    --hash=sha256:", lock, re.MULTILINE)
    return [normalize(name) for name in pins]


def required(node: ast.AST) -> Iterator[str]:
    """Yields the first name of every import that has to succeed."""
    match node:
        case ast.Import():
            yield from (alias.name.split(".")[0] for alias in node.names)
        case ast.ImportFrom(module=str(module)):
            yield module.split(".")[0]
        case ast.If() if "TYPE_CHECKING" in ast.unparse(node.test):
            return
        case ast.Try(handlers=[handler, *_]) if "ImportError" in ast.unparse(handler):
            return
        case ast.expr():
            return
        case _:
            for child in ast.iter_child_nodes(node):
                yield from required(child)


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
    lock = set(hashed(LOCK))
    declared = {}
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
    # Peers of the benchmarks and KServe's package: in environments of their own; and the module of
    # cuda-bindings and cuda-core.
    elsewhere |= {"cuda", "kserve", "kubernetes", "ray", "torch"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert (path, undeclared(path.read_text(), declared[room] | elsewhere)) == (path, [])


def test_undeclared_import_is_found():
    declared = {"//zoo", "numpy"}
    assert undeclared("import math, zoo.cells\ndef f(): import numpy.linalg", declared) == []
    assert undeclared("if TYPE_CHECKING: import rich", declared) == []
    assert undeclared("try: import jax\nexcept ImportError: pass", declared) == []
    assert undeclared("try: import jax\nexcept OSError: import tuner", declared) == ["jax", "tuner"]
    assert undeclared("def f(): from sklearn import tree", declared) == ["sklearn"]


def test_workspace_and_module_agree():
    assert stated(MODULE) == stated(WORKSPACE)
    assert {len(values) for values in stated(MODULE).values()} == {1}
    for old in (
        'name = "lstm_odyssey"',
        '"2.3.2"',
        '"3.11"',
        'hub_name = "pypi"',
        "ments_lock.txt",
    ):
        assert stated(MODULE.replace(old, f'{old[:-1]}9"', 1)) != stated(WORKSPACE)


def test_module_and_pyproject_agree():
    name, version = re.findall(r'^    (?:name|version) = "(.+)",', MODULE, re.MULTILINE)
    assert (name, version) == (normalize(PROJECT["name"]), PROJECT["version"])


def test_lock_pins_each_package_once_with_hashes():
    assert len(set(hashed(LOCK))) == len(re.findall(r"^\S", LOCK, re.MULTILINE))
    assert hashed("a==1\nB.c==2 \\\n    --hash=sha256:0\n") == ["b_c"]
