"""Reads BUILD files, sources, the lock, WORKSPACE and MODULE.bazel, and finds where they disagree.

That is what Bazel cannot see: a source file that no target names, an import that works only because
another package happens to bring it, a test that no target runs, and the two ways to name external
dependencies drifting apart (the Bazel that the checks run reads WORKSPACE only).
"""

import ast
import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("benchmarks", "serving", "tests", "tuner", "zoo")

# These look at the whole checkout, which a sandbox does not have, or are named by the macro itself.
WITHOUT_TARGET = (
    "tests/build_files.py",
    "tests/build_files_test.py",
    "tests/pytest_main.py",
    "tests/source_code_test.py",
)
# What the macro in tests/pytest_test.bzl adds to every test.
PYTEST_TEST_DEPS = ("//tests:conftest", "@pypi//pytest", "@pypi//pytest_timeout")

# Import names that are not the name of their distribution.
DISTRIBUTIONS = {
    "HersheyFonts": "hershey_fonts",
    "PIL": "pillow",
    "absl": "absl_py",
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio_health_checking",
    "sklearn": "scikit_learn",
    "tensorflow_serving": "tensorflow_serving_api",
    "yaml": "pyyaml",
}
# Distributions that import another one without requiring it in their metadata.
COMPANIONS = {"keras": "tensorflow", "keras_tuner": "tensorboard"}


@dataclasses.dataclass(frozen=True)
class Target:
    """One call of a py_* rule or of pytest_test in a BUILD file."""

    label: str
    rule: str
    srcs: tuple[str, ...]  # Paths from the root.
    deps: tuple[str, ...]  # Full labels.


def normalize(name: str) -> str:
    """Returns a distribution's name as `pip.parse` spells it in labels."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _full_label(label: str, package: str) -> str:
    if label.startswith(":"):
        return f"//{package}{label}"
    if ":" in label or label.startswith("@"):
        return label
    return f"{label}:{label.rsplit('/', 1)[-1]}"


def calls(text: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Yields the top-level calls of a BUILD-like file: function and literal keywords."""
    for statement in ast.parse(text).body:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Call):
            keywords = {}
            for keyword in value.keywords:
                try:
                    keywords[keyword.arg or ""] = ast.literal_eval(keyword.value)
                except ValueError:  # glob() and the like: never srcs or deps of ours.
                    continue
            yield ast.unparse(value.func), keywords


def read_targets(root: Path) -> dict[str, Target]:
    """Reads the Python targets of every BUILD file under the rooms of `root`."""
    targets = {}
    for room in ROOMS:
        for build in sorted((root / room).rglob("BUILD")):
            package = build.parent.relative_to(root).as_posix()
            for rule, keywords in calls(build.read_text()):
                if not (rule.startswith("py_") or rule == "pytest_test"):
                    continue
                deps = [_full_label(label, package) for label in keywords.get("deps", ())]
                if rule == "pytest_test":
                    deps += PYTEST_TEST_DEPS
                label = f"//{package}:{keywords['name']}"
                srcs = tuple(f"{package}/{name}" for name in keywords.get("srcs", ()))
                targets[label] = Target(label, rule, srcs, tuple(deps))
    return targets


def read_lock(text: str) -> set[str]:
    """Returns the distributions that a lock file pins."""
    return {normalize(name) for name in re.findall(r"^([\w.-]+)(?:\[.*\])?==", text, re.MULTILINE)}


def sources_without_target(root: Path, targets: dict[str, Target]) -> list[str]:
    """Names the Python files that no target builds, and the tests that no target runs."""
    built = {source for target in targets.values() for source in target.srcs}
    tests = [target for target in targets.values() if target.rule == "pytest_test"]
    run = {source for target in tests for source in target.srcs}
    faults = []
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            source = path.relative_to(root).as_posix()
            if source in WITHOUT_TARGET:
                continue
            if source not in built:
                faults.append(f"{source}: no target has it in srcs")
            elif source.endswith("_test.py") and source not in run:
                faults.append(f"{source}: no pytest_test has it in srcs")
    return faults


class _Imports(ast.NodeVisitor):
    """Collects (module, name) pairs of every import that has to succeed."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str | None]] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, None) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found += [(node.module or "", alias.name) for alias in node.names]

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
        if not re.search(r"\b(ImportError|ModuleNotFoundError)\b", caught):
            self.generic_visit(node)


def _needs(root: Path, source: str) -> Iterator[str]:
    """Yields what a source imports: paths of first-party files, and `@pypi` labels."""
    imports = _Imports()
    imports.visit(ast.parse((root / source).read_text()))
    for module, name in imports.found:
        top = module.split(".")[0]
        if top in ROOMS:
            path = module.replace(".", "/")
            candidates = [f"{path}/{name}.py", f"{path}/{name}/__init__.py"] if name else []
            candidates += [f"{path}.py", f"{path}/__init__.py"]
            yield next((file for file in candidates if (root / file).is_file()), candidates[-1])
        elif top not in sys.stdlib_module_names and top != "__future__":
            yield f"@pypi//{DISTRIBUTIONS.get(top, normalize(top))}"


def _closure(target: Target, targets: dict[str, Target]) -> set[str]:
    """Returns the labels that a target reaches through deps, its own among them."""
    seen: set[str] = set()
    todo = [target.label]
    while todo:
        label = todo.pop()
        if label not in seen:
            seen.add(label)
            todo += targets[label].deps if label in targets else ()
    return seen


def undeclared_imports(root: Path, targets: dict[str, Target], optional: set[str]) -> list[str]:
    """Names the imports that the deps of a target do not provide.

    Args:
        root: folder of the rooms.
        targets: what `read_targets` returns.
        optional: distributions of extras outside the lock, which no label can name.

    Returns:
        One line a fault.
    """
    faults = []
    for target in targets.values():
        labels = _closure(target, targets)
        provided = labels | {
            source for label in labels if label in targets for source in targets[label].srcs
        }
        for source in target.srcs:
            for need in sorted(set(_needs(root, source)) - provided):
                if need.removeprefix("@pypi//") not in optional:
                    faults.append(f"{target.label}: {source} imports {need}, not among its deps")
        for name, companion in COMPANIONS.items():
            if f"@pypi//{name}" in labels and f"@pypi//{companion}" not in labels:
                faults.append(f"{target.label}: {name} without {companion}, which it imports")
    return faults


def labels_outside_lock(targets: dict[str, Target], lock: set[str]) -> list[str]:
    """Names the `@pypi` labels outside the lock, and the first-party ones that do not exist."""
    faults = []
    for target in targets.values():
        for label in target.deps:
            if label.startswith("@"):
                if label.removeprefix("@pypi//") not in lock:
                    faults.append(f"{target.label}: {label} is not in the lock")
            elif label not in targets:
                faults.append(f"{target.label}: {label} does not exist")
    return faults


def external_dependencies(text: str) -> dict[str, object]:
    """Reads what WORKSPACE or MODULE.bazel fixes, under names common to both."""
    facts: dict[str, object] = {}
    for function, keywords in calls(text):
        match function:
            case "workspace" | "module":
                facts["project"] = keywords["name"]
            case "http_archive" if keywords["name"] == "rules_python":
                version = str(keywords["strip_prefix"]).removeprefix("rules_python-")
                facts["rules_python"] = version
                if f"/{version}/rules_python-{version}.tar.gz" not in str(keywords["url"]):
                    facts["rules_python"] = f"{version}, but {keywords['url']}"
            case "bazel_dep" if keywords["name"] == "rules_python":
                facts["rules_python"] = keywords["version"]
            case "python_register_toolchains" | "python.toolchain":
                facts["python"] = keywords["python_version"]
            case "pip_parse" | "pip.parse":
                facts["hub"] = keywords.get("hub_name", keywords.get("name"))
                facts["lock"] = keywords["requirements_lock"]
                facts["pip's python"] = keywords.get("python_version") or re.sub(
                    r"@python_(\d+)_(\d+)_host//:python",
                    r"\1.\2",
                    str(keywords.get("python_interpreter_target")),
                )
    return facts


def disagreements(workspace: str, module: str) -> list[str]:
    """Names the facts on which WORKSPACE and MODULE.bazel differ, or that one of them lacks."""
    old, new = external_dependencies(workspace), external_dependencies(module)
    expected = ("hub", "lock", "pip's python", "project", "python", "rules_python")
    return [
        f"{fact}: WORKSPACE has {old.get(fact)}, MODULE.bazel has {new.get(fact)}"
        for fact in expected
        if old.get(fact) is None or old.get(fact) != new.get(fact)
    ]
