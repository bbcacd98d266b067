"""Figures against numbers made up by hand: what is drawn where, and what the file is."""

from __future__ import annotations

import dataclasses
import functools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest

from tests.tuner.analysis import made_up, made_up_page
from tests.tuner.ledger_test import make_entry
from tuner.analysis import figures, statistics
from tuner.analysis.evidence import NotEnough
from tuner.analysis.factors import Factor
from tuner.analysis.figures import (
    axes,
    expected_best,
    importance,
    interactions,
    learning_curves,
    marginals,
    scales,
    style,
    variants,
)
from tuner.analysis.importance import Effect, Importance, Marginal, Surface
from tuner.analysis.statistics import Comparison, Distribution, ExpectedBest, VariantSummary
from tuner.analysis.study_analysis import TARGETS, StudyAnalysis
from tuner.ledger import Entry
from tuner.protocol import Epoch, Score
from tuner.tasks.task import Metric

NLL = Metric("NLL", "nats per frame")
CODES = ("V", "NFG", "NP")
NAMES = (
    "variants",
    "marginals",
    "importance",
    "interactions",
    "learning_curves",
    "axes",
    "expected_best",
)
LOW = NotEnough("NP has 4 trials; the forest needs 20")


def grid(factor: Factor) -> np.ndarray:
    places = np.linspace(0, 1, 5)
    if factor.scale == "log":
        return factor.low * (factor.high / factor.low) ** places
    return factor.low + (factor.high - factor.low) * places


def analysed(variant: str | None, target: str) -> Importance:
    """Shares of `made_up_page`; marginals and surfaces rise with the place on the grid."""
    base = made_up_page.importance(variant, target, CODES)
    plain = [factor for factor in base.factors if factor.name != "variant"]
    unit = 1.0 if target == "test" else 60.0
    return dataclasses.replace(
        base,
        marginals=tuple(
            Marginal(
                factor.name,
                grid(factor),
                unit * (9.0 + place + np.arange(5) / 10),
                np.full(5, unit * 0.02),
            )
            for place, factor in enumerate(plain)
        ),
        surfaces=(
            # [units, learning rate]: rises by 1 with the units, by 0.1 with the learning rate.
            Surface(
                ("units", "learning_rate"),
                (grid(plain[0]), grid(plain[1])),
                9 + np.arange(5)[:, None] + np.arange(5) / 10,
            ),
            Surface(
                ("learning_rate", "noise_std"),
                (grid(plain[1]), grid(plain[3])),
                9 + np.arange(5)[:, None] / 10 + np.arange(5),
            ),
        ),
    )


@functools.cache
def study() -> StudyAnalysis:
    """Twenty made-up trials a variant, NP without importance."""
    bare = bare_study()
    return dataclasses.replace(
        bare,
        expected_best=tuple(
            statistics.expected_best(code, bare.records.entries[code]) for code in CODES
        ),
        importance={
            (code, target): LOW if code == "NP" else analysed(code, target)
            for target in TARGETS
            for code in (None, *CODES)
        },
    )


def bare_study(trials: int = 20, seed: int = 1) -> StudyAnalysis:
    """A study without importance and expected best."""
    bare = made_up_page.analysis(made_up.records(trials, CODES, seed=seed), enough=False)
    return dataclasses.replace(bare, importance={})


@functools.cache
def drawn() -> tuple[figures.Figure, ...]:
    return figures.draw(study())


def entry(index: int, test: float, *, diverged: bool = False, **trial: Any) -> Entry:
    made = make_entry(index, test, diverged=diverged)
    return Entry(
        dataclasses.replace(made.trial, **trial),
        dataclasses.replace(made.result, test=Score(test, test)),
    )


def summary(variant: str, test: Distribution, top: Distribution | None = None) -> VariantSummary:
    return VariantSummary(
        variant=variant,
        planned=test.count,
        failed=0,
        ranked=(entry(0, test.minimum, variant=variant),),
        test=test,
        top_test=top or test,
        parameters=Distribution.of([{"V": 40_000.0, "NFG": 30_000.0}.get(variant, 20_000.0)]),
        seconds=Distribution.of([1.0]),
    )


def words(svg: str) -> list[str]:
    return [text.strip() for one in ElementTree.fromstring(svg).iter() if (text := one.text)]


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with matplotlib.rc_context(dict(style.SETTINGS)):
        yield


# The files.


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
    for figure in (*drawn(), *figures.draw(bare_study(seed=2))):
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
        (rule,) = re.findall(r"<style>(.*?)</style>", figure.svg)
        # `svg:root` is the root of a file, never an element of a page.
        assert re.fullmatch(r"@media \(prefers-color-scheme: dark\)\{svg:root\{[^{}]+\}\}", rule)


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert figures.draw(study()) == drawn()


def test_colours_of_text_and_lines_follow_the_page() -> None:
    for figure in drawn():
        for role, (colour, _) in style.ROLES.items():
            named = figure.svg.count(f"var(--figure-{role}, {colour})")
            # Each is written twice, first for programs that know no variables.
            assert figure.svg.count(colour) == 2 * named
        assert "var(--figure-ink" in figure.svg


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_every_series_is_seen_on_light_and_dark_and_told_apart_without_colour() -> None:
    looks = style.series(made_up.VARIANTS)
    others = [look.colour for code, look in looks.items() if code != "V"] + [style.ACCENT]
    light, dark = (luminance(paper) for paper in style.ROLES["paper"])
    for colour in others:
        assert 1.05 / (luminance(colour) + 0.05) >= 3.0, colour
        assert (luminance(colour) + 0.05) / (dark + 0.05) >= 3.0, colour
    assert light == pytest.approx(1.0)
    assert len(set(others)) == 8 and len({look.marker for look in looks.values()}) == 9


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


# The panels.

_NUMBERS = [
    "difference",
    "t",
    "degrees_of_freedom",
    "p",
    "p_holm",
    "p_bonferroni",
    "hedges_g",
    "p_mann_whitney",
    "p_permutation",
    "p_permutation_holm",
    "detectable",
]


def test_boxes_are_at_the_quartiles_and_the_different_ones_are_marked() -> None:
    def against(variant: str, verdict: str) -> Comparison:
        return Comparison(
            variant=variant,
            baseline="V",
            count=9,
            baseline_count=9,
            verdict=verdict,
            g_interval=(0.5, 1.5),
            **dict.fromkeys(_NUMBERS, 1.0),
        )

    tops = {
        "V": Distribution(9, 8.5, 8.6, 8.7, 8.75, 8.8, 9.1),
        "NFG": Distribution(9, 9.5, 9.6, 9.7, 9.75, 9.8, 9.9),
        "NP": Distribution(9, 8.1, 8.2, 8.3, 8.35, 8.4, 8.5),
    }
    every = Distribution(90, 8.0, 9.0, 9.5, 10.0, 10.5, 61.0)
    canvas = variants.plot(
        [summary(code, every, top) for code, top in tops.items()],
        {"NFG": against("NFG", "worse"), "NP": against("NP", "no difference shown")},
        NLL,
    )
    upper, lower, behind = canvas.axes
    for place, code in enumerate(CODES):
        # matplotlib's lines of a box: box, whiskers, caps, median, mean.
        box, down, up, _, _, median, mean = lower.lines[7 * place : 7 * place + 7]
        top = tops[code]
        assert set(box.get_ydata()) == {top.lower_quartile, top.upper_quartile}
        assert list(down.get_ydata()) == [top.lower_quartile, top.minimum]
        assert list(up.get_ydata()) == [top.upper_quartile, top.maximum]
        assert set(median.get_ydata()) == {top.median} and list(mean.get_ydata()) == [top.mean]
        assert np.mean(box.get_xdata()) == pytest.approx(place + 1, abs=0.11)
        assert (box.get_color() == style.ACCENT) == (box.get_linewidth() > 2) == (code == "NFG")
    labels = [label.get_text() for label in lower.get_xticklabels()]
    assert labels == ["V\nn = 9", "NFG\nn = 9\n▲ worse", "NP\nn = 9"]
    assert [bar.get_height() for bar in behind.patches] == [40.0, 30.0, 20.0]
    # One trial at 61 does not flatten boxes between 9 and 10.5.
    assert 10.5 < upper.get_ylim()[1] < 20
    assert [text.get_text() for text in upper.texts] == ["↑ 61.0"] * 3


def test_scores_far_apart_have_a_log_axis() -> None:
    boxes = [Distribution.of([8.0, 9.0, 10.0]), Distribution.of([80.0, 90.0, 100.0])]
    upper = variants.plot([summary("V", boxes[0]), summary("NFG", boxes[1])], {}, NLL).axes[0]
    assert upper.get_yscale() == "log"
    assert [label.get_text() for label in upper.get_yticklabels()] == ["10", "20", "50", "100"]


def test_curves_show_the_best_trial_bold_and_the_others_thin() -> None:
    def trial(variant: str, best_epoch: int, *validations: float) -> Entry:
        curve = [Epoch(place, None, value) for place, value in enumerate((61.0, *validations))]
        made = entry(0, 9.0, variant=variant)
        result = dataclasses.replace(made.result, best_epoch=best_epoch, curve=tuple(curve))
        score = Score(min(validations), 0.0)
        return Entry(made.trial, dataclasses.replace(result, validation=score))

    def of(variant: str, *top: Entry) -> VariantSummary:
        # The others are so many that the first two are the best tenth.
        rest = tuple(trial(variant, 1, 500.0) for _ in range(10 * len(top) - len(top)))
        return dataclasses.replace(summary(variant, Distribution.of([9.0])), ranked=(*top, *rest))

    summaries = [
        of("NFG", trial("NFG", 1, 9.5, 9.75, 9.625)),
        of("V", trial("V", 2, 9.25, 8.5, 8.75), trial("V", 1, 9.0, 9.125)),
        of("NP", trial("NP", 1, 400.0)),
    ]
    canvas, hidden = learning_curves.plot(summaries, NLL)
    lines = [
        (list(line.get_xdata()), list(line.get_ydata()), line.get_linewidth())
        for line in canvas.axes[0].lines
    ]
    # The untrained network's 61 is nowhere. By variant, best first: thin, bold, mark.
    thin, bold, mark = lines[:3]
    assert thin[0][:2] == [1, 2] and thin[1][:2] == [9.0, 9.125] and len(thin[0]) == 3
    assert bold[:2] == ([1, 2, 3], [9.25, 8.5, 8.75]) and bold[2] > 2 * thin[2]
    assert mark[:2] == ([2], [8.5])
    assert lines[3][:2] == ([1, 2, 3], [9.5, 9.75, 9.625])
    legend = canvas.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["V", "NFG", "NP (above)"]
    assert canvas.axes[0].get_ylim()[1] < 20 and hidden == 1


def test_expected_best_is_drawn_by_n() -> None:
    curves = [
        ExpectedBest("NFG", (9.5, 9.25), (9.75, 9.5), (0.5, 0.25)),
        ExpectedBest("V", (9.0, 8.5, 8.25), (9.125, 8.625, 8.375), (0.5, 0.25, 0.125)),
    ]
    panel = expected_best.plot(curves, NLL).axes[0]
    by_label = {line.get_label(): line for line in panel.lines}
    assert list(by_label["V"].get_xdata()) == [1, 2, 3]
    assert list(by_label["V"].get_ydata()) == [9.125, 8.625, 8.375]
    assert list(by_label["NFG"].get_ydata()) == [9.75, 9.5]
    assert panel.get_xscale() == "log" and list(panel.get_xticks()) == [1, 2]
    band = panel.collections[0].get_paths()[0].vertices
    assert {8.25, 8.5} <= set(band[np.isclose(band[:, 0], 3), 1])


def test_every_trial_is_a_point_at_its_place() -> None:
    space = made_up.records(20, CODES).facts["space"]
    trials = {
        "V": (
            entry(0, 9.0, learning_rate=1e-4, units=20, noise_std=0.25, momentum=0.9),
            entry(1, 9.5, learning_rate=1e-6, units=200, noise_std=1.0, momentum=0.0),
            entry(2, 10.0, diverged=True, learning_rate=1e-2, units=63, noise_std=0, momentum=0.99),
            entry(3, 61.0, diverged=True, learning_rate=1e-2, units=63, noise_std=0, momentum=0.99),
        )
    }
    summaries = [summary("V", Distribution(4, 9.0, 9.2, 9.5, 9.6, 9.8, 61.0))]
    canvas, above = axes.plot(summaries, trials, space, NLL)
    by_label = {line.get_label(): line for line in canvas.axes[0].lines}
    across = np.asarray(by_label["trials"].get_xdata())[::3].reshape(2, 4) - 1.2 * np.arange(4)
    # Learning rate, units, noise, momentum (0 at the left), each from 0 to 1.
    np.testing.assert_allclose(across, [[0.5, 0.0, 0.25, 0.5], [0.0, 1.0, 1.0, 0.0]], atol=1e-9)
    assert list(by_label["trials"].get_ydata()[::3]) == [9.0] * 4 + [9.5] * 4
    assert list(by_label["diverged"].get_ydata()) == [10.0] * 4
    np.testing.assert_allclose(by_label["above"].get_ydata(), canvas.axes[0].get_ylim()[1])
    assert above == 1 and canvas.axes[0].get_ylim()[1] < 12


def test_points_are_short_in_the_file() -> None:
    figure = drawn()[NAMES.index("axes")]
    counted = [one for trials in study().records.entries.values() for one in trials]
    above = int((re.search(r"far above the rest \((\d+)\)", figure.caption) or [0, 0])[1])
    crosses = sum(one.result.diverged for one in counted)
    assert above <= crosses
    assert figure.svg.count("h0") == 4 * (len(counted) - crosses)
    assert f"all {len(counted)} finished trials" in figure.caption


def panels_of(canvas: Any) -> Iterator[tuple[str, Any]]:
    for panel in canvas.axes:
        yield f"{panel.get_xlabel()} / {panel.get_ylabel()}", panel


def test_marginals_are_drawn_on_the_scale_of_their_factor() -> None:
    canvas = marginals.plot(study().importance, NLL)
    panels = dict(panels_of(canvas))
    names = ("learning rate", "units", "noise", "momentum")
    assert list(panels) == [
        f"{name} / {label}" for name in names for label in ("mean test NLL", "mean time (minutes)")
    ]
    rate, momentum = panels["learning rate / mean test NLL"], panels["momentum / mean test NLL"]
    lines = {line.get_label(): line for line in rate.lines}
    assert set(lines) == {"V", "NFG", "all pooled"}
    np.testing.assert_allclose(lines["V"].get_xdata(), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
    np.testing.assert_allclose(lines["V"].get_ydata(), [10.0, 10.1, 10.2, 10.3, 10.4])
    assert rate.get_xscale() == "log" and lines["V"].get_linewidth() > lines["NFG"].get_linewidth()
    assert [label.get_text() for label in rate.get_xticklabels()] == [
        "10⁻⁶",
        "10⁻⁵",
        "10⁻⁴",
        "10⁻³",
        "10⁻²",
    ]
    # Momentum grows to the right; its line is over 1 - momentum.
    assert momentum.get_xlim() == (1.0, 0.01)
    ticks = zip(momentum.get_xticks(), momentum.get_xticklabels(), strict=True)
    assert {round(1 - tick, 9): label.get_text() for tick, label in ticks} == {
        0.99: "0.99",
        0.9: "0.9",
        0.0: "0",
    }
    # Seconds as minutes.
    time = {line.get_label(): line for line in panels["units / mean time (minutes)"].lines}
    np.testing.assert_allclose(time["V"].get_ydata(), [9.0, 9.1, 9.2, 9.3, 9.4])


def test_a_column_without_results_says_why() -> None:
    results = {
        (code, target): analysed(code, target) if target == "seconds" else LOW
        for target in TARGETS
        for code in (None, "V")
    }
    panels = dict(panels_of(marginals.plot(results, NLL)))
    assert panels["units / mean test NLL"].texts[0].get_text() == LOW.reason
    assert not panels["units / mean time (minutes)"].texts


def test_bars_are_as_long_as_shares() -> None:
    canvas = importance.plot(study().importance)
    score, time = canvas.axes
    columns = {text.get_text(): text.xy[0] for text in score.texts if hasattr(text, "xy")}
    names = ("learning rate", "units", "noise", "momentum", "variant")
    assert list(columns) == [*names, "all pairs", "higher order", "largest pair"]
    assert [label.get_text() for label in score.get_yticklabels()] == ["pooled", "V", "NFG", "NP"]
    bars = {
        (round(bar.get_y() + bar.get_height() / 2), round(bar.get_x(), 6)): bar.get_width()
        for bar in score.patches
    }
    assert bars[1, columns["learning rate"]] == pytest.approx(0.671)
    assert bars[1, columns["units"]] == pytest.approx(0.123)
    assert bars[1, columns["all pairs"]] == pytest.approx(0.0312 + 0.0417)
    assert bars[0, columns["variant"]] == pytest.approx(0.0334)
    assert (1, columns["variant"]) not in bars and not any(row == 3 for row, _ in bars)
    said = [text.get_text() for text in score.texts]
    assert "4.2 % learning rate × noise" in said and LOW.reason in said
    whisker = [line.get_xdata() for line in score.lines if len(set(line.get_xdata())) == 2]
    ends = columns["learning rate"] + np.array([0.671 - 0.0671, 0.671 + 0.0671])
    assert any(np.allclose(line, ends) for line in whisker)
    of_units = [bar for bar in time.patches if round(bar.get_x(), 6) == columns["units"]]
    assert [bar.get_width() for bar in of_units] == pytest.approx([0.807] * 3)


def test_surfaces_have_the_learning_rate_across() -> None:
    canvas = interactions.plot(analysed("V", "test"), NLL)
    first, second, colours = canvas.axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("learning rate", "units")
    assert (second.get_xlabel(), second.get_ylabel()) == ("learning rate", "noise")
    for panel in (first, second):
        cells = np.asarray(panel.collections[0].get_array())
        # Rows go up: 1 a unit of the grid; columns go across: 0.1.
        np.testing.assert_allclose(cells[:, 0], 9 + np.arange(5))
        np.testing.assert_allclose(cells[0], 9 + np.arange(5) / 10)
        assert panel.lines[-1].get_xdata()[0] == pytest.approx(1e-6)
    corners = first.collections[0].get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [1e-6, *10.0 ** np.arange(-5.5, -2), 1e-2])
    assert first.get_title(loc="left") == "interaction 3.1 %"
    assert second.get_title(loc="left") == "interaction 4.2 %"
    assert "mean test NLL" in colours.get_ylabel()


# Little or nothing to draw.


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
        assert f"NP (score), NP (time), because {LOW.reason}." in captions[name]


def test_without_vanilla_the_pooled_trials_stand_for_it() -> None:
    lacking = {
        (code, target): LOW if code == "V" else one
        for (code, target), one in study().importance.items()
    }
    figure = interactions.draw(dataclasses.replace(study(), importance=lacking))
    assert figure is not None
    assert "Mean test NLL of all variants pooled (180 trials)" in figure.caption


def test_one_trial_and_equal_scores_are_drawn() -> None:
    records = made_up.records(20, CODES)
    one = records.entries["V"][0]
    untrained = dataclasses.replace(one.result, curve=one.result.curve[:1], best_epoch=0)
    for entries, names in (
        ((one,), ["variants", "learning_curves", "axes"]),
        ((Entry(one.trial, untrained),), ["variants", "axes"]),
        ((one, one, one), ["variants", "learning_curves", "axes", "expected_best"]),
    ):
        summaries = (statistics.summarize("V", entries, 0, 20),)
        bare = StudyAnalysis(
            records=dataclasses.replace(records, entries={"V": entries}),
            metric=NLL,
            summaries=summaries,
            comparisons={},
            expected_best=(statistics.expected_best("V", entries),),
            importance={},
        )
        found = figures.draw(bare)
        assert [figure.name for figure in found] == names
        assert not any("nan" in " ".join(words(figure.svg)).lower() for figure in found)


def test_factors_that_a_user_fixed_are_no_columns() -> None:
    whole = analysed("V", "test")
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
