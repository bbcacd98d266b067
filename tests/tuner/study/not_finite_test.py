"""Trials whose scores are not finite: recorded, and the study goes on."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.tuner import tiny
from tests.tuner.studies import Silence, lines, run
from tests.tuner.tiny_task import TinySpeech
from tuner.analysis.report import report
from tuner.analysis.trials import records
from tuner.parallel.pool import InProcess
from tuner.tasks.task import Corpus
from tuner.training.native.engine import Trainer
from tuner.training.protocol import Problem, Score, TrialResult


class NothingCounts(TinySpeech):
    """All frames are of classes that do not count."""

    groups = (-1, -1, -1, -1)


class Huge(TinySpeech):
    """Inputs of one split that make every output infinite or undefined."""

    groups = ()
    split = "test"

    def load(self, data: str) -> Corpus:
        corpus = super().load(data)
        split = getattr(corpus, self.split)
        huge = tuple(np.full_like(each, 3e38) for each in split.inputs)
        return dataclasses.replace(corpus, **{self.split: dataclasses.replace(split, inputs=huge)})


class HugeValidation(Huge):
    """The untrained network has no finite validation score."""

    split = "validation"


def study(
    directory: pathlib.Path, task: Any, trainer: Any = Trainer, **options: bool
) -> Silence:
    """Two trials; what is not finite passes through no input activation."""
    problem = Problem(task, task.load("a"), tiny.PROTOCOL)
    config = dataclasses.replace(tiny.config(("NIAF",), trials=2), problem=problem)
    return run(directory, config, InProcess(trainer), **options)


class Sometimes(Trainer):
    """Gives its second trial a score that is not finite."""

    def train(self, *args: Any, **options: Any) -> Iterator[TrialResult]:
        for result in super().train(*args, **options):
            if result.trial.index == 1:
                metrics = dataclasses.replace(result.result, test=Score(1.0, float("inf")))
                result = dataclasses.replace(result, result=metrics)
            yield result


def test_no_frame_that_counts_is_no_grouped_score(tmp_path: pathlib.Path) -> None:
    study(tmp_path, NothingCounts())
    assert [line["test_grouped"] for line in lines(tmp_path)["NIAF"]] == [None, None]
    report.write([records.load(tmp_path)], tmp_path / "report")


def test_a_trial_with_a_score_that_is_not_finite_has_failed(tmp_path: pathlib.Path) -> None:
    observer = study(tmp_path, TinySpeech(), Sometimes)
    assert len(observer.finished) == 1
    (failure,) = observer.failed
    assert failure.reason.startswith("the test score at epoch")
    assert failure.reason.endswith(" is inf") and failure.engine == "native"
    # It is recorded: a further run has nothing to do.
    again = study(tmp_path, TinySpeech(), Sometimes)
    assert (again.remaining, again.started) == ([], [])
    report.write([records.load(tmp_path)], tmp_path / "report")


@pytest.mark.parametrize("task", [Huge(), HugeValidation()])
def test_huge_inputs_end_no_study(tmp_path: pathlib.Path, task: Huge) -> None:
    observer = study(tmp_path, task)
    assert observer.failed and len(observer.failed) + len(observer.finished) == 2
    for failure in observer.failed:
        assert f"the {task.split} score at epoch" in failure.reason


def test_a_failed_trial_is_trained_again_if_that_is_asked_for(tmp_path: pathlib.Path) -> None:
    study(tmp_path / "whole", TinySpeech())
    directory = tmp_path / "failed"
    ledger = directory / "trials" / "NIAF.jsonl"
    for options in ({}, {"retry_failed": True}):
        observer = study(directory, TinySpeech(), Sometimes, **options)
        assert [failure.trial.index for failure in observer.failed] == [1]
    before = ledger.read_text()

    observer = study(directory, TinySpeech(), retry_failed=True)
    assert [record.trial.index for record in observer.finished] == [1]
    # What was stays; what comes later counts, also for the analysis and KerasTuner.
    assert ledger.read_text().startswith(before)
    assert lines(directory)["NIAF"][-1] == lines(tmp_path / "whole")["NIAF"][1]
    found = records.load(directory)
    assert (found.finished, found.all_failures, found.planned) == (2, [], {"NIAF": 2})
    trial = json.loads((directory / "keras_tuner" / "NIAF" / "trial_1" / "trial.json").read_text())
    assert trial["status"] == "COMPLETED"
    assert study(directory, TinySpeech(), retry_failed=True).started == []
