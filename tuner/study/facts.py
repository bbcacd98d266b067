"""`study.json`, which defines a study: written when it begins, compared whenever it is resumed."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import files, kinds, machine
from common.errors import InputError, one_line
from tuner.search.samplers import SAMPLERS
from tuner.search.space import Space
from tuner.study.presets import StudyConfig
from tuner.tasks.task import DatasetInfo, Metric, find_task, import_path_of, load_corpus
from tuner.training import engines
from tuner.training.protocol import Problem, Protocol
from zoo import registry

RANDOM = "random"
"""The paper's sampler, and the only one in early releases."""


@dataclasses.dataclass(frozen=True)
class _Plain:
    """Types of the facts that are not dataclasses."""

    task: str
    seed: int
    space: Mapping[str, list[float]]
    versions: Mapping[str, str]
    sampler: str | None = None
    lag: int | None = None
    variants: list[str] = dataclasses.field(default_factory=list)
    machines: list[str] = dataclasses.field(default_factory=list)
    commands: list[str] = dataclasses.field(default_factory=list)
    cells: Mapping[str, str] = dataclasses.field(default_factory=dict)
    task_class: str | None = None


def check(facts: Any, where: str) -> dict[str, Any]:
    """Checks that facts contain what is needed to resume and to analyze a study.

    Args:
        facts: the contents of `study.json`, or of the columns of a table.
        where: the file, for error messages.

    Returns:
        The facts as this release writes them: the space as returned by `Space.to_json`, the sampler
        only if it is not the paper's random search.

    Raises:
        InputError: if a needed fact is missing, unknown or malformed; other facts are ignored.
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


def load_problem(facts: Mapping[str, Any], data: str) -> Problem:
    """Loads what the trials of a study were trained on, to train some of them again.

    Args:
        facts: the facts of the study, checked.
        data: see `tuner.tasks.task.Task.load`.

    Raises:
        InputError: if the task cannot be imported, or these are other data.
    """
    task = find_task(facts.get("task_class", facts["task"]))
    corpus = load_corpus(task, data)
    expected, received = facts["data"]["sha256"], corpus.dataset.sha256
    if received != expected:
        raise InputError(
            f"--data: expected the data of the trials, sha256 {expected}. Received: {received}"
        )
    cells = tuple(facts.get("cells", {}).values())
    return Problem(task, corpus, Protocol(**facts["protocol"]), cells)


def load(path: Path) -> dict[str, Any]:
    """Reads `study.json`; see `check`.

    Raises:
        InputError: if the file is not a valid `study.json`.
        FileNotFoundError: if the file does not exist.
    """
    return check(files.read_json(path), str(path))


def update(
    path: Path, config: StudyConfig, command: str, others: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Writes the facts of a study, or compares them with those of an existing file.

    Args:
        path: path of `study.json`.
        config: the configuration of the study.
        command: the command line that runs it; may be empty.
        others: facts of studies whose trials were adopted; their machines and commands are added.

    Raises:
        InputError: if the file is invalid, or the study was begun with different facts.
        OSError: if the file cannot be written.
    """
    facts = _facts(config)
    begun: dict[str, Any] = {}
    if path.exists():
        # Facts written by an earlier release stay as they are.
        begun = files.read_json(path)
        check(begun, str(path))
        for name, before, now in _differences(begun, facts):
            raise InputError(
                f"{path}: this study was begun with {name} {before}; now it is {now}. "
                "Use the same again, or another --study_dir"
            )
    # A study may be resumed on another machine, or extended by another command.
    here = {"machines": [machine.describe()], "commands": [command]}
    grown: dict[str, Any] = {
        name: _joined(begun.get(name, []), *(other.get(name, []) for other in others), ours)
        for name, ours in here.items()
    }
    if path_of_task := import_path_of(config.problem.task):
        grown["task_class"] = path_of_task
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
        "versions": engines.versions(SAMPLERS[config.sampler].packages),
    }
    if config.joint:
        # The proposals of such a sampler depend on both.
        facts |= {"lag": config.lag, "variants": config.variants}
    if problem.cells:
        facts["cells"] = {registry.find_variant(cell): cell for cell in problem.cells}
    # Through JSON, so that they equal facts that were read from the file.
    jsoned: dict[str, Any] = json.loads(json.dumps(facts))
    return jsoned


def compare(others: Mapping[str, Any], config: StudyConfig, where: str) -> None:
    """Checks that the trials of another study are compatible with a study.

    Args:
        others: facts of the other study, as returned by `check`.
        config: the configuration of the study.
        where: the file of the other study, for error messages.

    Raises:
        InputError: if a fact that affects results differs.
    """
    for name, before, now in _differences(others, _facts(config)):
        raise InputError(f"{where}: expected trials of the {name} {now}. Received: {before}")


def _differences(
    begun: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yields the name, old value and new value of each changed fact that affects results."""
    for name, now in facts.items():
        before = _today(name, begun.get(name))
        shared: Iterable[str] | None = None
        match name:
            case "data":
                # The same data may come from another file: only the name and the hash matter.
                shared = {"name", "sha256"}
            case "cells" | "versions":
                # Cells may be added to a study, and earlier releases recorded fewer libraries.
                before = before or {}
                shared = before.keys() & now.keys()
        if shared is not None:
            before, now = ({key: side[key] for key in sorted(shared)} for side in (before, now))
        if before != now:
            yield name, _short(before, now), _short(now, before)


def _today(name: str, fact: Any) -> Any:
    """Converts a checked fact, possibly of an earlier release, to this release's format."""
    match name:
        case "protocol":
            return dataclasses.asdict(Protocol(**fact))
        case "space":
            return Space.from_json(fact).to_json()
        case "sampler":
            return fact or RANDOM
    return fact


def _joined(*lists: Iterable[str]) -> list[str]:
    """Returns all nonempty items without duplicates, in order of first appearance."""
    return [one for one in dict.fromkeys(itertools.chain(*lists)) if one]


def _short(value: Any, other: Any) -> str:
    """Formats a fact, or only those of its parts that differ from another fact."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {key: part for key, part in value.items() if other.get(key) != part}
    return json.dumps(value)
