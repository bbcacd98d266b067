"""The command line as a person meets it."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from common import machine
from tests import commands
from tests.commands import Forked
from tests.tuner import tiny
from tests.tuner.tiny import study_command
from tuner.search import design
from tuner.study.variant_study import VariantStudy
from tuner.training.protocol import TrialRecord, TrialResult

QUICK = ("--data=a", "--preset=quick", "--variants=CIFG", "--trials=2", "--max_epochs=2")


@pytest.mark.parametrize("module", ["tuner.run", "tuner.report", "serving.export"])
def test_help_is_quick_and_says_what_the_command_does(module: str) -> None:
    done = commands.run(module, "--help")
    assert done.returncode == 0
    assert "--study_dir" in done.stdout and "python -m " + module in done.stdout
    # What takes seconds to import must wait until the flags are right.
    heavy = {"tensorflow", "keras", "numpy"}
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {heavy}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--trails=3"], "trails"),
        (["--trials=0"], "trials"),
        (["--trials=many"], "trials"),
        (["--preset=huge"], "preset"),
        (["--variants=V,CIG"], "CIFG"),
        (["--variants="], "--variants"),
        (["--task=musik"], "'music'"),
        (["--task=no.such.module:Task"], "no.such.module"),
        (["--task=tests.tuner.tiny_task:np"], "Task"),
        (["--seed=-1"], "seed"),
        ([f"--seed={2**64}"], "seed"),
        (["--task=.a:B"], "--task: expected package.module:TaskClass"),
        (["--space=units=20"], "--space: units: expected LOW:HIGH"),
        (["--space=unit=20:30"], "--space: expected NAME=LOW:HIGH"),
        (["--space=momentum=0:1"], "--space: momentum: expected HIGH below 1"),
        (["--space=learning_rate=0:1"], "--space: learning_rate: expected LOW above 0"),
        (["--sampler=best"], "sampler"),
        (["--sampler=gp"], "sampler gp: expected the package torch to be installed"),
        (["--sampler=tpe", "--lag=0"], "lag"),
        (["--optimizer=best"], "optimizer"),
        (["--optimizer=adam", "--engine=native"], "--engine=native: it has no optimizer adam"),
        (["--variants=V,no.such:Cell"], "no.such"),
        (["--workers=all"], "--workers"),
        (["--engine=fast"], "engine"),
        (["--strategy=all"], "strategy"),
        (["--strategy=mirrored", "--engine=native"], "--engine=native: --strategy=mirrored"),
        (["--strategy=mirrored", "--workers=2"], "--workers: expected 1 with --strategy=mirrored"),
        (["--strategy=multiworker"], "TF_CONFIG"),
        (["--strategy=mirrored", "--ray=auto"], "--ray: expected --strategy=one"),
        (["--ray=head"], "--ray: expected auto, HOST:PORT or ray://HOST:PORT. Received: 'head'"),
        (["--task=music,music"], "--task: expected different tasks. Received: music, music"),
        (
            ["--strategy=multiworker", "--adopt=docs/studies/gates.parquet"],
            "--adopt: expected it without --strategy=multiworker",
        ),
        (["--task=music,speech", "--strategy=mirrored"], "--task: expected one task with --strat"),
        (["--task=music,speech", "--data=x.mat"], "--data: expected auto or music=PATH,speech=PA"),
        (["music"], "'music'"),
        (["--study_dir=/dev/null/study"], "/dev/null/study"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments: list[str], named: str) -> None:
    done = commands.run("tuner.run", "--task=tests.tuner.tiny_task:TinyTask", *arguments)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and named in lines[0], done.stderr


def test_a_study_from_the_command_line(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "study"
    planned = commands.run(*study_command(directory, *QUICK, "--dry_run"))
    assert planned.returncode == 0
    assert "2 trials, 2 of each of CIFG; at most 2 epochs" in planned.stdout
    assert "parameters" in planned.stdout
    assert re.search(r"estimate: about .* with the \w+ engine and \d+ worker", planned.stdout)
    assert re.search(r"elsewhere: about .* on one H100 GPU by --engine=cuda", planned.stdout)
    assert not directory.exists()

    done = commands.run(*study_command(directory, *QUICK))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # Plain lines where there is no terminal.
    assert "\x1b" not in done.stdout
    assert re.search(r"\[1/2\] CIFG [01] \(units ", done.stdout)
    assert re.search(r"\[2/2\] CIFG [01] \(units ", done.stdout)
    assert "tiny music [sha256 a" in done.stdout
    assert (directory / "report" / "index.html").exists()
    assert (directory / "export" / "tiny" / "1" / "saved_model.pb").exists()

    again = commands.run(*study_command(directory, *QUICK))
    assert "2 of 2 trials are already done" in again.stdout
    # The best model is the same: there is nothing new to serve.
    assert [path.name for path in (directory / "export" / "tiny").iterdir()] == ["1"]

    other = commands.run(*study_command(directory, *QUICK, "--patience=3"))
    assert other.returncode == 2
    assert len(other.stderr.strip().splitlines()) == 1 and '"patience": 3' in other.stderr


def test_several_tasks_from_the_command_line(tmp_path: pathlib.Path) -> None:
    done = commands.run(
        "tuner.run",
        "--task=tests.tuner.tiny_task:TinyTask,tests.tuner.tiny_task:TinyHandwriting",
        *(f"--study_dir={tmp_path}", "--data=tiny=a,tiny handwriting=a", "--variants=NP"),
        *("--trials=1", "--max_epochs=1"),
    )
    assert done.returncode == 0, done.stderr
    assert "estimate of all 2 trials: about" in done.stdout
    page = (tmp_path / "report" / "index.html").read_text()
    for name in ("tiny", "tiny handwriting"):
        assert f"[1/1] {name} NP 0 (units " in done.stdout
        assert f'id="{name.replace(" ", "-")}-title"' in page
        assert (tmp_path / name / "export" / name / "1" / "saved_model.pb").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_and_says_how_to_go_on(tmp_path: pathlib.Path, number: int) -> None:
    directory = tmp_path / "study"
    # More than can be done while the test waits.
    flags = (*QUICK[:3], "--trials=1000", "--max_epochs=2")
    ledger = directory / "trials" / "CIFG.jsonl"
    output = tiny.kill_when(
        commands.start(*study_command(directory, *flags)),
        lambda: ledger.exists() and ledger.stat().st_size > 0,
        number,
    )
    assert "Traceback" not in output, output
    assert "To go on: python -m tuner.run --task=tests.tuner.tiny_task:TinyTask" in output
    first = json.loads(ledger.read_text().splitlines()[0])
    planned = design.load(directory / "designs" / "CIFG.csv")
    # One of the first two: the longest trials come first.
    longest = sorted(planned, key=lambda row: -row.units)
    assert first["hyperparameters"]["units"] >= longest[machine.cores() - 1].units


def run_interrupted_while_recording(*command: str) -> None:
    """Discards what a signal raises there, as TensorFlow's `except:` clauses do."""
    finish = VariantStudy.finish

    def interrupted(self: VariantStudy, result: TrialResult) -> TrialRecord:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        return finish(self, result)

    VariantStudy.finish = interrupted
    commands.run_module(*command)


def test_what_interrupts_the_recording_of_a_trial_stops_after_it(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "study"
    done = Forked(run_interrupted_while_recording, *study_command(directory, *QUICK)).wait()
    assert done.returncode == 130 and "To go on: " in done.stderr
    assert "Traceback" not in done.stderr
    (line,) = (directory / "trials" / "CIFG.jsonl").read_text().splitlines()
    assert json.loads(line)["best_epoch"] >= 0
    assert len(list((directory / "best" / "CIFG").iterdir())) > 0


def run_on_a_full_disk(*command: str) -> None:
    """Says that a disk has 100 kB free: a real one takes the superuser."""
    usage = collections.namedtuple("usage", "total used free")
    shutil.disk_usage = lambda path: usage(10**9, 10**9 - 10**5, 10**5)
    commands.run_module(*command)


def test_a_full_disk_is_one_line(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "study"
    done = Forked(run_on_a_full_disk, *study_command(directory, *QUICK)).wait()
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "No space left on device" in done.stderr and str(directory) in done.stderr


def test_a_read_only_directory_is_one_line(tmp_path: pathlib.Path) -> None:
    # Not even the superuser may write there.
    done = commands.run(*study_command(pathlib.Path("/proc/self/study"), *QUICK))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1 and "/proc/self/study" in done.stderr


def test_the_report_can_be_written_again(tmp_path: pathlib.Path) -> None:
    missing = commands.run("tuner.report", f"--study_dir={tmp_path}")
    assert missing.returncode == 2 and str(tmp_path) in missing.stderr
    nothing = commands.run("tuner.report")
    assert nothing.returncode == 2 and "--study_dir" in nothing.stderr


def test_commands_can_be_imported_together() -> None:
    # In a process of their own: flags of the same name may be defined in this one.
    modules = ("tuner.run", "serving.publish.versions", "tuner.analysis.report")
    code = f"import {', '.join(modules)}"
    assert Forked(commands.run_code, code).wait().returncode == 0
