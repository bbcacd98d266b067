"""The report of one or several studies: a page that needs no network, its tables and figures.

report/index.html              the page, all in one file
       trials.csv, .parquet    every trial (docs/trial_table.md); the page can be made from it alone
       tables/*.csv            the numbers of the page
       figures/*.svg           its figures
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import files
from tuner.analysis import study_analysis
from tuner.analysis.report import figures, page, tables
from tuner.analysis.report.page import StudyPage
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials import table
from tuner.analysis.trials.records import Records
from tuner.analysis.words import claims, findings, guidelines
from tuner.search.space import PAPER
from tuner.study.facts import RANDOM

_TRIALS = ("trials.csv", "trials.parquet")


def write(studies: Sequence[Records], folder: Path, backend: str = "forest") -> Path:
    """Writes a report on the trials finished so far.

    Args:
        studies: one or several, with different names.
        folder: the output folder; created if it does not exist.
        backend: back end that computes the importance, "forest" or "fanova".

    Returns:
        The path of the page, `index.html`.

    Raises:
        InputError: if the package of the back end is not installed.
        OSError: if the report cannot be written.
    """
    analyses = {study.name: study_analysis.analyze(study, backend) for study in studies}
    beside = _write_beside(analyses, folder)
    keys = _keys(list(analyses))
    pages = []
    for name, analysis in analyses.items():
        drawn = figures.draw(analysis)
        figure_files = {figure.name: f"figures/{keys[name]}-{figure.name}.svg" for figure in drawn}
        for figure in drawn:
            files.write_text(folder / figure_files[figure.name], figure.svg)
        pages.append(
            StudyPage(
                key=keys[name],
                analysis=analysis,
                figures=drawn,
                findings=findings.find(analysis) + guidelines.guide(analysis),
                claims=claims.check(analysis),
                command=command(analysis.records),
                files=beside,
                figure_files=figure_files,
            )
        )
    path = folder / "index.html"
    files.write_text(path, page.render(pages))
    return path


def _write_beside(analyses: Mapping[str, StudyAnalysis], folder: Path) -> dict[str, str]:
    """Writes the tables and returns their addresses, relative to the page, by name."""
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in _TRIALS:
        table.write([analysis.records for analysis in analyses.values()], folder / name)
    written = tables.write(analyses)
    for name, text in written.items():
        files.write_text(folder / "tables" / f"{name}.csv", text)
    return {name: name for name in _TRIALS} | {
        f"{name}.csv": f"tables/{name}.csv" for name in written
    }


def _keys(names: Sequence[str]) -> dict[str, str]:
    """Makes a unique prefix for the anchors and figure files of each study."""
    keys: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "study"
        if not plain[0].isalpha():
            plain = f"study-{plain}"
        key, number = plain, 1
        while key in keys.values():
            number += 1
            key = f"{plain}-{number}"
        keys[name] = key
    return keys


def command(study: Records) -> str:
    """Returns the commands that made a study, one per line."""
    commands: list[str] = study.facts.get("commands", [])
    return "\n".join(commands) or _derived_command(study)


def _derived_command(study: Records) -> str:
    """Derives the command of a study that was begun without one, or by an earlier release."""
    facts = study.facts
    rules = facts["protocol"]
    trials = max(study.planned.values())
    searched = facts.get("variants") or list(study.planned)
    if "lag" in facts:
        # The sampler has chosen the variants.
        trials = math.ceil(sum(study.planned.values()) / len(searched))
    flags = [
        f"--task={facts['task']}",
        f"--variants={','.join(searched)}",
        f"--trials={trials}",
        *(f"--{rule}={rules[rule]}" for rule in ("max_epochs", "patience")),
        f"--seed={facts['seed']}",
    ]
    ranges = [f"{row.name}={row.low}:{row.high}" for row in study.space if row not in PAPER]
    if study.sampler != RANDOM:
        flags.append(f"--sampler={study.sampler}")
    if "lag" in facts:
        flags.append(f"--lag={facts['lag']}")
    if ranges:
        flags.append(f"--space={','.join(ranges)}")
    return shlex.join(["python", "-m", "tuner.run", *flags])
