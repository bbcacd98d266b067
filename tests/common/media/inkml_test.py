"""Documents as the standard allows them and programs write them: which numbers are what."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import RecordingError
from common.media import ink

NAMESPACE = 'xmlns="http://www.w3.org/2003/InkML"'


def form(channels: str, attributes: str = "") -> str:
    """A trace format of channels `name[:units]`."""
    elements = []
    for word in channels.split():
        name, _, units = word.partition(":")
        elements.append(f'<channel name="{name}"' + (f' units="{units}"' if units else "") + "/>")
    return f"<traceFormat {attributes}>{''.join(elements)}</traceFormat>"


def source(channels: str, attributes: str = "", **resolutions: str) -> str:
    """An ink source of channels, some with a resolution such as `40 1/cm`."""
    properties = "".join(
        f'<channelProperty channel="{name}" name="resolution" value="{text.split()[0]}" '
        f'units="{text.split()[1]}"/>'
        for name, text in resolutions.items()
    )
    inside = f"{form(channels)}<channelProperties>{properties}</channelProperties>"
    return f"<inkSource {attributes}>{inside}</inkSource>"


def document(body: str) -> bytes:
    return f"<ink {NAMESPACE}>{body}</ink>".encode()


def read(body: str) -> np.ndarray:
    return ink.read("a.inkml", document(body))


def context(name: str, inside: str, attributes: str = "") -> str:
    return f'<context xml:id="{name}" {attributes}>{inside}</context>'


DEFINED = f"""<definitions>
  {form("Y X", 'xml:id="yx"')}{form("X Y", 'xml:id="xy"')}
  <inkSource xml:id="pen">{form("F Y X")}</inkSource>
  {context("by-format", "", 'traceFormatRef="#yx"')}
  {context("in-place", form("Y X"))}
  {context("of-source", f"<inkSource>{form('Y X F')}</inkSource>")}
  {context("by-source", "", 'inkSourceRef="#pen"')}
  {context("both", form("Y X"), 'inkSourceRef="#pen"')}
  {context("inherits", "", 'contextRef="#by-source" brushRef="#b"')}
  {context("overrides", form("Y X"), 'contextRef="#by-source"')}
  {context("of-canvas", f"<canvas>{form('X Y')}</canvas>{form('Y X')}")}
  {context("says-nothing", "", 'brushRef="#b"')}
  {context("itself", "", 'contextRef="#itself"')}
</definitions>"""
YX, XY = "0 0, 7 1", "0 0, 1 7"
ONE_SEVEN = {
    "by reference to a format": ("by-format", YX),
    "a format in the context": ("in-place", YX),
    "the format of its ink source": ("of-source", "0 0 9, 7 1 9"),
    "the format of the ink source that it refers to": ("by-source", "9 0 0, 9 7 1"),
    "its own format rather than its source's": ("both", YX),
    "of another context": ("inherits", "9 0 0, 9 7 1"),
    "its own rather than another's": ("overrides", YX),
    "not that of its canvas": ("of-canvas", YX),
    "none: X and Y": ("says-nothing", XY),
    "itself: X and Y": ("itself", XY),
    "the standard's own": ("DefaultContext", XY),
}


@pytest.mark.parametrize("case", ONE_SEVEN)
@pytest.mark.parametrize("by", ["trace", "group", "outer group", "current"])
def test_a_context_gives_its_format(case: str, by: str) -> None:
    name, numbers = ONE_SEVEN[case]
    trace, reference = f"<trace>{numbers}</trace>", f'contextRef="#{name}"'
    body = {
        "trace": f"<trace {reference}>{numbers}</trace>",
        "group": f"<traceGroup {reference}>{trace}</traceGroup>",
        "outer group": f"<traceGroup {reference}><traceGroup>{trace}</traceGroup></traceGroup>",
        "current": f"<context {reference}/>{trace}",
    }[by]
    assert read(DEFINED + body)[1, :2].tolist() == [1, 7]


def test_the_nearest_context_counts() -> None:
    body = (
        f'<context contextRef="#by-source"/><trace>{"9 0 0, 9 7 1"}</trace>'
        f'<traceGroup contextRef="#by-format"><trace>{YX}</trace>'
        f'<trace contextRef="#of-source">{"0 0 9, 7 1 9"}</trace>'
        f'<traceGroup contextRef="#DefaultContext"><trace>{XY}</trace></traceGroup></traceGroup>'
        f"<trace>{'9 0 0, 9 7 1'}</trace><context>{form('Y X')}</context><trace>{YX}</trace>"
        f'<context brushRef="#b"/><trace>{YX}</trace>'
        f'<trace contextRef="#DefaultContext">{XY}</trace>{form("F F Y X")}'
        f"<trace>9 9 0 0, 9 9 7 1</trace>"
    )
    points = read(DEFINED + body)
    assert points[:, :2].tolist() == [[0, 0], [1, 7]] * 9


@pytest.mark.parametrize("order", ["XYTF XY", "XY XYTF", "YX XY", "XYF XYT", "TXY FXY"])
def test_formats_without_a_name_are_not_mixed_up(order: str) -> None:
    """As OneNote writes them."""
    body, expected = "", []
    for number, names in enumerate(order.split()):
        inside = f"<inkSource>{form(' '.join(names))}</inkSource>"
        body += f"<definitions>{context(f'c{number}', inside)}</definitions>"
    for number, names in enumerate(order.split()):
        values = {"X": 0 + number, "Y": 5 * number, "T": 1000 + 500 * number, "F": 99}
        text = " ".join(str(values[name]) for name in names)
        body += f'<trace contextRef="#c{number}">{text}</trace>'
        expected.append([values["X"], values["Y"]])
    points = read(body)
    assert points[:, :2].tolist() == expected
    if "T" not in order.split()[1]:
        assert points[1, 2] == pytest.approx(0.15)


def test_the_only_format_of_a_document_is_that_of_all_traces() -> None:
    twice = form("Y X") + form("Y X", 'xml:id="a"')
    for body in (f"<definitions>{twice}</definitions>", twice, f"<head>{twice}</head>"):
        for attributes in ("", 'contextRef="#nowhere"', 'contextRef="other.inkml#c"'):
            assert read(f"{body}<trace {attributes}>{YX}</trace>")[1, :2].tolist() == [1, 7]
    canvas = f"<definitions><canvas>{form('Y X')}</canvas></definitions>"
    assert read(f"{canvas}<trace>{XY}</trace>")[1, :2].tolist() == [1, 7]


@pytest.mark.parametrize(
    "body",
    [
        f'<trace contextRef="#nowhere">{XY}</trace>',
        f'<context traceFormatRef="#nowhere"/><trace>{XY}</trace>',
        f'<context inkSourceRef="#nowhere"/><trace>{XY}</trace>',
        f'<traceGroup contextRef="#nowhere"><trace>{XY}</trace></traceGroup>',
    ],
)
def test_where_formats_differ_a_reference_to_nothing_is_refused(body: str) -> None:
    with pytest.raises(RecordingError, match="damaged pen strokes: a reference to what is not the"):
        read(DEFINED + body)


def test_optional_channels_come_last_and_may_be_missing() -> None:
    body = (
        '<traceFormat><intermittentChannels><channel name="T"/><channel name="F"/>'
        '</intermittentChannels><channel name="X"/><channel name="Y"/></traceFormat>'
        "<trace>1 2 50, 2 3 60 9, 3 4, 4 5 100</trace>"
    )
    points = read(body)
    np.testing.assert_allclose(points[:, 2], [0, 0.01, 0.03, 0.05], rtol=1e-6)
    np.testing.assert_array_equal(points[:, 0], [0, 1, 2, 3])


# --- What is ink ---


def lengths(body: str) -> list[int]:
    ends = np.flatnonzero(read(body)[:, 3])
    return np.diff(ends, prepend=-1).tolist()


T1, T2, T3 = (f'<trace xml:id="t{n}">{", ".join(f"{i} {n}" for i in range(n))}</trace>'
              for n in (1, 2, 3))  # fmt: skip
PARTS = '<trace xml:id="a" continuation="begin">1 1, 2 2</trace>'
INK = {
    "definitions are not": (f"<definitions>{T3}</definitions>{T1}", [1]),
    "definitions that are shown": (
        f"<definitions>{T3}{T2}</definitions>{T1}<traceView traceDataRef='#t3'/>", [1, 3]
    ),
    "a group of definitions": (
        f"<definitions><traceGroup xml:id='g'>{T3}{T2}</traceGroup></definitions>{T1}"
        "<traceGroup><traceView><traceView traceDataRef='#g'/></traceView></traceGroup>", [1, 3, 2]
    ),
    "what is shown twice is there once": (
        f"<definitions>{T3}</definitions><traceView traceDataRef='#t3'/>{T1}"
        "<traceView traceDataRef='#t3'/>", [3, 1]
    ),
    "a view of what is there anyway": (f"<traceView traceDataRef='#t2'/>{T1}{T2}", [1, 2]),
    "a view of something else": (f"{T1}<traceView traceDataRef='#none'/>", [1]),
    "a group that shows itself": (
        f"<definitions><traceGroup xml:id='g'>{T2}<traceView traceDataRef='#g'/></traceGroup>"
        "</definitions><traceView traceDataRef='#g'/>", [2]
    ),
    "what annotates": (f"<annotationXML>{T3}</annotationXML>{T1}", [1]),
    "elements of others": (f"<page>{T3}<layer>{T1}</layer></page>", [3, 1]),
    "the air": (f'{T1}<trace type="penUp">5 5</trace><trace type="indeterminate">6 6</trace>', [1]),
    "two parts": (PARTS + '<trace continuation="end" priorRef="#a">3 3</trace>', [3]),
    "three parts with others between": (
        PARTS + T1 + '<trace id="b" continuation="middle" priorRef="#a">3 3</trace>' + T2
        + '<trace continuation="end" priorRef="#b">4 4, 5 5</trace>', [5, 1, 2]
    ),
    "parts without references": (
        PARTS + '<trace continuation="middle">3 3</trace><trace continuation="end">4 4</trace>', [4]
    ),
    "two traces in parts": (
        PARTS + '<trace xml:id="b" continuation="begin">5 5</trace>'
        '<trace continuation="end" priorRef="#a">3 3</trace>'
        '<trace continuation="end" priorRef="#b">6 6</trace>', [3, 2]
    ),
    "parts in the air": (
        T1 + '<trace xml:id="a" type="penUp" continuation="begin">3 3</trace>'
        '<trace continuation="end" priorRef="#a">3 3</trace>', [1]
    ),
    "parts of other formats": (
        PARTS + f'<trace continuation="end" priorRef="#a" contextRef="#c">3 3 3</trace>{T1}'
        f"<definitions>{context('c', form('X Y F'))}{form('X Y')}</definitions>", [3, 1]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INK)
def test_what_is_ink_and_what_one_stroke(case: str) -> None:
    body, expected = INK[case]
    assert lengths(body) == expected


def test_a_part_that_continues_nothing_is_refused() -> None:
    for part in ('<trace continuation="end" priorRef="#b">3 3</trace>',
                 '<trace continuation="middle">3 3</trace>'):  # fmt: skip
        with pytest.raises(RecordingError, match="a trace that continues what is not there"):
            read(T1 + part)


# --- Units ---


@pytest.mark.parametrize(
    ("inside", "factor"),
    [
        (source("X Y"), 1),
        (source("X:mm Y:mm"), 1),
        (source("X:mm Y"), 1),
        (source("X:mm Y:cm"), 10),
        (source("X:in Y:mm"), 1 / 25.4),
        (source("X:himetric Y:mm"), 100),
        (source("X:dev Y:dev"), 1),
        (source("X Y", X="1000 1/in", Y="1000 1/in"), 1),
        (source("X Y", X="1000 1/in", Y="500 1/in"), 2),
        (source("X:cm Y:cm", X="40 1/cm", Y="4 1/mm"), 1),
        (source("X:cm Y:cm", X="40 1/cm", Y="30 1/cm"), 4 / 3),
        (source("X Y", X="0.1 mm", Y="0.3 mm"), 3),
        (source("X Y", X="0.1 mm", Y="100 1/cm"), 1),
        (source("X:cm Y:mm", X="40 1/cm"), 0.1),
        (source("X Y", X="40 1/cm"), 1),
        (source("X Y", X="0 1/cm", Y="5 1/cm"), 1),
        (source("X Y", X="40 1/dev", Y="20 1/dev"), 1),
    ],
)
def test_y_has_the_unit_of_x(inside: str, factor: float) -> None:
    points = read(f"<definitions>{context('c', inside)}</definitions>"
                  f'<trace contextRef="#c">1 2, 4 5</trace>')  # fmt: skip
    np.testing.assert_allclose(points[1, :2], [3, 3 * factor], rtol=1e-6)


@pytest.mark.parametrize(
    ("inside", "seconds"),
    [
        (source("X Y T"), 1e-3),
        (source("X Y T:ms"), 1e-3),
        (source("X Y T:s"), 1.0),
        (source("X Y T:us"), 1e-6),
        (source("X Y T:µs"), 1e-6),
        (source("X Y T:ns"), 1e-9),
        (source("X Y T:dev"), 1e-3),
        (source("X Y T:dev", T="1 1/dev"), 1e-3),
        (source("X Y T:dev", T="100 1/s"), 1e-2),
        (source("X Y T:dev", T="10 us"), 1e-5),
        # How fine a clock is does not change what its unit is.
        (source("X Y T:ms", T="10 ms"), 1e-3),
    ],
)
def test_times_are_seconds_whatever_their_unit(inside: str, seconds: float) -> None:
    points = read(f"<definitions>{context('c', inside)}</definitions>"
                  f'<trace contextRef="#c">1 2 5, 4 5 12</trace>')  # fmt: skip
    np.testing.assert_allclose(points[1, 2], 7 * seconds, rtol=1e-6)


@pytest.mark.parametrize(
    ("channels", "problem"),
    [
        ("X Y T:bar", "T in bar, expected s, ms, dev"),
        ("X:px Y:mm T", "X in px, but Y in mm"),
        ("X:em Y:ex T", "X in em, but Y in ex"),
    ],
)
def test_units_that_cannot_be_compared_are_refused(channels: str, problem: str) -> None:
    with pytest.raises(RecordingError, match=f"damaged pen strokes: {problem}"):
        read(form(channels) + "<trace>1 2 3</trace>")
    # Of what no trace uses nobody asks.
    unused = f"<definitions>{context('c', form(channels))}{form('X Y')}</definitions>"
    assert lengths(f"{unused}<trace>1 2</trace>") == [1]


# --- Times ---

TIMES = {
    "no time in one point": (["0 ?", "30 40"], [0, 0.01, 0.03, 0.04]),
    "times that are missing lie between": (["0 ? ? 30 ? ?"], [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
    "and before": (["? 10 30"], [0, 0.01, 0.03]),
    "a first stroke without times": (["? ?", "60000 60020"], [0, 0.01, 0.16, 0.18]),
    "a stroke between without times": (["0 10", "? ?", "60000"], [0, 0.01, 0.16, 0.17, 60]),
    "a long stroke between without times": (
        ["0 10", "? ? ?", "100"], [0, 0.01, 0.16, 0.17, 0.18, 0.33]
    ),
    "each trace from zero": (["0 10", "0 20", "0"], [0, 0.01, 0.16, 0.18, 0.33]),
    "pauses": (["0 10", "5000 5010"], [0, 0.01, 5, 5.01]),
    "two points at one time": (["5 5 7", "7"], [0, 0, 0.002, 0.002]),
}  # fmt: skip


def timed(strokes: list[str], attributes: str = "") -> str:
    body = '<traceFormat><channel name="X"/><channel name="Y"/><channel name="T"/></traceFormat>'
    for times in strokes:
        points = ", ".join(f"1 1 {moment}" for moment in times.split())
        body += f"<trace {attributes}>{points}</trace>"
    return body


@pytest.mark.parametrize("case", TIMES)
def test_times_neither_run_back_nor_jump(case: str) -> None:
    strokes, expected = TIMES[case]
    np.testing.assert_allclose(read(timed(strokes))[:, 2], expected, atol=1e-6)


def test_the_beginning_of_a_trace_is_added_to_times_that_count_from_it() -> None:
    body = timed([]) + (
        '<trace timeOffset="2000">1 1 0, 1 1 10</trace><trace timeOffset="2500">1 1 0</trace>'
    )
    np.testing.assert_allclose(read(body)[:, 2], [0, 0.01, 0.5], rtol=1e-6)
    absolute = body.replace('"T"', '"T" respectTo="#ts"').replace("0</trace>", "700</trace>")
    np.testing.assert_allclose(read(absolute)[:, 2], [0, 1.7, 1.85], rtol=1e-6)


def test_parts_that_count_from_zero_go_on() -> None:
    body = timed([]) + (
        '<trace xml:id="a" continuation="begin">1 1 0, 1 1 10</trace>'
        '<trace continuation="end" priorRef="#a">1 1 0, 1 1 10</trace>'
    )
    np.testing.assert_allclose(read(body)[:, 2], [0, 0.01, 0.02, 0.03], rtol=1e-6)


@pytest.mark.parametrize("times", ["10 9", "0 ? 5 4", "1 1e400 2"])
def test_times_that_run_back_within_a_trace_are_refused(times: str) -> None:
    with pytest.raises(RecordingError, match="times that run back within a trace"):
        read(timed([times]))


def test_depth_is_not_bounded_by_the_stack() -> None:
    assert lengths("<traceGroup>" * 10_000 + T2 + "</traceGroup>" * 10_000) == [2]
