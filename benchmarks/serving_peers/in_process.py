"""The same model without a server: the floor under what any server can answer in."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.serving_peers import cases
from benchmarks.serving_peers.latencies import Latencies, Window

Answer = Callable[[cases.Arrays], cases.Arrays]


class _InProcess:
    """Calls a model from several threads of this process; an object for `benchmarks.remote`."""

    def __init__(self, cases_path: str, cores: list[int]) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        self._cases = cases.load(Path(cases_path))
        self._signatures: dict[str, Answer] = {}

    def check(self) -> None:
        """Asks for every answer once.

        Raises:
            ValueError: if one is wrong.
        """
        for signature, several in self._cases.items():
            for case in several:
                error = case.error(self._signatures[signature](case.inputs))
                if error > cases.TOLERANCE:
                    raise ValueError(f"{signature}: an answer is wrong by {error}")

    def measure(
        self, signature: str, concurrency: int, warm_up: float, seconds: float
    ) -> dict[str, float]:
        """Measures as `Load.measure` does, a thread for each request that is under way."""
        answer, several = self._signatures[signature], self._cases[signature]
        durations: list[float] = []
        now = time.perf_counter()
        window = Window(now + warm_up, now + warm_up + seconds)

        def ask(first: int) -> None:
            number = first
            while (started := time.perf_counter()) <= window.end:
                answer(several[number % len(several)].inputs)
                finished = time.perf_counter()
                if window.counts(finished):
                    durations.append(finished - started)
                number += 1

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return dataclasses.asdict(Latencies.of(durations, seconds))


class TensorFlow(_InProcess):
    """The SavedModel in TensorFlow."""

    def __init__(self, cases_path: str, cores: list[int], folder: str) -> None:
        """Loads the model.

        Args:
            cases_path: file of `cases.save`.
            cores: which it may use.
            folder: a version of the model.
        """
        super().__init__(cases_path, cores)
        import tensorflow as tf

        # The functions live no longer than the model does.
        self._model = tf.saved_model.load(folder)

        def make(function: Any) -> Answer:
            def answer(inputs: cases.Arrays) -> cases.Arrays:
                outputs = function(**{name: tf.constant(array) for name, array in inputs.items()})
                return {name: tensor.numpy() for name, tensor in outputs.items()}

            return answer

        self._signatures = {name: make(self._model.signatures[name]) for name in self._cases}


class OnnxRuntime(_InProcess):
    """The same model in ONNX Runtime, one thread a call."""

    def __init__(self, cases_path: str, cores: list[int], paths: dict[str, str]) -> None:
        """Loads the models.

        Args:
            cases_path: file of `cases.save`.
            cores: which it may use.
            paths: an `.onnx` file for each signature.
        """
        super().__init__(cases_path, cores)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1

        def make(path: str) -> Answer:
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            names = [output.name for output in session.get_outputs()]

            def answer(inputs: cases.Arrays) -> cases.Arrays:
                return dict(zip(names, session.run(names, dict(inputs)), strict=True))

            return answer

        self._signatures = {name: make(paths[name]) for name in self._cases}
