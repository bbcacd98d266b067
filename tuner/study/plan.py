"""What a study shall do."""

from __future__ import annotations

import dataclasses

from tuner.search import design
from tuner.search.design import Row, Space
from tuner.tasks.task import Task
from tuner.training.protocol import Protocol, Trial


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a study shall do.

    Attributes:
        variants: codes of the variants.
        trials: trials of each variant.
        protocol: training rules.
        space: ranges of the hyperparameters.
        seed: seed of the designs.
    """

    variants: tuple[str, ...]
    trials: int
    protocol: Protocol
    space: Space
    seed: int

    def rows(self, task: Task, variant: str) -> tuple[Row, ...]:
        """Draws the design of a variant."""
        return design.draw(self.space, self.seed, task.name, variant, self.trials)

    def all_trials(self, task: Task) -> list[Trial]:
        """Draws the trials of all variants."""
        return [
            row.as_trial(variant) for variant in self.variants for row in self.rows(task, variant)
        ]
