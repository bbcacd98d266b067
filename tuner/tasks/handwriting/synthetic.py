"""The synthetic lines: Hershey's fonts in the hands of writers that do not exist."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tuner.tasks.handwriting.alphabet import ALPHABET
from tuner.tasks.handwriting.hershey import load_fonts
from tuner.tasks.handwriting.lines import Collector, Lines
from tuner.tasks.handwriting.text import draw_text
from tuner.tasks.handwriting.writers import draw_writer, write

WRITERS = {"train": 90, "validation": 10, "test": 15}
"""Writers of each split; nobody writes for two."""

LINES_A_WRITER = 10

COUNTS = (900, 100, 150)
"""Lines to train, validate and test with."""

# Part of every seed: another recipe gets another number.
_RECIPE = 1


def build() -> Lines:
    """Writes all lines, always the same.

    Source: Hershey, Calligraphy for Computers (1967), by way of the package Hershey-Fonts.

    Raises:
        InputError: if the package Hershey-Fonts is not installed.
    """
    fonts = load_fonts()
    collector = Collector()
    for index, split in enumerate(_split_of_each_writer()):
        generator = np.random.Generator(np.random.PCG64([_RECIPE, index]))
        writer = draw_writer(generator)
        for _ in range(LINES_A_WRITER):
            text = draw_text(generator, ALPHABET)
            collector.add(split, write(writer, text, fonts, generator), text)
    return collector.lines()


def _split_of_each_writer() -> Iterator[str]:
    for split, writers in WRITERS.items():
        yield from [split] * writers
