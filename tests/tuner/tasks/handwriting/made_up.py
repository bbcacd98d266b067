"""A few lines that nobody wrote."""

from __future__ import annotations

import numpy as np

from tuner.tasks.handwriting.lines import Collector, Lines


def some_lines(seed: int = 0) -> Lines:
    """Lines of six strokes: three to train, two to validate, one to test."""
    rng = np.random.default_rng(seed)
    collector = Collector()
    for split, texts in {
        "train": ["one two", "#3", "four."],
        "validation": ["five", "six"],
        "test": ["seven"],
    }.items():
        for text in texts:
            strokes = [
                np.cumsum(rng.uniform(0.01, 5, (count, 3)), axis=0)
                for count in rng.integers(1, 30, 6)
            ]
            collector.add(split, strokes, text)
    return collector.lines()
