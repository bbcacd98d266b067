"""Shrinks the space of LSTM gates by the angles of a supernet, and says how well that works.

    python -m tuner.shrink --task=music --truth=docs/studies/gates.parquet --out=shrunk

Without --truth the rounds of each seed are printed; with it (trials of a study of cells of
`zoo.gates` by the sampler `grid`) every score is compared with what the cells are worth when they
are trained by themselves.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from common import command_line, files, text
from common.errors import InputError

if TYPE_CHECKING:
    from tuner.analysis.report.figures.svg import Figure
    from tuner.supernet.ranking import RankRow
    from tuner.supernet.space import CellSpace, Child
    from tuner.supernet.supernet import GateSupernet
    from tuner.supernet.truth import CellTruth
    from tuner.tasks.task import Metric
    from tuner.training.protocol import Problem

_TASK = flags.DEFINE_string("task", "music", "As of `python -m tuner.run`; of one direction.")
_DATA = flags.DEFINE_string("data", "auto", "The task's data: auto, or a path.")
_TRUTH = flags.DEFINE_string("truth", None, "Study directory or table of the cells' own trials.")
_SCHEME = flags.DEFINE_enum(
    "scheme", "own", ["own", "shared"], "Whether operators of the same shape share weights."
)
_SCORES = flags.DEFINE_list("score", ["angle"], "Scores by which to shrink, separated by commas.")
_UNITS = flags.DEFINE_integer("units", 64, "LSTM blocks.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 3e-3, "Before the factor (1 - momentum).")
_MOMENTUM = flags.DEFINE_float("momentum", 0.9, "Of Nesterov's method.", 0.0, 0.99)
_NOISE_STD = flags.DEFINE_float("noise_std", 0.1, "Of the input noise.", lower_bound=0.0)
_SEEDS = flags.DEFINE_integer("seeds", 5, "Supernets, with the seeds 1, 2, ….", lower_bound=1)
_EPOCHS = flags.DEFINE_list(
    "epochs",
    ["2", "5", "10", "20", "40", "60"],
    "When to compare scores; the last is where shrinking begins.",
)
_ROUND_EPOCHS = flags.DEFINE_integer("round_epochs", 10, "Epochs of every later round.", 1)
_WITHOUT = flags.DEFINE_list(
    "without",
    [],
    "Operators that are dropped before anything is trained, such as 'input activation:identity'.",
)
_STOP = flags.DEFINE_integer("stop", 16, "Cells at which to stop.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Folder of the tables (*.csv) and figures (*.svg).")


def _epochs() -> list[int]:
    try:
        found = sorted({int(one) for one in _EPOCHS.value})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise InputError(
            f"--epochs: expected whole numbers above 0. Received: {','.join(_EPOCHS.value)!r}"
        )
    return found


def _without(space: CellSpace) -> CellSpace:
    for item in _WITHOUT.value:
        edge, _, operator = (part.strip() for part in item.partition(":"))
        if operator not in space.edges.get(edge, ()):
            known = ", ".join(f"{name}:{'|'.join(space.edges[name])}" for name in space.edges)
            raise InputError(f"--without: expected EDGE:OPERATOR of {known}. Received: {item!r}")
        space = space.without(edge, operator)
    if not space.children():
        raise InputError("--without: expected at least one cell to be left. Received: all dropped")
    return space


def _supernet(problem: Problem, values: Mapping[str, float], seed: int) -> GateSupernet:
    from tuner.supernet.supernet import GateSupernet

    return GateSupernet(problem, values, seed, "shared" if _SCHEME.value == "shared" else "own")


def _write(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if _OUT.value is None or not rows:
        return
    Path(_OUT.value).mkdir(parents=True, exist_ok=True)
    table = text.csv_table(rows[0], (row.values() for row in rows))
    files.write_text(Path(_OUT.value) / name, table)


def _truth(space: CellSpace, problem: Problem) -> dict[Child, CellTruth]:
    """Returns the measured quality of each legal cell, keyed by its operators."""
    from tuner.analysis.trials import sources
    from tuner.supernet import truth
    from tuner.supernet.space import cell_of

    path = str(_TRUTH.value)
    study = sources.load_one(Path(path))
    expected = problem.task.name, problem.corpus.dataset.sha256
    if (received := (study.facts["task"], study.facts["data"]["sha256"])) != expected:
        raise InputError(
            f"--truth: expected trials of {expected[0]}, data of sha256 {expected[1]}, as --task "
            f"and --data say. Received: {path}, of {received[0]}, sha256 {received[1]}"
        )
    found = truth.of_study(study)
    worth = {}
    for child in space.children():
        cell = cell_of(child)
        if cell is not None and cell.code in found:
            worth[child] = found[cell.code]
    if not worth:
        raise InputError(
            f"--truth: expected trials of cells of zoo.gates. Received: {path}, with "
            f"{text.listed(list(found))}"
        )
    return worth


def _report_truth(
    space: CellSpace, known: Mapping[Child, CellTruth], metric: Metric
) -> None:
    from tuner.supernet import figures, ranking, truth

    worth = {child: one.nll for child, one in known.items()}
    ordered = sorted(known.values(), key=lambda one: one.nll)
    best = ordered[0]
    print(
        f"truth: {len(known)} cells; the best is {best.code} with {best.nll:.3f}; noise ceiling of "
        f"tau {ranking.ceiling([one.by_seed for one in known.values()]):.3f}"
    )
    _write(
        "cells.csv",
        [
            {
                "rank": place, "cell": one.code, "validation": one.nll, "std": one.std,
                "test": one.test, "diverged": one.diverged, **one.best,
            }
            for place, one in enumerate(ordered, start=1)
        ],
    )  # fmt: skip
    rows = []
    for order in (1, 2):
        for effect in truth.effects(space, worth, order):
            named = " and ".join(f"{edge} {operator}" for edge, operator in effect.changes)
            rows.append({
                "change": named, "mean": effect.mean, "median": effect.median,
                "better": effect.better, "cells": effect.cells,
            })  # fmt: skip
    _write("effects.csv", rows)
    _draw(figures.draw_cells(ordered, metric))


def _draw(figure: Figure) -> None:
    if _OUT.value is not None:
        files.write_text(Path(_OUT.value) / f"{figure.name}.svg", figure.svg)


def _rank(
    problem: Problem, values: Mapping[str, float], space: CellSpace,
    known: Mapping[Child, CellTruth], epochs: Sequence[int],
) -> None:  # fmt: skip
    """Compares the scores at several points in training."""
    from tuner.supernet import figures, ranking

    worth = {child: one.nll for child, one in known.items()}
    found: dict[int, list[RankRow]] = {}
    for seed in range(1, _SEEDS.value + 1):
        supernet = _supernet(problem, values, seed)
        rows = found.setdefault(seed, [])
        for number in epochs:
            supernet.train(space, number - supernet.epochs)
            rows += ranking.rank(supernet, worth, number)
        last = [row for row in rows if row.epochs == epochs[-1]]
        taus = ", ".join(f"{row.score} {row.tau:.3f}" for row in last)
        print(f"seed {seed}: tau after {epochs[-1]} epochs: {taus}", flush=True)
    _write(
        "ranks.csv",
        [
            {"scheme": _SCHEME.value, "seed": seed, **vars(row)}
            for seed, rows in found.items()
            for row in rows
        ],
    )
    ceiling = ranking.ceiling([one.by_seed for one in known.values()])
    _draw(figures.draw_ranks(found, ceiling))


def _shrink(
    problem: Problem, values: Mapping[str, float], space: CellSpace, names: Iterable[str],
    worth: Mapping[Child, float], first_epochs: int,
) -> None:  # fmt: skip
    from tuner.supernet import ranking, shrinking
    from tuner.supernet.scores import SCORES

    chance = ranking.random_regrets(space, worth, _STOP.value) if worth else None
    if chance is not None:
        print(f"shrunk at random: regret {chance.mean():.4f} in the mean")
    rows: list[dict[str, Any]] = []
    for name in names:
        for seed in range(1, _SEEDS.value + 1):
            begun = time.monotonic()
            supernet = _supernet(problem, values, seed)
            rounds = shrinking.shrink(
                space, supernet, SCORES[name], stop=_STOP.value, first_epochs=first_epochs,
                epochs=_ROUND_EPOCHS.value,
            )  # fmt: skip
            dropped = "; ".join(" ".join(one.dropped) for one in rounds)
            left = rounds[-1].space if rounds else space
            line = f"{name}, seed {seed}: dropped {dropped}: {len(left.children())} cells"
            row = {
                "scheme": _SCHEME.value, "score": name, "seed": seed, "dropped": dropped,
                "cells": len(left.children()),
            }  # fmt: skip
            if chance is not None:
                row["regret"] = lost = ranking.regret(left, worth)
                row["worse_at_random"] = share = float((chance > lost).mean())
                line += f", regret {lost:.4f}, less than {text.percent(share)} of random shrinks"
            rows.append(row)
            print(f"{line}; {text.duration(time.monotonic() - begun)}", flush=True)
    _write("shrinking.csv", rows)


def main() -> int:
    """Runs the command."""
    from tuner.supernet.scores import SCORES
    from tuner.supernet.space import gate_space

    epochs = _epochs()
    for name in _SCORES.value:
        if name not in SCORES:
            raise InputError(
                f"--score: expected names of {', '.join(SCORES)}. Received: {name!r}"
            )

    from tuner.tasks.task import find_task, load_corpus
    from tuner.training.protocol import Problem, Protocol
    from zoo.gates import CELLS

    task = find_task(_TASK.value)
    # A user's own data decide whether the network is bidirectional.
    corpus = load_corpus(task, _DATA.value)
    if task.bidirectional:
        raise InputError(
            f"--task: expected a task whose network has one direction. Received: {task.name}"
        )
    problem = Problem(task, corpus, Protocol())
    known = _truth(_without(gate_space()), problem) if _TRUTH.value else {}
    space = _without(gate_space([one.code for one in known.values()] if known else CELLS))
    values = {
        "units": _UNITS.value, "learning_rate": _LEARNING_RATE.value,
        "momentum": _MOMENTUM.value, "noise_std": _NOISE_STD.value,
    }  # fmt: skip
    print(f"data: {problem.corpus.dataset}")
    print(f"space: {len(space.children())} cells; scheme {_SCHEME.value}", flush=True)
    worth = {child: one.nll for child, one in known.items()}
    if known:
        _report_truth(space, known, task.metric)
        _rank(problem, values, space, known, epochs)
    _shrink(problem, values, space, _SCORES.value, worth, epochs[-1])
    if _OUT.value is not None:
        command = shlex.join(["python", "-m", "tuner.shrink", *sys.argv[1:]])
        files.write_text(Path(_OUT.value) / "command.txt", command_line.spelled(command) + "\n")
        print(f"tables: {_OUT.value}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
