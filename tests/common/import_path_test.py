"""Paths of classes as people write them: on the command line the same for tasks and cells."""

from __future__ import annotations

import pathlib

import pytest

from common import import_path
from common.errors import InputError
from tests.tuner.tiny_task import TinyTask
from tuner.tasks.task import find_task
from zoo import registry

WRONG = [
    ":",
    ":X",
    "a:",
    ".a:B",
    "..:B",
    "a..b:C",
    "a.:B",
    "os:",
    "os::path",
    "os:path:join",
    "os:.path",
    "os:path.",
    "os:a.b",
    "os:path",
    "os:path.join",
    "os.path:sep",
    "no.such:Thing",
    "my/task.py:Thing",
    "os: path",
    "os:pa\nth",
    "os:\0",
    "ö:Ö",
    "broken:Thing",
    "leaves:Thing",
    "needy:Thing",
    "builtins:int",
    "tuner.tasks.task:Task",
    "fails_when_made:Thing",
    "1:2",
]


@pytest.fixture(autouse=True)
def modules(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that cannot be imported, or hold what cannot be made."""
    (tmp_path / "broken.py").write_text("class Thing(:\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    (tmp_path / "fails_when_made.py").write_text(
        "from tests.tuner.tiny_task import TinyTask\n"
        "class Thing(TinyTask):\n"
        "    def __init__(self):\n"
        "        raise RuntimeError('not\\ntoday')\n"
        "    class Inner(TinyTask):\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("path", WRONG, ids=repr)
def test_a_wrong_path_is_one_line(path: str) -> None:
    with pytest.raises(InputError, match="--task: expected package") as caught:
        find_task(path)
    assert str(caught.value).isprintable()
    with pytest.raises(ValueError, match="unknown variant, expected") as refused:
        registry.find_variant(path)
    assert str(refused.value).isprintable()


def test_a_class_is_found_also_within_another() -> None:
    assert import_path.find("tests.tuner.tiny_task:TinyTask") is TinyTask
    assert find_task("fails_when_made:Thing.Inner").name == "tiny"


def test_the_reason_is_named() -> None:
    for path, expected in {
        "needy:Thing": "importing needy failed: No module named 'no_such_library'",
        "leaves:Thing": "importing leaves failed: SystemExit: 3",
        "no.such:Thing": "there is no module no",
        "os:Thing": "module os has no Thing",
        ".a:B": "not of the form package.module:Name",
    }.items():
        with pytest.raises(ValueError, match=expected):
            import_path.find(path)
