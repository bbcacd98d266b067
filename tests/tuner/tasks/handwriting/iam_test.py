from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.tasks.handwriting import layouts
from tuner.tasks.handwriting import iam, sources
from tuner.tasks.handwriting.lines import Line, Lines


def read(folder: Path, files: Mapping[str, bytes]) -> Lines:
    layouts.write_unpacked(folder, files)
    return iam.read_iam(folder)[0]


def texts(lines: tuple[Line, ...]) -> list[str]:
    return [line.text for line in lines]


FORMS: dict[str, Callable[[Path, Mapping[str, bytes]], None]] = {
    "unpacked": layouts.write_unpacked,
    "unpacked, with the level above": lambda f, files: layouts.write_unpacked(f, files, whole=True),
    "archives": layouts.write_archives,
}


@pytest.mark.parametrize("form", FORMS)
def test_reads_every_form_alike(tmp_path: Path, form: str) -> None:
    FORMS[form](tmp_path, layouts.iam_files())
    lines, _ = iam.read_iam(tmp_path)
    assert texts(lines.train) == [
        *("A MOVE to", "stop Mr. Gaitskell", "from (1961)"),
        *("x", "y&z", "#3/4"),
    ]
    assert texts(lines.validation) == ["any more", "Labour 'life'"]
    assert texts(lines.test) == ["Peers is", "to be made", "at a meeting"]
    assert not lines.skipped
    strokes = layouts.strokes_of("a01-000u", 2)
    expected = np.concatenate(strokes)
    points = lines.train[1].points
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[:, :3], expected - expected[0], atol=1e-6)
    ends = np.cumsum([len(stroke) for stroke in strokes]) - 1
    assert np.flatnonzero(points[:, 3]).tolist() == ends.tolist()
    assert sorted(set(points[:, 3])) == [0, 1]


def test_mixes_archives_and_folders(tmp_path: Path) -> None:
    files = layouts.iam_files()
    layouts.write_archives(tmp_path, files)
    (tmp_path / "ascii-all.tar.gz").unlink()
    (tmp_path / "task1.tar.gz").unlink()
    layouts.write_unpacked(
        tmp_path, {name: files[name] for name in files if not name.startswith("lineStrokes")}
    )
    assert iam.read_iam(tmp_path)[0].counts == (6, 2, 3)


def test_an_archive_stands_for_its_folder(tmp_path: Path) -> None:
    layouts.write_archives(tmp_path, layouts.iam_files())
    _, edition = sources.find(str(tmp_path / "lineStrokes-all.tar.gz"))
    _, other = sources.find(str(tmp_path))
    assert edition == other


def test_is_called_by_its_name_only_if_the_counts_are_the_papers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert iam.COUNTS == (5355, 2956, 3859)
    layouts.write_unpacked(tmp_path, layouts.iam_files())
    _, edition = sources.find(str(tmp_path))
    assert edition.name == "IAM-OnDB, incomplete (6 + 2 + 3; in the paper 5,355 + 2,956 + 3,859)"
    monkeypatch.setattr(iam, "COUNTS", (6, 1, 3))
    assert iam.read_iam(tmp_path)[1] == "IAM-OnDB, other lines (6 + 2 + 3; in the paper 6 + 1 + 3)"
    monkeypatch.setattr(iam, "COUNTS", (6, 2, 3))
    _, edition = sources.find(str(tmp_path))
    assert edition.name == "IAM-OnDB"
    assert "6 + 2 + 3 lines of 46 + 21 + 30 characters" in edition.detail


def test_the_known_bad_board_is_left_out(tmp_path: Path) -> None:
    files = layouts.iam_files()
    files["task1/trainset.txt"] += b" a08-551z\n"
    files[layouts.text_path("a08-551z")] = layouts.transcription(["fine", "%%%%%%%%%%%"])
    files[layouts.stroke_path("a08-551z", 1)] = files[layouts.stroke_path("a01-000u", 1)]
    lines = read(tmp_path, files)
    assert lines.counts == (6, 2, 3)
    assert lines.skipped == {"board (a08-551z, signs without ink)": 1}


def ink(*numbers: float, repeats: int = 20) -> list[np.ndarray]:
    return [np.array([[1, 2, 3.0], numbers] * repeats)]


STROKES, TEXT = layouts.stroke_path("a01-000u", 2), layouts.text_path("a01-000u")
BAD: dict[str, tuple[str, bytes]] = {
    "lines with a damaged stroke file": (STROKES, b"<Whiteboard"),
    "lines without ink": (STROKES, layouts.stroke_file([])),
    "lines with coordinates or times that are not finite": (
        STROKES, layouts.stroke_file(ink(4, np.nan, 5.0))
    ),
    "lines with coordinates or times out of range": (
        STROKES, layouts.stroke_file(ink(4, 1e30, 5.0))
    ),
    "lines with more text than ink": (STROKES, layouts.stroke_file(ink(4, 6, 5.0, repeats=1))),
    "lines without text": (TEXT, layouts.transcription(["A MOVE to"])),
    "lines with characters outside the alphabet": (
        TEXT, layouts.transcription(["A MOVE to", "50 %"])
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_line_costs_nothing_but_itself(
    tmp_path: Path, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = layouts.iam_files()
    name, content = BAD[reason]
    files[name] = content
    layouts.write_unpacked(tmp_path, files)
    lines, edition = sources.find(str(tmp_path))
    assert lines.skipped == {reason: 1}
    assert lines.counts == (5, 2, 3)
    assert "stop Mr. Gaitskell" not in texts(lines.train)
    assert f"left out: 1 {reason}" in edition.detail
    assert f"left out: 1 {reason}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'<a><Stroke><Point x="1" y="2"/></Stroke></a>',
        b'<a><Stroke><Point x="" y="2" time="3"/></Stroke></a>',
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
    ],
)
def test_damaged_stroke_files(tmp_path: Path, content: bytes) -> None:
    files = layouts.iam_files()
    files[layouts.stroke_path("c03-001a", 1)] = content
    assert read(tmp_path, files).skipped == {"lines with a damaged stroke file": 1}


THREE = ["one line", "another", "the third"]


@pytest.mark.parametrize(
    ("lines", "ink", "expected", "skipped"),
    [
        # Ink and texts in the order of their numbers.
        (THREE, [1, 2, 3], dict(zip((1, 2, 3), THREE, strict=True)), {}),
        # The ink has no number for the empty line.
        (["one line", "", "another", "", "", "the third"], [1, 2, 3],
         dict(zip((1, 2, 3), THREE, strict=True)), {}),
        # It has one.
        (["one line", "", "the third"], [1, 2, 3], {1: "one line", 3: "the third"},
         {"lines without text": 1}),
        (["one line", "", "the third"], [1, 3], {1: "one line", 3: "the third"},
         {"lines without ink": 1}),
        # Nobody can tell.
        (["one line", "", "", "the third"], [1, 2, 3], {},
         {"boards with empty lines between their texts": 1}),
        (["one line", "", "the third"], [1], {},
         {"boards with empty lines between their texts": 1}),
        (["one line", "", "the third"], [], {},
         {"boards with empty lines between their texts": 1}),
        # Around the texts they do not matter.
        (["", "", *THREE, "", " "], [1, 2, 3], dict(zip((1, 2, 3), THREE, strict=True)), {}),
        # What Python takes for the end of a line too is none.
        (["one line", "wait\x85 what", "the third"], [1, 2, 3], {1: "one line", 3: "the third"},
         {"lines with characters outside the alphabet": 1}),
        (["one line", "x\x0cy", "the third"], [1, 2, 3], {1: "one line", 3: "the third"},
         {"lines with characters outside the alphabet": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_is_that_of_its_ink(
    tmp_path: Path, lines: list[str], ink: list[int], expected: Mapping[int, str],
    skipped: Mapping[str, int], end: str,
) -> None:  # fmt: skip
    files = {
        name: content for name, content in layouts.iam_files().items() if "a01-000u" not in name
    }
    files[TEXT] = layouts.transcription(lines).replace(b"\n", end.encode())
    for number in ink:
        files[layouts.stroke_path("a01-000u", number)] = layouts.stroke_file(
            layouts.strokes_of("a01-000u", number)
        )
    found = read(tmp_path, files)
    points = {
        text: np.concatenate(layouts.strokes_of("a01-000u", number))
        for number, text in expected.items()
    }
    assert [line.text for line in found.train[: len(points)]] == list(points)
    for line in found.train[: len(points)]:
        drawn = points[line.text]
        np.testing.assert_allclose(line.points[:, :3], drawn - drawn[0], atol=1e-6)
    assert len(found.train) == len(points) + 4
    assert found.skipped == skipped


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("place", ["beginning", "texts", "second text", "end"])
def test_byte_order_marks_shift_nothing(tmp_path: Path, mark: bytes, place: str) -> None:
    right = iam.read_iam(_written(tmp_path / "right", layouts.iam_files()))[0]
    files = layouts.iam_files()
    behind = {"beginning": b"OCR:", "texts": b"A MOVE", "second text": b"stop Mr"}.get(place)
    index = len(files[TEXT]) if behind is None else files[TEXT].rindex(behind)
    files[TEXT] = files[TEXT][:index] + mark + files[TEXT][index:]
    files["task1/trainset.txt"] = mark + files["task1/trainset.txt"]
    assert iam.read_iam(_written(tmp_path / "marked", files))[0].sha256() == right.sha256()


def test_texts_and_lists_in_two_bytes_a_character_are_read(tmp_path: Path) -> None:
    right = iam.read_iam(_written(tmp_path / "right", layouts.iam_files()))[0]
    files = {
        name: content if name.startswith("line") else content.decode("latin-1").encode("utf-16")
        for name, content in layouts.iam_files().items()
    }
    assert iam.read_iam(_written(tmp_path / "wide", files))[0].sha256() == right.sha256()


def _written(folder: Path, files: Mapping[str, bytes]) -> Path:
    layouts.write_unpacked(folder, files)
    return folder


def test_a_web_page_in_the_place_of_ink_costs_a_line(tmp_path: Path) -> None:
    files = layouts.iam_files()
    files[STROKES] = b"<!DOCTYPE html><html>Sign in</html>"
    assert read(tmp_path, files).skipped == {"lines with a damaged stroke file": 1}


def test_missing_files_are_counted(tmp_path: Path) -> None:
    files = layouts.iam_files()
    del files[layouts.stroke_path("a01-000u", 1)]
    del files[layouts.text_path("b02-011z")]
    del files[layouts.text_path("a01-000x")], files[layouts.stroke_path("a01-000x", 1)]
    lines = read(tmp_path, files)
    assert texts(lines.train) == ["stop Mr. Gaitskell"]
    assert lines.skipped == {
        "lines without ink": 1,
        "lines without text": 3,
        "boards without files": 1,
    }


BILLION_LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>
<a><Stroke><Point x="&c;" y="1" time="1"/></Stroke></a>"""
EXTERNAL = b"""<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY secret SYSTEM "/etc/passwd">]>
<a><Stroke><Point x="1" y="1" time="1"/></Stroke>&secret;</a>"""
EXTERNAL_DTD = b'<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><a/>'


@pytest.mark.parametrize("content", [BILLION_LAUGHS, EXTERNAL, EXTERNAL_DTD])
def test_xml_that_attacks_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    files = layouts.iam_files()
    files[layouts.stroke_path("c03-001a", 1)] = content
    with pytest.raises(InputError) as caught:
        read(tmp_path, files)
    message = str(caught.value)
    assert "c03-001a-01.xml: expected a stroke file" in message
    assert "document type or entities" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("lineStrokes", "without lineStrokes (or lineStrokes-all.tar.gz)"),
        ("ascii", "without ascii (or ascii-all.tar.gz)"),
        ("task1", "testset_f.txt (or task1.tar.gz)"),
        ("task1/testset_t.txt", "testset_f.txt (or task1.tar.gz)"),
    ],
)
def test_a_missing_part_is_named(tmp_path: Path, part: str, problem: str) -> None:
    files = {
        name: content
        for name, content in layouts.iam_files().items()
        if not name.startswith(part)
    }
    with pytest.raises(InputError) as caught:
        read(tmp_path, files)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_missing_in_the_archive_is_named(tmp_path: Path) -> None:
    files = layouts.iam_files()
    del files["task1/testset_t.txt"]
    layouts.write_archives(tmp_path, files)
    with pytest.raises(InputError, match="no testset_t.txt"):
        iam.read_iam(tmp_path)


def test_a_board_in_two_lists_is_refused(tmp_path: Path) -> None:
    files = layouts.iam_files()
    files["task1/testset_f.txt"] += b" a01-000u\n"
    with pytest.raises(InputError, match="a01-000u twice"):
        read(tmp_path, files)


def test_no_usable_lines_is_refused(tmp_path: Path) -> None:
    files = {
        name: content if name.startswith("task1") else b""
        for name, content in layouts.iam_files().items()
    }
    layouts.write_unpacked(tmp_path, files)
    with pytest.raises(InputError, match=r"usable lines for train.*Received: \(0, 0, 0\)"):
        sources.find(str(tmp_path))
