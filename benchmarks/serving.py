"""Requests a second and latencies of servers, the stand-in and others, and of no server at all.

    python -m benchmarks.serving

One run on two cores, which client and server share. The model is the network of the music task, V
with 100 units and random weights; `serving_default` gets one sequence of 100 frames a request,
`step` one frame and the states. All servers have the same SavedModel and speak TensorFlow Serving's
`PredictionService`; one process asks them all, through its stock stubs, with 1, 4, 16 and 64
requests under way at any time. Batches are of at most 16 requests that come within 2 ms.

Only one server runs at a time. Before it is timed, its answers have to be those of Keras to 1e-5.
Repeats interleave: every server once, then all again; a number is the median. `times_stand_in`
compares with the stand-in without batches at the same work and concurrency. ONNX Runtime and
TensorFlow in the process of the client are the floor.

Also measured: the time from the start of a server's process to its first right answer, and that of
`python -m serving.export` for a model of every variant. `make bench-ray` installs Ray Serve, and
TensorFlow Serving is its program in the PATH or the image that `TF_SERVING_IMAGE` names; without
them their lines are left out.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import table
from benchmarks.remote import cores, interpreter
from benchmarks.serving_peers import processes, results
from benchmarks.serving_peers.latencies import Latencies
from benchmarks.serving_peers.names import REAL, SIGNATURES
from benchmarks.serving_peers.peers import PEERS, Open, Setup
from common import command_line

_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed repeats.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 5.0, "Duration of a measurement.", lower_bound=0.1)
_WARM_UP = flags.DEFINE_float("warm_up", 1.0, "Seconds before it.", lower_bound=0)
_CONCURRENCY = flags.DEFINE_list("concurrency", ["1", "4", "16", "64"], "Requests under way.")
_UNITS = flags.DEFINE_integer("units", 100, "Units of the network.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 100, "Frames of a sequence.", lower_bound=1)
_VARIANTS = flags.DEFINE_list(
    "variants",
    ["V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR"],
    "Variants whose exports are timed; the first one is served.",
)
_ONLY = flags.DEFINE_list(
    "only", [], "Measure only what has one of these in its name; save nothing."
)
_SAVE = flags.DEFINE_boolean("save", True, "Whether to write the results down.")

_CORES = 2
_CASES = 8
_PACKAGES = (
    *("tensorflow", "keras", "numpy", "grpcio", "protobuf", "tensorflow-serving-api"),
    *("uvicorn", "starlette", "onnxruntime", "ray"),
)


def _choose() -> dict[str, Open]:
    chosen = {
        name: peer
        for name, peer in PEERS.items()
        if not _ONLY.value or any(part in name for part in _ONLY.value)
    }
    if interpreter("ray") == sys.executable:
        for name in [name for name in chosen if name.startswith("Ray")]:
            print(f"{name}: skipped; `make bench-ray` installs it", flush=True)
            del chosen[name]
    if REAL in chosen and not processes.has_tensorflow_serving():
        print(f"{REAL}: skipped; no {processes.PROGRAM}, and {processes.IMAGE} names no image")
        del chosen[REAL]
    return chosen


def _export(folder: Path) -> tuple[Setup, list[dict[str, Any]]]:
    """Exports the models, timed, and draws the requests."""
    from benchmarks.serving_peers import model

    variants = _VARIANTS.value
    model.make_study(folder / "study", variants, _UNITS.value)
    rows = []
    for variant in variants:
        started = time.perf_counter()
        model.export(folder / "study", variant, folder / variant)
        seconds = round(time.perf_counter() - started, 2)
        rows.append({"what": "serving.export", "of": variant, "runs": 1, "seconds": seconds})
    setup = Setup(folder, folder / "cases.npz", folder / variants[0])
    model.write_cases(setup.cases, variants[0], _UNITS.value, [_FRAMES.value] * _CASES)
    for signature in SIGNATURES:
        model.convert(setup.version, signature, setup.onnx(signature))
    return setup, rows


def main() -> int:
    """Runs the command."""
    if hasattr(os, "sched_setaffinity"):
        # What is started from here on stays on these.
        os.sched_setaffinity(0, cores()[:_CORES])
    chosen = _choose()
    command_line.start_tensorflow()
    found: dict[results.Key, list[Latencies]] = {}
    starts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        setup, start_rows = _export(Path(folder))
        for repeat in range(_REPEATS.value):
            for name, opened in chosen.items():
                print(f"repeat {repeat + 1}: {name}", flush=True)
                with opened(setup) as answering:
                    if answering.start is not None:
                        starts.setdefault(name, []).append(answering.start)
                    for signature in SIGNATURES:
                        for concurrency in map(int, _CONCURRENCY.value):
                            key = (signature, name, concurrency)
                            found.setdefault(key, []).append(
                                answering.measure(
                                    signature, concurrency, _WARM_UP.value, _SECONDS.value
                                )
                            )
    for name, several in starts.items():
        seconds = round(statistics.median(several), 2)
        start_rows.append(
            {"what": "first answer", "of": name, "runs": len(several), "seconds": seconds}
        )
    rows = results.rows(found)
    table.show(rows)
    table.show(start_rows)
    if _SAVE.value and not _ONLY.value:
        print(f"results: {table.save('serving', rows, _PACKAGES)}")
        print(f"results: {table.save('serving_start', start_rows, _PACKAGES)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
