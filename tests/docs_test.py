"""The code in README and docs runs as it stands."""

from __future__ import annotations

import pathlib
import re

import pytest

import zoo
from serving.devserver import launch
from serving.devserver.settings import ModelConfig, Settings
from serving.publish import versions
from tests import commands
from tests.commands import ROOT


def code_blocks(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(arguments: list[str], folder: pathlib.Path) -> str:
    """What `python` prints with these arguments."""
    way = {"-m": commands.run_module, "-c": commands.run_code}[arguments[0]]
    done = commands.Forked(way, *arguments[1:], folder=folder).wait()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ten_lines_of_the_readme_run(tmp_path: pathlib.Path) -> None:
    ten_lines = code_blocks("README.md")[0]
    assert "zoo.NoForgetGateCell" in ten_lines
    again, pretrained = code_blocks("docs/start_cell.md")
    assert again == ten_lines
    printed = run(["-c", ten_lines + pretrained], tmp_path)
    assert "loss" in printed
    assert 21 <= int(printed.splitlines()[-1]) <= 108


def test_a_task_of_ones_own_and_kerastuner_on_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task of docs/your_own_task.md, and KerasTuner's lines of docs/start_study.md on it."""
    own_task = code_blocks("docs/your_own_task.md")[1]
    (tmp_path / "own.py").write_text(own_task, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}", prepend=":")
    flags = ["--preset=quick", "--variants=V", "--trials=1", "--max_epochs=1"]
    run(
        ["-m", "tuner.run", "--task=own:Switches", "--study_dir=studies/music-quick", *flags],
        tmp_path,
    )

    in_pandas, lines = code_blocks("docs/start_study.md")
    assert "V " in run(["-c", in_pandas.replace("studies/small", "studies/music-quick")], tmp_path)
    assert "Hyperband" in lines
    lines = lines.replace('find_task("music")', 'find_task("own:Switches")')
    printed = run(["-c", lines.replace("max_epochs=9", "max_epochs=1")], tmp_path)
    assert "Score: " in printed


def test_arrays_in_a_file_and_the_example_of_a_task(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of docs/your_own_task.md make a file, and its commands train on it."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    run(["-c", code_blocks("docs/your_own_task.md")[0]], tmp_path)
    shown = re.findall(
        r"^python -m (tuner.run .*)$",
        (ROOT / "docs/your_own_task.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(shown) == 2
    arrays, example = (["-m", *command.split()] for command in shown)
    arrays = [argument.replace("mine.npz", "sines.npz") for argument in arrays]
    printed = run([*arrays, "--variants=V", "--trials=1", "--max_epochs=1"], tmp_path)
    assert "arrays of sines.npz" in printed
    assert (tmp_path / "studies/sines-quick/report/index.html").is_file()
    assert (tmp_path / "studies/sines-quick/export/sines/1/saved_model.pb").is_file()
    assert "help texts of Python" in run([*example, "--dry_run"], tmp_path)


def test_the_client_of_the_docs(tmp_path: pathlib.Path) -> None:
    versions.publish(zoo.pretrained.find("music-V"), tmp_path / "music")
    settings = Settings((ModelConfig("music", tmp_path / "music"),), grpc_port=0, rest_port=0)
    (lines,) = code_blocks("docs/start_serving.md")
    with launch.running(settings) as server:
        printed = run(["-c", lines.replace("localhost:8500", server.grpc_address)], tmp_path)
    shapes, pitch = printed.splitlines()
    assert shapes == "(4, 88) (9, 88)"
    assert 21 <= int(pitch) <= 108
