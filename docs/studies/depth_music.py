"""What a depth that adapts is worth on the chorales: epochs to the best of V, depth and surprise.

    python -m docs.studies.depth_music --data=auto --models=studies/adaptive/best/DA-V

reads `docs/studies/depth_music.parquet`, trials of studies by grid search (docs/depth.md has their
commands). An arm is a cell, of an adaptive one with its price; its learning rate is that of the
best mean validation score over the seeds. Of networks that studies have left, the depth in a frame
is compared with the frame's surprise: its negative log-likelihood given all frames before it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line
from tuner.analysis.trials import table as trials
from tuner.tasks.heads import HEADS
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import find_task, load_corpus
from tuner.training.protocol import TrialRecord

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_MODELS = flags.DEFINE_list("models", [], "Folders of adaptive networks that studies have left.")

_NEAR = 1.01
"""How near its own best an arm counts as done."""

_INPUTS, _UNITS, _STEPS = 88, 64, 3


def _multiply_adds(code: str, units: int) -> int:
    """Of a frame, if every step is taken; biases, peepholes and the halting unit left out."""
    first, further = 4 * units * (_INPUTS + units), 4 * units * units
    return first + (_STEPS - 1) * {"V": 0, "StackedCell": 2}.get(code, 1) * further


def _arms(path: Path) -> dict[str, list[TrialRecord]]:
    """The trials of each arm, one of each seed, with the learning rate that is best on average."""
    found: dict[str, dict[str, list[TrialRecord]]] = {}
    for study in trials.read(path):
        for code, records in study.entries.items():
            for one in records:
                price = one.trial.values.get("ponder_price")
                arm = code.rpartition(":")[2] + (f", price {price:.2g}" if price else "")
                arm += "" if one.trial.units == _UNITS else f", {one.trial.units} units"
                rates = found.setdefault(arm, {})
                rates.setdefault(f"{one.trial.learning_rate:.2g}", []).append(one)
    return {
        arm: min(rates.values(), key=lambda seeds: np.mean([*_scores(seeds, "validation")]))
        for arm, rates in found.items()
    }


def _scores(records: list[TrialRecord], split: str) -> list[float]:
    return [getattr(one.result, split).mean for one in records]


def _reaches(record: TrialRecord, score: float) -> int | None:
    """The first epoch with a validation score as good as this; None if there is none."""
    return next((one.epoch for one in record.result.curve if one.validation <= score), None)


def _row(arm: str, records: list[TrialRecord], target: float) -> Row:
    (first, *_), row = records, {"arm": arm}
    row |= {"learning_rate": f"{first.trial.learning_rate:.2g}", "seeds": len(records)}
    row |= {
        "parameters": first.result.parameters,
        "multiply_adds": _multiply_adds(first.trial.variant, first.trial.units),
    }
    for split in ("validation", "test"):
        scores = _scores(records, split)
        mean, least, most = np.mean(scores), min(scores), max(scores)
        row |= {split: round(mean, 3), f"{split}_min": round(least, 3)}
        row |= {f"{split}_max": round(most, 3)}
    near = [_reaches(one, _NEAR * one.result.validation.mean) for one in records]
    there = [epoch for one in records if (epoch := _reaches(one, target)) is not None]
    return {
        **row,
        "epochs_to_its_best": ", ".join(map(str, near)),
        "epochs_to_the_mean_of_v": ", ".join(map(str, there)),
    }


def _depths(model: Any, split: Sequences) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each frame that a network reads: its inner steps, its surprise, that of the next frame."""
    (layer,) = (one for one in model.layers if hasattr(one, "cell"))
    head = model.layers[-1]
    longest = max(map(len, split.inputs))
    rows = len(split)
    inputs = np.zeros((longest, rows, _INPUTS), np.float32)
    targets = np.zeros_like(inputs)
    for row, (sequence, target) in enumerate(zip(split.inputs, split.targets, strict=True)):
        inputs[: len(sequence), row], targets[: len(sequence), row] = sequence, target
    states = [np.zeros((rows, size), np.float32) for size in layer.cell.state_size]
    steps, surprises, spent = [], [], np.zeros(rows)
    for frame, target in zip(inputs, targets, strict=True):
        output, states = layer.cell(frame, states)
        surprises.append(np.asarray(HEADS["bernoulli"].loss(target, head(output))))
        depth = np.asarray(states[2])[:, 1]
        steps.append(depth - spent)
        spent = depth
    lengths = np.array([*map(len, split.inputs)])
    # Nothing predicts the first frame.
    counts = (np.arange(longest)[:, None] < lengths) & (np.arange(longest) > 0)[:, None]
    following = np.array(surprises)
    return np.array(steps)[counts], np.roll(following, 1, axis=0)[counts], following[counts]


def _surprise(folder: Path, split: Sequences) -> Row:
    """Compares the depth of a network with the surprise of frames."""
    import keras
    from scipy.stats import spearmanr

    # Keras finds the classes of cells and layers that are imported.
    import zoo.networks  # noqa: F401
    from docs.studies import depth_cells  # noqa: F401

    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    depth, read, following = _depths(keras.saving.load_model(folder / "model.keras"), split)

    def correlation(surprise: np.ndarray) -> float | str:
        return round(float(spearmanr(depth, surprise)[0]), 3) if np.ptp(depth) else ""

    return {
        "network": card["variant"],
        "price": f"{card['hyperparameters']['ponder_price']:.2g}",
        "frames": len(depth),
        "mean_depth": round(float(depth.mean()), 3),
        **{f"share_of_{n}": round(float(np.mean(depth == n)), 3) for n in range(1, _STEPS + 1)},
        "spearman_of_the_frame": correlation(read),
        "spearman_of_the_next": correlation(following),
    }


def main() -> int:
    """Runs the command."""
    arms = _arms(table.STUDIES / "depth_music.parquet")
    target = float(np.mean(_scores(arms["V"], "validation")))
    rows = [_row(arm, records, target) for arm, records in arms.items()]
    table.save("depth_music", rows, table.PACKAGES, table.STUDIES)
    table.show(rows)
    if not _MODELS.value:
        return 0
    command_line.start_tensorflow()
    corpus = load_corpus(find_task("music"), _DATA.value)
    rows = [_surprise(Path(folder), corpus.test) for folder in _MODELS.value]
    table.save("depth_surprise", rows, table.PACKAGES, table.STUDIES)
    table.show(rows)
    return 0


if __name__ == "__main__":
    command_line.run(main)
