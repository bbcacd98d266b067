"""Plans, trials and commands on the tiny task."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.tuner.tiny_task import TinyTask
from tuner import reference
from tuner.design import Space
from tuner.plan import Plan
from tuner.protocol import Outcome, Protocol, Trial
from tuner.tasks.task import Task

ROOT = pathlib.Path(__file__).resolve().parents[2]


SPACE = Space(units=(3, 8), learning_rate=(1e-3, 3e-2), noise_std=(0.0, 0.5))
PROTOCOL = Protocol(max_epochs=3, patience=2, order_seed=5)
TRIAL = Trial(0, "V", units=3, learning_rate=0.05, momentum=0.6, noise_std=0.3, seed=11)


def plan(variants: tuple[str, ...] = ("V",), trials: int = 3, **changes: object) -> Plan:
    """A plan of a few tiny trials."""
    return dataclasses.replace(
        Plan(variants=variants, trials=trials, protocol=PROTOCOL, space=SPACE, seed=3), **changes
    )


def train_one(
    trial: Trial = TRIAL,
    protocol: Protocol = PROTOCOL,
    task: Task | None = None,
    **options: object,
) -> Outcome:
    """Trains one trial with the `keras` engine."""
    task = task or TinyTask()
    (outcome,) = reference.train(task, task.load("a"), [trial], protocol, **options)
    return outcome


def command(module: str, *arguments: str) -> list[str]:
    """The command line of one of the project's commands."""
    return [sys.executable, "-m", module, *arguments]


def study_command(directory: pathlib.Path, *arguments: str) -> list[str]:
    """The command line of a tiny study."""
    return command(
        "tuner.run", "--task=tests.tuner.tiny_task:TinyTask", f"--study_dir={directory}", *arguments
    )


def run(arguments: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        arguments, cwd=ROOT, text=True, capture_output=True, check=False, **options
    )


def kill_when(arguments: list[str], seen: Callable[[], bool], number: int = signal.SIGKILL) -> str:
    """Runs a command, sends it a signal as soon as something has happened, returns its output."""
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # What a shell starts in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not seen():
        time.sleep(0.01)
    if process.poll() is None:
        process.send_signal(number)
    return process.communicate()[0]
