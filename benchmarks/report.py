"""Writes benchmarks/results into docs/performance.md and draws its plots.

    python -m benchmarks.report

A table of the page stands between `<!-- NAME -->` and `<!-- end -->`, where NAME is one of
`TABLES`; no number there is typed by hand. Results that are missing say so.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import plots, table
from benchmarks.implementations import NATIVE
from benchmarks.targets import TARGETS, Results, Rows
from common import command_line, files

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
_IMAGES = PAGE.parent / "images"
_PLACE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FACTS = ("machine", "versions")

# What is the same for all kernels, or follows from what stands beside it.
_UNIFORM = (
    *(f"gradient_{what}" for what in ("instructions", "multiply_adds", "shared_loads", "shuffles")),
    *("kernel", "forward_shared_loads", "backward_shared_loads"),
)


def read(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Reads all results.

    Args:
        folder: with a CSV file for each benchmark.
    """
    results = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            results[path.stem] = list(csv.DictReader(file))
    return results


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a table.

    Example:
        >>> print(markdown(["units", "ms"], [["32", "0.1"]]), end="")
        | units | ms |
        |---|---|
        | 32 | 0.1 |
    """
    lines = [header, ["---"] * len(header), *rows]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text.replace("| --- ", "|---").replace("--- |", "---|")


def _machine(results: Results) -> str:
    """Names machine and versions, with the results that are true for them."""
    places: dict[str, list[str]] = {}
    for name, rows in results.items():
        fact = "; ".join(rows[0][key] for key in _FACTS)
        places.setdefault(fact, []).append(f"`{name}.csv`")
    return "".join(f"* {', '.join(names)}: {fact}\n" for fact, names in places.items())


def _targets(results: Results) -> str:
    rows = []
    for target in TARGETS:
        try:
            value = target.measure(results)
        except (KeyError, ValueError):
            rows.append([target.work, target.wanted, "not measured", ""])
            continue
        verdict = "yes" if target.reached(value) else "**no**"
        rows.append([target.work, target.wanted, f"{value:.2f}{target.unit}", verdict])
    return markdown(["work", "wanted", "measured", "reached"], rows)


def _by_units(rows: Rows, cell: Callable[[Mapping[str, str]], str]) -> str:
    """Makes a table of implementations by units; of JAX only the fastest K."""
    sizes = sorted({int(row["units"]) for row in rows})
    best = plots.best_of_jax(rows)
    cells: dict[str, dict[int, str]] = {}
    for row in rows:
        name, units = row["implementation"], row["units"]
        text = cell(row)
        if name.startswith("JAX"):
            if row is not best[units]:
                continue
            name, _, k = name.partition(", ")
            text += f" ({k})"
        cells.setdefault(f"{name} ({row['variant']})", {})[int(units)] = text
    lines = [[name, *(by.get(size, "") for size in sizes)] for name, by in cells.items()]
    return markdown(["implementation (variant)", *(f"{size} units" for size in sizes)], lines)


def _throughput(results: Results) -> str:
    return _by_units(results["trial_throughput"], lambda row: f"{float(row['milliseconds']):.3g}")


def _ratios(results: Results) -> str:
    rows = [row for row in results["trial_throughput"] if row["implementation"] != NATIVE]
    return _by_units(rows, lambda row: f"{float(row['times_native']):.3g}×")


def _shares(results: Results) -> str:
    rows = results["trial_throughput"]
    text = _by_units(rows, lambda row: f"{100 * float(row['sgemm_share']):.3g} %")
    rates = {int(row["units"]): row["sgemm_gigaflops"] for row in rows}
    measured = [f"{rates[size]} GFLOP/s" for size in sorted(rates)]
    return text + f"| sgemm | {' | '.join(measured)} |\n"


def _scaling(results: Results) -> str:
    header = [
        *("variant", "units", "ms", "ms, two at once", "gain", "of sgemm"),
        *("time to V", "arithmetic to V", "difference"),
    ]
    rows = []
    for row in results["scaling"]:
        time, arithmetic = float(row["time_to_vanilla"]), float(row["arithmetic_to_vanilla"])
        rows.append(
            [
                row["variant"],
                row["units"],
                f"{float(row['milliseconds']):.3f}",
                f"{float(row['milliseconds_at_once']):.3f}",
                f"{float(row['gain']):.2f}×",
                f"{100 * float(row['sgemm_share']):.0f} %",
                f"{time:.2f}",
                f"{arithmetic:.2f}",
                f"{100 * (time / arithmetic - 1):+.0f} %",
            ]
        )
    return markdown(header, rows)


def _as_it_is(name: str, leave_out: Sequence[str] = ()) -> Callable[[Results], str]:
    """Makes a table of all columns of some results."""

    def render(results: Results) -> str:
        rows = results[name]
        columns = [key for key in rows[0] if key not in (*_FACTS, *leave_out)]
        cells = [[row[column] for column in columns] for row in rows]
        return markdown([column.replace("_", " ") for column in columns], cells)

    return render


def _upright(name: str) -> Callable[[Results], str]:
    """Makes a table of one row's columns, one a line."""

    def render(results: Results) -> str:
        (row,) = results[name]
        cells = [[key.replace("_", " "), row[key]] for key in row if key not in _FACTS]
        return markdown(["", "measured"], cells)

    return render


def _engines(results: Results) -> str:
    """Makes a table of engines by cell and units, in milliseconds a sequence."""
    rows = results["engines"]
    names = list(dict.fromkeys(row["engine"] for row in rows))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        found = cells.setdefault((row["cell"], row["units"]), {})
        found[row["engine"]] = f"{float(row['milliseconds']):.3g}"
        if row["engine"] == "jax":
            native = row["times_native"]
            found["ratio"] = f"{float(native):.2f}×" if native else ""
            found["gain"] = f"{float(row['keras_times']):.1f}×"
    lines = [
        [*key, *(by.get(name, "") for name in names), by["ratio"], by["gain"]]
        for key, by in cells.items()
    ]
    return markdown(["cell", "units", *names, "jax to native", "keras to jax"], lines)


def _memory(results: Results) -> str:
    rows = results["memory"]
    places = sorted({0, len(rows) // 4, len(rows) // 2, 3 * len(rows) // 4, len(rows) - 1})
    cells = [
        [rows[place]["trials"], rows[place]["resident_mib"], rows[place]["unique_mib"]]
        for place in places
    ]
    largest = [f"{max(float(row[key]) for row in rows)}" for key in ("resident_mib", "unique_mib")]
    return markdown(["trials", "resident MiB", "unique MiB"], [*cells, ["largest", *largest]])


def _served(signature: str, cell: Callable[[Mapping[str, str]], str]) -> Callable[[Results], str]:
    """Makes a table of servers by requests under way."""

    def render(results: Results) -> str:
        rows = [row for row in results["serving"] if row["signature"] == signature]
        steps = sorted({int(row["concurrency"]) for row in rows})
        cells: dict[str, dict[int, str]] = {}
        for row in rows:
            cells.setdefault(row["server"], {})[int(row["concurrency"])] = cell(row)
        lines = [[name, *(by.get(step, "") for step in steps)] for name, by in cells.items()]
        return markdown(["", *(f"{step} under way" for step in steps)], lines)

    return render


def _rate(row: Mapping[str, str]) -> str:
    ratio = f" ({float(row['times_stand_in']):.2f}×)" if row["times_stand_in"] else ""
    return f"{float(row['requests_per_second']):.0f}{ratio}"


def _latency(row: Mapping[str, str]) -> str:
    return " / ".join(f"{float(row[key]):.3g}" for key in ("p50_ms", "p95_ms", "p99_ms"))


TABLES: dict[str, Callable[[Results], str]] = {
    "machine": _machine,
    "targets": _targets,
    "throughput": _throughput,
    "ratios": _ratios,
    "shares": _shares,
    "engines": _engines,
    "scaling": _scaling,
    "lengths": _as_it_is("lengths"),
    "epoch": _as_it_is("epoch"),
    "long_sequences": _as_it_is("long_sequences", leave_out=["data"]),
    "layer": _as_it_is("layer"),
    "study": _upright("study"),
    "start": _as_it_is("start"),
    "memory": _memory,
    "ray_scaling": _as_it_is("ray_scaling"),
    "report_time": _as_it_is("report_time"),
    "serving_sequence": _served("serving_default", _rate),
    "serving_sequence_latency": _served("serving_default", _latency),
    "serving_step": _served("step", _rate),
    "serving_step_latency": _served("step", _latency),
    "serving_start": _as_it_is("serving_start"),
    "soak": _upright("soak"),
    "kernels": _as_it_is("kernels", leave_out=_UNIFORM),
    "gpu": _as_it_is("gpu"),
}
"""What can stand in the page, by name."""


def render(page: str, results: Results) -> str:
    """Fills the tables of a page.

    Args:
        page: its text.
        results: what `read` returns.

    Returns:
        The page with every table written anew.
    """

    def fill(match: re.Match[str]) -> str:
        try:
            text = TABLES[match[2]](results)
        except (KeyError, ValueError):
            text = "Not measured yet.\n"
        return f"{match[1]}\n{text}\n{match[3]}"

    return _PLACE.sub(fill, page)


def main() -> int:
    """Runs the command."""
    results = read(table.RESULTS)
    files.write_text(PAGE, render(PAGE.read_text(encoding="utf-8"), results))
    drawn = {
        "trial_throughput": plots.trial_throughput,
        "memory": plots.memory,
        "soak_samples": plots.soak,
    }
    for name, draw in drawn.items():
        if name in results:
            files.write_text(_IMAGES / f"{name}.svg", draw(results[name]))
    print(_targets(results), end="")
    print(f"page: {PAGE}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
