import os
import pathlib
import subprocess
import sys

import pytest

from common import machine


def test_the_description_names_processor_cores_memory_and_system() -> None:
    described = machine.describe()
    assert f"{os.cpu_count()} cores" in described and "\n" not in described
    if sys.platform == "linux":
        assert described.endswith(" GiB, Linux")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_cores_are_those_that_may_be_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.cores() >= 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert machine.cores() == 8
    quota = tmp_path / "cpu.max"
    for text, cores in [
        ("max 100000", 8),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("900000 100000", 8),
        ("?", 8),
    ]:
        quota.write_text(text + "\n")
        assert machine.cores() == cores
    quota.unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    for text, cores in [("-1", 8), ("0", 8), ("350000", 3), ("70000", 1)]:
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(text + "\n")
        assert machine.cores() == cores


def test_a_process_of_one_core_imports_what_this_one_does(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "only_here.py").write_text(
        "import os\nprint(os.environ['KERAS_BACKEND'], os.environ['OMP_NUM_THREADS'])\n"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    done = subprocess.run(
        [sys.executable, "-c", "import only_here"],
        env=machine.single_threaded_environment("numpy"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "numpy 1\n"
    assert machine.XLA_LOOP_FLAG in machine.single_threaded_environment("jax")["XLA_FLAGS"]
