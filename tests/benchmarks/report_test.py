"""The page of the benchmarks is what the committed results say."""

from __future__ import annotations

from benchmarks import plots, report, table
from benchmarks.targets import TARGETS

ROW = {"machine": "one", "versions": "two"}


def throughput(name: str, units: int, ratio: float) -> dict[str, str]:
    return {
        "implementation": name,
        "variant": "V",
        "units": str(units),
        "milliseconds": str(ratio / 10),
        "times_native": str(ratio),
        "gigaflops": "30",
        "sgemm_gigaflops": "60",
        "sgemm_share": "0.5",
        **ROW,
    }


RESULTS = {
    "trial_throughput": [
        throughput("native engine", 32, 1.0),
        throughput("JAX vmap + lax.scan, K = 1", 32, 9.0),
        throughput("JAX vmap + lax.scan, K = 2", 32, 2.5),
        throughput("native engine", 64, 1.0),
        throughput("JAX vmap + lax.scan, K = 1", 64, 3.5),
        throughput("JAX vmap + lax.scan, K = 2", 64, 4.5),
    ]
}


def test_committed_page_has_the_committed_results() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.render(page, report.read(table.RESULTS)) == page


def test_best_k_of_each_size() -> None:
    best = plots.best_of_jax(RESULTS["trial_throughput"])
    assert {units: row["times_native"] for units, row in best.items()} == {"32": "2.5", "64": "3.5"}
    text = report.TABLES["ratios"](RESULTS)
    assert "| JAX vmap + lax.scan (V) | 2.5× (K = 2) | 3.5× (K = 1) |" in text


def test_a_target_is_the_worst_size_at_the_best_k() -> None:
    (target,) = (target for target in TARGETS if "JAX" in target.work)
    assert target.measure(RESULTS) == 2.5
    assert target.reached(2.5)
    assert not target.reached(1.7)


def test_engines_by_cell() -> None:
    def row(cell: str, engine: str, milliseconds: str, native: str, keras: str) -> dict[str, str]:
        return {
            "cell": cell, "units": "64", "engine": engine, "milliseconds": milliseconds,
            "times_native": native, "keras_times": keras, **ROW,
        }  # fmt: skip

    results = {
        "engines": [
            row("V", "native", "0.281", "1.0", "70.1"),
            row("V", "jax", "0.77", "2.74", "25.6"),
            row("V", "keras", "19.7", "70.1", "1.0"),
            row("keras.layers:GRUCell", "jax", "0.9", "", "20.0"),
            row("keras.layers:GRUCell", "keras", "18", "", "1.0"),
        ]
    }
    text = report.TABLES["engines"](results)
    assert "| V | 64 | 0.281 | 0.77 | 19.7 | 2.74× | 25.6× |" in text
    assert "| keras.layers:GRUCell | 64 |  | 0.9 | 18 |  | 20.0× |" in text
    time, gain = (target for target in TARGETS if "engine `jax`" in target.work)
    assert (time.measure(results), time.reached(2.74)) == (2.74, False)
    assert (gain.measure(results), gain.reached(20.0)) == (20.0, True)


def test_what_is_not_measured_says_so() -> None:
    page = "a\n<!-- study -->\nold\n<!-- end -->\nb <!-- targets -->\n<!-- end -->"
    text = report.render(page, {})
    assert "old" not in text
    assert text.count("ot measured") == 1 + len(TARGETS)
    assert report.render(text, {}) == text


def test_plots_are_the_same_again() -> None:
    drawn = plots.trial_throughput(RESULTS["trial_throughput"])
    assert drawn == plots.trial_throughput(RESULTS["trial_throughput"])
    assert "best K" in drawn or "<path" in drawn
