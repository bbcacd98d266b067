from __future__ import annotations

import collections
import functools
import sys

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.handwriting import sources, synthetic
from tuner.tasks.handwriting.lines import ALPHABET, Lines


@pytest.fixture(scope="module")
def lines() -> Lines:
    return synthetic.build()


def test_the_lines_are_always_the_same(lines: Lines) -> None:
    assert lines.sha256() == sources.SYNTHETIC_SHA256
    assert lines.counts == synthetic.COUNTS == (900, 100, 150)
    assert not lines.skipped


def test_every_character_occurs_in_training(lines: Lines) -> None:
    counts = collections.Counter("".join(line.text for line in lines.train))
    assert set(counts) == set(ALPHABET)
    assert min(counts.values()) >= 5, counts.most_common()[-3:]


def test_the_ink_is_like_that_of_iam(lines: Lines) -> None:
    for line in (*lines.validation, *lines.test):
        points = line.points
        assert np.array_equal(points[:, :2], np.rint(points[:, :2]))
        assert np.all(np.diff(points[:, 2]) >= 0)
        assert points[-1, 3] == 1
        assert set(points[:, 3]) == {0, 1}
        # Written from left to right, mostly.
        assert points[:, 0].max() > 20 * len(line.text) * 3
    frames = [len(line.points) / 2 for line in lines.train]
    assert 200 < np.mean(frames) < 400
    assert max(frames) < 1500


def test_splits_share_no_line(lines: Lines) -> None:
    points = [line.points.tobytes() for split in lines.splits.values() for line in split]
    assert len(set(points)) == len(points)
    learned = {line.text for line in lines.train}
    assert not learned.intersection(line.text for line in (*lines.validation, *lines.test))


def test_texts_keep_to_their_characters() -> None:
    generator = np.random.default_rng(3)
    allowed = "abcdehlmnorstuBH.1'"
    used = set("".join(synthetic.draw_text(generator, allowed) for _ in range(300)))
    assert used == {" ", *allowed}
    with pytest.raises(ValueError, match="make words"):
        synthetic.draw_text(generator, "xq!")


def writer(**changes: object) -> synthetic.Writer:
    plain = {
        "font": "futural",
        "slant": 0.0,
        "size": 10.0,
        "aspect": 1.0,
        "speed": 2.0,
        "gap": 1.0,
        "jitter": 0.2,
        "wobble": 0.5,
        "slope": 0.0,
    }
    return synthetic.Writer(**{**plain, **changes})  # type: ignore[arg-type]


@functools.cache
def fonts() -> dict[str, dict[str, synthetic.Glyph]]:
    return synthetic.load_fonts()


def strokes_of(**changes: object) -> list[np.ndarray]:
    """Five letters of one stroke each."""
    return synthetic.write(writer(**changes), "lllll", fonts(), np.random.default_rng(8))


def written(**changes: object) -> np.ndarray:
    return np.concatenate(strokes_of(**changes))


def extent(points: np.ndarray, axis: int) -> float:
    return float(np.ptp(points[:, axis]))


def test_a_writers_traits_show() -> None:
    plain = written()
    assert extent(written(size=20.0), 1) == pytest.approx(2 * extent(plain, 1), rel=0.02)
    assert extent(written(aspect=1.5), 0) == pytest.approx(1.5 * extent(plain, 0), rel=0.02)
    assert len(written(speed=1.0)) == pytest.approx(2 * len(plain), rel=0.1)
    assert extent(written(gap=5.0), 0) == pytest.approx(extent(plain, 0) + 4 * 4 * 10, rel=0.05)
    # Up is toward negative y, and a positive slant leans to the right.
    one = strokes_of(slant=0.5)[0]
    top, bottom = one[np.argmin(one[:, 1])], one[np.argmax(one[:, 1])]
    assert top[0] - bottom[0] == pytest.approx(0.5 * (bottom[1] - top[1]), rel=0.3)


def test_letters_differ_every_time_and_take_time() -> None:
    first, second, *_ = strokes = strokes_of()
    assert len(strokes) == 5
    assert first[-1, 0] - first[0, 0] != second[-1, 0] - second[0, 0]
    steps = np.diff(np.concatenate(strokes)[:, 2])
    assert np.all(steps > 0)
    assert (steps > 0.04).sum() == 4, "a pause between letters"


def test_without_the_package_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "HersheyFonts", None)
    with pytest.raises(InputError, match=r"Hershey-Fonts.*\[handwriting\]"):
        sources.find("auto")
