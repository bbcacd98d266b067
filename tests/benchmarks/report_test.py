"""The pages say what the committed results say."""

from __future__ import annotations

import functools

import pytest

from benchmarks import plots, report, table
from benchmarks.targets import TARGETS, Results, frames

MEASURED = report.read(table.RESULTS, table.STUDIES)
PAGES = {
    path.name: text
    for path in sorted(report.DOCS.glob("*.md"))
    if "<!-- end -->" in (text := path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("page", PAGES)
def test_committed_page_has_the_committed_results(page: str) -> None:
    assert report.render(PAGES[page], *MEASURED) == PAGES[page], "python -m benchmarks.report"


def test_every_table_stands_in_a_page() -> None:
    places = "".join(PAGES.values())
    assert [name for name in report.TABLES if f"<!-- {name} -->\n" not in places] == []
    assert {"performance.md", "results.md", "report.md", "guided_es.md"} <= set(PAGES)


def test_a_number_that_was_typed_by_hand_is_found() -> None:
    results, facts = MEASURED
    page = PAGES["performance.md"]
    (row, *others) = results["start"]
    changed = {**results, "start": [{**row, "first_trial_seconds": "28.7"}, *others]}
    assert report.render(page, changed, facts) == page.replace("| 27.8 |", "| 28.7 |") != page
    assert report.render(page, results, {**facts, "start": "a slower one"}) != page


def throughput(name: str, units: int, ratio: float, **more: str) -> dict[str, str]:
    return {
        "implementation": name,
        "variant": "V",
        "units": str(units),
        "milliseconds": str(ratio / 10),
        **more,
        "times_native": str(ratio),
        "sgemm_gigaflops": "60",
        "sgemm_share": "0.5",
    }


RESULTS: Results = {
    "trial_throughput": [
        throughput("native engine", 32, 1.0, milliseconds_min="0.05", milliseconds_max="0.2"),
        throughput("JAX vmap + lax.scan, K = 1", 32, 9.0),
        throughput("JAX vmap + lax.scan, K = 2", 32, 2.5),
        throughput("native engine", 64, 1.0),
        throughput("JAX vmap + lax.scan, K = 1", 64, 3.5),
        throughput("JAX vmap + lax.scan, K = 2", 64, 4.5),
    ],
    "engines": [
        {"cell": "V", "units": "64", "engine": "jax", "times_native": "2.74", "keras_times": "18"},
        {"cell": "keras.layers:GRUCell", "units": "64", "engine": "jax", "keras_times": "20.0"},
    ],
    "layer": [
        {"shape": "1x2", "layer": layer, "variant": variant, "compiled": "jit", "milliseconds": ms}
        for layer, variant, ms in (
            *(("zoo.RNN", "V", "2.0"), ("zoo.RNN", "NP", "1.0")),
            *(("zoo.RNN", "FGR", "9.0"), ("keras.layers.LSTM", "NP", "3.0")),
        )
    ],
    "scaling": [
        {
            **{"variant": variant, "units": "64", "processes": "2", "gain": gain},
            **{"sgemm_share": share, "time_to_vanilla": time, "arithmetic_to_vanilla": "2"},
        }
        for variant, gain, share, time in (
            *(("V", "1.7", "0.4", "2"), ("NP", "1.9", "0.1", "2.5"), ("FGR", "2.0", "0.1", "1")),
        )
    ],
    "serving": [
        {
            **{"signature": signature, "server": server, "concurrency": concurrency},
            **{"requests_per_second": rate, "p50_ms": "1.5"},
        }
        for signature, server, concurrency, rate in (
            ("step", "development server", "1", "500"),
            ("serving_default", "development server", "16", "250"),
            ("serving_default", "development server, batches", "16", "500"),
            ("serving_default", "Ray Serve", "16", "125"),
            ("serving_default", "Ray Serve, batches", "16", "200"),
        )
    ],
    "serving_start": [
        {"what": what, "of": of, "seconds": seconds}
        for what, of, seconds in (
            ("first answer", "development server", "3.5"),
            ("first answer", "development server, batches", "4.5"),
            ("first answer", "Ray Serve", "18"),
            ("serving.export", "V", "7"),
            ("serving.export", "FGR", "9"),
        )
    ],
}


def test_best_k_of_each_size_and_spread() -> None:
    best = plots.best_of_jax(RESULTS["trial_throughput"])
    assert {units: row["times_native"] for units, row in best.items()} == {"32": "2.5", "64": "3.5"}
    text = report.TABLES["ratios"](RESULTS)
    assert "| JAX vmap + lax.scan (V) | 2.5× (K = 2) | 3.5× (K = 1) |" in text
    text = report.TABLES["throughput"](RESULTS)
    assert "| native engine (V) | 0.1 (0.05..0.2) | 0.1 |" in text


@pytest.mark.parametrize(
    ("work", "value", "reached"),
    [
        ("JAX", 2.5, True),
        ("sgemm", 40.0, False),
        ("arithmetic to V", 25.0, False),
        ("`keras.layers.LSTM`", 1.5, True),
        ("times the native engine's time", 2.74, False),
        ("against engine `keras`", 20.0, True),
        ("two workers", 1.9, True),
        ("sequences in batches", 500.0, False),
        ("server without batches", 2.0, True),
        ("against Ray Serve", 2.5, True),
        ("`step`, one under way", 1.5, False),
        ("first answer", 4.5, False),
        ("slowest variant", 9.0, True),
    ],
)
def test_targets_are_the_worst_case(work: str, value: float, reached: bool) -> None:
    (target,) = (target for text, target in TARGETS.items() if work in text)
    assert target.measure(functools.partial(frames, RESULTS)) == pytest.approx(value)
    assert target.reached(value) == reached


def test_what_is_not_measured_says_so() -> None:
    page = "a\n<!-- study -->\nold\n<!-- end -->\nb <!-- targets -->\n<!-- end -->"
    text = report.render(page, {}, {})
    assert "old" not in text
    assert text.count("ot measured") == 1 + len(TARGETS)
    assert report.render(text, {}, {}) == text


def test_plots_are_the_same_again() -> None:
    rows = MEASURED[0]["trial_throughput"]
    assert plots.trial_throughput(rows) == plots.trial_throughput(rows)
    assert plots.trial_throughput(rows) != plots.trial_throughput(rows[15:])
