"""The trials of a study that remain to be trained, and when those to come are proposed."""

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
    """Knows what is still to be proposed, and in which order trials begin."""

    @property
    def complete(self) -> bool: ...

    def sort(self, trials: list[Trial]) -> list[Trial]: ...

    def next(self) -> Trial | None: ...


class _OfEachVariant:
    """The proposals of a sampler that is asked for each variant."""

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
        """Index and variant of the trials that are still to be proposed, in order."""
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
    """The proposals of a sampler that chooses the variants, too."""

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
    """The trials of all variants that remain; a `tuner.parallel.pool.TrialQueue`.

    Those that were proposed without looking at results are served the longest first; others are
    proposed, in an order that nothing changes, as soon as those that they depend on have ended.

    Attributes:
        remaining: the trials that were proposed and have not been taken.
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
        """Collects what remains.

        Args:
            config: of the study.
            variants: what is proposed and done of each variant.
            sampler: proposes further trials.
            choose: chooses the engine of a trial.
            checkpoint_path: where a trial keeps its state.
            on_proposal: is called with each further trial.

        Raises:
            InputError: if the trials are not those that the sampler has proposed.
        """
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
        # Stable, so that trials of equal cost keep the order of the variants.
        self.remaining = (
            sorted(
                remaining,
                key=lambda trial: choose(trial).seconds(config.problem, trial),
                reverse=True,
            )
            if sampler.lag is None
            else self._proposals.sort(remaining)
        )

    def take(self, accept: Accept) -> Assignment | None:
        """Begins the first remaining trial that is accepted."""
        while (trial := self._proposals.next()) is not None:
            self._variants[trial.variant].propose(trial)
            self.remaining.append(trial)
            self._on_proposal(trial)
        for trial in self.remaining:
            engine = self._choose(trial)
            if accept(trial, engine):
                self.remaining.remove(trial)
                self._variants[trial.variant].begin(trial)
                return Assignment(trial, engine, self._checkpoint_path(trial))
        return None

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
        trials: some of it.
    """

    queue: TrialsLeft
    trials: Sequence[Trial]

    def take(self, accept: Accept) -> Assignment | None:
        """Begins the first of them that remains and is accepted."""
        return self.queue.take(
            lambda trial, engine: trial in self.trials and accept(trial, engine)
        )

    @property
    def exhausted(self) -> bool:
        """Whether all of them have been taken."""
        return not any(trial in self.queue.remaining for trial in self.trials)
