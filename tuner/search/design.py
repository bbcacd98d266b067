"""Designs: the trials of one variant, drawn before the first begins, as a file.

KerasTuner's own random search seeds its draws one by one (`seed`, `seed + 1`, …), so that studies
with near seeds share most of their trials (with four hyperparameters, seeds 1 and 5 share 59 of
60). Here each study of a task and variant draws all its trials from one stream of its own, by
KerasTuner's formulas.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from common import files
from common.errors import InputError
from tuner.search import space as spaces
from tuner.search.space import Space
from tuner.training import random_streams
from tuner.training.protocol import Trial

_COLUMNS = ("trial", "seed")
"""Columns of `designs/<code>.csv` before those of the hyperparameters."""


def draw(space: Space, seed: int, task: str, variant: str, count: int) -> tuple[Trial, ...]:
    """Draws a study's trials at random; those of a shorter design begin those of a longer one.

    Args:
        space: ranges.
        seed: the user's seed.
        task: name of the task.
        variant: code of the variant.
        count: number of trials.

    Example:
        >>> draw(spaces.PAPER, 1, "music", "V", 3) == draw(spaces.PAPER, 1, "music", "V", 5)[:3]
        True
    """
    # It imports TensorFlow, which reading a design does not need.
    import keras_tuner

    container = keras_tuner.HyperParameters()
    space.declare(container)
    generator = random_streams.design(seed, task, variant)
    trials = []
    for index in range(count):
        probabilities = generator.random(len(space))
        values = {
            row.name: row.sampled(sampled.prob_to_value(float(probability)))
            for row, sampled, probability in zip(space, container.space, probabilities, strict=True)
        }
        trials.append(Trial(index, variant, values, seed=int(generator.integers(2**63))))
    return tuple(trials)


def save(path: Path, trials: Sequence[Trial]) -> None:
    """Writes a design as CSV; numbers are written so that reading gives them back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, *trials[0].values))
    writer.writerows((trial.index, trial.seed, *trial.values.values()) for trial in trials)
    files.write_text(path, text.getvalue())


def load(path: Path) -> tuple[Trial, ...]:
    """Reads a design, `<code>.csv`.

    Raises:
        InputError: if the file is not a design; the message names file and line.
    """
    trials = []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        names = header[len(_COLUMNS) :]
        if header[: len(_COLUMNS)] != _COLUMNS or not all(map(spaces.is_column, names)):
            raise InputError(
                f"{path}: expected the columns {','.join(_COLUMNS)} and those of hyperparameters. "
                f"Received: {','.join(header)!r}"
            )
        for line in reader:
            try:
                index, seed, *cells = line
                values = dict(
                    spaces.read(name, cell) for name, cell in zip(names, cells, strict=True)
                )
                trials.append(Trial(int(index), path.stem, values, int(seed)))
            except ValueError as error:
                raise InputError(
                    f"{path}: line {reader.line_num} is not a trial: {error}"
                ) from error
    return tuple(trials)
