"""Piano rolls: which pitches they have, and what those are called."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Roll: TypeAlias = npt.NDArray[np.uint8]
"""Zeros and ones `[frames, 88]`: column j is MIDI pitch 21 + j, a row is a frame."""

LOWEST_PITCH = 21
"""A0, the lowest key of a piano, as MIDI counts."""

HIGHEST_PITCH = 108
"""C8, the highest."""

PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1

FEWEST_FRAMES = 2
"""A roll of T frames gives T - 1 pairs of a frame and the frame after it: at least one."""

_NAMES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")


def pitch_name(pitch: int) -> str:
    """Names a pitch.

    Args:
        pitch: MIDI number, 0 to 127.

    Example:
        >>> [pitch_name(pitch) for pitch in (21, 60, 70, 108)]
        ['A0', 'C4', 'B♭4', 'C8']
    """
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"
