"""The plan of a study: what it will do, where, with which engines and for how long."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.text import duration
from tuner.search.samplers import SearchProblem
from tuner.search.samplers.random import RandomSampler
from tuner.study.presets import StudyConfig
from tuner.training import engines
from tuner.training.engines import Engine
from tuner.training.protocol import Trial


def draw(config: StudyConfig) -> list[Trial]:
    """Draws as many random trials as a study will have, to estimate its running time."""
    task = config.problem.task.name
    search = SearchProblem(config.space, config.seed, task, config.variants, config.trials)
    sampler = RandomSampler(search)
    return [
        sampler.propose(variant, index, ())
        for variant in config.variants
        for index in range(config.trials)
    ]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of a study that has not begun yet.

    Attributes:
        config: the configuration of the study.
        directory: the study directory.
        engines: the engine that trains each variant.
    """

    config: StudyConfig
    directory: Path
    engines: Mapping[str, Engine]

    @classmethod
    def make(cls, config: StudyConfig, directory: Path, engine: str) -> Plan:
        """Chooses the engine of each variant.

        Args:
            config: the configuration of the study.
            directory: the study directory.
            engine: a key of `tuner.training.engines.ENGINES`, or `auto`.

        Raises:
            InputError: if no engine, or not the given one, can train a variant.
        """
        trials = draw(dataclasses.replace(config, trials=1))
        chosen = {
            trial.variant: engines.choose(engine, config.problem, trial) for trial in trials
        }
        return cls(config, directory, chosen)

    def seconds(self, trial: Trial) -> float:
        """Estimates the maximum duration of a trial, in seconds."""
        return self.engines[trial.variant].seconds(self.config.problem, trial)

    def slower(self) -> Iterator[str]:
        """Yields a line for each variant whose engine is not the fastest, with the reason."""
        fastest = engines.candidates()[0]
        for trial in draw(dataclasses.replace(self.config, trials=1)):
            engine = self.engines[trial.variant]
            if engine is not fastest:
                why = fastest.obstacle(self.config.problem, trial)
                yield f"engine of {trial.variant}: {engine.name}, not {fastest.name}: {why}"

    def describe(self, workers: int) -> Iterator[str]:
        """Yields lines that describe the plan.

        Args:
            workers: number of trials that are trained at a time.
        """
        config, protocol = self.config, self.config.problem.protocol
        counts = [
            engines.count_params(config.problem, Trial(0, variant, values, seed=0))
            for variant in config.variants
            for values in (
                {row.name: row.low for row in config.space},
                {row.name: row.high for row in config.space},
            )
        ]
        each = "of variants chosen among {}" if config.joint else f"{config.trials} of each of {{}}"
        yield (
            f"plan: {self.trials} trials, {each.format(', '.join(config.variants))}; at most "
            f"{protocol.max_epochs} epochs, patience {protocol.patience}; optimizer "
            f"{protocol.optimizer}; {config.sampler} search, seed {config.seed}"
        )
        if config.joint and workers > config.lag:
            yield f"of {workers} workers {config.lag} have trials, since --lag={config.lag}"
        yield f"space: {config.space} ({min(counts):,} to {max(counts):,} parameters)"

    @property
    def trials(self) -> int:
        """The total number of trials."""
        return len(self.config.variants) * self.config.trials


def estimate(plans: Sequence[Plan], workers: int) -> str:
    """Describes in one line how long studies take at most on the same workers.

    Args:
        plans: the studies.
        workers: number of trials that are trained at a time.
    """
    used = {engine.name: engine for plan in plans for engine in plan.engines.values()}
    costs = [plan.seconds(trial) for plan in plans for trial in draw(plan.config)]
    start = max(engine.speed.start for engine in used.values())
    seconds = start + max(sum(costs) / workers, max(costs))
    return (
        f"about {duration(seconds)} with the {' and '.join(used)} "
        f"engine{'s' if len(used) > 1 else ''} and {workers} worker{'s' if workers > 1 else ''}, "
        "less if trials stop early"
    )


def estimate_on_gpu(plans: Sequence[Plan]) -> str:
    """Describes in one line how long studies take at most on a GPU; empty if they cannot run there.

    Args:
        plans: the studies.
    """
    if any(engine.name != "native" for plan in plans for engine in plan.engines.values()):
        return ""
    cuda = engines.ENGINES["cuda"]
    seconds = cuda.speed.start + sum(
        cuda.seconds(plan.config.problem, trial) for plan in plans for trial in draw(plan.config)
    )
    return (
        f"about {duration(seconds)} on one H100 GPU by --engine=cuda, which has not yet run on "
        "one: extrapolated from a prototype of its kernels"
    )
