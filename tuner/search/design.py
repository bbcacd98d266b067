"""The search space, and the rows that a study draws from it before its first trial.

KerasTuner's own random search seeds its draws one by one (`seed`, `seed + 1`, …), so that studies
with near seeds share most of their trials (with four hyperparameters, seeds 1 and 5 share 59 of
60). Here each study of a task and variant draws all its rows from one stream of its own, by
KerasTuner's formulas.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import files
from common.errors import InputError
from tuner.training import random_streams
from tuner.training.protocol import Trial

if TYPE_CHECKING:
    import keras_tuner

COLUMNS = ("trial", "seed", "units", "learning_rate", "one_minus_momentum", "noise_std")
"""Columns of `designs/<code>.csv`."""


@dataclasses.dataclass(frozen=True)
class Space:
    """Ranges of the hyperparameters; the defaults are the paper's (section 4.4).

    Attributes:
        units: log-uniform integers, both ends included.
        learning_rate: log-uniform.
        one_minus_momentum: log-uniform; momentum is 1 minus it.
        noise_std: uniform.
    """

    units: tuple[int, int] = (20, 200)
    learning_rate: tuple[float, float] = (1e-6, 1e-2)
    one_minus_momentum: tuple[float, float] = (0.01, 1.0)
    noise_std: tuple[float, float] = (0.0, 1.0)

    def declare(self, hyperparameters: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Registers the space with KerasTuner and returns the values that are set there.

        Args:
            hyperparameters: KerasTuner's container, as a `HyperModel` gets it.

        Example:
            >>> import keras_tuner
            >>> sorted(Space().declare(keras_tuner.HyperParameters()))
            ['learning_rate', 'noise_std', 'one_minus_momentum', 'units']
        """
        low, high = self.units
        units = hyperparameters.Int("units", low, high, sampling="log")
        low_rate, high_rate = self.learning_rate
        learning_rate = hyperparameters.Float("learning_rate", low_rate, high_rate, sampling="log")
        low_rest, high_rest = self.one_minus_momentum
        rest = hyperparameters.Float("one_minus_momentum", low_rest, high_rest, sampling="log")
        low_noise, high_noise = self.noise_std
        noise_std = hyperparameters.Float("noise_std", low_noise, high_noise)
        return {
            "units": units,
            "learning_rate": learning_rate,
            "one_minus_momentum": rest,
            "noise_std": noise_std,
        }


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a design: what KerasTuner knows about a trial, and the trial's seed."""

    trial: int
    seed: int
    units: int
    learning_rate: float
    one_minus_momentum: float
    noise_std: float

    @property
    def values(self) -> dict[str, Any]:
        """The values under KerasTuner's names."""
        return {
            "units": self.units,
            "learning_rate": self.learning_rate,
            "one_minus_momentum": self.one_minus_momentum,
            "noise_std": self.noise_std,
        }

    def as_trial(self, variant: str) -> Trial:
        """The row as a trial of a variant."""
        return trial_of(self.values, variant, index=self.trial, seed=self.seed)


def trial_of(values: dict[str, Any], variant: str, *, index: int = 0, seed: int = 1) -> Trial:
    """Turns KerasTuner's values into a trial.

    Args:
        values: value of each hyperparameter of the space by name.
        variant: code of the LSTM variant.
        index: place in a design.
        seed: seed of weights and noise.

    Example:
        >>> values = {"units": 60, "learning_rate": 0.01, "one_minus_momentum": 0.5, "noise_std": 0}
        >>> trial_of(values, "V").momentum
        0.5
    """
    return Trial(
        index=index,
        variant=variant,
        units=int(values["units"]),
        learning_rate=float(values["learning_rate"]),
        momentum=1.0 - float(values["one_minus_momentum"]),
        noise_std=float(values["noise_std"]),
        seed=seed,
    )


def draw(space: Space, seed: int, task: str, variant: str, count: int) -> tuple[Row, ...]:
    """Draws a study's rows; the first rows of a longer design are those of a shorter one.

    Args:
        space: ranges.
        seed: the user's seed.
        task: name of the task.
        variant: code of the variant.
        count: number of rows.

    Example:
        >>> draw(Space(), 1, "music", "V", 3) == draw(Space(), 1, "music", "V", 5)[:3]
        True
    """
    # It imports TensorFlow, which reading a design does not need.
    import keras_tuner

    hyperparameters = keras_tuner.HyperParameters()
    space.declare(hyperparameters)
    generator = random_streams.design(seed, task, variant)
    rows = []
    for trial in range(count):
        probabilities = generator.random(len(hyperparameters.space))
        values = {
            hyperparameter.name: hyperparameter.prob_to_value(float(probability))
            for hyperparameter, probability in zip(
                hyperparameters.space, probabilities, strict=True
            )
        }
        rows.append(Row(trial=trial, seed=int(generator.integers(2**63)), **values))
    return tuple(rows)


def save(path: Path, rows: Sequence[Row]) -> None:
    """Writes a design as CSV; numbers are written so that reading gives them back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(dataclasses.astuple(row) for row in rows)
    files.write_text(path, text.getvalue())


def load(path: Path) -> tuple[Row, ...]:
    """Reads a design.

    Raises:
        InputError: if the file is not a design; the message names file and line.
    """
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = tuple(next(reader, ()))
        if header != COLUMNS:
            raise InputError(
                f"{path}: expected the columns {','.join(COLUMNS)}. Received: {','.join(header)!r}"
            )
        for line in reader:
            try:
                trial, seed, units, *rest = line
                learning_rate, one_minus_momentum, noise_std = map(float, rest)
                row = Row(
                    int(trial), int(seed), int(units), learning_rate, one_minus_momentum, noise_std
                )
            except ValueError as error:
                raise InputError(
                    f"{path}: line {reader.line_num} is not a trial: {error}"
                ) from error
            rows.append(row)
    return tuple(rows)
