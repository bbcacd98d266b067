import errno
import os
import pathlib
import shutil
import stat
from collections import namedtuple

import pytest

from common import files


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fail_after(content: str):
    """A writer that dies in the middle."""

    def write(path: pathlib.Path) -> None:
        target = path / "part" if path.is_dir() else path
        target.write_text(content)
        raise RuntimeError("died")

    return write


def test_a_file_is_replaced_as_a_whole(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "one")
    files.write_text(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    assert names(tmp_path) == ["file.txt"]
    # A temporary file would be readable by its owner only.
    assert mode(path) == 0o644


def test_a_writer_that_dies_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError, match="died"):
        files.write_file(path, fail_after("ne"))
    assert path.read_text() == "old" and names(tmp_path) == ["file.txt"]


def test_the_temporary_name_ends_like_the_file(tmp_path: pathlib.Path) -> None:
    # Keras insists on `.weights.h5`.
    seen = []
    files.write_file(tmp_path / "a.weights.h5", lambda path: seen.append(path.name))
    assert seen[0].endswith(".weights.h5") and seen[0] != "a.weights.h5"


def test_a_folder_is_replaced_as_a_whole(tmp_path: pathlib.Path) -> None:
    def write(text: str):
        def fill(folder: pathlib.Path) -> None:
            (folder / "inner").mkdir()
            (folder / "inner" / f"{text}.txt").write_text(text)

        return fill

    path = tmp_path / "best"
    files.write_folder(path, write("one"))
    files.write_folder(path, write("two"))
    assert names(path / "inner") == ["two.txt"]
    assert names(tmp_path) == ["best"]
    # mkdtemp makes folders that a server under another account could not read.
    assert (mode(path), mode(path / "inner"), mode(path / "inner" / "two.txt")) == (
        0o755,
        0o755,
        0o644,
    )

    with pytest.raises(RuntimeError, match="died"):
        files.write_folder(path, fail_after("three"))
    assert names(path) == ["inner"] and names(tmp_path) == ["best"]


def test_what_a_killed_process_leaves_is_swept(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".tmp-abc").mkdir()
    (tmp_path / ".tmp-abc" / "half").write_text("h")
    (tmp_path / ".tmp-x-file.txt").write_text("half")
    (tmp_path / ".old-def").mkdir()
    (tmp_path / "kept.txt").write_text("whole")
    files.sweep(tmp_path)
    assert names(tmp_path) == ["kept.txt"]


class Killed(BaseException):
    """What no `except Exception` sees, as nothing sees a kill."""


def test_a_kill_while_a_folder_is_replaced_loses_neither(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "1"
    files.write_folder(path, lambda folder: (folder / "part").write_text("old") and None)
    rename = pathlib.Path.rename

    def die(self: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if target == path:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pathlib.Path, "rename", die)
        files.write_folder(path, lambda folder: (folder / "part").write_text("new") and None)
    assert not path.exists()
    files.sweep(tmp_path)
    assert (path / "part").read_text() == "old" and names(tmp_path) == ["1"]


def test_what_does_not_fit_is_not_begun(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 900, 100))
    written = []
    for write in (files.write_file, files.write_folder):
        with pytest.raises(OSError, match="No space left") as caught:
            write(tmp_path / "a", written.append, size=101)
        assert caught.value.filename == str(tmp_path / "a")
    assert written == [] and names(tmp_path) == []
    files.write_file(tmp_path / "a", lambda path: written.append(path), size=100)
    assert len(written) == 1


def test_a_librarys_error_on_a_full_disk_becomes_one_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: pathlib.Path) -> None:
        raise RuntimeError("many\nlines")

    with pytest.raises(RuntimeError):
        files.write_file(tmp_path / "a", write)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000, 1000, 0))
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_file(tmp_path / "a", write)
    assert caught.value.errno == errno.ENOSPC


def test_everything_is_synced_before_it_gets_its_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, pathlib.Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd))
    )
    monkeypatch.setattr(
        pathlib.Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1]
    )
    files.write_text(tmp_path / "file.txt", "text")
    content, rename, folder = events
    assert content.endswith("-file.txt") and rename == "rename" and folder == str(tmp_path)


def test_a_new_folder_replaces_none(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "1"
    files.write_new_folder(path, lambda folder: (folder / "a").write_text("first") and None)

    def write(folder: pathlib.Path) -> None:
        (folder / "a").write_text("second")

    with pytest.raises(FileExistsError) as caught:
        files.write_new_folder(path, write)
    assert caught.value.filename == str(path)
    assert (path / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_comes_while_a_folder_is_swept_goes_too(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a child that outlives a killed process."""
    left = tmp_path / ".tmp-x"
    left.mkdir()
    rmdir, late = os.rmdir, iter(["one", "two"])

    def put_and_remove(path, *, dir_fd=None):
        for name in late:
            (left / name).touch()
            break
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", put_and_remove)
    files.sweep(tmp_path)
    assert next(late, None) is None
    assert list(tmp_path.iterdir()) == []
