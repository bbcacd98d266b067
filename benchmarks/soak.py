"""Keeps the stand-in server busy for minutes while new versions come and old ones go.

    python -m benchmarks.soak --minutes=10

The server is a process of its own, with batches. A client keeps more requests under way than it can
answer at once: sequences of different lengths and single steps over gRPC, steps over REST. Every
few seconds the next version of the model appears by a rename; versions differ in their weights, and
every answer is compared with that of Keras for the version that the answer names. An error, a wrong
answer and no answer in 30 s are lost requests; refused ones (RESOURCE_EXHAUSTED, 429) are counted
by themselves and asked again.

Ends with status 1 if a request was lost, if no version was reloaded, if the server did not end with
status 0 when it was told to, or if its memory grew by more than `--growth` MiB a minute after the
first tenth of the time.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import table
from benchmarks.remote import Remote, cores
from common import command_line

_MINUTES = flags.DEFINE_float("minutes", 10.0, "Duration.", lower_bound=0.05, upper_bound=240)
_CONCURRENCY = flags.DEFINE_integer("concurrency", 64, "Requests under way, gRPC.", lower_bound=1)
_REST = flags.DEFINE_integer("rest_concurrency", 2, "Requests under way, REST.", lower_bound=0)
_RELOAD = flags.DEFINE_float("reload", 5.0, "Seconds between two versions.", lower_bound=0.5)
_SAMPLE = flags.DEFINE_float("sample", 5.0, "Seconds between two looks.", lower_bound=0.1)
_GROWTH = flags.DEFINE_float("growth", 2.0, "MiB a minute that the server may grow by.")
_UNITS = flags.DEFINE_integer("units", 100, "Units of the network.", lower_bound=1)
_SAVE = flags.DEFINE_boolean("save", True, "Whether to write the results down.")

_CORES = 2
_EXPORTS = 3
_FRAMES = (100, 61, 37, 80, 5, 1)
_PACKAGES = ("tensorflow", "numpy", "grpcio", "protobuf", "tensorflow-serving-api", "uvicorn")


def _export(folder: Path) -> tuple[list[Path], list[str]]:
    """Exports models with different weights; returns the versions, and the files of the cases."""
    from benchmarks.serving_peers import model

    exports, paths = [], []
    for seed in range(_EXPORTS):
        study, base_path = folder / f"study-{seed}", folder / f"export-{seed}"
        model.make_study(study, ["V"], _UNITS.value, seed)
        model.export(study, "V", base_path)
        exports.append(base_path / "1")
        path = folder / f"cases-{seed}.npz"
        model.write_cases(path, "V", _UNITS.value, _FRAMES, seed)
        paths.append(str(path))
    return exports, paths


def _soak(folder: Path) -> tuple[dict[str, Any], list[Any], list[float], int]:
    """Runs server, client and publisher.

    Returns:
        What the client counted, samples, seconds of each reload, and the server's exit status.
    """
    from benchmarks.serving_peers import processes, soaking
    from benchmarks.serving_peers.names import MODEL

    exports, paths = _export(folder)
    base_path = folder / MODEL
    base_path.mkdir()
    publisher = soaking.Publisher(exports, base_path)
    port, rest_port = processes.free_ports(2)
    address = f"127.0.0.1:{port}"
    command = [
        *processes.stand_in(MODEL, base_path, port, rest_port),
        *processes.batching(folder / "batching.txt", pad=True),
        "--file_system_poll_wait_seconds=1",
    ]
    with (
        Remote(
            "benchmarks.serving_peers.load:Load", cases_path=paths[1], model=MODEL, cores=cores()
        ) as first,
        Remote(
            "benchmarks.serving_peers.soak_load:SoakLoad",
            cases_paths=paths,
            model=MODEL,
            cores=cores(),
        ) as load,
        processes.Server(command) as server,
    ):
        first.call("first_answer", address=address, timeout=120)
        first.close()
        load.call("ready")
        watcher = soaking.Watcher(server.pid, _SAMPLE.value)
        watcher.start()
        end = time.time() + 60 * _MINUTES.value
        load.start(
            "run",
            address=address,
            rest_address=f"127.0.0.1:{rest_port}",
            concurrency=_CONCURRENCY.value,
            rest_concurrency=_REST.value,
            end=end,
        )
        seconds = soaking.keep_publishing(
            publisher,
            lambda version: version in soaking.available(address, MODEL),
            _RELOAD.value,
            end,
        )
        counted = load.result()
        samples = watcher.stop()
        return counted, samples, seconds, server.close()


def main() -> int:
    """Runs the command."""
    if hasattr(os, "sched_setaffinity"):
        # What is started from here on stays on these.
        os.sched_setaffinity(0, cores()[:_CORES])
    command_line.start_tensorflow()
    from benchmarks.serving_peers import soak_results

    with tempfile.TemporaryDirectory() as folder:
        counted, samples, seconds, status = _soak(Path(folder))
    summary = soak_results.Summary.of(counted, samples, seconds, status)
    print(summary.text())
    for message in counted["messages"]:
        print(message)
    if _SAVE.value:
        print(f"results: {table.save('soak', [summary.row()], _PACKAGES)}")
        lines = soak_results.lines(counted["times"], samples)
        print(f"results: {table.save('soak_samples', lines, _PACKAGES)}")
    faults = summary.faults(_GROWTH.value)
    for fault in faults:
        print(f"fault: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    command_line.run(main)
