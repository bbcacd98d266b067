"""Trials of elsewhere: taken if they are what would have been trained here, otherwise not."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable

import pytest

from common.errors import InputError
from tests.tuner import studies, tiny
from tests.tuner.studies import Silence
from tuner.analysis.trials import records, sources, table
from tuner.study import models
from tuner.study.adoption import Source
from tuner.study.presets import StudyConfig
from tuner.tasks.task import Corpus
from tuner.training.protocol import Failure, Problem, Protocol, Score, TrialRecord

CONFIG = tiny.config(("V", "NFG"), trials=4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    """A study that was trained from beginning to end."""
    directory = tmp_path_factory.mktemp("studies") / "whole"
    studies.run(directory, CONFIG)
    return directory


def source(path: pathlib.Path) -> Source:
    study = sources.load_one(path)
    return Source(path, study.facts, study.all_entries)


def changed(
    origin: Source, change: Callable[[TrialRecord], TrialRecord | None]
) -> Source:
    """A source with other entries; None leaves one out."""
    entries = [new for entry in origin.entries if (new := change(entry)) is not None]
    return dataclasses.replace(origin, entries=entries)


def best(entries: list[TrialRecord], variant: str) -> TrialRecord:
    of_variant = [entry for entry in entries if entry.trial.variant == variant]
    return min(of_variant, key=lambda entry: entry.result.validation.mean)


def adopt(
    directory: pathlib.Path, *origins: Source, config: StudyConfig = CONFIG, **options: object
) -> Silence:
    return studies.run(directory, config, adopt=origins, **options)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ""])
def test_a_study_moves(whole, tmp_path, suffix):
    """From a table or a directory: the same ledgers; only the best of each variant is trained."""
    path = whole
    if suffix:
        path = tmp_path / f"trials{suffix}"
        table.write([records.load(whole)], path)
    observer = adopt(tmp_path / "moved", source(path))
    entries = source(whole).entries
    assert {trial.variant: trial for trial in observer.started} == {
        code: best(entries, code).trial for code in CONFIG.variants
    }
    assert len(observer.started) == 2 and len(observer.adopted) == 6
    assert studies.lines(tmp_path / "moved") == studies.lines(whole)
    for code in CONFIG.variants:
        expected = models.check_best(whole / "best" / code)
        assert models.check_best(tmp_path / "moved" / "best" / code) == expected
    # Times are those of the machine that trained.
    moved = {entry.trial: entry.result.seconds for entry in source(tmp_path / "moved").entries}
    trained = {trial: moved.pop(trial) for trial in observer.started}
    assert len(trained) == 2
    assert moved.items() <= {e.trial: e.result.seconds for e in entries}.items()


def test_a_study_is_merged_from_several_and_goes_on(whole, tmp_path):
    """Two sources with parts of the trials, and more trials than both have."""
    origin = source(whole)
    odd = changed(origin, lambda entry: entry if entry.trial.index % 2 else None)
    even = changed(origin, lambda entry: None if entry.trial.index % 2 else entry)
    grown = dataclasses.replace(CONFIG, trials=5)
    observer = adopt(tmp_path / "merged", odd, even, config=grown)
    assert len(observer.adopted) == 4 and len(observer.started) == 6
    merged = studies.lines(tmp_path / "merged")
    assert {code: lines[:-1] for code, lines in merged.items()} == studies.lines(whole)
    # Once more: everything is there.
    again = adopt(tmp_path / "merged", odd, even, config=grown)
    assert again.started == [] and again.adopted == []


def test_machines_and_commands_are_remembered(whole, tmp_path):
    origin = source(whole)
    facts = {**origin.facts, "machines": ["another"], "commands": ["python elsewhere"]}
    adopt(tmp_path, dataclasses.replace(origin, facts=facts))
    written = json.loads((tmp_path / "study.json").read_text())
    assert "another" in written["machines"] and "python elsewhere" in written["commands"]
    assert len(written["machines"]) == 2


def _nudged(entry: TrialRecord) -> TrialRecord:
    """A result that differs in the last digits of the test score."""
    score = Score(entry.result.test.mean * (1 + 1e-12), entry.result.test.sequence_mean)
    return dataclasses.replace(entry, result=dataclasses.replace(entry.result, test=score))


def test_a_variant_whose_best_comes_out_otherwise_is_trained(whole, tmp_path, capsys):
    origin = source(whole)
    control = best(origin.entries, "V")
    wrong = changed(origin, lambda entry: _nudged(entry) if entry == control else entry)
    observer = adopt(tmp_path / "study", wrong)
    assert studies.lines(tmp_path / "study") == studies.lines(whole)
    assert {record.trial.variant for record in observer.adopted} == {"NFG"}
    said = capsys.readouterr().err
    assert f"no trial of V is adopted: the test of trial {control.trial.index} is" in said


def test_any_trial_of_both_must_be_equal(whole, tmp_path):
    """Not only the best: one that the study has trained itself shows a wrong table, too."""
    directory = tmp_path / "study"
    studies.run(directory, dataclasses.replace(CONFIG, trials=1))
    origin = source(whole)
    first = next(e for e in origin.entries if e.trial.index == 0 and e.trial.variant == "NFG")
    curve = (*first.result.curve[:-1], dataclasses.replace(first.result.curve[-1], loss=0.5))
    wrong = dataclasses.replace(first, result=dataclasses.replace(first.result, curve=curve))
    observer = adopt(
        directory, changed(origin, lambda entry: wrong if entry == first else entry)
    )
    assert {record.trial.variant for record in observer.adopted} <= {"V"}
    assert studies.lines(directory) == studies.lines(whole)


def test_a_control_that_fails_adopts_nothing(whole, tmp_path):
    control = best(source(whole).entries, "V").trial

    class Failing:
        def run(self, problem: Problem, queue, on_event) -> None:
            def instead(event) -> None:
                ours = getattr(event, "trial", None) == control
                if ours and hasattr(event, "result"):
                    event = Failure(control, "out of memory", "native")
                on_event(event)

            studies.HERE.run(problem, queue, instead)

    observer = adopt(tmp_path, source(whole), pool=Failing())
    assert {record.trial.variant for record in observer.adopted} == {"NFG"}
    assert [failure.trial for failure in observer.failed] == [control]


def test_killed_before_the_rest_is_adopted(whole, tmp_path):
    """The same command goes on; without the source, the trials are trained."""

    class Stop(Exception):
        pass

    class Stopping(Silence):
        def finish(self, record: TrialRecord) -> None:
            raise Stop

    with pytest.raises(Stop):
        adopt(tmp_path, source(whole), observer=Stopping())
    observer = adopt(tmp_path, source(whole))
    assert len(observer.done) == 1 and len(observer.started) == 1 and len(observer.adopted) == 6
    assert studies.lines(tmp_path) == studies.lines(whole)


def _engine(entry: TrialRecord) -> TrialRecord:
    return dataclasses.replace(entry, result=dataclasses.replace(entry.result, engine="keras"))


def _seed(entry: TrialRecord) -> TrialRecord:
    return dataclasses.replace(entry, trial=dataclasses.replace(entry.trial, seed=1))


def _units(entry: TrialRecord) -> TrialRecord:
    values = {**entry.trial.values, "units": 9}
    return dataclasses.replace(entry, trial=dataclasses.replace(entry.trial, values=values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_engine, "expected one of engine native, which trains here. Received: one of keras"),
        (_seed, "expected hyperparameters and seed of this study's design"),
        (_units, "expected hyperparameters and seed of this study's design"),
    ],
)
def test_trials_of_others_are_refused(whole, tmp_path, change, message):
    with pytest.raises(InputError) as error:
        adopt(tmp_path, changed(source(whole), change))
    assert message in str(error.value) and str(whole) in str(error.value)
    assert not any((tmp_path / "trials").iterdir())


def _other_data(config: StudyConfig) -> StudyConfig:
    corpus: Corpus = tiny.problem(data="b").corpus
    return dataclasses.replace(config, problem=dataclasses.replace(config.problem, corpus=corpus))


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        (tiny.config(protocol=Protocol(max_epochs=3, patience=1, order_seed=5)), "protocol"),
        (dataclasses.replace(CONFIG, seed=4), "seed"),
        (dataclasses.replace(CONFIG, space=tiny.SPACE.with_ranges({"units": (3, 9)})), "space"),
        (_other_data(CONFIG), "data"),
    ],
)
def test_studies_of_others_are_refused(whole, tmp_path, other, fact):
    with pytest.raises(InputError, match=f"{whole}: expected trials of the {fact} "):
        adopt(tmp_path, source(whole), config=other)


def test_other_versions_are_refused(whole, tmp_path):
    """Of libraries that both name."""
    origin = source(whole)
    for name, version in (("numpy", "1.0"), ("numba", "0.1")):
        facts = {**origin.facts, "versions": {**origin.facts["versions"], name: version}}
        with pytest.raises(InputError, match=f'trials of the versions .*"{name}"'):
            adopt(tmp_path, dataclasses.replace(origin, facts=facts))


def test_a_plan_of_fewer_trials_than_the_design(whole, tmp_path):
    """The control is the best of those that are planned, though the design has better ones."""
    shutil.copytree(whole / "designs", tmp_path / "designs")
    shutil.copy(whole / "study.json", tmp_path)
    most = max(best(source(whole).entries, code).trial.index for code in CONFIG.variants)
    assert most >= 1
    observer = adopt(tmp_path, source(whole), config=dataclasses.replace(CONFIG, trials=most))
    assert len(observer.started) == 2 and len(observer.adopted) == 2 * (most - 1)


def test_unknown_trials_are_left_out(whole, tmp_path):
    """Those beyond the plan, and of variants that are not asked for."""
    smaller = dataclasses.replace(CONFIG, variants=("NFG",), trials=2)
    observer = adopt(tmp_path, source(whole), config=smaller)
    assert len(observer.started) + len(observer.adopted) == 2
    assert [path.stem for path in (tmp_path / "trials").iterdir()] == ["NFG"]
