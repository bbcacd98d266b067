"""Studies that nobody trained: plausible trials by formula, for tests and for timing.

    directory = made_up.write(tmp_path / "music", trials=20)      # a study directory
    study = made_up.records(trials=20)                            # the same, read; cached

1,800 trials (`trials=200`) take a few seconds to write. The same arguments give the same trials.
Validation and test follow a smooth function of the hyperparameters and the variant plus noise: the
learning rate matters most, with its optimum at 10^-3.4; then noise and units; momentum hardly.
NFG, NOAF and NOG are worse than V, the other variants equal to it. Some trials diverge, a few fail.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import files
from tuner.analysis.trials import records as records_module
from tuner.analysis.trials.records import Records
from tuner.search import design
from tuner.search.design import Row, Space
from tuner.study import ledger
from tuner.study.ledger import TrialRecord
from tuner.training.protocol import Epoch, Failure, Metrics, Protocol, Score, Trial
from zoo.registry import list_variants

VARIANTS = tuple(list_variants())
"""The order of the tables."""

EFFECTS = {"NFG": 0.6, "NOG": 0.3, "NOAF": 0.9}
"""What a variant adds to the score; others nothing."""

_BLOCKS = {"NIG": 3, "NFG": 3, "NOG": 3, "CIFG": 3}
_PEEPHOLES = {"NIG": 2, "NFG": 2, "NOG": 2, "CIFG": 2, "NP": 0}
_UNTRAINED = 62.9
_FAILED_SHARE = 0.004


def write(
    directory: Path,
    trials: int = 20,
    variants: Sequence[str] = VARIANTS,
    *,
    ended: float = 1.0,
    seed: int = 1,
    task: str = "music",
) -> Path:
    """Writes a study directory with its facts, designs and ledgers.

    Args:
        directory: where; made with its parents.
        trials: of each variant.
        variants: codes.
        ended: share of each design's trials that have ended; the others wait.
        seed: of everything.
        task: name of the task.

    Returns:
        The directory.
    """
    for folder in ("designs", "trials"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    facts = {
        "task": task,
        "metric": {"name": "NLL", "unit": "nats per frame"},
        "data": {
            "name": "Made-up chorales",
            "sha256": "5eed" * 16,
            "detail": "made up by formula; nobody composed, sang or trained on them",
        },
        "protocol": dataclasses.asdict(Protocol(order_seed=seed)),
        "space": dataclasses.asdict(Space()),
        "seed": seed,
        "versions": {"keras": "3.15.1", "numpy": "2.4.6", "tensorflow": "2.21.0"},
        "machines": ["made-up processor, 2 cores, 8 GiB, Linux"],
        "commands": [f"python -m tuner.run --task={task} --seed={seed}"],
    }
    files.write_text(directory / "study.json", json.dumps(facts, indent=2) + "\n")
    for variant in variants:
        generator = np.random.default_rng([seed, *variant.encode()])
        rows = _draw(generator, Space(), trials)
        design.save(directory / "designs" / f"{variant}.csv", rows)
        ended_rows = rows[: round(ended * trials)]
        lines = [
            ledger.to_json(_train(row.as_trial(variant), generator, task)) + "\n"
            for row in ended_rows
        ]
        # Trials end in any order.
        generator.shuffle(lines)
        files.write_text(directory / "trials" / f"{variant}.jsonl", "".join(lines))
    return directory


@functools.cache
def records(
    trials: int = 20,
    variants: tuple[str, ...] = VARIANTS,
    *,
    ended: float = 1.0,
    seed: int = 1,
    task: str = "music",
) -> Records:
    """Makes what `write` writes, without leaving files; arguments are those of `write`."""
    with tempfile.TemporaryDirectory() as folder:
        directory = write(Path(folder) / task, trials, variants, ended=ended, seed=seed, task=task)
        return records_module.load(directory, VARIANTS)


def _draw(generator: np.random.Generator, space: Space, count: int) -> list[Row]:
    """Draws rows without KerasTuner, whose import takes longer than all the rest."""

    def log_uniform(low: float, high: float) -> float:
        return float(low * (high / low) ** generator.random())

    return [
        Row(
            trial=trial,
            seed=int(generator.integers(2**63)),
            units=int(log_uniform(space.units[0], space.units[1] + 1)),
            learning_rate=log_uniform(*space.learning_rate),
            one_minus_momentum=log_uniform(*space.one_minus_momentum),
            noise_std=float(generator.uniform(*space.noise_std)),
        )
        for trial in range(count)
    ]


def score(trial: Trial) -> float:
    """The validation score that a trial has without its noise."""
    rate = math.log10(trial.learning_rate) + 3.4
    size = math.log(trial.units / 20) / math.log(10)
    return (
        8.5
        + EFFECTS.get(trial.variant, 0.0)
        + (0.42 if rate < 0 else 0.5) * rate**2
        + 0.55 * (1 - size)
        + 0.9 * trial.noise_std**1.5
        + 0.06 * (1 + math.log10(1 - trial.momentum))
    )


def _parameters(trial: Trial) -> int:
    """Weights of a network of 88 inputs and 88 outputs."""
    units = trial.units
    gates = _BLOCKS.get(trial.variant, 4) * (88 * units + units**2 + units)
    gates += _PEEPHOLES.get(trial.variant, 3) * units
    gates += 9 * units**2 if trial.variant == "FGR" else 0
    return gates + 88 * units + 88


def _train(trial: Trial, generator: np.random.Generator, task: str) -> TrialRecord | Failure:
    if generator.random() < _FAILED_SHARE:
        return Failure(trial, "the worker was killed twice (SIGKILL); out of memory?", "native")
    best = score(trial) + generator.normal(0, 0.12)
    # Small steps need all epochs, large ones a few.
    speed = 0.05 + 0.09 * (math.log10(trial.learning_rate) + 6)
    best_epoch = min(150, max(2, round(6 / speed * generator.uniform(0.8, 1.6))))
    epochs = min(150, best_epoch + 15)
    daring = trial.learning_rate > 2e-3 and (trial.momentum > 0.9 or trial.variant == "NOAF")
    diverged = bool(daring and generator.random() < 0.6)
    if diverged:
        epochs = int(generator.integers(0, 12))
        best_epoch = epochs
        best = _UNTRAINED if epochs == 0 else best + 3 * generator.random()
    curve = _curve(best, best_epoch, epochs, generator)
    test = best + 0.08 + generator.normal(0, 0.04)
    parameters = _parameters(trial)
    seconds = (epochs + 1) * (0.3 + 2.6e-6 * parameters) * generator.uniform(0.9, 1.1)
    result = Metrics(
        best_epoch=best_epoch,
        validation=Score(best, best * 1.003),
        test=Score(test, test * 1.002),
        curve=curve,
        diverged=diverged,
        seconds=float(seconds),
        parameters=parameters,
        engine="native",
        test_grouped=0.8 * test if task == "speech" else None,
    )
    return TrialRecord(trial, result)


def _curve(
    best: float, best_epoch: int, epochs: int, generator: np.random.Generator
) -> tuple[Epoch, ...]:
    """A curve that is lowest, at `best`, in `best_epoch`."""
    times = np.arange(1, epochs + 1)
    falling = 4.0 * np.exp(-5.0 * times / max(best_epoch, 1))
    rising = 0.01 * np.maximum(times - best_epoch, 0)
    above = falling + rising + 0.01 + 0.08 * generator.random(epochs)
    above[times == best_epoch] = 0.0
    validations = best + above
    losses = best * 0.93 + 5.0 * np.exp(-5.0 * times / max(best_epoch, 1)) - 2 * rising
    untrained = best if best_epoch == 0 else _UNTRAINED
    return (
        Epoch(0, None, float(untrained)),
        *(
            Epoch(epoch, loss, validation)
            for epoch, loss, validation in zip(
                times.tolist(), losses.tolist(), validations.tolist(), strict=True
            )
        ),
    )
