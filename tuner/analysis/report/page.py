"""The page of one or several studies: one HTML file that needs no network."""

from __future__ import annotations

import base64
import collections
import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
import markupsafe

from common import text
from tuner.analysis.importance.factors import VARIANT
from tuner.analysis.importance.importance import Effect, Importance
from tuner.analysis.report import trial_list
from tuner.analysis.statistics.summaries import InsufficientData
from tuner.analysis.words import deviations
from tuner.search.space import Hyperparameter
from zoo.registry import variant_name

if TYPE_CHECKING:
    from tuner.analysis.report.figures import Figure
    from tuner.analysis.study_analysis import StudyAnalysis
    from tuner.analysis.words.claims import Claim
    from tuner.analysis.words.findings import Finding

# The figures that belong to sections, in the order of the page.
_PLACES = (
    "variants",
    "marginals",
    "importance",
    "axes",
    "interactions",
    "learning_curves",
    "expected_best",
    "progress",
)


@dataclasses.dataclass(frozen=True)
class StudyPage:
    """Everything that the page says about one study.

    Attributes:
        key: prefix of the anchors of this study; letters, digits, `-` and `_`.
        analysis: the numbers.
        figures: the figures drawn from them.
        findings: the summary in words, and guidelines.
        claims: what the paper found, next to what this study found.
        command: the commands that reproduce the study, one per line.
        files: addresses of the files next to the page, relative to it, by label:
            `{"variants.csv": "tables/variants.csv"}`.
        figure_files: addresses of the figures by name, relative to the page.
    """

    key: str
    analysis: StudyAnalysis
    figures: Sequence[Figure]
    findings: Sequence[Finding]
    claims: Sequence[Claim]
    command: str
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    figure_files: Mapping[str, str] = dataclasses.field(default_factory=dict)


def render(studies: Sequence[StudyPage]) -> str:
    """Renders the page.

    Its script only changes the list of trials and the colors; without it, the page says the same.
    The page's own policy (CSP) denies it network access.

    Args:
        studies: at least one study; with several, the page begins with a table of all of them.

    Returns:
        An HTML document that contains its style, its script and its figures.

    Raises:
        ValueError: if two studies have the same key, or a key cannot be part of an anchor.
    """
    keys = [study.key for study in studies]
    if len(set(keys)) != len(keys) or not all(re.fullmatch(r"[\w-]+", key) for key in keys):
        raise ValueError(f"expected keys of letters, digits, - and _, each once. Received: {keys}")
    script = _source("table.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    numbers: dict[tuple[str, str], int] = {}
    for study in studies:
        for figure in _in_order(study.figures):
            numbers[study.key, figure.name] = len(numbers) + 1
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            studies=[_view(study) for study in studies],
            variants=list(
                dict.fromkeys(code for study in studies for code in study.analysis.records.planned)
            ),
            numbers=numbers,
            style=style(),
            script=markupsafe.Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuner.analysis.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # There may be half a million points, hence no spaces between them.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters |= {
        "number": text.significant,
        "bound": text.bound,
        "words": _words,
        "signed": _signed,
        "p": text.p_value,
        "percent": text.percent,
        "effect": _effect,
        "status": trial_list.status,
        "variant": variant_name,
        "duration": text.duration,
    }
    environment.tests["lacking"] = lambda value: isinstance(value, InsufficientData)
    return environment


def style() -> markupsafe.Markup:
    """Returns the style sheet of a page, which begins with what all pages share."""
    theme = resources.files("common").joinpath("theme.css").read_text(encoding="utf-8")
    return markupsafe.Markup(theme + _source("style.css"))


def _source(name: str) -> str:
    path = resources.files("tuner.analysis.report").joinpath("templates", name)
    return path.read_text(encoding="utf-8")


_GLUED = re.compile(r"(?<=[\d%]) (?=[%±])|(?<=[±<=]) (?=[\d−])|(?<=\b[pgn]) (?=[<=])")
_POWER = re.compile(r"\d[\d.]*e-\d+")


def _words(sentence: str) -> markupsafe.Markup:
    """Keeps the numbers in a sentence on one line with their signs and units."""
    escaped = str(markupsafe.escape(_GLUED.sub("\N{NO-BREAK SPACE}", sentence)))
    return markupsafe.Markup(_POWER.sub(r'<span class="whole">\g<0></span>', escaped))


def _signed(value: float, digits: int = 3) -> str:
    number = text.significant(value, digits)
    return f"+{number}" if value > 0 else number


def _effect(effect: Effect) -> str:
    share, std = 100 * effect.share, 100 * effect.std
    digits = 0 if max(share, std) >= 9.95 else 1
    return f"{share:.{digits}f} ± {std:.{digits}f}"


def _view(study: StudyPage) -> dict[str, Any]:
    """Collects what the templates need for a study."""
    analysis = study.analysis
    records = analysis.records
    columns = trial_list.columns(records)
    names = dict.fromkeys(target for _, target in analysis.importance)
    targets = [_target(name, analysis.importance) for name in names]
    return {
        "page": study,
        "key": study.key,
        "analysis": analysis,
        "records": records,
        "facts": records.facts,
        "metric": analysis.metric,
        "paper": not deviations.of_search(records),
        "planned": sum(records.planned.values()),
        "failures": records.all_failures,
        "summaries": {summary.variant: summary for summary in analysis.summaries},
        "seconds": sum(
            summary.seconds.mean * summary.seconds.count for summary in analysis.summaries
        ),
        "engines": sorted({entry.result.engine for entry in records.all_entries}),
        "findings": [one for one in study.findings if one.kind == "finding"],
        "guidelines": [one for one in study.findings if one.kind == "guideline"],
        "figures": {
            figure.name: (figure, _inline(figure, study.key)) for figure in _in_order(study.figures)
        },
        "others": [figure.name for figure in study.figures if figure.name not in _PLACES],
        "ranges": text.capitalized(", ".join(map(_range, records.space))),
        "grouped": any(column.name == "merged" for column in columns),
        "columns": columns,
        "rows": trial_list.rows(records),
        "curves": trial_list.curves(records),
        "no_comparison": _only_reason(analysis.comparisons.values()),
        "targets": targets,
        "ped_anova": [target for target in targets if target["ped_anova"]],
        "pairs": _pairs(analysis.importance),
    }


def _range(row: Hyperparameter) -> str:
    name = f"1 − {row.short}" if row.scale == "one_minus_log" else row.short
    low, high = map(text.bound, row.sampled_range)
    return f"{name} {low} to {high} ({'log' if row.logarithmic else 'linear'})"


def _inline(figure: Figure, key: str) -> markupsafe.Markup:
    """Inserts a figure into the page unescaped: it was drawn from numbers and codes.

    Its identifiers get the key as a prefix, since the name and the hash of the content that they
    begin with are the same in two studies of the same trials.
    """
    own = re.compile(rf'(?<=[#" ])(?={re.escape(figure.name)}-[0-9a-f]{{8}}-)')
    return markupsafe.Markup(own.sub(f"{key}-", figure.svg))


def _only_reason(results: Iterable[object]) -> str:
    """Returns the reason why there is no result at all, if it is the same for all."""
    reasons = {result.reason if isinstance(result, InsufficientData) else "" for result in results}
    return reasons.pop() if len(reasons) == 1 else ""


def _in_order(figures: Iterable[Figure]) -> list[Figure]:
    """Sorts figures in the order of the page; those that belong to no section come last."""
    places = {name: place for place, name in enumerate(_PLACES)}
    return sorted(figures, key=lambda figure: places.get(figure.name, len(places)))


_Results = Mapping[tuple[str | None, str], Importance | InsufficientData]


def _subject(variant: str | None) -> str:
    return "all variants" if variant is None else variant


def _target(name: str, importance: _Results) -> dict[str, Any]:
    """Collects the importance for one target: a row for the pooled trials and each variant."""
    rows = [(_subject(key), result) for (key, of), result in importance.items() if of == name]
    found = [(subject, result) for subject, result in rows if isinstance(result, Importance)]
    labels = {factor.name: factor.label for _, result in found for factor in result.factors}
    total = collections.Counter[str]()
    for _, result in found:
        total.update({effect.names[0]: effect.share for effect in result.mains})
    # Only the pooled trials differ in their variant.
    ranked = sorted(labels, key=lambda factor: (factor == VARIANT, -total[factor]))
    return {
        "name": name,
        "rows": rows,
        "results": found,
        "labels": {factor: labels[factor] for factor in ranked},
        "backends": sorted({result.backend for _, result in found}),
        "clipped": [(subject, result) for subject, result in found if result.clipped],
        "ped_anova": any(result.ped_anova for _, result in found),
    }


def _pairs(importance: _Results) -> dict[str, Any]:
    """Collects interactions on the test score: a row per pair, the largest first."""
    results = {
        _subject(variant): result
        for (variant, target), result in importance.items()
        if target == "test" and isinstance(result, Importance)
    }
    effects: dict[str, dict[str, Effect]] = {}
    for subject, result in results.items():
        for effect in result.pairs:
            name = " × ".join(result.factor(factor).label for factor in effect.names)
            effects.setdefault(name, {})[subject] = effect
    ranked = sorted(
        effects.items(), key=lambda item: -max(effect.share for effect in item[1].values())
    )
    return {
        "subjects": list(results),
        "rows": [(name, [found.get(subject) for subject in results]) for name, found in ranked],
    }
