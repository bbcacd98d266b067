"""Loading of studies from directories and tables of trials, one or several at a time."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from common import text
from common.errors import InputError
from tuner.analysis.trials import records, table
from tuner.analysis.trials.records import Records
from tuner.training.protocol import Protocol


def load_all(paths: Sequence[Path]) -> tuple[Records, ...]:
    """Loads studies from directories and from tables of trials, in any mixture.

    Trials from several places with the same task, data, protocol, space and seed are one study:
    its variants may come from different places, but each from only one.

    Args:
        paths: study directories, and `.csv` or `.parquet` files of `tuner.analysis.trials.table`.

    Returns:
        The studies in the order of their first paths, with different names.

    Raises:
        InputError: if a path is neither or is damaged, or a variant of a study occurs twice.
    """
    parts: dict[str, list[tuple[Path, Records]]] = {}
    for place, path in enumerate(paths):
        if path.resolve() in [earlier.resolve() for earlier in paths[:place]]:
            raise InputError(f"--study_dir: expected each study once. Received twice: {path}")
        for study in table.read(path) if path.is_file() else [records.load(path)]:
            alike = parts.setdefault(_identity(study), [])
            for other_path, other in alike:
                if shared := other.entries.keys() & study.entries.keys():
                    raise InputError(
                        f"--study_dir: expected each variant of a study once. Received: {path} "
                        f"and {other_path}, which both have {min(shared)}"
                    )
            alike.append((path, study))
    return with_different_names(_merge([part for _, part in alike]) for alike in parts.values())


def with_different_names(studies: Iterable[Records]) -> tuple[Records, ...]:
    """Numbers studies that have the name of an earlier one: `music`, `music (2)`."""
    named: dict[str, Records] = {}
    for study in studies:
        names = (f"{study.name} ({number})" for number in itertools.count(2))
        name = next(name for name in itertools.chain([study.name], names) if name not in named)
        named[name] = dataclasses.replace(study, name=name)
    return tuple(named.values())


def load_one(path: Path) -> Records:
    """Loads a study directory, or a table of the trials of one study.

    Raises:
        InputError: if it is neither or is damaged, or has the trials of no study or of several.
    """
    studies = load_all([path])
    if len(studies) != 1:
        names = text.listed([study.name for study in studies]) if studies else "none"
        raise InputError(f"{path}: expected the trials of one study. Received: {names}")
    return studies[0]


def _identity(study: Records) -> str:
    """Returns what the parts of one study have in common."""
    facts = study.facts
    data = {name: facts["data"][name] for name in ("name", "sha256")}
    alike = {name: facts[name] for name in ("task", "metric", "space", "seed")}
    # An earlier release recorded fewer rules, which were then the only ones.
    protocol = dataclasses.asdict(Protocol(**facts["protocol"]))
    # A sampler that chooses among variants has searched them together.
    sampler = [study.sampler, facts.get("lag"), facts.get("variants")]
    return json.dumps([alike, data, protocol, sampler], sort_keys=True)


def _merge(parts: Sequence[Records]) -> Records:
    """Merges parts with different variants into one study."""
    if len(parts) == 1:
        return parts[0]
    facts = dict(parts[0].facts)
    # Each library's version or versions, and all machines and commands.
    facts["versions"] = {
        name: ", ".join(_distinct(part.facts["versions"].get(name) for part in parts))
        for name in _distinct(name for part in parts for name in part.facts["versions"])
    }
    for name in ("machines", "commands"):
        facts[name] = _distinct(each for part in parts for each in part.facts.get(name, ()))
    cells = {code: path for part in parts for code, path in part.facts.get("cells", {}).items()}
    facts |= {"cells": cells} if cells else {}
    return records.gather(
        facts["task"],
        facts,
        [code for part in parts for code in part.entries],
        [record for part in parts for record in part.trials],
    )


def _distinct(values: Iterable[str | None]) -> list[str]:
    """Returns the values without duplicates, in order of first appearance."""
    return [value for value in dict.fromkeys(values) if value is not None]
