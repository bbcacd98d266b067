"""Studies with what users may add: engines, samplers, cells and hyperparameters."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import sys

import pytest

from tests import commands
from tests.commands import Forked
from tests.tuner import extensions, tiny
from tests.tuner.studies import Killer, Silence, lines, run
from tuner.parallel.messages import EpochEnd
from tuner.parallel.pool import InProcess, WorkerPool
from tuner.search import samplers
from tuner.search.ranges import parse_flag
from tuner.search.space import PAPER
from tuner.training.engines import ENGINES, choose
from tuner.training.protocol import TrialRecord

CONFIG = tiny.config(("V", "FGR"), trials=5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Ten trials, one after the other."""
    directory = tmp_path_factory.mktemp("alone")
    assert len(run(directory, CONFIG).finished) == 10
    return directory


@pytest.fixture
def cohort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "native", extensions.COHORT)


class Counter(Killer):
    """Kills one worker once, and counts how many trials are underway."""

    most, workers = 0, 1

    def end_epoch(self, end: EpochEnd) -> None:
        self.most = max(self.most, len(self.started) - len(self.finished))
        super().end_epoch(end)


@pytest.mark.usefixtures("cohort")
def test_an_engine_of_four_trials_at_once_gives_the_same_ledgers(
    alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """With two workers, one of which is killed once in the middle of its trials."""
    observer = run(tmp_path, CONFIG, WorkerPool(2), "native", Counter())
    assert observer.deaths and not observer.failed and observer.most > 2
    assert lines(tmp_path) == lines(alone)


class Dying(Silence):
    """Dies by SIGKILL when the third trial has ended."""

    def finish(self, record: TrialRecord) -> None:
        super().finish(record)
        if len(self.finished) == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def run_cohort(directory: pathlib.Path, observer: Silence) -> Silence:
    ENGINES["native"] = extensions.COHORT
    return run(directory, CONFIG, InProcess(extensions.Trainer), "native", observer)


@pytest.mark.usefixtures("cohort")
def test_kill_9_of_its_study_changes_no_number(alone: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert Forked(run_cohort, tmp_path, Dying()).wait().returncode == -signal.SIGKILL
    assert len(run_cohort(tmp_path, Silence()).done) == 3
    assert lines(tmp_path) == lines(alone)


class DyingLate(Silence):
    """Interrupts the study after some finished trials."""

    def finish(self, record: object) -> None:
        super().finish(record)
        if len(self.finished) == 4:
            raise KeyboardInterrupt


def test_an_adaptive_sampler_does_not_depend_on_workers_or_interruptions(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = samplers.SamplerRow("tests.tuner.extensions:Adaptive", "draws near the best")
    monkeypatch.setitem(samplers.SAMPLERS, "adaptive", row)
    config = tiny.config(("V", "NP"), trials=5, sampler="adaptive")
    observer = run(tmp_path / "alone", config)
    assert len(observer.finished) == len(observer.remaining) == 10
    alone = lines(tmp_path / "alone")
    # It has looked at other trials: the rates of the later ones follow from those of the best.
    rates = [line["hyperparameters"]["learning_rate"] for line in alone["V"]]
    before = [
        line["hyperparameters"]["learning_rate"]
        for code in ("V", "NP")
        for line in alone[code][:3]
    ]
    assert any(rates[4] == 0.9 * rate for rate in before)

    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run(killed, config, WorkerPool(3), "native", DyingLate())
    # Proposals were on disk before their trials began; those of the ended ones are not made again.
    assert 4 <= len(run(killed, config).done) <= 10
    assert lines(killed) == alone


def test_a_cell_of_ones_own_and_a_further_hyperparameter_reach_the_report(
    tmp_path: pathlib.Path,
) -> None:
    """A Keras GRU is trained by `jax` while V is trained by `native`."""
    flags = [
        "--variants=V,tests.zoo.cells:GRUCell",
        "--space=units=3:8,forget_bias=0:2",
        "--data=a",
        "--preset=quick",
        "--trials=1",
        "--max_epochs=2",
        "--workers=1",
    ]
    done = commands.run(*tiny.study_command(tmp_path / "study", *flags))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "engine of GRUCell: jax, not native: GRUCell is not a variant" in done.stdout
    assert "forget bias 0 to 2" in done.stdout
    ledger = lines(tmp_path / "study")
    engines = {code: {line["engine"] for line in its} for code, its in ledger.items()}
    assert engines == {"V": {"native"}, "GRUCell": {"jax"}}
    for line in ledger["V"] + ledger["GRUCell"]:
        assert 0 <= line["hyperparameters"]["forget_bias"] <= 2
        assert line["curve"][-1]["validation"] != line["curve"][0]["validation"]
    facts = json.loads((tmp_path / "study" / "study.json").read_text())
    assert facts["cells"] == {"GRUCell": "tests.zoo.cells:GRUCell"}
    page = (tmp_path / "study" / "report" / "index.html").read_text()
    assert "GRUCell" in page and "forget" in page
    # Its best model is the GRU, which Keras loads and no export takes.
    assert "model for TF Serving: none, since only cells of the zoo are exported" in done.stdout

    again = commands.run(*tiny.study_command(tmp_path / "study", *flags))
    assert "2 of 2 trials are already done" in again.stdout


def test_trials_of_ones_own_task_are_trained_again(
    alone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The study remembers where the class is."""
    facts = json.loads((alone / "study.json").read_text())
    assert facts["task_class"] == "tests.tuner.tiny_task:TinyTask"
    table = tmp_path / "trials.csv"
    done = commands.run("tuner.export", f"--study_dir={alone}", f"--out={table}")
    assert done.returncode == 0, done.stderr
    done = commands.run(
        "tuner.pretrain",
        f"--trial_table={table}",
        f"--data={facts['data']['sha256'][0]}",
        f"--out={tmp_path / 'out'}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for code in CONFIG.variants:
        assert (tmp_path / "out" / f"tiny-{code}" / "model.keras").exists()


def test_auto_takes_the_fastest_engine_that_can_train_a_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = tiny.problem()
    # A GPU that TensorFlow sees is no reason to train by model.fit.
    monkeypatch.setattr("tuner.training.engines.accelerator", lambda: "GPU")
    assert choose("auto", problem, tiny.TRIAL).name == "native"
    assert ENGINES["keras"].workers() == 1
    monkeypatch.setitem(sys.modules, "numba", None)
    assert choose("auto", problem, tiny.TRIAL).name == "jax"
    monkeypatch.setitem(sys.modules, "jax", None)
    assert choose("auto", problem, tiny.TRIAL).name == "keras"


def test_ranges_are_changed_and_further_hyperparameters_added() -> None:
    space = parse_flag(["units=20:400", "forget_bias=-1:2"], PAPER)
    assert (space["units"].low, space["units"].high) == (20, 400)
    assert space.names == (*PAPER.names, "forget_bias")
    assert space["learning_rate"] == PAPER["learning_rate"]
