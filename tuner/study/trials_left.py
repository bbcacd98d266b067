"""The remaining trials of a study, and when further trials are proposed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol as Interface

from tuner.parallel.messages import Assignment
from tuner.parallel.pool import Accept
from tuner.search.samplers import JointSampler, Sampler
from tuner.study.presets import StudyConfig
from tuner.study.variant_study import VariantStudy
from tuner.training.engines import Engine
from tuner.training.protocol import Trial

_Variants = Mapping[str, VariantStudy]


class _Proposals(Interface):
    """Proposes the trials still missing, and determines the order in which trials begin."""

    @property
    def complete(self) -> bool: ...

    def sort(self, trials: list[Trial]) -> list[Trial]: ...

    def next(self) -> Trial | None: ...


class _OfEachVariant:
    """The proposals of a sampler that is asked for trials of each variant."""

    def __init__(self, sampler: Sampler, config: StudyConfig, variants: _Variants) -> None:
        self._sampler = sampler
        self._config = config
        self._variants = variants

    def sort(self, trials: list[Trial]) -> list[Trial]:
        return sorted(trials, key=lambda trial: trial.index)

    @property
    def complete(self) -> bool:
        return next(self._missing(), None) is None

    def _missing(self) -> Iterator[tuple[int, str]]:
        """Yields index and variant of the trials that are still to be proposed, in order."""
        for index in range(self._config.trials):
            for code, variant in self._variants.items():
                if index >= len(variant.trials):
                    yield index, code

    def next(self) -> Trial | None:
        lag, (index, code) = self._sampler.lag, next(self._missing(), (0, ""))
        if lag is None or not code:
            return None
        visible = index - lag + 1
        if any(variant.waiting(visible) for variant in self._variants.values()):
            return None
        ended = [
            record
            for variant in self._variants.values()
            for record in variant.records
            if record.trial.index < visible
        ]
        places = {code: place for place, code in enumerate(self._config.variants)}
        ended.sort(key=lambda record: (record.trial.index, places[record.trial.variant]))
        return self._sampler.propose(code, index, ended)


class _OfAllVariants:
    """The proposals of a sampler that also chooses the variants."""

    def __init__(self, sampler: JointSampler, config: StudyConfig, variants: _Variants) -> None:
        self._sampler = sampler
        self._config = config
        self._variants = variants

    def sort(self, trials: list[Trial]) -> list[Trial]:
        return [trial for trial in self._proposed() if trial in trials]

    @property
    def complete(self) -> bool:
        counts = (len(variant.trials) for variant in self._variants.values())
        return sum(counts) >= self._config.most_trials

    def _proposed(self) -> list[Trial]:
        return self._sampler.in_order(
            [trial for variant in self._variants.values() for trial in variant.trials]
        )

    def next(self) -> Trial | None:
        if self.complete:
            return None
        proposed = self._proposed()
        ended = {
            record.trial: record
            for variant in self._variants.values()
            for record in variant.records
        }
        visible = proposed[: max(len(proposed) - self._sampler.lag + 1, 0)]
        if any(trial not in ended for trial in visible):
            return None
        return self._sampler.propose_next(proposed, [ended[trial] for trial in visible])


class TrialsLeft:
    """The remaining trials of all variants; a `tuner.parallel.pool.TrialQueue`.

    Trials that do not depend on results are served longest first; others are proposed, in a fixed
    order, as soon as the trials that they depend on have ended.

    Attributes:
        remaining: the trials that have been proposed but not taken.
    """

    def __init__(
        self,
        config: StudyConfig,
        variants: Mapping[str, VariantStudy],
        sampler: Sampler | JointSampler,
        choose: Callable[[Trial], Engine],
        checkpoint_path: Callable[[Trial], Path],
        on_proposal: Callable[[Trial], None],
    ) -> None:
        """Collects the remaining trials.

        Args:
            config: the configuration of the study.
            variants: the state of each variant, by code.
            sampler: proposes further trials.
            choose: chooses the engine of a trial.
            checkpoint_path: returns the path of a trial's checkpoint.
            on_proposal: called with each further trial.

        Raises:
            InputError: if the trials are not those that the sampler proposes.
        """
        self._problem = config.problem
        self._variants = variants
        self._choose = choose
        self._checkpoint_path = checkpoint_path
        self._on_proposal = on_proposal
        self._proposals: _Proposals = (
            _OfEachVariant(sampler, config, variants)
            if isinstance(sampler, Sampler)
            else _OfAllVariants(sampler, config, variants)
        )
        remaining = [
            trial for variant in variants.values() for trial in variant.waiting(config.most_trials)
        ]
        # The sort is stable, so trials of equal cost keep the order of the variants.
        self.remaining = (
            sorted(
                remaining, key=self.seconds, reverse=True
            )
            if sampler.lag is None
            else self._proposals.sort(remaining)
        )

    def seconds(self, trial: Trial) -> float:
        """Estimates the maximum duration of a trial, in seconds."""
        return self._choose(trial).seconds(self._problem, trial)

    def take(self, accept: Accept) -> Assignment | None:
        """Begins the first remaining trial that is accepted."""
        if assignment := self.find(accept):
            self.begin(assignment.trial)
        return assignment

    def find(self, accept: Accept) -> Assignment | None:
        """Finds the first remaining trial that is accepted, after making all due proposals."""
        while (trial := self._proposals.next()) is not None:
            self._variants[trial.variant].propose(trial)
            self.remaining.append(trial)
            self._on_proposal(trial)
        for trial in self.remaining:
            path, task = self._checkpoint_path(trial), self._problem.task.name
            assignment = Assignment(trial, self._choose(trial), path, task)
            if accept(assignment):
                return assignment
        return None

    def begin(self, trial: Trial) -> None:
        """Begins a remaining trial."""
        self.remaining.remove(trial)
        self._variants[trial.variant].begin(trial)

    @property
    def complete(self) -> bool:
        """Whether all trials have been proposed."""
        return self._proposals.complete

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been taken."""
        return not self.remaining and self.complete


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the trials of a queue; a `tuner.parallel.pool.TrialQueue`.

    Attributes:
        queue: the queue.
        trials: some of its trials.
    """

    queue: TrialsLeft
    trials: Sequence[Trial]

    def take(self, accept: Accept) -> Assignment | None:
        """Begins the first of these trials that remains and is accepted."""
        return self.queue.take(
            lambda assignment: assignment.trial in self.trials and accept(assignment)
        )

    @property
    def exhausted(self) -> bool:
        """Whether all of these trials have been taken."""
        return not any(trial in self.queue.remaining for trial in self.trials)
