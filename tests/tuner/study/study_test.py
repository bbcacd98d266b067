"""A study on disk: what it leaves, how it goes on, what it refuses."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

import filelock
import keras_tuner
import numpy as np
import pytest

from common.errors import InputError
from serving.publish import sources
from tests.commands import Forked
from tests.tuner import fake_worker, tiny
from tests.tuner.studies import HERE, Killer, lines, run
from tests.tuner.tiny import SPACE, TinyTask
from tuner.analysis.report import report
from tuner.analysis.trials import records
from tuner.parallel.pool import WorkerPool
from tuner.search import design
from tuner.search.hypermodel import OBJECTIVE, VariantHyperModel
from tuner.study.ledger import Ledger
from tuner.training import network
from tuner.training.engines import ENGINES, count_params
from tuner.training.protocol import Protocol

pytestmark = pytest.mark.usefixtures("small_blocks")

TASK = TinyTask()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A finished study of two variants with three trials each; not to be changed."""
    directory = tmp_path_factory.mktemp("study") / "tiny"
    observer = run(directory, tiny.config(("V", "FGR")))
    assert len(observer.finished) == len(observer.remaining) == 6
    # The longest first, whatever its variant.
    weights = [count_params(tiny.problem(), trial) for trial in observer.started]
    assert weights == sorted(weights, reverse=True) and len(set(weights)) > 3
    return directory


@pytest.fixture
def copied(finished: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(finished, tmp_path / "copy"))


def open_with_kerastuner(directory: pathlib.Path, variant: str) -> keras_tuner.RandomSearch:
    """What a user does who has KerasTuner and the hypermodel only."""
    return keras_tuner.RandomSearch(
        VariantHyperModel(TASK, variant, space=SPACE),
        objective=OBJECTIVE,
        directory=str(directory / "keras_tuner"),
        project_name=variant,
    )


def test_every_trial_of_the_design_is_in_the_ledger(finished: pathlib.Path) -> None:
    for variant in ("V", "FGR"):
        entries = Ledger(finished / "trials" / f"{variant}.jsonl").entries()
        by_index = sorted((entry.trial for entry in entries), key=lambda trial: trial.index)
        assert by_index == list(design.load(finished / "designs" / f"{variant}.csv"))
        assert len(by_index) == 3
    assert not list((finished / "running").iterdir())


def test_kerastuner_alone_opens_the_project(
    finished: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = Ledger(finished / "trials" / "FGR.jsonl").entries()
    best = min(entries, key=lambda entry: entry.result.validation.mean)
    tuner = open_with_kerastuner(finished, "FGR")
    assert tuner.remaining_trials == 10 - 3

    values = tuner.get_best_hyperparameters()[0].values
    assert (values["units"], values["learning_rate"]) == (
        best.trial.units,
        best.trial.learning_rate,
    )
    models = tuner.get_best_models(num_models=3)
    scores = [network.Scorer(model, TASK)(TASK.load("a").validation).mean for model in models]
    expected = sorted(entry.result.validation.mean for entry in entries)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)

    capsys.readouterr()
    tuner.results_summary()
    printed = capsys.readouterr().out
    assert f"Score: {best.result.validation.mean}" in printed
    assert "one_minus_momentum" in printed


def test_the_best_model_and_its_card_say_the_same(finished: pathlib.Path) -> None:
    import keras

    card = json.loads((finished / "best" / "V" / "card.json").read_text())
    model = keras.models.load_model(finished / "best" / "V" / "model.keras")
    score = network.Scorer(model, TASK)(TASK.load("a").test)
    assert score.mean == pytest.approx(card["test"], rel=1e-6)
    assert score.sequence_mean == pytest.approx(card["test_per_sequence"], rel=1e-6)
    assert card["validation"] == min(line["validation"] for line in lines(finished)["V"])
    assert card["data"]["name"] == "tiny music" and card["variant"] == "V"


def test_a_finished_study_has_nothing_to_do(copied: pathlib.Path) -> None:
    before = lines(copied)
    observer = run(copied, tiny.config(("V", "FGR")))
    assert (observer.remaining, observer.finished, len(observer.done)) == ([], [], 6)
    assert lines(copied) == before


def test_more_trials_and_variants_can_be_added(copied: pathlib.Path) -> None:
    observer = run(copied, tiny.config(("V",), trials=11))
    assert (len(observer.remaining), len(observer.done)) == (8, 3)
    run(copied, tiny.config(("NP",), trials=1))
    ledger = lines(copied)
    assert [line["trial"] for line in ledger["V"]] == list(range(11))
    assert (len(ledger["FGR"]), len(ledger["NP"])) == (3, 1)
    # The number of a trial is now two digits wide; the weights of the ten best are kept.
    kept = list((copied / "keras_tuner" / "V").glob("trial_??/checkpoint.weights.h5"))
    assert len(kept) == 10
    open_with_kerastuner(copied, "V").get_best_models()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"protocol": dataclasses.replace(tiny.PROTOCOL, max_epochs=4)}, "max_epochs"),
        ({"protocol": dataclasses.replace(tiny.PROTOCOL, order_seed=6)}, "order_seed"),
        ({"space": SPACE.with_ranges({"units": (3, 9)})}, "units"),
    ],
)
def test_another_protocol_is_refused(copied: pathlib.Path, change: dict, named: str) -> None:
    before = lines(copied)
    with pytest.raises(InputError, match=named) as caught:
        run(copied, tiny.config(**change))
    assert "study.json" in str(caught.value) and "\n" not in str(caught.value)
    assert lines(copied) == before


def test_another_dataset_is_refused(copied: pathlib.Path) -> None:
    with pytest.raises(InputError, match="begun with data"):
        run(copied, tiny.config(data="b"))


def test_other_library_versions_are_refused(copied: pathlib.Path) -> None:
    path = copied / "study.json"
    facts = json.loads(path.read_text())
    facts["versions"]["keras"] = "3.0.0"
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"keras.*3\.0\.0"):
        run(copied, tiny.config())


@pytest.mark.parametrize("name", ["study.json", "designs/V.csv", "trials/V.jsonl"])
def test_a_damaged_file_is_named(copied: pathlib.Path, name: str) -> None:
    path = copied / name
    content = path.read_text()
    path.write_text(content[:10] + "?" + content[12:])
    with pytest.raises(InputError, match=path.name):
        run(copied, tiny.config())


def test_an_edited_design_is_refused(copied: pathlib.Path) -> None:
    path = copied / "designs" / "V.csv"
    header, first, *rest = path.read_text().splitlines(keepends=True)
    trial, seed, units, *values = first.split(",")
    path.write_text("".join([header, ",".join([trial, seed, str(int(units) + 1), *values]), *rest]))
    with pytest.raises(InputError, match=r"V\.csv"):
        run(copied, tiny.config())


@pytest.mark.parametrize(
    "damage",
    [
        lambda project: shutil.rmtree(project),
        lambda project: (project / "oracle.json").write_text('{"ongoing_tri'),
        lambda project: (project / "tuner0.json").unlink(),
        lambda project: [path.write_text("") for path in project.glob("trial_*/trial.json")],
    ],
    ids=["project deleted", "oracle torn", "tuner deleted", "trials emptied"],
)
def test_a_damaged_kerastuner_project_is_rebuilt(copied: pathlib.Path, damage: object) -> None:
    damage(copied / "keras_tuner" / "V")
    assert run(copied, tiny.config()).finished == []
    tuner = open_with_kerastuner(copied, "V")
    card = json.loads((copied / "best" / "V" / "card.json").read_text())
    assert tuner.oracle.get_best_trials()[0].score == card["validation"]
    score = network.Scorer(tuner.get_best_models()[0], TASK)(TASK.load("a").validation)
    assert score.mean == pytest.approx(card["validation"], rel=1e-6)


@pytest.mark.parametrize("name", ["card.json", "model.keras", ""])
def test_a_missing_best_model_is_restored(copied: pathlib.Path, name: str) -> None:
    folder = copied / "best" / "V"
    card = (folder / "card.json").read_text()
    if name:
        (folder / name).unlink()
    else:
        shutil.rmtree(folder)
    run(copied, tiny.config())
    assert (folder / "card.json").read_text() == card
    assert (folder / "model.keras").exists()


def test_a_line_that_was_removed_is_run_again(copied: pathlib.Path) -> None:
    before = lines(copied)["V"]
    path = copied / "trials" / "V.jsonl"
    content = path.read_text().splitlines(keepends=True)
    path.write_text(content[0] + content[2])
    removed = json.loads(content[1])["trial"]
    assert [entry.trial.index for entry in run(copied, tiny.config()).finished] == [removed]
    assert lines(copied)["V"] == before


def test_a_second_process_is_refused(copied: pathlib.Path) -> None:
    with (
        filelock.FileLock(copied / "study.lock"),
        pytest.raises(InputError, match="another process"),
    ):
        run(copied, tiny.config())


@pytest.mark.parametrize("engine", [pytest.param("keras", marks=pytest.mark.slow), "native"])
def test_neither_workers_nor_their_deaths_change_a_number(
    finished: pathlib.Path, tmp_path: pathlib.Path, engine: str
) -> None:
    config = tiny.config(("V", "FGR"))
    alone = finished
    if engine != "native":
        alone = tmp_path / "alone"
        assert len(run(alone, config, WorkerPool(1), engine).finished) == 6
    together = tmp_path / "together"
    observer = run(together, config, WorkerPool(2), engine, Killer())
    assert observer.deaths and not observer.failed
    assert lines(together) == lines(alone)
    assert {line["engine"] for line in lines(together)["V"]} == {engine}
    for name in ("best/V/card.json", "best/FGR/card.json"):
        assert (together / name).read_text() == (alone / name).read_text()


def test_a_failed_trial_is_recorded_and_the_study_goes_on(
    copied: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lines(copied)["V"]
    monkeypatch.setenv("FAKE_BEHAVIOR", '{"4": "dies"}')
    # Another engine may go on with a study.
    monkeypatch.setitem(ENGINES, "native", fake_worker.FAKE)
    observer = run(copied, tiny.config(("V",), trials=6), WorkerPool(2), "native")
    assert [failure.trial.index for failure in observer.failed] == [4]
    assert sorted(entry.trial.index for entry in observer.finished) == [3, 5]
    after = lines(copied)["V"]
    assert after[:3] == before and "SIGSEGV" in after[4]["failed"]
    assert not list((copied / "running").iterdir())

    again = run(copied, tiny.config(("V",), trials=6), WorkerPool(2), "native")
    assert again.remaining == [] and again.done.count(observer.failed[0]) == 1
    trials = open_with_kerastuner(copied, "V").oracle.trials
    assert {trial_id: trial.status for trial_id, trial in trials.items()} == {
        **dict.fromkeys("01235", "COMPLETED"),
        "4": "FAILED",
    }
    assert "SIGSEGV" in trials["4"].message
    page = report.write([records.load(copied)], copied / "report").read_text()
    assert "8 of 9 planned trials are finished, 1 failed" in page and "SIGSEGV" in page
    assert sources.find_best(copied).name in ("V", "FGR")


def test_an_error_in_a_trial_ends_the_study_as_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(Ledger, "append", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "study", tiny.config(trials=1))


def ended(directory: pathlib.Path) -> int:
    """How many trials are in the ledgers, whole or torn."""
    return sum(path.read_bytes().count(b'{"trial') for path in directory.glob("trials/*.jsonl"))


@pytest.mark.parametrize(
    ("engine", "trials"), [("native", 6), pytest.param("keras", 2, marks=pytest.mark.slow)]
)
def test_kill_9_loses_no_finished_trial(tmp_path: pathlib.Path, engine: str, trials: int) -> None:
    """Kills the study when it has begun, and some trials later twice, then lets it finish."""
    config = tiny.config(("V", "NIG"), trials=trials)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    here = HERE if engine == "native" else WorkerPool(1)
    run(whole, config, here, engine)

    for workers, count in ((1, 0), (1, 1), (2, trials // 2)):

        def begun(count: int = count) -> bool:
            return (killed / "study.json").exists() and ended(killed) >= count

        tiny.kill_when(Forked(run, killed, config, WorkerPool(workers), engine), begun)
    run(killed, config, here, engine)
    assert lines(killed) == lines(whole)
    assert sum(map(len, lines(whole).values())) == 2 * trials
    for name in ("best/V/card.json", "best/NIG/card.json", "designs/V.csv"):
        assert (killed / name).read_text() == (whole / name).read_text()
    assert (killed / "study.json").read_text() == (whole / "study.json").read_text()


def test_protocol_defaults_are_the_papers() -> None:
    papers = Protocol(max_epochs=150, patience=15, weight_std=0.1, optimizer="nesterov")
    assert Protocol() == papers
