"""An exported model without a server: the lower bound of the latency of any server."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from pathlib import Path

from benchmarks.peers import cases
from serving.clients import local


class InProcess:
    """Calls a model from several threads of this process."""

    def __init__(self, cases_path: str, model: str, warm_up: float, seconds: float) -> None:
        """Loads a folder or an `.onnx` file, and checks every response once; see `Served`."""
        self._stack = contextlib.ExitStack()
        self._model = self._stack.enter_context(local.opened(Path(model)))
        self._cases: cases.Cases = pickle.loads(Path(cases_path).read_bytes())
        self._warm_up, self._seconds = warm_up, seconds
        for signature, several in self._cases.items():
            for case in several:
                case.check(self._model.predict(case.inputs, signature))

    def prepare(self, signature: str, concurrency: int) -> None:
        """Selects the signature, and the number of concurrent requests."""
        self._signature, self._concurrency = signature, concurrency

    def run(self) -> dict[str, float]:
        """Sends requests for some seconds, one at a time per thread; returns `cases.summary`."""
        several, durations = self._cases[self._signature], []
        begin = time.perf_counter() + self._warm_up
        end = begin + self._seconds

        def ask(number: int) -> None:
            while (started := time.perf_counter()) <= end:
                self._model.predict(several[number % len(several)].inputs, self._signature)
                if begin <= (finished := time.perf_counter()) <= end:
                    durations.append(finished - started)
                number += 1

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(self._concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return cases.summary(durations, self._seconds)

    def close(self) -> None:
        """Frees the model."""
        self._stack.close()
