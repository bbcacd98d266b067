"""Requests a second and latencies of servers, the development server and others, and of none.

    python -m benchmarks.serving

What is asked, and how, is in docs/performance.md. `times_first` compares with the first line at the
same work and concurrency. Also measured: the time from the start of a server's process to its first
right answer, and that of `python -m serving.export` for a model of every variant.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from absl import flags

from benchmarks import runner, table
from benchmarks.peers.served import PORT
from benchmarks.runner import Case, Measured, Peer, Row, Runner
from benchmarks.targets import SERVER
from common import command_line
from zoo.variants import VARIANTS

_SECONDS = flags.DEFINE_float("seconds", 5.0, "Duration of a measurement.", lower_bound=0.1)
_WARM_UP = flags.DEFINE_float("warm_up", 1.0, "Seconds before it.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_list("concurrency", ["1", "4", "16", "64"], "Requests under way.")
_SIZE = flags.DEFINE_integer("size", 100, "Units of the network.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 100, "Frames of a sequence.", lower_bound=1)
_VARIANTS = flags.DEFINE_list(
    "variants", list(VARIANTS), "Variants whose exports are timed; the first one is served."
)
REAL, IMAGE = "TensorFlow Serving", "TF_SERVING_IMAGE"
"""The server that ours stands in for, and the environment variable that names its image."""

_CORES, _CASES, _PROGRAM = 2, 8, "tensorflow_model_server"
_PACKAGES = (
    *("tensorflow", "keras", "numpy", "grpcio", "protobuf", "tensorflow-serving-api"),
    *("uvicorn", "starlette", "onnxruntime", "ray"),
)
_BATCHING = """max_batch_size { value: 16 }
# While one core computes a batch, the other reads messages and fills the next one: that is wait
# enough.
batch_timeout_micros { value: 0 }
num_batch_threads { value: 1 }
max_enqueued_batches { value: 100 }
"""


def _export(folder: Path) -> Iterator[Row]:
    """Exports the models, and times each export."""
    from benchmarks import served_model

    served_model.make_study(folder / "study", _VARIANTS.value, _SIZE.value)
    for variant in _VARIANTS.value:
        started = time.perf_counter()
        served_model.export(folder / "study", variant, f"--model_base_path={folder / variant}")
        seconds = round(time.perf_counter() - started, 2)
        yield {"what": "serving.export", "of": variant, "runs": 1, "seconds": seconds}


def tensorflow_serving(base_path: Path) -> list[str]:
    """Returns the command of TensorFlow Serving, by image or program; empty without either."""
    image, where, start = os.environ.get(IMAGE), base_path, [_PROGRAM]
    if image:
        where = Path("/models/music")
        start = [*"docker run --rm --network=host".split(), f"--volume={base_path}:{where}:ro"]
        start += [f"--entrypoint={_PROGRAM}", image]
    elif not shutil.which(_PROGRAM):
        return []
    threads = [f"--tensorflow_{kind}_op_parallelism=2" for kind in ("intra", "inter")]
    return [*start, "--model_name=music", f"--model_base_path={where}", f"--port={PORT}", *threads]


def _peers(folder: Path) -> dict[str, Peer]:
    """Returns all servers and in-process peers by name, in the order of the table."""
    from benchmarks import served_model

    variant = _VARIANTS.value[0]
    network = served_model.make_network(variant, _SIZE.value)
    cases = served_model.make_cases(network, [_FRAMES.value] * _CASES)
    (folder / "cases").write_bytes(pickle.dumps(cases))
    onnx, batching = folder / "music.onnx", folder / "batching.txt"
    served_model.export(folder / "study", variant, "--format=onnx", f"--out={onnx}")
    batching.write_text(_BATCHING, encoding="utf-8")
    times = {"warm_up": _WARM_UP.value, "seconds": _SECONDS.value}
    options = {"cases_path": str(folder / "cases"), **times}

    def served(*command: str) -> Peer:
        given = {**options, "model": "music", "command": list(command)}
        return Peer("benchmarks.peers.served:Served", given, cores=_CORES)

    def in_process(model: Path) -> Peer:
        # As many threads as the servers.
        threads = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(_CORES))
        target, given = "benchmarks.peers.in_process:InProcess", {**options, "model": str(model)}
        return Peer(target, given, environment=threads, cores=_CORES)

    ours = [sys.executable, "-m", "serving.server", "--model_name=music", f"--port={PORT}"]
    ours += [f"--model_base_path={folder / variant}"]
    batched = ["--enable_batching", f"--batching_parameters_file={batching}"]
    python = table.interpreter("ray")
    ray = [python, "-m", "benchmarks.peers.ray_server", str(folder / variant / "1"), PORT]
    peers = {SERVER: served(*ours), f"{SERVER}, batches": served(*ours, *batched)}
    if real := tensorflow_serving(folder / variant):
        peers[REAL] = served(*real)
    if python != sys.executable:
        peers |= {"Ray Serve": served(*ray, "one"), "Ray Serve, batches": served(*ray, "batch")}
    missing = [name for name in (REAL, "Ray Serve") if name not in peers]
    for name in missing:
        print(f"{name}: not available, skipped", flush=True)
    peers["TensorFlow in process"] = in_process(folder / variant)
    peers["ONNX Runtime in process"] = in_process(onnx)
    return peers


def rows(measured: list[Measured]) -> Iterator[Row]:
    """Makes the table, by signature, concurrency and server."""
    works: dict[tuple[str, int], list[Measured]] = {}
    for one in measured:
        works.setdefault((one.labels["signature"], one.labels["concurrency"]), []).append(one)
    for _, alike in sorted(works.items()):
        for one in alike:
            rate = one.median("requests_per_second")
            yield {
                **one.labels,
                **one.spread("requests_per_second", digits=1),
                **{key: round(one.median(key), 2) for key in ("p50_ms", "p95_ms", "p99_ms")},
                "times_first": round(rate / alike[0].median("requests_per_second"), 2),
                "repeats": len(one.runs),
            }


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the names of their tables."""
    command_line.start_tensorflow()
    yield "serving_start", list(_export(bench.folder))
    cases = []
    for name, peer in _peers(bench.folder).items():
        for signature, under_way in product(("serving_default", "step"), _CONCURRENCY.value):
            work = {"signature": signature, "concurrency": int(under_way)}
            labels = {"signature": signature, "server": name, "concurrency": int(under_way)}
            cases.append(Case(labels, peer, work))
    measured = bench.measure(runner.chosen(cases), warm_up=False, one_at_a_time=True)
    yield "serving", list(rows(measured))
    starts = {one.labels["server"]: one for one in measured if "start" in one.runs[0]}
    for name, one in starts.items():
        row = {"what": "first answer", "of": name, "runs": len(one.runs)}
        yield "serving_start", [{**row, "seconds": round(one.median("start"), 2)}]


if __name__ == "__main__":
    runner.run(tables, _PACKAGES)
