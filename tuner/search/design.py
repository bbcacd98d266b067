"""Designs: the proposed trials of one variant as a file, written before they begin."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from common import files
from common.errors import InputError
from tuner.search import space as spaces
from tuner.training.protocol import Trial

_COLUMNS = ("trial", "seed")
"""Columns of `designs/<code>.csv` before those of the hyperparameters."""


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
