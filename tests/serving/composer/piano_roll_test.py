"""The picture of a piano roll, read back from its rectangles."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from serving.composer import piano_roll

SVG = "{http://www.w3.org/2000/svg}"


def rectangles(root: ElementTree.Element, kind: str) -> list[tuple[float, float, float]]:
    """x, y and width of the rectangles of a class, by their place."""
    return sorted(
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width"))
        for rect in root.iter(f"{SVG}rect")
        if rect.attrib["class"] == kind
    )


def roll() -> np.ndarray:
    """C4 for 3 frames, E4 for the middle one, C5 in two notes; 5 frames."""
    made = np.zeros((5, 88), np.uint8)
    made[0:3, 60 - 21] = 1
    made[1, 64 - 21] = 1
    made[[0, 4], 72 - 21] = 1
    return made


def test_every_held_note_is_one_bar_at_its_time_and_pitch() -> None:
    root = ElementTree.fromstring(piano_roll.svg(roll(), 0, "Five frames"))
    bars = rectangles(root, "note")
    assert [round((width + 1) / 12) for _, _, width in bars] == [1, 3, 1, 1]
    frames = [round((x - bars[0][0]) / 12) for x, _, _ in bars]
    assert frames == [0, 0, 1, 4]
    # Downwards by 8 a semitone.
    first_y = bars[0][1]
    assert [round((y - first_y) / 8) for _, y, _ in bars] == [0, 12, 8, 0]


def test_what_was_given_has_a_color_of_its_own() -> None:
    root = ElementTree.fromstring(piano_roll.svg(roll(), 2, "Five frames"))
    given, composed = rectangles(root, "given"), rectangles(root, "note")
    # C4 is cut in two where the prompt ends.
    assert len(given) == 3 and len(composed) == 2
    assert max(x + width for x, _, width in given) < min(x for x, _, _ in composed)


def test_who_cannot_see_it_can_read_it() -> None:
    root = ElementTree.fromstring(piano_roll.svg(roll(), 2, "Five < frames"))
    assert root.find(f"{SVG}title").text == "Five < frames"
    assert root.find(f"{SVG}desc").text == (
        "A piano roll of 5 quarter notes, the first 2 of them given. Pitches from C4 to C5; on "
        "average 1.2 notes sound at once, at most 2."
    )


def test_notes_of_equal_pitch_that_touch_are_one() -> None:
    generator = np.random.default_rng(2)
    made = (generator.random((30, 88)) < 0.4).astype(np.uint8)
    again = np.zeros_like(made)
    found = list(piano_roll.notes(made, given=11))
    for column, start, end in found:
        assert start < end and not again[start:end, column].any()
        assert not start < 11 < end
        again[start:end, column] = 1
    np.testing.assert_array_equal(again, made)
