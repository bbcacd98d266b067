"""`study.json`: what a study is; written when it begins, and compared whenever it goes on."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import files, kinds, machine
from common.errors import InputError, one_line
from tuner.search.space import Space
from tuner.study.presets import StudyConfig
from tuner.tasks.task import DatasetInfo, Metric
from tuner.training import engines
from tuner.training.protocol import Protocol
from zoo import registry

RANDOM = "random"
"""The paper's sampler, and that of releases that had no other."""


@dataclasses.dataclass(frozen=True)
class _Plain:
    """The kinds of the facts that are no dataclasses."""

    task: str
    seed: int
    space: Mapping[str, list[float]]
    versions: Mapping[str, str]
    sampler: str | None = None
    machines: list[str] = dataclasses.field(default_factory=list)
    commands: list[str] = dataclasses.field(default_factory=list)
    cells: Mapping[str, str] = dataclasses.field(default_factory=dict)


def check(facts: Any, where: str) -> dict[str, Any]:
    """Checks that the facts of a study are those that it goes on with, and that the analysis needs.

    Args:
        facts: what `study.json` says, or the columns of a table.
        where: the file, for the message.

    Returns:
        The facts as this release writes them: the space as `Space.to_json` does, the sampler only
        if it is not the paper's, which draws at random.

    Raises:
        InputError: if something is missing, unknown or of another form; others are not looked at.
    """
    try:
        plain = {field.name for field in dataclasses.fields(_Plain)}
        for parts in (
            _Plain(**{name: fact for name, fact in facts.items() if name in plain}),
            Metric(**facts["metric"]),
            DatasetInfo(**facts["data"]),
            Protocol(**facts["protocol"]),
        ):
            kinds.check([parts])
        if not files.is_name(facts["task"]):
            raise ValueError(
                f"task: expected a name that a folder can have. Received: {facts['task']!r:.60}"
            )
        named = {**facts, "space": Space.from_json(facts["space"]).to_json()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where}: expected task, metric, data, protocol, space, seed and versions of a study: "
            f"{type(error).__name__} {one_line(str(error))}"
        ) from error
    if named.get("sampler") in (None, RANDOM):
        named.pop("sampler", None)
    return named


def load(path: Path) -> dict[str, Any]:
    """Reads `study.json`; see `check`.

    Raises:
        InputError: if it holds something else.
        FileNotFoundError: if there is none.
    """
    return check(files.read_json(path), str(path))


def update(
    path: Path, config: StudyConfig, command: str, others: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Writes what a study is, or compares it with what is there.

    Args:
        path: `study.json`.
        config: what the study shall do.
        command: the command line that does it; may be empty.
        others: facts of studies whose trials it has adopted: their machines and commands are added.

    Raises:
        InputError: if the file holds something else, or the study was begun with other facts.
        OSError: if it cannot be written.
    """
    facts = _facts(config)
    begun: dict[str, Any] = {}
    if path.exists():
        # What an earlier release wrote stays as it is.
        begun = files.read_json(path)
        check(begun, str(path))
        for name, before, now in _differences(begun, facts):
            raise InputError(
                f"{path}: this study was begun with {name} {before}; now it is {now}. "
                "Use the same again, or another --study_dir"
            )
    # A study may be continued elsewhere, or by a command that asks for more of it.
    here = {"machines": [machine.describe()], "commands": [command]}
    grown: dict[str, Any] = {
        name: _joined(begun.get(name, []), *(other.get(name, []) for other in others), ours)
        for name, ours in here.items()
    }
    if "cells" in facts:
        grown["cells"] = begun.get("cells", {}) | facts["cells"]
    if not grown.items() <= begun.items():
        files.write_text(path, json.dumps(facts | begun | grown, indent=2) + "\n")


def _facts(config: StudyConfig) -> dict[str, Any]:
    problem = config.problem
    facts: dict[str, Any] = {
        "task": problem.task.name,
        "metric": dataclasses.asdict(problem.task.metric),
        "data": dataclasses.asdict(problem.corpus.dataset),
        "protocol": dataclasses.asdict(problem.protocol),
        "space": config.space.to_json(),
        "sampler": config.sampler,
        "seed": config.seed,
        "versions": engines.versions(),
    }
    if problem.cells:
        facts["cells"] = {registry.find_variant(cell): cell for cell in problem.cells}
    # Through JSON, as they come back from the file.
    jsoned: dict[str, Any] = json.loads(json.dumps(facts))
    return jsoned


def compare(others: Mapping[str, Any], config: StudyConfig, where: str) -> None:
    """Checks that a study's trials could be those of another one.

    Args:
        others: facts of the other study, as `check` returns them.
        config: what the study does.
        where: the file of the other one, for the message.

    Raises:
        InputError: if a fact on which numbers depend differs.
    """
    for name, before, now in _differences(others, _facts(config)):
        raise InputError(f"{where}: expected trials of the {name} {now}. Received: {before}")


def _differences(
    begun: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yields the facts on which numbers depend and that differ, and how, before and now."""
    for name, now in facts.items():
        before = _today(name, begun.get(name))
        shared: Iterable[str] | None = None
        match name:
            case "data":
                # The same data may come from another file: only its hash and name matter.
                shared = {"name", "sha256"}
            case "cells" | "versions":
                # A study may get further cells, and earlier releases named fewer libraries.
                before = before or {}
                shared = before.keys() & now.keys()
        if shared is not None:
            before, now = ({key: side[key] for key in sorted(shared)} for side in (before, now))
        if before != now:
            yield name, _short(before, now), _short(now, before)


def _today(name: str, fact: Any) -> Any:
    """A checked fact as this release writes it, of a study that an earlier one began."""
    match name:
        case "protocol":
            return dataclasses.asdict(Protocol(**fact))
        case "space":
            return Space.from_json(fact).to_json()
        case "sampler":
            return fact or RANDOM
    return fact


def _joined(*lists: Iterable[str]) -> list[str]:
    """All that is not empty, each once, in the order of the first places."""
    return [one for one in dict.fromkeys(itertools.chain(*lists)) if one]


def _short(value: Any, other: Any) -> str:
    """Writes a fact, or only those of its parts that differ from another."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: part for key, part in value.items() if other.get(key) != part}
    return json.dumps(value)
