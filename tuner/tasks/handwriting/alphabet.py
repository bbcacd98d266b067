"""The characters of the handwriting task and their labels."""

from __future__ import annotations

import numpy as np

ALPHABET = tuple(
    " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!\"#&'()*+,-./[]:;?"
)
"""The 81 characters that occur in IAM-OnDB; a character's label is its place here."""

_LABELS = {character: label for label, character in enumerate(ALPHABET)}


def encode(text: str) -> np.ndarray:
    """Turns text into labels, int32 `[characters]`.

    Raises:
        KeyError: if a character is not in the alphabet.

    Example:
        >>> encode("a B")
        array([ 1,  0, 28], dtype=int32)
    """
    return np.array([_LABELS[character] for character in text], np.int32)
