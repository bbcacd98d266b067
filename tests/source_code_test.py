"""Rules for the text of the checkout that no linter at hand knows."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(os.path.abspath(__file__)).parent.parent
ROOMS = ("benchmarks", "common", "serving", "tests", "tuner", "zoo")
MAX_LINES = 400

# What is not the project's text: environments, caches, what studies and builds leave.
_NOT_OURS = {"__pycache__", "build", "dist", "models", "node_modules", "studies", "venv"}
_PRIVATE = re.compile(r"^(?:keras|tensorflow)\.(?:src|python|compiler|core)\b|(?:^|\.)_(?!_)")
# Folders of one machine, and where one machine gets its packages from. (Brackets keep each pattern
# from finding itself.)
_ONE_MACHINE = re.compile(
    r"(?<![\w.$}/-])/(?:home|root|tmp|work)/\w|file[:]///|index[-]url|find[-]links|trusted[-]host"
)
# Words of this project alone where the field has its own, and British spellings.
_WORDS = re.compile(
    r"(?<![a-z])(?:crews?|hire[ds]?|hiring|bury|buried|courses?|slopes|squash(?:e[ds])?"
    r"|descends?|(?:behavi|col|fav|flav|hon|lab|neighb)our\w*|cent(?:red?|res)|grey|licence\w*"
    r"|defence|artefacts?|catalogues?|programmes?|whilst|\w{2,}lys(?:e[dr]?|ing)"
    r"|(?:label|level|model|signal|travel)l(?:ed|ing)"
    r"|(?:categor|character|custom|discret|general|initial|material|maxim|minim|normal|optim|organ"
    r"|parallel|penal|quant|random|real|recogn|regular|serial|special|standard|summar|synchron"
    r"|synthes|token|util|vector|visual)is(?:e[drs]?|ing|ations?))(?![a-z])",
    re.IGNORECASE,
)
# Files of words that people write, and what others have spelled.
_WORD_LISTS = re.compile(r"tasks/(?:handwriting|speech)/.*(?:text|sentences|layouts|iam)\w*\.py$")
_QUOTED = re.compile(
    r"grey_closing|Format not recognised|\"not recognised\"|of courses?(?![a-z])", re.IGNORECASE
)


def odd_words(text: str) -> list[str]:
    """Names the words in a text that the field or an American would not write."""
    words = set(re.findall(r"\w+", _QUOTED.sub("", text)))
    return _WORDS.findall("\n".join(sorted(words)))


def private_imports(text: str) -> list[str]:
    """Names the imports of modules that a library keeps to itself."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if _PRIVATE.search(name) and name.split(".")[0] not in ROOMS]


def one_machines_text(text: str) -> list[str]:
    """Names the absolute paths and package index addresses in a text."""
    return [match.group() for match in _ONE_MACHINE.finditer(text)]


def _sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def _texts() -> Iterator[tuple[str, str]]:
    """Yields path and content of every text file of the checkout."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in _NOT_OURS and (not name.startswith(".") or name == ".ci")
        ]
        for name in files:
            path = Path(folder, name)
            if path.suffix == ".svg" or name == ".git":  # In a worktree .git is a file.
                continue
            try:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_file_is_two_rooms():
    lines = {path: path.read_text().count("\n") for path in _sources()}
    assert lines
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_no_private_imports():
    found = {path: private_imports(path.read_text()) for path in _sources()}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_child_runs_python_before_its_program():
    """After a fork without exec, the locks and threads of libraries such as gRPC are broken."""
    name = "preexec" + "_fn"
    assert [path for path in _sources() if name in path.read_text()] == []


def test_no_text_of_one_machine():
    found = {path: one_machines_text(text) for path, text in _texts()}
    assert "requirements_lock.txt" in found
    assert {path: matches for path, matches in found.items() if matches} == {}


def test_words_of_the_field_in_american_spelling():
    """CHANGELOG.md tells of old names."""
    found = {
        path: odd_words(text)
        for path, text in _texts()
        if path.endswith((".j2", ".md", ".py"))
        and path not in ("CHANGELOG.md", "tests/source_code_test.py")
        and not _WORD_LISTS.search(path)
    }
    assert "README.md" in found
    assert {path: words for path, words in found.items() if words} == {}


@pytest.mark.parametrize(
    "lock",
    ["requirements_lock.txt", "requirements_io_lock.txt", "requirements_fanova_lock.txt"],
)
def test_lock_has_no_addresses(lock):
    assert "://" not in (ROOT / lock).read_text()


@pytest.mark.parametrize(
    "text",
    [
        "import keras.src.layers",
        "from keras import src",
        "def f():\n    from tensorflow.python.ops import rnn",
        "from numpy import _core",
        "import scipy._lib",
    ],
)
def test_private_import_is_found(text):
    assert private_imports(text) != []


@pytest.mark.parametrize(
    "text", ["import keras", "from __future__ import annotations", "from tuner import _steps"]
)
def test_public_import_is_not_found(text):
    assert private_imports(text) == []


@pytest.mark.parametrize("folder", ["home", "root", "tmp", "work"])
@pytest.mark.parametrize("before", ["", "in ", '"', "=", "`"])
def test_path_of_one_machine_is_found(folder, before):
    assert one_machines_text(f"{before}/{folder}/someone") != []


@pytest.mark.parametrize("text", ["--index" + "-url x", "--find" + "-links x", "file:" + "///opt"])
def test_index_address_is_found(text):
    assert one_machines_text(text) != []


@pytest.mark.parametrize(
    "text", ["https://example.org/work/x", "$TMP/work/x", "a/tmp/b", "/models/best", "../tmp/x"]
)
def test_other_paths_are_not_found(text):
    assert one_machines_text(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "the Crew",
        "_hire()",
        "SLOPES",
        "colours",
        "neighbour_count",
        "analysed",
        "normalise",
        "centre",
    ],
)
def test_odd_word_is_found(text):
    assert len(odd_words(text)) == 1


@pytest.mark.parametrize(
    "text", ["screw", "of course", "descending", "slope", "analysis", "noise", "raised", "promise"]
)
def test_other_words_are_not_found(text):
    assert odd_words(text) == []
