"""Winners of real studies, retrained: the best of many scores is optimistic by chance."""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from common import files
from common.errors import InputError
from tuner.analysis.trials.records import Records
from tuner.comparison.runs import Run, live
from tuner.parallel.messages import Assignment, Event
from tuner.parallel.pool import ListedTrials, Pool
from tuner.study import facts
from tuner.training import engines, random_streams
from tuner.training.protocol import Failure, Trial, TrialRecord, TrialResult

_COLUMNS = ("sampler", "seed", "variant", "trial", "repeat", "test")


def winner(study: Records, budget: int) -> TrialRecord | None:
    """Returns the best trial by validation among the first proposals; None if none has finished.

    Args:
        study: a real study.
        budget: number of proposals that count.
    """
    ended = [one for one in study.as_proposed if not isinstance(one, Trial)][:budget]
    finished = [
        one for one in ended if isinstance(one, TrialRecord) and not one.result.diverged
    ]
    return min(finished, key=lambda one: one.result.validation.mean, default=None)


def again(
    studies: Sequence[Records],
    budget: int,
    repeats: int,
    data: str,
    pool: Pool,
    path: Path,
    report: Callable[[str], None],
) -> tuple[Run, ...]:
    """Retrains the winner of each study with fresh seeds.

    Trainings that the file already contains are not repeated.

    Args:
        studies: real studies.
        budget: number of proposals of each study that count.
        repeats: number of trainings of each winner.
        data: the task's data, as for `--data`.
        pool: trains the winners.
        path: CSV file with the test score of each training; new ones are added to it.
        report: called with a line of progress for each study.

    Returns:
        The run of each study, whose last test score is the mean of its winner's trainings.

    Raises:
        InputError: if the data differ from those of the studies, or a training fails.
    """
    rows = _read(path)
    runs = []
    for study in studies:
        run, best = live(study), winner(study, budget)
        if best is None:
            raise InputError(f"{study.name}: expected a finished trial. Received: none")
        named = (run.sampler, str(run.seed), best.trial.variant, str(best.trial.index))
        known = {row[4]: float(row[5]) for row in rows if tuple(row[:4]) == named}
        seeds = {
            str(repeat): random_streams.trial_seed(run.seed, f"again {named}", repeat)
            for repeat in range(repeats)
        }
        missing = [
            (repeat, dataclasses.replace(best.trial, index=int(repeat), seed=seed))
            for repeat, seed in seeds.items()
            if repeat not in known
        ]
        if missing:
            for trial, test in _train(study, [trial for _, trial in missing], data, pool):
                known[str(trial.index)] = test
                rows.append([*named, str(trial.index), repr(test)])
                files.write_text(path, "\n".join(map(",".join, [_COLUMNS, *rows])) + "\n")
        mean = sum(known[repeat] for repeat in seeds) / repeats
        report(
            f"{run.sampler}, seed {run.seed}: {best.trial.variant} {best.trial.index}, test "
            f"{best.result.test.mean:.4f}, of {repeats} trainings {mean:.4f}"
        )
        tests = run.test[:budget].copy()
        tests[-1] = mean
        runs.append(
            dataclasses.replace(
                run, validation=run.validation[:budget], test=tests, seconds=run.seconds[:budget]
            )
        )
    return tuple(runs)


def _read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if tuple(header) != _COLUMNS:
        raise InputError(f"{path}: expected the columns {','.join(_COLUMNS)}. Received: {header}")
    return rows


def _train(
    study: Records, trials: Sequence[Trial], data: str, pool: Pool
) -> Iterator[tuple[Trial, float]]:
    """Trains trials by the protocol of a study and yields their test scores."""
    problem = facts.load_problem(study.facts, data)
    ended: list[TrialResult] = []

    def take(event: Event) -> None:
        if isinstance(event, Failure):
            raise InputError(f"{study.name}: {event.trial.variant} failed: {event.reason}")
        if isinstance(event, TrialResult):
            if reason := event.result.not_finite:
                raise InputError(f"{study.name}: {event.trial.variant} failed: {reason}")
            ended.append(event)

    with tempfile.TemporaryDirectory() as folder:
        queue = ListedTrials(
            [
                Assignment(
                    trial,
                    engines.choose("auto", problem, trial),
                    Path(folder) / f"{trial.index}.npz",
                    problem.task.name,
                )
                for trial in trials
            ]
        )
        pool.run({problem.task.name: problem}, queue, take)
    for result in ended:
        yield result.trial, result.result.test.mean
