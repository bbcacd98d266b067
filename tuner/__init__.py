"""The study: which LSTM variants and which hyperparameters matter for a task.

`tuner.load_trials` loads the trials of a study into pandas; `tuner.AgingEvolutionOracle` and the
other oracles drive the search of any KerasTuner tuner; everything else supports the commands
(`python -m tuner.run`, `tuner.report`, `tuner.export`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from tuner.search.oracles import (
        AgingEvolutionOracle,
        CMAESOracle,
        GPOracle,
        NSGA2Oracle,
        QMCOracle,
        ReinforceOracle,
        TPEOracle,
    )

__all__ = [
    "AgingEvolutionOracle",
    "CMAESOracle",
    "GPOracle",
    "NSGA2Oracle",
    "QMCOracle",
    "ReinforceOracle",
    "TPEOracle",
    "load_trials",
]


def __getattr__(name: str) -> Any:
    # Workers and `--help` import this package, so KerasTuner is imported only when it is needed.
    if name.endswith("Oracle") and name in __all__:
        from tuner.search import oracles

        return getattr(oracles, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_trials(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Loads all trials of a study, one row per trial, even while the study is running.

    Args:
        path: a study directory, or a `.csv` or `.parquet` file written by `python -m tuner.export`,
            which may hold several studies.

    Returns:
        A DataFrame with the columns of `docs/trial_table.md`, sorted by study, variant and position
        in the design; `status` distinguishes finished trials from failed and waiting ones.

    Raises:
        common.errors.InputError: if `path` is neither, or is damaged; the message names the
            file and, for a table, the row and column.

    Example:
        >>> import tuner
        >>> trials = tuner.load_trials("docs/studies/music.parquet")
        >>> finished = trials[trials.status == "finished"]
        >>> best = finished.loc[finished.groupby("variant", sort=False).validation.idxmin()]
        >>> list(best.variant)
        ['V', 'NIG', 'NFG', 'NOG', 'NIAF', 'NOAF', 'CIFG', 'NP', 'FGR']
    """
    # Workers and `--help` import this package, so pandas is imported only when it is needed.
    from pathlib import Path

    from tuner.analysis.trials import sources, table

    return table.frame(sources.load_all([Path(path)]))
