"""How the native engine's time grows: with the variant, units, length, and processes at once.

    python -m benchmarks.scaling --data=auto

`gain` is what two processes at the same time get done to one.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import runner
from benchmarks.remote import cores
from benchmarks.runner import Case, Row, Runner
from benchmarks.trial_throughput import SGEMM, engine
from benchmarks.work_files import WorkFiles
from zoo.variants import VARIANTS

_PROCESSES = len(cores()[:2])
_ALONE, _BOTH = engine("native", 0.4), engine("native", 0.4, _PROCESSES)
_LENGTHS = (1, 2, 4)


def _variants(bench: Runner, files: WorkFiles) -> Iterator[Row]:
    """Measures every variant and size, in one process and in all at once."""
    cases = [Case({}, SGEMM, {"size": 768})]
    for units in map(int, runner.UNITS.value):
        for variant in VARIANTS:
            labels = {"variant": variant, "units": units}
            work = {"path": files.path("corpus", variant, units)}
            pair = [Case(labels, _ALONE, work), Case(labels, _BOTH, work)]
            # The other variants are compared with V.
            if variant == "V" or runner.chosen(pair):
                cases += pair
    product, *measured = bench.measure(cases)
    rate, scale = product.median("gigaflops"), 1e3 / files.sequences("corpus")
    for alone, both in zip(measured[::2], measured[1::2], strict=True):
        variant, units = alone.labels.values()
        vanilla = next(one for one in measured if one.labels == {"variant": "V", "units": units})
        count = files.operations(variant, units)
        speed = count / (scale * alone.median()) / 1e6
        yield {
            **alone.labels,
            **alone.spread("seconds", "milliseconds", scale),
            "processes": _PROCESSES,
            **both.spread("seconds", "milliseconds_at_once", scale),
            "gain": round(_PROCESSES * alone.median() / both.median(), 3),
            "gigaflops": round(speed, 2),
            "sgemm_gigaflops": round(rate, 1),
            "sgemm_share": round(speed / rate, 3),
            "time_to_vanilla": round(alone.median() / vanilla.median(), 3),
            "arithmetic_to_vanilla": round(count / files.operations("V", units), 3),
        }


def _lengths(bench: Runner, files: WorkFiles, units: int = 64) -> Iterator[Row]:
    """Measures sequences of several lengths."""
    cases = []
    for times in _LENGTHS:
        length = round(times * files.mean_length, 1)
        work = {"path": files.path("corpus", "V", units, longer=times)}
        cases.append(Case({"variant": "V", "units": units, "mean_length": length}, _ALONE, work))
    # All or none, because they are compared with the first.
    measured = bench.measure(cases) if runner.chosen(cases) else []
    for one in measured:
        yield {
            **one.labels,
            **one.spread("seconds", "milliseconds", 1e3 / files.sequences("corpus")),
            "time_to_shortest": round(one.median() / measured[0].median(), 3),
        }


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the names of their tables."""
    files = bench.work_files()
    yield "scaling", list(_variants(bench, files))
    yield "lengths", list(_lengths(bench, files))


if __name__ == "__main__":
    runner.run(tables)
