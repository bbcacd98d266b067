"""Minutes at saturation while versions come and go: nothing is lost, and memory does not grow."""

from __future__ import annotations

import shutil
import signal
import time

import numpy as np
import psutil
import pytest

from tests.serving.devserver import small_models
from tests.serving.devserver.callers import FRAME, Askers, H, process

MINUTES = 3.0
THREADS = 16
RELOAD_SECONDS = 3.0
MOST_GROWTH_MIB = 2.0
"""A minute, after the first fifth of the time, in which the server warms up."""

BATCHING = """
max_batch_size { value: 16 } batch_timeout_micros { value: 2000 } num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }
"""


@pytest.mark.slow
@pytest.mark.parametrize("batched", [False, True], ids=["alone", "batched"])
def test_minutes_at_saturation(tmp_path, batched):
    base, answers = tmp_path / "m", {}

    def publish(version: int) -> None:
        answers[version] = small_models.Reference(version).step(FRAME, H)
        small_models.write(base, version)

    publish(1)
    (tmp_path / "batching").write_text(BATCHING)
    batching = ["--enable_batching", f"--batching_parameters_file={tmp_path / 'batching'}"]
    with process(base, *(batching if batched else [])) as (child, *addresses):
        askers = Askers(addresses, answers, (THREADS - 2, 2))
        watched, sizes, version = psutil.Process(child.pid), [], 1
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < 60 * MINUTES and not askers.failures:
            version += 1
            publish(version)
            askers.wait_for(version)
            shutil.rmtree(base / str(version - 1))
            sizes.append((elapsed / 60, watched.memory_info().rss / 2**20))
            time.sleep(max(0.0, begin + elapsed + RELOAD_SECONDS - time.monotonic()))
        askers.stop()
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    minutes, mib = np.array(sizes).T
    warm = minutes > 0.2 * MINUTES
    growth = np.polyfit(minutes[warm], mib[warm], 1)[0]
    total = sum(askers.answered.values())
    print(f"{total} answers of {version} versions; {mib[-1]:.0f} MiB, {growth:+.2f} a minute")
    assert growth < MOST_GROWTH_MIB
