"""The columns of the trial table: names, types, units and meanings, in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tuner.search.space import EXTRAS, PAPER, Hyperparameter

FINISHED, FAILED, WAITING = STATUSES = ("finished", "failed", "waiting")
"""The states of a trial, which are the values of the column `status`."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of the trial table.

    Attributes:
        name: heading of the column.
        dtype: `str`, `int64`, `uint64`, `float64`, `bool`, `list[int64]` or `list[float64]` (JSON
            in CSV), `json object` or `json list` (JSON text everywhere).
        unit: unit of the numbers; empty if they have none.
        meaning: what the cells mean.
        statuses: statuses of the trials that have a value; the cells of others are empty.
        optional: whether the value may be missing even for these.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    statuses: tuple[str, ...] = STATUSES
    optional: bool = False


_ENDED, _FINISHED, _FAILED = (FINISHED, FAILED), (FINISHED,), (FAILED,)

_STUDY = (
    Column("study", "str", "", "name of the study, different for each study of the table"),
    Column("task", "str", "", "what was learned: `music`, `speech`, …"),
    Column("metric", "str", "", "what `validation` and `test` measure; always minimized"),
    Column("metric_unit", "str", "", "unit of the metric"),
    Column("data", "str", "", "name of the data"),
    Column("data_sha256", "str", "", "hash of the data: equal data have equal hashes"),
    Column("data_detail", "str", "", "where the data came from and how much they are"),
    Column("protocol", "json object", "", "rules of training, as `tuner.training.protocol`"),
    Column("space", "json object", "", "range of each hyperparameter, as `tuner.search.space`"),
    Column("study_seed", "uint64", "", "seed of the study, of which those of the trials are drawn"),
    Column("versions", "json object", "", "version of each library that trained"),
    Column("machines", "json list", "", "texts: machines that trained", optional=True),
    Column("commands", "json list", "", "texts: commands that trained", optional=True),
)

_BEYOND = (
    Column("sampler", "str", "", "what proposed the trials; random if missing", optional=True),
    Column("lag", "int64", "", "`--lag` of a sampler that chose the variants", optional=True),
    Column("variants", "json list", "", "texts: codes that it chose among", optional=True),
    Column("cells", "json object", "", "import paths of a user's cells, by code", optional=True),
    Column("task_class", "str", "", "import path of a user's task", optional=True),
)

_TRIAL = (
    Column("variant", "str", "", "code of the LSTM variant: `V`, `NIG`, …"),
    Column("trial", "int64", "", "place in the design of the variant, from 0"),
)

_RESULT = (
    Column("seed", "uint64", "", "seed of the initial weights and the noise"),
    Column("status", "str", "", "`finished`, `failed` or `waiting` (planned or in training)"),
    Column("engine", "str", "", "engine that trained it", _ENDED),
    Column("validation", "float64", "metric_unit", "score of the best epoch", _FINISHED),
    Column("test", "float64", "metric_unit", "score of the best epoch's weights", _FINISHED),
    *(
        Column(
            f"{split}_per_sequence", "float64", "metric_unit",
            f"mean of the sequences' own means of `{split}`", _FINISHED,
        )
        for split in ("validation", "test")
    ),
    Column(
        "test_grouped", "float64", "metric_unit",
        "`test` after classes are merged; empty for tasks without such classes",
        _FINISHED, optional=True,
    ),
    Column(
        "best_epoch", "int64", "epochs",
        "epoch with the best validation score; 0 is the untrained network", _FINISHED,
    ),
    Column(
        "diverged", "bool", "",
        "whether a loss or score was not finite; the scores are those of the best epoch before",
        _FINISHED,
    ),
    Column("seconds", "float64", "seconds", "time of training and measuring", _FINISHED),
    Column("parameters", "int64", "weights", "trainable weights of the network", _FINISHED),
    Column("curve_epoch", "list[int64]", "epochs", "epochs of the learning curve", _FINISHED),
    Column(
        "curve_loss", "list[float64]", "nats per frame",
        "training loss by epoch, with noise and changing weights; missing for epoch 0", _FINISHED,
    ),
    Column(
        "curve_validation", "list[float64]", "metric_unit", "validation score by epoch", _FINISHED
    ),
    Column("failure", "str", "", "why there is no result", _FAILED),
)  # fmt: skip


def hyperparameters(names: Iterable[str] = ()) -> tuple[Hyperparameter, ...]:
    """Lists the paper's hyperparameters, and the named ones beyond them."""
    extras = set(names)
    return (*PAPER, *(row for row in EXTRAS if row.name in extras))


def columns(names: Iterable[str] = ()) -> tuple[Column, ...]:
    """Lists all columns in order; the unit `metric_unit` stands for the value of that column.

    Args:
        names: hyperparameters and facts beyond the paper's that a study of the table has; their
            cells are empty in the rows of other studies.

    Example:
        >>> [column.name for column in columns(["forget_bias"])][15:20]
        ['units', 'learning_rate', 'momentum', 'noise_std', 'forget_bias']
    """
    names = set(names)
    varied = (
        Column(
            row.name, "int64" if row.integer else "float64", row.unit, row.meaning,
            optional=row not in PAPER,
        )
        for row in hyperparameters(names)
    )  # fmt: skip
    beyond = [column for column in _BEYOND if column.name in names]
    return (*_STUDY, *beyond, *_TRIAL, *varied, *_RESULT)


STUDY_COLUMNS = tuple(column.name for column in (*_STUDY, *_BEYOND))
"""Names of the columns that are the same in all rows of a study."""
