"""Minutes at saturation while versions come and go: nothing is lost, and memory does not grow."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from tests.serving.devserver import small_models
from tests.serving.devserver.callers import Grpc, arrays, request_for, rest

MINUTES = 3.0
THREADS = 16
RELOAD_SECONDS = 3.0
MOST_GROWTH_MIB = 2.0
"""A minute, after the first fifth of the time, in which the server warms up."""

FRAME, H = np.random.default_rng(0).normal(size=(2, 3, small_models.FEATURES)).astype(np.float32)
BATCHING = """
max_batch_size { value: 16 } batch_timeout_micros { value: 2000 } num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }
"""


class Callers:
    """Threads that ask without a pause, over gRPC and REST, and compare every answer."""

    def __init__(
        self, grpc_address: str, rest_address: str, answers: dict[int, np.ndarray]
    ) -> None:
        self._grpc_address, self._rest_address, self._answers = grpc_address, rest_address, answers
        self.answered: collections.Counter[int] = collections.Counter()
        self.failures: list[BaseException] = []
        self._stop = threading.Event()
        works = [self._ask_over_rest] * 2 + [self._ask_over_grpc] * (THREADS - 2)
        self._threads = [threading.Thread(target=self._guard, args=(work,)) for work in works]
        for thread in self._threads:
            thread.start()

    def _guard(self, work) -> None:
        try:
            while not self._stop.is_set():
                work()
        except BaseException as failure:
            self.failures.append(failure)

    def _ask_over_grpc(self) -> None:
        with Grpc(self._grpc_address) as client:
            while not self._stop.is_set():
                response = client.call(request_for("step", frame=FRAME, h=H))
                version = response.model_spec.version.value
                found = arrays(response)["logits"]
                np.testing.assert_allclose(found, self._answers[version], rtol=1e-4)
                self.answered[version] += 1

    def _ask_over_rest(self) -> None:
        body = {"signature_name": "step", "inputs": {"frame": FRAME.tolist(), "h": H.tolist()}}
        status, answer, _ = rest(self._rest_address, "POST", "/v1/models/m:predict", body)
        assert status == 200, answer
        logits = np.array(answer["outputs"]["logits"])
        assert any(np.allclose(logits, one, rtol=1e-4) for one in [*self._answers.values()])

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("batched", [False, True], ids=["alone", "batched"])
def test_minutes_at_saturation(tmp_path, batched):
    base, answers = tmp_path / "m", {}

    def publish(version: int) -> None:
        answers[version] = small_models.reference(version).step(FRAME, H)["logits"]
        small_models.write(base, version)

    publish(1)
    (tmp_path / "batching").write_text(BATCHING)
    batching = ["--enable_batching", f"--batching_parameters_file={tmp_path / 'batching'}"]
    command = [sys.executable, "-m", "serving.server", "--model_name=m", "--free_ports"]
    command += [f"--model_base_path={base}", *(batching if batched else [])]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        line = process.stdout.readline()
        addresses = dict(part.split(": ") for part in line.strip().rstrip(".").split(". ")[-2:])
        callers = Callers(addresses["gRPC"], addresses["REST"], answers)
        watched, sizes, version = psutil.Process(process.pid), [], 1
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < 60 * MINUTES and not callers.failures:
            version += 1
            publish(version)
            while not callers.answered[version] and not callers.failures:
                assert time.monotonic() - begin < elapsed + 60, f"version {version} never answered"
                time.sleep(0.05)
            shutil.rmtree(base / str(version - 1))
            sizes.append((elapsed / 60, watched.memory_info().rss / 2**20))
            time.sleep(max(0.0, begin + elapsed + RELOAD_SECONDS - time.monotonic()))
        callers.stop()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    minutes, mib = np.array(sizes).T
    warm = minutes > 0.2 * MINUTES
    growth = np.polyfit(minutes[warm], mib[warm], 1)[0]
    total = sum(callers.answered.values())
    print(f"{total} answers of {version} versions; {mib[-1]:.0f} MiB, {growth:+.2f} a minute")
    assert callers.failures == []
    assert growth < MOST_GROWTH_MIB
