"""What a figure is as a file and as a part of a page, and when there is none."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from tests.tuner.analysis import made_up
from tests.tuner.analysis.made_up_page import CODES, LOW, NLL, analyzed, bare_study, drawn, study
from tuner.analysis.importance.importance import Effect
from tuner.analysis.report import figures
from tuner.analysis.report.figures import interactions, scales, style
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import ExpectedBest
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.training.protocol import TrialRecord

NAMES = (
    "variants",
    "marginals",
    "importance",
    "interactions",
    "learning_curves",
    "axes",
    "expected_best",
)


def words(svg: str) -> list[str]:
    return [text.strip() for one in ElementTree.fromstring(svg).iter() if (text := one.text)]


def test_every_figure_is_there_and_names_itself() -> None:
    assert tuple(figure.name for figure in drawn()) == NAMES
    for figure in drawn():
        root = ElementTree.fromstring(figure.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("role") == "img"
        assert root.get("viewBox", "").startswith("0 0 648 ")
        by_id = {one.get("id"): one.text or "" for one in root.iter() if one.get("id")}
        title, description = root.attrib["aria-labelledby"].split()
        assert by_id[title] == figure.title
        assert len(by_id[description]) > 40 and "nan" not in by_id[description]
        assert figure.caption.endswith(".") and "  " not in figure.caption


def test_identifiers_are_unique_over_studies_and_lead_to_their_own_figure() -> None:
    found: list[str] = []
    for figure in (*drawn(), *figures.draw(bare_study(trials=2, seed=2))):
        own = re.findall(r'\bid="([^"]+)"', figure.svg)
        assert all(identifier.startswith(figure.name + "-") for identifier in own)
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', figure.svg)) <= set(own)
        found += own
    assert len(found) == len(set(found)) > 50


def test_nothing_from_outside_and_nothing_for_the_rest_of_the_page() -> None:
    for figure in drawn():
        without_names = re.sub(r'xmlns(:\w+)?="[^"]+"', "", figure.svg)
        assert "http" not in without_names and "<script" not in without_names
        assert "@import" not in figure.svg and "<!" not in figure.svg and "<?" not in figure.svg
        (rule,) = re.findall(r"<style[^>]*>(.*?)</style>", figure.svg)
        # `svg:root` is the root of a file, never an element of a page.
        selectors = re.findall(r"([^{};]+)\{", rule)
        assert selectors == ["svg:root", "@media (prefers-color-scheme:dark)", "svg:root"]


def test_the_same_numbers_give_the_same_bytes() -> None:
    with matplotlib.rc_context(style.SETTINGS):
        again = [*figures.draw(bare_study()), interactions.draw(study())]
    assert len(again) == 4 and set(again) <= set(drawn())


def test_colors_of_text_and_lines_follow_the_page() -> None:
    for figure in drawn():
        drawing = figure.svg.partition("</style>")[2]
        for role, (color, _) in style.ROLES.items():
            named = drawing.count(f"var(--figure-{role}, {color})")
            # Each is written twice, first for programs that know no variables.
            assert drawing.count(color) == 2 * named
        assert "var(--figure-ink" in drawing


def luminance(color: str) -> float:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_every_series_is_seen_on_light_and_dark_and_told_apart_without_color() -> None:
    # The nine, and thirty cells of a user.
    styles = style.series([*made_up.VARIANTS, *(f"Cell{number}" for number in range(30))])
    others = [one.color for code, one in styles.items() if code != "V"]
    light, dark = (luminance(paper) for paper in style.ROLES["paper"])
    for color in others:
        assert 1.05 / (luminance(color) + 0.05) >= 3.0, color
        assert (luminance(color) + 0.05) / (dark + 0.05) >= 3.0, color
    assert light == pytest.approx(1.0)
    assert len(set(others)) == 38 and len({str(one.dash) for one in styles.values()}) > 30
    assert len({one.marker for one in styles.values()}) == 9 + 30
    assert styles["NP"] == style.series(made_up.VARIANTS)["NP"]


def test_a_log_axis_is_one_in_the_file() -> None:
    curve = ExpectedBest("V", (9.0,) * 100, tuple(np.linspace(10, 9, 100)), (0.1,) * 100)
    figure = figures.draw(
        dataclasses.replace(study(), summaries=(), importance={}, expected_best=(curve,))
    )[0]
    place = {
        one.text: float(one.attrib["x"])
        for one in ElementTree.fromstring(figure.svg).iter()
        if one.text in ("1", "10", "100") and "text-anchor: middle" in one.attrib["style"]
    }
    assert place["10"] - place["1"] == pytest.approx(place["100"] - place["10"], abs=0.02)
    assert place["1"] < place["10"]


def test_a_study_without_trials_has_no_figures() -> None:
    assert not figures.draw(
        dataclasses.replace(study(), summaries=(), expected_best=(), importance={})
    )


def test_what_is_lacking_is_said_or_left_out() -> None:
    bare = bare_study(trials=2)
    found = {figure.name: figure for figure in figures.draw(bare)}
    assert set(found) == {"variants", "learning_curves", "axes"}
    assert "Not tested: NFG, because there are 2 trials" in found["variants"].caption
    captions = {figure.name: figure.caption for figure in drawn()}
    for name in ("marginals", "importance"):
        assert f"Not drawn: NP (score and time), because {LOW.reason}." in captions[name]


def test_without_vanilla_the_pooled_trials_stand_for_it() -> None:
    # Whatever the order is.
    lacking = {
        (code, target): LOW if code == "V" else one
        for (code, target), one in reversed(study().importance.items())
    }
    figure = interactions.draw(dataclasses.replace(study(), importance=lacking))
    assert figure is not None
    assert "Mean test NLL of all variants pooled (180 trials)" in figure.caption


def test_one_trial_and_equal_scores_are_drawn() -> None:
    records = made_up.records(20, CODES)
    one = records.entries["V"][0]
    untrained = dataclasses.replace(one.result, curve=one.result.curve[:1], best_epoch=0)
    for entries, names in (
        ((TrialRecord(one.trial, untrained),), ["variants", "axes"]),
        ((one, one, one), ["variants", "learning_curves", "axes", "expected_best"]),
    ):
        summary = (summaries.summarize("V", entries, 0, 20),)
        bare = StudyAnalysis(
            records=dataclasses.replace(records, entries={"V": entries}),
            metric=NLL,
            summaries=summary,
            comparisons={},
            expected_best=(summaries.expected_best("V", entries),),
            importance={},
        )
        found = figures.draw(bare)
        assert [figure.name for figure in found] == names
        assert not any("nan" in " ".join(words(figure.svg)).lower() for figure in found)


def test_factors_that_a_user_fixed_are_no_columns() -> None:
    whole = analyzed("V", "test")
    alone = dataclasses.replace(
        whole,
        factors=whole.factors[1:2],
        mains=(Effect(("learning_rate",), 1.0, 0.0),),
        pairs=(),
        higher_order=Effect((), 0.0, 0.0),
        marginals=whole.marginals[1:2],
        surfaces=(),
    )
    changed = dataclasses.replace(
        study(), importance={("V", "test"): alone}, summaries=(), expected_best=()
    )
    assert [figure.name for figure in figures.draw(changed)] == ["marginals", "importance"]


@pytest.mark.parametrize("low, high", [(1e-4, 3e-4), (1e-6, 1e-2), (20, 21), (1e-12, 1e3)])
def test_log_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = scales.log_ticks(low, high)
    assert 2 <= len(ticks) <= 9 and low <= min(ticks) and max(ticks) <= high * (1 + 1e-9)
