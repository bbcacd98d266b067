"""Archives and files of IAM-OnDB that are damaged, attack their reader, or are too large."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from tests.damage import read_damaged
from tests.tuner.tasks.handwriting import layouts
from tuner.tasks.handwriting import iam
from tuner.tasks.handwriting.lines import Line

STROKES, TEXT = layouts.stroke_path("a01-000u", 2), layouts.text_path("a01-000u")


INK = [np.array([[1, 2, 3.0], [4, 6, 5.0]] * 20)]


def texts(lines: tuple[Line, ...]) -> list[str]:
    return [line.text for line in lines]


def archive_of(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_archives_write_nothing_and_follow_no_links(tmp_path: Path) -> None:
    layouts.write_archives(tmp_path / "iam", layouts.iam_files())
    link = tarfile.TarInfo("lineStrokes/a01/a01-000/a01-000u-01.xml")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    content = archive_of(
        [
            (link, b""),
            (tarfile.TarInfo("../../a01-000u-02.xml"), layouts.stroke_file(INK)),
            (tarfile.TarInfo("/c03-001a-01.xml"), layouts.stroke_file(INK)),
        ]
    )
    (tmp_path / "iam" / "lineStrokes-all.tar.gz").write_bytes(gzip.compress(content))
    before = sorted(tmp_path.rglob("*"))
    lines, _ = iam.read_iam(tmp_path / "iam")
    assert sorted(tmp_path.rglob("*")) == before
    assert texts(lines.train) == ["stop Mr. Gaitskell"]
    assert lines.skipped["lines without ink"] == 9


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"nothing of the kind" * 100,
    "changed": lambda content: content[:900] + b"other" + content[905:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_archives_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    layouts.write_archives(tmp_path, layouts.iam_files())
    path = tmp_path / "lineStrokes-all.tar.gz"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(InputError) as caught:
        iam.read_iam(tmp_path)
    assert "lineStrokes-all.tar.gz: expected a tar archive" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bound", "limit"), [("LARGEST_UNPACKED", 20_000), ("LARGEST_MEMBER", 50), ("MOST_MEMBERS", 3)]
)
def test_archives_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, limit: int
) -> None:
    layouts.write_archives(tmp_path, layouts.iam_files())
    monkeypatch.setattr(iam, bound, limit)
    with pytest.raises(InputError, match=r"expected a tar archive.*more than"):
        iam.read_iam(tmp_path)


def test_a_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.write_archives(tmp_path, layouts.iam_files())
    bomb = tarfile.TarInfo("anything")
    content = gzip.compress(archive_of([(bomb, bytes(2**26))]))
    assert len(content) < 2**17
    (tmp_path / "lineStrokes-all.tar.gz").write_bytes(content)
    monkeypatch.setattr(iam, "LARGEST_UNPACKED", 2**22)
    with pytest.raises(InputError, match="unpacks to more than"):
        iam.read_iam(tmp_path)


def test_an_unpacked_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.write_unpacked(tmp_path, layouts.iam_files())
    monkeypatch.setattr(iam, "LARGEST_MEMBER", 1000)
    with pytest.raises(InputError, match="expected at most 1,000 bytes"):
        iam.read_iam(tmp_path)


@pytest.mark.parametrize(
    "files", [30, pytest.param(1_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("name", [TEXT, STROKES, "task1/trainset.txt"])
def test_damaged_files_cost_lines_or_are_refused(tmp_path: Path, name: str, files: int) -> None:
    layouts.write_unpacked(tmp_path, layouts.iam_files())
    path = next(tmp_path.rglob(name.rpartition("/")[2]))
    whole = set(texts(iam.read_iam(tmp_path)[0].train))

    def check(content: bytes) -> None:
        path.write_bytes(content)
        lines = iam.read_iam(tmp_path)[0]
        assert all(np.isfinite(line.points).all() for line in lines.train)
        if name != TEXT:
            assert set(texts(lines.train)) <= whole | set(texts(lines.validation))

    read_damaged(check, layouts.iam_files()[name], files=files)


@pytest.mark.parametrize(
    "files", [30, pytest.param(1_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_damaged_archives_are_lines_or_refused(tmp_path: Path, files: int) -> None:
    layouts.write_archives(tmp_path, layouts.iam_files())
    path = tmp_path / "lineStrokes-all.tar.gz"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        iam.read_iam(tmp_path)

    packed = path.read_bytes()
    assert read_damaged(check, packed, files=files // 2)["refused"] > files / 4
    read_damaged(check, gzip.decompress(packed), files=files // 2)
