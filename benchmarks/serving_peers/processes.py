"""Servers as processes on free ports of the loopback interface."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from benchmarks.remote import ROOT, interpreter

PROGRAM, IMAGE = "tensorflow_model_server", "TF_SERVING_IMAGE"
"""TensorFlow Serving's own program, and the variable that names an image with it."""

_PATIENCE = 30.0

_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Its own switch for many requests: a fifth to a half more of them here.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "PYTHONPATH": str(ROOT),
}


def free_ports(count: int) -> list[int]:
    """Finds ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Server:
    """A process that is ended, with all that it has started, when it is closed.

    Attributes:
        started: when it was started, as `time.perf_counter` counts seconds.
        pid: number of the process.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Starts it.

        Args:
            command: program and arguments.
        """
        self._command = command
        self._messages = tempfile.TemporaryFile(mode="w+")
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._messages,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,
        )
        self.pid = self._process.pid

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def messages(self) -> str:
        """The end of what it has printed."""
        self._messages.seek(0)
        return self._messages.read()[-4000:]

    def close(self) -> int:
        """Ends it: SIGTERM, after half a minute SIGKILL; returns its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
        # What it has started has its process group, and goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        status = self._process.wait()
        self._messages.close()
        return status

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(f"{' '.join(self._command)}\n{self.messages()}")
        self.close()


def stand_in(model: str, base_path: Path, port: int, rest_port: int, *arguments: str) -> list[str]:
    """The command of the stand-in.

    Args:
        model: name of the model.
        base_path: folder of its versions.
        port: of gRPC.
        rest_port: of REST.
        *arguments: more flags.
    """
    return [
        *(sys.executable, "-m", "serving.server"),
        *(f"--model_name={model}", f"--model_base_path={base_path}"),
        *(f"--port={port}", f"--rest_api_port={rest_port}"),
        *arguments,
    ]


def has_tensorflow_serving() -> bool:
    """Whether the real server is at hand: its image is named, or its program is in the PATH."""
    return bool(os.environ.get(IMAGE) or shutil.which(PROGRAM))


def tensorflow_serving(model: str, base_path: Path, port: int) -> list[str]:
    """The command of TensorFlow Serving itself: in a container if its image is named.

    Args:
        model: name of the model.
        base_path: folder of its versions.
        port: of gRPC.
    """
    image, where, start = os.environ.get(IMAGE), str(base_path), [PROGRAM]
    if image:
        where = f"/models/{model}"
        start = [
            *("docker", "run", "--rm", "--network=host", f"--volume={base_path}:{where}:ro"),
            *(f"--entrypoint={PROGRAM}", image),
        ]
    return [
        *start,
        *(f"--model_name={model}", f"--model_base_path={where}", f"--port={port}"),
        *("--tensorflow_intra_op_parallelism=2", "--tensorflow_inter_op_parallelism=2"),
    ]


def batching(file: Path, *, pad: bool) -> list[str]:
    """The flags that let the stand-in answer as Ray Serve's batches do: 16 requests, 2 ms.

    Args:
        file: written here.
        pad: whether sequences of different lengths meet in a batch.
    """
    file.write_text(
        "max_batch_size { value: 16 }\n"
        "batch_timeout_micros { value: 2000 }\n"
        # One core computes; while it does, the other reads messages and fills the next batch.
        "num_batch_threads { value: 1 }\n"
        "max_enqueued_batches { value: 100 }\n"
        f"pad_variable_length_inputs: {str(pad).lower()}\n",
        encoding="utf-8",
    )
    return ["--enable_batching", f"--batching_parameters_file={file}"]


def ray_serve(folder: Path, port: int, mode: str) -> list[str]:
    """The command of Ray Serve.

    Args:
        folder: a version of the model.
        port: of gRPC.
        mode: `one` or `batch`, see `ray_server`.
    """
    module = "benchmarks.serving_peers.ray_server"
    return [interpreter("ray"), "-m", module, str(folder), str(port), mode]
