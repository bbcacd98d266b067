"""Writes measured numbers into the docs and draws their plots.

    python -m benchmarks.report

A table of a page stands between `<!-- NAME -->` and `<!-- end -->`, where NAME is one of `TABLES`;
no number there is typed by hand. Times are in benchmarks/results, findings in docs/studies. Where a
file has the least and the most of some repeats, the table has them behind the median. Results that
are missing say so.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks import plots, table
from benchmarks.plots import best_of_jax
from benchmarks.targets import NATIVE, TARGETS, Results, frames
from common import command_line, files

DOCS = table.ROOT / "docs"
_PLACE = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Line = Mapping[str, str]
Cell = Callable[[Line], str]
Render = Callable[[Results], str]


def read(*folders: Path) -> tuple[dict[str, list[dict[str, str]]], dict[str, str]]:
    """Reads all results: their rows, and machine and versions, by file name."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.csv"))]
    found = {path.stem: table.read(path) for path in paths if path.read_bytes()[:2] == b"# "}
    rows = {name: rows for name, (_, rows) in found.items()}
    return rows, {name: "; ".join(facts.values()) for name, (facts, _) in found.items()}


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Formats a table as Markdown."""
    first = " | ".join(header)
    rule = "|---" * (first.count("|") + 1) + "|\n"
    return f"| {first} |\n{rule}" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def spread(row: Line, name: str, form: str = "{}", scale: float = 1) -> str:
    """Formats a number, with the minimum and maximum of its repeats if the row has them."""
    if not row[name]:
        return ""
    numbers = [row[key] for key in (name, f"{name}_min", f"{name}_max") if row.get(key)]
    if form != "{}":
        middle = form.format(scale * float(numbers[0]))
        plain = re.sub(r"}.*", "}", form)
        numbers = [middle, *(plain.format(scale * float(number)) for number in numbers[1:])]
    return f"{numbers[0]} ({'..'.join(numbers[1:])})" if numbers[1:] else numbers[0]


def as_it_is(name: str, leave_out: str = "", every: int = 1) -> Render:
    """Makes a table of all columns of some results, with all rows or every n-th."""

    def render(results: Results) -> str:
        rows = results[name]
        ends = [f"{key}{end}" for key in rows[0] for end in ("_min", "_max")]
        columns = [key for key in rows[0] if key not in (*ends, *leave_out.split())]
        cells = ([spread(row, column) for column in columns] for row in rows[::every])
        return markdown([column.replace("_", " ") for column in columns], cells)

    return render


def grid(
    rows: Callable[[Results], Iterable[Line]], head: str, line: str, column: str, cell: Cell
) -> Render:
    """Makes a table with lines and columns given by rows, in their order.

    `line` (such as `{task} | {units}`) and `column` are format strings for a row; the cells of
    several rows in the same place are joined by ` / `.
    """

    def render(results: Results) -> str:
        cells: dict[str, dict[str, list[str]]] = {}
        columns: dict[str, None] = {}
        for row in rows(results):
            columns[name := column.format(**row)] = None
            found = cells.setdefault(line.format(**row), {})
            found.setdefault(name, []).append(cell(row))
        lines = (
            [key, *(" / ".join(by.get(each, [])) for each in columns)] for key, by in cells.items()
        )
        return markdown([head, *columns], lines)

    return render


def _machine(facts: Mapping[str, str]) -> str:
    """Lists machines and versions, with the results measured on them."""
    places: dict[str, list[str]] = {}
    for name, fact in facts.items():
        places.setdefault(fact, []).append(f"`{name}.csv`")
    return "".join(f"* {', '.join(names)}: {fact}\n" for fact, names in places.items())


def _targets(results: Results) -> str:
    rows = []
    for work, target in TARGETS.items():
        wanted = f"{target.bound:g}{target.unit}{target.aim}"
        try:
            value = float(target.measure(functools.partial(frames, results)))
        except KeyError:
            value = math.nan
        if math.isnan(value):
            rows.append([work, wanted, "not measured", ""])
        else:
            verdict = "yes" if target.reached(value) else "**no**"
            rows.append([work, wanted, f"{value:.2f}{target.unit}", verdict])
    return markdown(["work", "wanted", "measured", "reached"], rows)


def _by_units(name: str, form: str, scale: float = 1, skip: str = "") -> Render:
    """Makes a table of implementations by units; for JAX, only the fastest K."""

    def rows(results: Results) -> Iterable[Line]:
        best = best_of_jax(results["trial_throughput"])
        for row in results["trial_throughput"]:
            short, _, trials = row["implementation"].partition(", K")
            if short != skip and (not trials or row is best[row["units"]]):
                yield {**row, "short": short, "trials": f" (K{trials})" if trials else ""}

    return grid(
        *(rows, "implementation (variant)", "{short} ({variant})", "{units} units"),
        lambda row: spread(row, name, form, scale) + row["trials"],
    )


def _shares(results: Results) -> str:
    rates = {row["units"]: row["sgemm_gigaflops"] for row in results["trial_throughput"]}
    measured = " | ".join(f"{rate} GFLOP/s" for rate in rates.values())
    return f"{_by_units('sgemm_share', '{:.3g} %', 100)(results)}| sgemm | {measured} |\n"


def _served(signature: str, cell: Cell) -> Render:
    """Makes a table of servers by number of concurrent requests."""
    return grid(
        lambda results: (row for row in results["serving"] if row["signature"] == signature),
        *("", "{server}", "{concurrency} under way", cell),
    )


def _rate(row: Line) -> str:
    return f"{spread(row, 'requests_per_second', '{:.0f}')}, {float(row['times_first']):.2f}×"


def _latency(row: Line) -> str:
    return " / ".join(f"{float(row[key]):.3g}" for key in ("p50_ms", "p95_ms", "p99_ms"))


def _study(results: Results) -> str:
    (row,) = results["study"]
    return markdown(["", "measured"], [[key.replace("_", " "), row[key]] for key in row])


_ALARMS = {
    ("any_by_verdict", "0.0"): "some variant called different, verdict",
    ("any_by_welch_holm", "0.0"): "the same, Welch with Holm alone",
    **{("found_by_verdict", size): f"it sees {size}" for size in ("1.0", "1.5", "2.0", "3.0")},
}


def _alarms(results: Results) -> Iterable[Line]:
    for row in results["comparisons"]:
        if (row["what"], row["effect"]) in _ALARMS:
            yield {**row, "text": _ALARMS[row["what"], row["effect"]]}


def _guided_es(results: Results) -> Iterable[Line]:
    steps = ("0", "100", "1000", "5000", "10000")
    return (row for row in results["guided_es"] if row["step"] in steps)


def _ends(task: str) -> Callable[[Results], Iterable[Line]]:
    """Makes a function that returns the last row of each curve of a task."""

    def ends(results: Results) -> Iterable[Line]:
        rows = (row for row in results["guided_recurrent"] if row["task"] == task)
        return {(row["arm"], row["seed"]): row for row in rows}.values()

    return ends


# Columns that are the same for all kernels, or follow from other columns.
_UNIFORM = """kernel gradient_instructions gradient_multiply_adds gradient_shared_loads
gradient_shuffles forward_shared_loads backward_shared_loads"""

TABLES: dict[str, Render] = {
    "targets": _targets,
    "throughput": _by_units("milliseconds", "{:.3g}"),
    "ratios": _by_units("times_native", "{:.3g}×", skip=NATIVE),
    "shares": _shares,
    **{name: as_it_is(name) for name in "engines scaling lengths epoch layer".split()},
    **{
        f"depth_{name}": as_it_is(f"depth_{name}")
        for name in "parity addition music surprise".split()
    },
    "long_sequences": as_it_is("long_sequences", leave_out="data"),
    "study": _study,
    **{name: as_it_is(name) for name in ("start", "ray_scaling", "report_time", "gpu")},
    "memory": as_it_is("memory", every=33),
    "serving_sequence": _served("serving_default", _rate),
    "serving_sequence_latency": _served("serving_default", _latency),
    "serving_step": _served("step", _rate),
    "serving_step_latency": _served("step", _latency),
    "serving_start": as_it_is("serving_start"),
    "kernels": as_it_is("kernels", leave_out=_UNIFORM),
    "yardstick": as_it_is("yardstick", leave_out="data seconds"),
    "recognition": as_it_is("recognition", leave_out="task epochs best_epoch"),
    "importance": as_it_is("importance", leave_out="runs seconds"),
    "comparisons": grid(
        *(_alarms, "trials a variant | correlation", "{trials} | {top_correlation}", "{text}"),
        lambda row: row["share"],
    ),
    "guided_es": grid(
        *(_guided_es, "method | surrogate", "{method} | {surrogate}", "{step}"),
        lambda row: spread(row, "gap", "{:.4f}"),
    ),
    **{
        f"guided_{task}": grid(
            *(_ends(task), "| better rate", "{arm} | {rate}", "seed {seed}"),
            lambda row: spread(row, "loss", "{:.4f}"),
        )
        for task in ("recall", "music")
    },
    "truncation": grid(
        *(lambda results: results["truncation"], "", "{task}", "cut every {cut_every}"),
        lambda row: spread(row, "cosine", "{:.3f}"),
    ),
}
"""Tables that a page can contain, by name, in addition to `machine`."""


def render(page: str, results: Results, facts: Mapping[str, str]) -> str:
    """Fills in the tables of a page; see `read`."""

    def fill(match: re.Match[str]) -> str:
        try:
            text = _machine(facts) if match[2] == "machine" else TABLES[match[2]](results)
        except (KeyError, ValueError):
            text = "Not measured yet.\n"
        return f"{match[1]}\n{text}\n{match[3]}"

    return _PLACE.sub(fill, page)


def main() -> int:
    """Runs the command."""
    results, facts = read(table.RESULTS, table.STUDIES)
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (written := render(text, results, facts)) != text:
            files.write_text(page, written)
            print(f"page: {page.relative_to(table.ROOT)}")
    image = plots.trial_throughput(results["trial_throughput"])
    files.write_text(DOCS / "images" / "trial_throughput.svg", image)
    print(_targets(results), end="")
    return 0


if __name__ == "__main__":
    command_line.run(main)
