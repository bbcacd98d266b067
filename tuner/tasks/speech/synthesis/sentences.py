"""The texts to speak: everyday sentences that no two speakers share.

They are made from templates and word lists, so that the project may distribute them, and contain
every sound of English often.
"""

from __future__ import annotations

import importlib.resources
import itertools
import random
import re
from collections.abc import Iterator

_FOLDER = importlib.resources.files("tuner.tasks.speech.synthesis")
_SENTENCES = tuple((_FOLDER / "templates.txt").read_text("utf-8").splitlines())
# Sections begin with `[name]`; entries are separated by bars, and lines may end anywhere.
_LISTS = {
    name: tuple(entries.replace("\n", "").split("|"))
    for name, entries in re.findall(
        r"^\[(\w+)\]\n([^\[]+)$", (_FOLDER / "words.txt").read_text("utf-8"), re.MULTILINE
    )
}
_SLOT = re.compile(r"{(\w+)}")
# "a useful", but "an unusual".
_BEFORE_VOWEL = re.compile(r"\ba(?= [aeiou])(?! us)")


def sentences(seed: str) -> Iterator[str]:
    """Generates sentences without end, no two of them alike.

    Args:
        seed: different seeds give different sentences.

    Example:
        >>> next(sentences("example"))
        'A flower was bitten, beaten, and eaten by the fire.'
    """
    numbers = random.Random(seed)
    said = set()
    while True:
        filled = _SLOT.sub(
            lambda slot: numbers.choice(_LISTS[slot[1]]), numbers.choice(_SENTENCES)
        )
        spelled = _BEFORE_VOWEL.sub("an", filled)
        text = spelled[0].upper() + spelled[1:]
        if text not in said:
            said.add(text)
            yield text


def vocabulary() -> tuple[str, ...]:
    """Returns every word and phrase that a sentence can be made of."""
    frames = (_SLOT.sub(" ", sentence) for sentence in _SENTENCES)
    return (*itertools.chain.from_iterable(_LISTS.values()), *(" ".join(f.split()) for f in frames))
