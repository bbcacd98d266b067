from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import pytest

from common.errors import RecordingError
from tests.damage import read_damaged
from tests.tuner.tasks.speech.conftest import spoken
from tuner.tasks.speech import labels
from tuner.tasks.speech.labels import Labels, Segment, frames_of, per_frame
from tuner.tasks.speech.phones import INDEX, PHONES


def test_what_is_written_is_read(tmp_path: Path) -> None:
    segments = spoken("fcjf0", "si10").segments
    labels.write(tmp_path / "a.phn", segments)
    assert labels.read(tmp_path / "a.phn") == Labels(segments, {})


def test_spaces_empty_lines_and_case_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.phn"
    path.write_bytes(b"0 3050 h#\r\n\r\n3050\t4559  SH \r\n5000 5723 ax-h")
    assert labels.read(path).segments == (
        Segment(0, 3050, "h#"),
        Segment(3050, 4559, "sh"),
        Segment(5000, 5723, "ax-h"),
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "no labels: expected lines start end phone. Received: none"),
        (" \n\n", "no labels: expected lines start end phone. Received: none"),
        ("0 10", "damaged labels: line 1: expected start end phone. Received: '0 10'"),
        ("0 10 h# x", "damaged labels: line 1: expected start end phone. Received: '0 10 h# x'"),
        ("0 ten h#", "damaged labels: line 1: expected start end phone. Received: '0 ten h#'"),
        ("0.0 1.5 h#", "damaged labels: line 1: expected start end phone"),
        ("-5 10 h#", "damaged labels: line 1: expected start end phone. Received: '-5 10 h#'"),
        (f"0 {'9' * 5000} h#", "damaged labels: line 1: expected start end phone"),
        ("5 5 aa\n", "no labels: expected lines start end phone. Received: none"),
        ("0 5 h#\n7 6 aa", "damaged labels: line 2: expected an end from 7 on. Received: 6"),
        ("0 50 h#\n33 90 aa", "overlapping labels: line 2: expected a start from 50 on. Received"),
        ("7 50 h#\n50 51 aa\n49 90 aa", "overlapping labels: line 3: expected a start from 51"),
        ("5 9 h#\n0 5 aa", "overlapping labels: line 2: expected a start from 9 on. Received: 0"),
        ("0 5 h#\n5 9 aaa", "unknown phone: line 2: expected one of the 61 phones of TIMIT."),
    ],
)
def test_refuses_bad_lines(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "a.phn"
    path.write_text(content)
    with pytest.raises(RecordingError) as caught:
        labels.read(path)
    assert str(caught.value).startswith(problem)
    assert caught.value.kind == problem.partition(":")[0]
    assert len(str(caught.value)) < 200


MENDED = {
    "no length": ("0 50 h#\n50 50 aa\n50 99 iy", "0 50 h#, 50 99 iy", {"labels of no length": 1}),
    "no length first": ("0 0 aa\n0 50 h#", "0 50 h#", {"labels of no length": 1}),
    "one sample too early": (
        "0 50 h#\n49 80 aa\n79 99 iy",
        "0 50 h#, 50 80 aa, 80 99 iy",
        {"overlapping labels": 2},
    ),
    "a millisecond too early": (
        "0 50 h#\n34 99 aa", "0 50 h#, 50 99 aa", {"overlapping labels": 1}
    ),
    "within the one before": (
        "0 50 h#\n45 49 aa\n50 99 iy", "0 50 h#, 50 99 iy", {"overlapping labels": 1}
    ),
    "both": (
        "0 50 h#\n50 50 aa\n49 50 aa\n50 99 iy",
        "0 50 h#, 50 99 iy",
        {"labels of no length": 1, "overlapping labels": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MENDED)
def test_what_rounding_leaves_costs_a_label(tmp_path: Path, case: str) -> None:
    content, expected, mended = MENDED[case]
    (tmp_path / "a.phn").write_text(content)
    read = labels.read(tmp_path / "a.phn")
    found = ", ".join(f"{one.start} {one.end} {one.phone}" for one in read.segments)
    assert (found, read.mended) == (expected, mended)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "ascii"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_ends_of_lines_cost_nothing(tmp_path: Path, encoding: str, end: str) -> None:
    text = f"0 50 h#{end}50 99 iy{end}"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "a.phn").write_bytes((mark + text).encode(encoding))
    assert labels.read(tmp_path / "a.phn") == Labels(
        (Segment(0, 50, "h#"), Segment(50, 99, "iy")), {}
    )


@pytest.mark.parametrize(
    "files", [60, pytest.param(5_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_damaged_files_are_labels_or_refused(tmp_path: Path, files: int) -> None:
    path = tmp_path / "a.phn"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        segments = labels.read(path).segments
        ends = [0, *(end for one in segments for end in (one.start, one.end))]
        assert segments and ends == sorted(ends)
        assert all(one.start < one.end for one in segments)

    content = b"0 3050 h#\n3050 4559 sh\n4559 5723 ix\n5723 6642 hv\n6642 8772 eh\n8772 9190 dcl\n"
    outcomes = read_damaged(read, content, files=files)
    assert min(outcomes["read"], outcomes["refused"]) > files / 20


def _obvious(segments: tuple[Segment, ...], frames: int) -> list[int]:
    """Counts the samples of each frame one by one."""
    phone = collections.defaultdict(lambda: "h#")
    for segment in segments:
        for sample in range(segment.start, segment.end):
            phone[sample] = segment.phone
    found = []
    for frame in range(frames):
        counts = collections.Counter(phone[160 * frame + i] for i in range(400))
        most = max(counts.values())
        found.append(min(INDEX[name] for name, count in counts.items() if count == most))
    return found


def test_a_frame_has_the_phone_of_most_of_its_samples() -> None:
    for name in ("si10", "si11", "si12"):
        utterance = spoken("mdac0", name)
        # A gap, as at the beginning of some sentences, is silence.
        segments = utterance.segments[1:3] + utterance.segments[4:]
        frames = frames_of(len(utterance.samples))
        found = per_frame(segments, frames)
        assert found.dtype == np.int32
        assert found.tolist() == _obvious(segments, frames)


def test_a_tie_goes_to_the_first_phone() -> None:
    for pair in (("aa", "zh"), ("zh", "aa")):
        segments = (Segment(0, 200, pair[0]), Segment(200, 400, pair[1]))
        assert PHONES[per_frame(segments, 1)[0]] == "aa"


def test_time_is_linear_in_the_length() -> None:
    # 100 s, a phone every 1 ms: pairs of frames and segments would be a billion.
    ends = range(16, 1_600_016, 16)
    segments = [Segment(end - 16, end, PHONES[end // 1600 % 61]) for end in ends]
    found = per_frame(segments, 9_998)
    np.testing.assert_array_equal(found[5::10], found[4::10])
    assert PHONES[found[-1]] == segments[-20].phone
