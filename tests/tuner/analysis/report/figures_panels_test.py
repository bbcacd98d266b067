"""What is drawn where, against numbers made up by hand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest

from tests.tuner.analysis import made_up
from tests.tuner.analysis.made_up_page import (
    CODES,
    LOW,
    NLL,
    analyzed,
    drawn,
    entry,
    study,
    summary,
)
from tuner.analysis.importance.importance import TARGETS, Importance
from tuner.analysis.report.figures import (
    expected_best,
    importance,
    interactions,
    learning_curves,
    marginals,
    scatter,
    style,
    variants,
)
from tuner.analysis.statistics.summaries import (
    Comparison,
    Distribution,
    ExpectedBest,
    VariantSummary,
)
from tuner.search.space import PAPER
from tuner.training.protocol import Epoch, Score, TrialRecord


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with matplotlib.rc_context(style.SETTINGS):
        yield


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
            difference_interval=(0.5, 1.5),
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


def test_a_variant_far_off_is_named_with_an_arrow() -> None:
    boxes = [Distribution.of([8.0, 9.0 + place / 10, 10.0]) for place in range(8)]
    off = Distribution.of([16.0, 50.0, 61.0])
    summaries = [
        summary(code, box) for code, box in zip(made_up.VARIANTS, [*boxes, off], strict=True)
    ]
    upper = variants.plot(summaries, {}, NLL).axes[0]
    assert upper.get_ylim()[1] < 14
    assert [(text.get_text(), text.xy[0]) for text in upper.texts] == [("↑ 16.0\nto 61.0", 9)]


def test_a_variant_styles_the_same_in_every_figure() -> None:
    styles = style.series(CODES)
    curves = [ExpectedBest(code, (9.0, 8.0), (9.0, 8.5), (0.1, 0.1)) for code in ("NP", "V")]
    panels = [
        expected_best.plot(curves, styles, NLL).axes[0],
        marginals.plot({("NP", "test"): analyzed("NP", "test")}, styles, NLL).axes[0],
    ]
    for panel in panels:
        (line,) = (line for line in panel.lines if line.get_label() == "NP")
        assert line.get_color() == styles["NP"].color != style.series(["NP"])["NP"].color


def test_curves_show_the_best_trial_bold_and_the_others_thin() -> None:
    def trial(variant: str, best_epoch: int, *validations: float) -> TrialRecord:
        curve = [Epoch(place, None, value) for place, value in enumerate((61.0, *validations))]
        made = entry(0, 9.0, variant=variant)
        result = dataclasses.replace(made.result, best_epoch=best_epoch, curve=tuple(curve))
        score = Score(min(validations), 0.0)
        return TrialRecord(made.trial, dataclasses.replace(result, validation=score))

    def of(variant: str, *top: TrialRecord) -> VariantSummary:
        # The others are so many that the first two are the best tenth.
        rest = tuple(trial(variant, 1, 500.0) for _ in range(10 * len(top) - len(top)))
        return dataclasses.replace(summary(variant, Distribution.of([9.0])), ranked=(*top, *rest))

    summaries = [
        of("NFG", trial("NFG", 1, 9.5, 9.75, 9.625)),
        of("V", trial("V", 2, 9.25, 8.5, 8.75), trial("V", 1, 9.0, 9.125)),
        of("NP", trial("NP", 1, 400.0)),
    ]
    canvas, hidden = learning_curves.plot(summaries, style.series(CODES), NLL)
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
    panel = expected_best.plot(curves, style.series(CODES), NLL).axes[0]
    by_label = {line.get_label(): line for line in panel.lines}
    assert list(by_label["V"].get_xdata()) == [1, 2, 3]
    assert list(by_label["V"].get_ydata()) == [9.125, 8.625, 8.375]
    assert list(by_label["NFG"].get_ydata()) == [9.75, 9.5]
    assert panel.get_xscale() == "log" and list(panel.get_xticks()) == [1, 2]
    band = panel.collections[0].get_paths()[0].vertices
    assert {8.25, 8.5} <= set(band[np.isclose(band[:, 0], 3), 1])


def test_every_trial_is_a_point_at_its_place() -> None:
    trials = {
        "V": (
            entry(0, 9.0, learning_rate=1e-4, units=20, noise_std=0.25, momentum=0.9),
            entry(1, 9.5, learning_rate=1e-6, units=200, noise_std=1.0, momentum=0.0),
            entry(2, 10.0, diverged=True, learning_rate=1e-2, units=63, noise_std=0, momentum=0.99),
            entry(3, 61.0, diverged=True, learning_rate=1e-2, units=63, noise_std=0, momentum=0.99),
        )
    }
    summaries = [summary("V", Distribution(4, 9.0, 9.2, 9.5, 9.6, 9.8, 61.0))]
    canvas, above = scatter.plot(summaries, trials, PAPER, NLL)
    by_label = {line.get_label(): line for line in canvas.axes[0].lines}
    across = np.asarray(by_label["trials"].get_xdata())[::3].reshape(2, 4) - 1.2 * np.arange(4)
    # Learning rate, units, noise, momentum (0 at the left), each from 0 to 1.
    np.testing.assert_allclose(across, [[0.5, 0.0, 0.25, 0.5], [0.0, 1.0, 1.0, 0.0]], atol=1e-9)
    assert list(by_label["trials"].get_ydata()[::3]) == [9.0] * 4 + [9.5] * 4
    assert list(by_label["diverged"].get_ydata()) == [10.0] * 4
    np.testing.assert_allclose(by_label["above"].get_ydata(), canvas.axes[0].get_ylim()[1])
    assert above == 1 and canvas.axes[0].get_ylim()[1] < 12


def test_points_are_short_in_the_file() -> None:
    figure = next(one for one in drawn() if one.name == "axes")
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
    canvas = marginals.plot(study().importance, style.series(CODES), NLL)
    panels = dict(panels_of(canvas))
    names = ("learning rate", "units", "input noise", "momentum")
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


def test_a_line_far_off_leaves_its_panel_and_is_named() -> None:
    codes = made_up.VARIANTS

    def moved(code: str) -> Importance:
        whole = analyzed(code, "test")
        far = 50.0 if code == "NOAF" else 0.0
        raised = [dataclasses.replace(one, mean=one.mean + far) for one in whole.marginals]
        return dataclasses.replace(whole, marginals=tuple(raised))

    results = {(code, "test"): moved(code) for code in codes}
    rate = marginals.plot(results, style.series(codes), NLL).axes[0]
    assert rate.get_title(loc="right") == "NOAF ↑" and rate.get_ylim()[1] < 12


def test_a_column_without_results_says_why() -> None:
    results = {
        (code, target): analyzed(code, target) if target == "seconds" else LOW
        for target in TARGETS
        for code in (None, "V")
    }
    panels = dict(panels_of(marginals.plot(results, style.series(CODES), NLL)))
    assert panels["units / mean test NLL"].texts[0].get_text().split() == LOW.reason.split()
    assert not panels["units / mean time (minutes)"].texts


def test_bars_are_as_long_as_shares() -> None:
    canvas = importance.plot(study().importance)
    score, time = canvas.axes
    columns = {text.get_text(): text.xy[0] for text in score.texts if hasattr(text, "xy")}
    names = ("learning rate", "units", "input noise", "momentum", "variant")
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
    assert "4.2 % learning rate × input noise" in said and LOW.reason in said
    ends = columns["learning rate"] + np.array([0.671 - 0.0671, 0.671 + 0.0671])
    whiskers = score.collections[1].get_segments()
    assert any(np.allclose(line, [(ends[0], 1), (ends[1], 1)]) for line in whiskers)
    of_units = [bar for bar in time.patches if round(bar.get_x(), 6) == columns["units"]]
    assert [bar.get_width() for bar in of_units] == pytest.approx([0.807] * 3)


def test_surfaces_have_the_learning_rate_across() -> None:
    canvas = interactions.plot(analyzed("V", "test"), NLL)
    first, second, colors = canvas.axes
    assert (first.get_xlabel(), first.get_ylabel()) == ("learning rate", "units")
    assert (second.get_xlabel(), second.get_ylabel()) == ("learning rate", "input noise")
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
    assert "mean test NLL" in colors.get_ylabel()
