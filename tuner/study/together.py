"""Several studies at the same time, on the same workers."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from common.errors import InputError
from tuner.parallel.messages import Assignment, Event
from tuner.parallel.pool import Accept, Pool
from tuner.study.adoption import Source
from tuner.study.study import Begun, Observer, Study
from tuner.training.protocol import Problems, Trial


class _All:
    """The trials of several studies, longest first; a `tuner.parallel.pool.TrialQueue`."""

    def __init__(self, studies: Sequence[Begun]) -> None:
        self._studies = studies
        self._owners: dict[Trial, Begun] = {}

    def take(self, accept: Accept) -> Assignment | None:
        """Begins the longest of the trials that the studies would begin next."""
        found = [
            (study, assignment)
            for study in self._studies
            if (assignment := study.queue.find(accept)) is not None
        ]
        if not found:
            return None
        study, assignment = max(found, key=lambda pair: pair[0].queue.seconds(pair[1].trial))
        study.queue.begin(assignment.trial)
        self._owners[assignment.trial] = study
        return assignment

    @property
    def exhausted(self) -> bool:
        """Whether all trials have been taken."""
        return all(study.queue.exhausted for study in self._studies)

    def record(self, event: Event) -> None:
        """Passes an event to the study that its trial belongs to."""
        self._owners[event.trial].take(event)


def run(
    studies: Sequence[tuple[Study, Observer]],
    pool: Pool,
    engine: str = "auto",
    *,
    retry_failed: bool = False,
    adopt: Sequence[Source] = (),
) -> None:
    """Runs all trials of several studies that have not ended, each as `Study.run` would.

    The longest trials come first, whichever study they belong to, so that all workers are busy
    until the end. The results do not depend on this.

    Args:
        studies: studies of different tasks, each with the observer of its progress.
        pool: trains the trials.
        engine: a key of `tuner.training.engines.ENGINES`, or `auto`.
        retry_failed: whether to train failed trials again.
        adopt: finished trials to adopt, each by the study of its task; see `tuner.study.adoption`.

    Raises:
        InputError: as `Study.run` does.
        OSError: if the disk is full or a directory read-only; finished trials are kept.
    """
    if len(studies) > 1:
        tasks = [study.task for study, _ in studies]
        for source in adopt:
            if source.facts["task"] not in tasks:
                raise InputError(
                    f"{source.path}: expected trials of {', '.join(tasks)}. "
                    f"Received: {source.facts['task']}"
                )
    with contextlib.ExitStack() as stack:
        begun = []
        for study, observer in studies:
            own = [
                each for each in adopt if len(studies) == 1 or each.facts["task"] == study.task
            ]
            begun.append(
                stack.enter_context(
                    study.begin(pool, observer, engine, retry_failed=retry_failed, adopt=own)
                )
            )
        queue = _All(begun)
        problems: Problems = {
            task: problem for each in begun for task, problem in each.problems.items()
        }
        pool.run(problems, queue, queue.record)
