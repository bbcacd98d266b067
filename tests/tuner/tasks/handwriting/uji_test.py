from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from common import cache
from common.errors import DownloadError, InputError
from tests.damage import read_damaged
from tests.tuner.tasks.handwriting import layouts
from tuner.tasks.handwriting import sources, uji

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:?!'\"()%-@$<>ñ"
WRITERS = [
    *(f"trn_UJI_W{number:02}" for number in range(1, 12)),
    "trn_UPV_W01",
    "tst_UJI_W31",
    "tst_UPV_W04",
]


@pytest.fixture(scope="module")
def content() -> bytes:
    return layouts.uji_text(WRITERS, CHARACTERS).encode()


@pytest.fixture(scope="module")
def few() -> bytes:
    """The letters of two who learn and two who test."""
    return layouts.uji_text(WRITERS[-4:], CHARACTERS).encode()


def zipped(content: bytes, name: str = "UJIpenchars2.txt") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture(autouse=True)
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert uji.LINES_A_WRITER == 20
    monkeypatch.setattr(uji, "LINES_A_WRITER", 4)


def test_composes_lines_of_writers_of_one_split_each(content: bytes) -> None:
    lines = uji.read_uji("uji", content)
    # The last tenth of the twelve learning writers validates.
    assert lines.counts == (11 * 4, 4, 2 * 4)
    assert not lines.skipped
    used = set("".join(line.text for line in lines.train))
    assert used <= {" ", *CHARACTERS}
    assert set("aZ7';! ") <= used
    assert not used & set("%@$<>ñ")


def test_every_form_gives_the_same(tmp_path: Path, few: bytes) -> None:
    (tmp_path / "ujipenchars2.txt").write_bytes(few)
    (tmp_path / "uji.zip").write_bytes(zipped(few))
    editions = [
        sources.find(str(path))[1]
        for path in (tmp_path, tmp_path / "ujipenchars2.txt", tmp_path / "uji.zip")
    ]
    assert {edition.name for edition in editions} == {"UJI Pen Characters v2, composed lines"}
    assert len({edition.sha256 for edition in editions}) == 1


def test_the_finer_grid_is_scaled_and_letters_are_kept_apart_by_writer() -> None:
    letter = [np.array([[0, 0], [152, 304]])]
    text = layouts.uji_letter("a", "trn_UPV_W01", 1, letter)
    text += layouts.uji_letter("a", "trn_UJI_W01", 1, letter)
    hands = uji._read_letters(text, uji.Collector())
    (of_valencia,) = hands["trn", "UPV_W01"]["a"]
    (of_castellon,) = hands["trn", "UJI_W01"]["a"]
    np.testing.assert_allclose(of_valencia[0], [[0, 0], [100, 200]])
    np.testing.assert_allclose(of_castellon[0], [[0, 0], [152, 304]])


def test_letters_stand_side_by_side_on_the_baseline() -> None:
    hand = {
        "x": [[np.array([[7.0, 50], [27, 70]]), np.array([[27.0, 50], [7, 70]])]],
        "p": [[np.array([[100.0, 10], [100, 50], [110, 10]])]],
        ",": [[np.array([[0.0, 0], [-2, 8]])]],
        "l": [[np.array([[3.0, 3], [3, 63]])]],
    }
    line = uji.compose(hand, "xp x,l", np.random.default_rng(3))
    extents = [(stroke[:, :2].min(axis=0), stroke[:, :2].max(axis=0)) for stroke in line]
    # x: two strokes on the baseline, 20 high. p: its top where x has it. The comma hangs below.
    tops_bottoms = [(low[1], high[1]) for low, high in extents]
    np.testing.assert_allclose(
        tops_bottoms,
        [(-20, 0), (-20, 0), (-20, 20), (-20, 0), (-20, 0), (-2, 6), (-60, 0)],
    )
    lefts, rights = [low[0] for low, _ in extents], [high[0] for _, high in extents]
    assert lefts[0] == 0 and rights[1] == 20
    assert rights[1] + 3 <= lefts[2] <= rights[1] + 9
    assert lefts[3] >= rights[2] + 3 + 16, "a space"
    assert rights[4] < lefts[5] < rights[5] < lefts[6]
    times = np.concatenate([stroke[:, 2] for stroke in line])
    assert np.all(np.diff(times) > 0)
    np.testing.assert_allclose(line[0][:, 2], [0, 0.01])
    np.testing.assert_allclose(line[1][0, 2], 0.16)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("NUMSTROKES 2", "NUMSTROKES 3", 1),
        lambda text: text.replace("# ", "# 5 ", 1),
        lambda text: text.replace("# ", "# nan nan ", 1),
        lambda text: text.replace("# ", "# abc ", 1),
        lambda text: text.replace("POINTS ", "POINTS x", 1),
        lambda text: text.replace("POINTS ", f"POINTS {'9' * 30}", 1),
    ],
)
def test_a_damaged_letter_is_counted(damage: object, few: bytes) -> None:
    lines = uji.read_uji("uji", damage(few.decode()).encode())  # type: ignore[operator]
    assert lines.skipped == {"damaged letters": 1}
    assert lines.counts == (4, 4, 8)


def test_a_writer_without_letters_for_words_is_counted(few: bytes) -> None:
    more = layouts.uji_text(["tst_UJI_W77"], "xq!").encode()
    lines = uji.read_uji("uji", few + more)
    assert lines.skipped == {"writers without the letters of a word": 1}
    assert lines.counts == (4, 4, 8)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.txt", b"something else", "expected UJI Pen Characters v2"),
        ("a.txt", b"", "an empty file"),
        ("a.zip", b"PK nothing", "expected a .zip file"),
        ("a.zip", zipped(b"text", "other.doc"), "expected an archive with ujipenchars2.txt"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        sources.find(str(tmp_path / name))
    assert problem in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_cost_no_letter(content: bytes, mark: str) -> None:
    content = content[content.index(b"WORD") : len(content) // 4]
    right = uji.read_uji("uji", content)
    marked = uji.read_uji("uji", content.decode().encode(mark))
    assert (marked.sha256(), marked.skipped) == (right.sha256(), right.skipped)


@pytest.mark.parametrize("damage", ["# 1e7 ", "# 1e308 ", "# -1e308 "])
def test_letters_wider_than_a_tablet_are_counted(damage: str) -> None:
    text = layouts.uji_text(WRITERS[-2:], CHARACTERS)
    start = text.index("# ") + 2
    text = text[: start - 2] + damage + text[text.index(" ", start) + 1 :]
    assert uji.read_uji("uji", text.encode()).skipped == {"damaged letters": 1}


def test_time_is_linear_in_the_length(content: bytes) -> None:
    start = time.process_time()
    uji.read_uji("uji", content[:20_000] + b"\n " * 100_000 + b"x")
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "files", [20, pytest.param(1_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("form", ["text", "zip"])
def test_damaged_files_are_lines_or_refused(
    monkeypatch: pytest.MonkeyPatch, form: str, files: int
) -> None:
    monkeypatch.setattr(uji, "LINES_A_WRITER", 1)
    text = layouts.uji_text(WRITERS[-2:], CHARACTERS).encode()

    def read(content: bytes) -> None:
        lines = uji.read_uji("uji", content)
        assert all(np.isfinite(line.points).all() for line in lines.train)

    read_damaged(read, text if form == "text" else zipped(text), files=files)


def test_a_zip_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uji, "LARGEST_FILE", 1000)
    with pytest.raises(InputError, match="expected at most 1,000 bytes"):
        uji.read_uji("uji.zip", zipped(bytes(2000)))


def test_the_download_is_checked_or_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, few: bytes
) -> None:
    fetched = tmp_path / "fetched.zip"
    fetched.write_bytes(zipped(few))
    monkeypatch.setattr(cache.RemoteFile, "fetch", lambda self: fetched)
    assert sources.find("uji")[1].name == uji.NAME

    def fails(self: cache.RemoteFile) -> Path:
        raise DownloadError("no connection")

    monkeypatch.setattr(cache.RemoteFile, "fetch", fails)
    with pytest.raises(InputError, match=r"--data=uji.*no connection.*--data=PATH"):
        sources.find("uji")
    assert len(uji.PUBLISHED.sha256) == 64
