"""A report starts at once: nothing that it imports trains networks."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from tests.commands import ROOT
from tests.tuner.analysis import made_up

LINES = """
import runpy, sys
try:
    runpy.run_module("tuner.report", run_name="__main__", alter_sys=True)
except SystemExit as ended:
    assert not ended.code, ended
assert "sklearn" in sys.modules
print({"jax", "keras", "keras_tuner", "tensorflow", "torch"} & set(sys.modules))
"""


def test_a_report_imports_no_tensorflow(tmp_path: pathlib.Path) -> None:
    directory = made_up.write(tmp_path / "music", 20, ("V",))
    # The study is running, and its next line is being written.
    with (directory / "trials" / "V.jsonl").open("a") as file:
        file.write('{"trial": 41, "vari')
    done = subprocess.run(
        [sys.executable, "-c", LINES, f"--study_dir={directory}", "--tensorboard"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.stderr == "" and done.returncode == 0
    assert done.stdout.splitlines()[-1] == "set()"
    assert (directory / "report" / "index.html").is_file()
    assert len(list((directory / "report" / "tensorboard").rglob("*tfevents*"))) == 21
