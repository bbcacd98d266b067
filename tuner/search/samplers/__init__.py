"""Samplers: how a study chooses the values that it tries, one file and one row each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Protocol as Interface

from common import import_path

if TYPE_CHECKING:
    from tuner.search.space import Space
    from tuner.training.protocol import Failure, Trial, TrialRecord


@dataclasses.dataclass(frozen=True)
class SearchProblem:
    """What a sampler searches.

    Attributes:
        space: ranges of the hyperparameters.
        seed: the user's seed.
        task: name of the task.
        variants: codes of the variants, in their order.
        trials: trials of each variant.
    """

    space: Space
    seed: int
    task: str
    variants: tuple[str, ...]
    trials: int


class Sampler(Interface):
    """Proposes the trials of a study.

    A proposal is a function of the search problem, of variant and index, and of the trials that it
    is shown: never of the number of workers or of the order in which trials end.

    Attributes:
        lag: a proposal is shown the ended trials of all variants whose index is at most its own
            minus `lag`, and waits until all of them have ended; None for a sampler that looks at
            no trials, whose proposals are all made before the first trial begins.
    """

    lag: int | None

    def __init__(self, problem: SearchProblem) -> None:
        """Prepares the search."""

    def propose(
        self, variant: str, index: int, ended: Sequence[TrialRecord | Failure]
    ) -> Trial:
        """Proposes a trial.

        Args:
            variant: code of the variant.
            index: place in the variant's design, from 0; each is asked for once, in order.
            ended: trials that `lag` lets it see, by index, those of equal index in the order of the
                variants.
        """


SAMPLERS = {"random": "tuner.search.samplers.random:RandomSampler"}
"""The samplers of `python -m tuner.run --sampler`, by the import paths of their classes."""


def make(name: str, problem: SearchProblem) -> Sampler:
    """Makes a sampler.

    Args:
        name: a name of `SAMPLERS`.
        problem: what it searches.
    """
    sampler: Sampler = import_path.find(SAMPLERS[name])(problem)
    return sampler
