"""Milliseconds a sequence: the engines on cells of the zoo and of Keras, in one run.

python -m benchmarks.engines --data=auto
"""

from __future__ import annotations

from collections.abc import Iterator

from absl import flags

from benchmarks import runner
from benchmarks.runner import Case, Row, Runner
from benchmarks.trial_throughput import engine
from zoo.registry import switches

_CELLS = flags.DEFINE_list("cells", ["V", "FGR", "keras.layers:GRUCell"], "Cells to measure.")
# For each engine, the sequences it is timed on; the second argument is seconds per pass.
_ENGINES = {
    "native": ("corpus", engine("native", 0.4)),
    "jax": ("corpus", engine("jax", 0.4)),
    "keras": ("sample", engine("keras")),
}


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the name of their table."""
    files = bench.work_files()
    scales = {
        name: 1e3 * files.mean_length / files.frames(work) for name, (work, _) in _ENGINES.items()
    }
    for cell, units in ((cell, int(n)) for cell in _CELLS.value for n in runner.UNITS.value):
        measured = bench.measure(
            runner.chosen(
                Case(
                    {"cell": cell, "units": units, "engine": name},
                    peer,
                    {"path": files.path(work, "V", 1), "variant": cell, "units": units},
                )
                for name, (work, peer) in _ENGINES.items()
                if name != "native" or switches(cell) is not None
            )
        )
        names = [one.labels["engine"] for one in measured]
        values = {
            name: scales[name] * one.median() for name, one in zip(names, measured, strict=True)
        }
        rows = [
            {
                **one.labels,
                **one.spread("seconds", "milliseconds", scales[one.labels["engine"]]),
                "times_native": round(value / values["native"], 2) if "native" in values else "",
                "keras_times": round(values["keras"] / value, 2) if "keras" in values else "",
            }
            for one, value in zip(measured, values.values(), strict=True)
        ]
        yield "engines", rows


if __name__ == "__main__":
    runner.run(tables)
