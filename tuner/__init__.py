"""The study: which LSTM variant and which hyperparameter matter for a task.

`tuner.load_trials` reads the trials of a study into pandas; `tuner.AgingEvolutionOracle` and the
other oracles search for any tuner of KerasTuner; the rest is for the commands
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
    # Workers and `--help` import this package: only who asks for an oracle waits for KerasTuner.
    if name.endswith("Oracle") and name in __all__:
        from tuner.search import oracles

        return getattr(oracles, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_trials(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Reads all trials of a study, one row each, also while it is running.

    Args:
        path: a study directory, or a `.csv` or `.parquet` file that `python -m tuner.export` wrote,
            which may hold several studies.

    Returns:
        A frame with the columns of `docs/trial_table.md`, rows by study, variant and place in the
        design; `status` distinguishes finished trials from failed and waiting ones.

    Raises:
        common.errors.InputError: if it is none of these, or damaged; the message names the
            file, and of a table row and column.

    Example:
        >>> import tuner
        >>> trials = tuner.load_trials("docs/studies/music.parquet")
        >>> finished = trials[trials.status == "finished"]
        >>> best = finished.loc[finished.groupby("variant", sort=False).validation.idxmin()]
        >>> list(best.variant)
        ['V', 'NIG', 'NFG', 'NOG', 'NIAF', 'NOAF', 'CIFG', 'NP', 'FGR']
    """
    # Workers and `--help` import this package: only who asks for a frame waits for pandas.
    from pathlib import Path

    from tuner.analysis.trials import sources, table

    return table.frame(sources.load_all([Path(path)]))
