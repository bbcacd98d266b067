"""Designs: the proposed trials of one variant as a file, written before they begin."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from common import files, text
from common.errors import InputError, reason
from tuner.search import space as spaces
from tuner.training.protocol import Trial

_COLUMNS = ("trial", "seed")
"""Columns of `designs/<code>.csv` that precede the hyperparameters."""


def save(path: Path, trials: Sequence[Trial]) -> None:
    """Writes a design as CSV; numbers are written so that they can be read back exactly."""
    rows = ((trial.index, trial.seed, *trial.values.values()) for trial in trials)
    files.write_text(path, text.csv_table((*_COLUMNS, *trials[0].values), rows))


def load(path: Path, space: spaces.Space | None = None) -> tuple[Trial, ...]:
    """Reads a design, `<code>.csv`.

    Args:
        path: the file.
        space: the hyperparameters for which its trials must have values.

    Raises:
        InputError: if the file is not a design; the message names file and line.
        OSError: if the file cannot be read.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = _hyperparameters(next(reader, []))
            trials = [_trial(path.stem, index, names, row) for index, row in enumerate(reader)]
        except (ValueError, csv.Error) as error:
            raise InputError(f"{path}: line {reader.line_num or 1}: {reason(error)}") from error
    if space is not None and trials and not set(space.names) <= trials[0].values.keys():
        raise InputError(
            f"{path}: expected values of {', '.join(space.names)}. "
            f"Received: {', '.join(trials[0].values)}"
        )
    return tuple(trials)


def _hyperparameters(header: Sequence[str]) -> Sequence[str]:
    """Returns the names of the hyperparameter columns in a header."""
    names = header[len(_COLUMNS) :]
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS or not all(map(spaces.is_column, names)):
        raise ValueError(
            f"expected the columns {','.join(_COLUMNS)} and those of hyperparameters. "
            f"Received: {','.join(header)!r}"
        )
    return names


def _trial(variant: str, index: int, names: Sequence[str], row: Sequence[str]) -> Trial:
    try:
        number, seed, *cells = row
        values = dict(spaces.read(name, cell) for name, cell in zip(names, cells, strict=True))
        trial = Trial(int(number), variant, values, int(seed))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not a trial: {error}") from error
    if len(values) < len(names):
        raise ValueError("expected each hyperparameter once")
    if trial.index != index:
        raise ValueError(f"expected trial {index}. Received: trial {trial.index}")
    return trial
