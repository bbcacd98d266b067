import numpy as np
import pytest

from common.errors import InputError, RecordingError
from common.media import ink
from tests.damage import read_damaged

NAMESPACE = 'xmlns="http://www.w3.org/2003/InkML"'


def inkml(*traces, definitions="", namespace=NAMESPACE):
    body = "".join(f"<trace {attributes}>{text}</trace>" for attributes, text in traces)
    return f"<ink {namespace}>{definitions}{body}</ink>".encode()


def trace_format(*channels):
    elements = "".join(f"<channel {attributes}/>" for attributes in channels)
    return f"<traceFormat>{elements}</traceFormat>"


XYT = trace_format('name="X" type="decimal"', 'name="Y"', 'name="T" units="ms"')


def read(content):
    return ink.read("line.inkml", content)


def test_strokes_of_two_channels_get_times():
    points = read(inkml(("", "10 20, 13 18,14.5 -1.5"), ("", "0 1,2 3")))
    assert points.dtype == np.float32
    np.testing.assert_allclose(
        points,
        [
            [0, 0, 0, 0],
            [3, -2, 0.01, 0],
            [4.5, -21.5, 0.02, 1],
            [-10, -19, 0.17, 0],
            [-8, -17, 0.18, 1],
        ],
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("units", "factor"), [('units="ms"', 1e-3), ("", 1e-3), ('units="s"', 1.0)]
)
def test_times_are_seconds_from_the_first_point(units, factor):
    definitions = trace_format('name="X"', 'name="Y"', f'name="T" {units}')
    start = 1_700_000_000_000
    points = read(
        inkml(
            ("", f"1 2 {start},2 3 {start + 10}"),
            ("", f"4 4 {start + 250}"),
            definitions=definitions,
        )
    )
    np.testing.assert_allclose(points[:, 2], np.array([0, 10, 250]) * factor, rtol=1e-6)
    assert points[:, 3].tolist() == [0, 1, 1]


def test_the_example_of_the_recommendation():
    """Section 3.2.1: values, first and second differences; only X and Y are kept."""
    definitions = (
        "<traceFormat><channel name='X' type='integer'/><channel name='Y' type='integer'/>"
        "<intermittentChannels><channel name='B1' type='boolean'/>"
        "<channel name='B2' type='boolean'/></intermittentChannels></traceFormat>"
    )
    text = "1125 18432,'23'43,\"7\"-8,3-5,7 -3,6 2,6 8,3 6 T,2 4*T,3 6,3-6 F F"
    points = read(inkml(("", text), definitions=definitions))
    x = [1125, 1148, 1178, 1211, 1251, 1297, 1349, 1404, 1461, 1521, 1584]
    y = [18432, 18475, 18510, 18540, 18567, 18596, 18633, 18676, 18723, 18776, 18823]
    np.testing.assert_array_equal(points[:, 0], np.array(x) - 1125)
    np.testing.assert_array_equal(points[:, 1], np.array(y) - 18432)


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("5 0,* 0,7 0", [0, 0, 2]),
        ("5 0,'2 0,* 0,* 0,!1 0", [0, 2, 4, 6, -4]),
        ("5 0,'2 0,\"1 0,* 0", [0, 2, 5, 9]),
        ("#0A 0,#1F 0", [0, 21]),
        ("1e2 0,.5 0,-1.5e1 0", [0, -99.5, -115]),
        ("5 0,,6 0, ", [0, 1]),
    ],
)
def test_other_ways_to_write_numbers(text, x):
    np.testing.assert_allclose(read(inkml(("", text)))[:, 0], x)


def test_channels_in_another_order_and_direction():
    definitions = trace_format(
        'name="F"', 'name="T" units="s"', 'name="Y" orientation="-ve"', 'name="X"'
    )
    points = read(inkml(("", "9 1 100 7,9 1.5 90 8"), definitions=definitions))
    np.testing.assert_allclose(points, [[0, 0, 0, 0], [1, 10, 0.5, 1]])


def test_a_trace_names_its_context():
    definitions = (
        '<definitions><traceFormat xml:id="f1"><channel name="Y"/><channel name="X"/></traceFormat>'
        '<traceFormat xml:id="f2"><channel name="X"/><channel name="Y"/></traceFormat>'
        '<context xml:id="c1" traceFormatRef="#f1"/><context xml:id="c2" traceFormatRef="#f2"/>'
        '<context xml:id="c3"><inkSource><traceFormat><channel name="X"/><channel name="Y"/>'
        '<channel name="T"/></traceFormat></inkSource></context></definitions>'
    )
    content = inkml(
        ('contextRef="#c2"', "0 0,1 2"),
        ('contextRef="#c1"', "0 0,1 2"),
        ('contextRef="#c3"', "0 0 5000"),
        # Of several formats none is usual.
        ("", "0 0,4 3"),
        definitions=definitions,
    )
    points = read(content)
    assert points[[1, 3, 6], :2].tolist() == [[1, 2], [2, 1], [4, 3]]
    # Strokes without times lie just before the first that has some.
    assert points[4, 2] == pytest.approx(0.32)


def test_groups_are_read_in_order_and_the_air_is_not():
    body = (
        "<traceGroup><trace>0 0,1 1</trace><traceGroup><trace>2 2</trace></traceGroup></traceGroup>"
        '<trace type="penUp">50 50</trace><annotation>x</annotation><trace>3 3</trace>'
    )
    points = read(f"<ink>{body}</ink>".encode())
    assert points[:, 0].tolist() == [0, 1, 2, 3]
    assert points[:, 3].tolist() == [0, 1, 1, 1]


IAM = (
    b'<?xml version="1.0" encoding="ISO-8859-1"?><WhiteboardCaptureSession><StrokeSet>'
    b'<Stroke color="black"><Point x="1073" y="1058" time="3390318.93"/>'
    b'<Point x="1075" y="1050" time="3390318.95"/></Stroke>'
    b'<Stroke/><Stroke><Point x="1000" y="1100" time="3390319.43"/></Stroke>'
    b"</StrokeSet></WhiteboardCaptureSession>"
)


def test_iam_is_read():
    np.testing.assert_allclose(
        read(IAM),
        [[0, 0, 0, 0], [2, -8, 0.02, 1], [-73, 42, 0.5, 1]],
        rtol=1e-5,
    )


def test_points_are_what_the_front_end_wants():
    from zoo.frontends import PenStrokes

    points = read(inkml(("", "0 0,1 2,2 4,3 9"), ("", "5 5,6 6")))
    features, frames = PenStrokes()(points[None], np.array([len(points)]))
    assert int(frames[0]) == 3
    np.testing.assert_allclose(
        features[0], [[0, 0, 0, 0], [2, 4, 0.02, 1], [3, 1, 0, 1]], atol=1e-6
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<ink><trace>", "damaged pen strokes"),
        (b"<ink/>", "no ink: expected at least one point"),
        (b"<svg/>", "no ink"),
        (inkml(("", "1 2,3 x")), "a point that is no 2 numbers: '3 x'"),
        (inkml(("", "1 2 3")), "a point that is no 2 numbers: '1 2 3'"),
        (inkml(("", "1")), "coordinates or times that are not finite"),
        (inkml(("", "1 ?")), "coordinates or times that are not finite"),
        (inkml(("", "1 2,1e9 2")), "coordinates or times out of range"),
        (inkml(("", "1"), definitions=trace_format('name="X"')), "without X and Y: X"),
        (b'<a><Stroke><Point x="1" y="2"/></Stroke></a>', "damaged pen strokes: 'time'"),
    ],
)
def test_what_is_no_ink_is_refused(content, problem):
    with pytest.raises(RecordingError) as caught:
        read(content)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_xml_that_attacks_is_refused():
    content = b'<!DOCTYPE ink [<!ENTITY a "1 2">]><ink><trace>&a;</trace></ink>'
    with pytest.raises(InputError, match="line.inkml: expected a stroke file.*document type"):
        read(content)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS; run `git lfs pull`",
        ),
        (bytes(100), "zeros"),
    ],
)
def test_what_lies_in_the_place_of_ink_is_named(content, what):
    with pytest.raises(RecordingError) as caught:
        read(content)
    assert str(caught.value) == f"damaged pen strokes: expected XML. Received: {what}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding):
    declared = "" if encoding.startswith("utf") else f"<?xml version='1.0' encoding='{encoding}'?>"
    text = declared + "<ink><annotation>é</annotation><trace>1 2, 3 4</trace></ink>"
    assert len(read(text.encode(encoding))) == 2


CONTEXTS = (
    "<definitions><inkSource xml:id='s'><traceFormat><channel name='X' units='cm'/><channel "
    "name='Y' units='in'/><intermittentChannels><channel name='T' units='us'/>"
    "</intermittentChannels></traceFormat><channelProperties><channelProperty channel='X' "
    "name='resolution' value='40' units='1/cm'/><channelProperty channel='Y' name='resolution' "
    "value='30' units='1/cm'/></channelProperties></inkSource><context xml:id='c' "
    "inkSourceRef='#s'/><context xml:id='d' contextRef='#c'/><traceFormat xml:id='f'><channel "
    "name='Y'/><channel name='X'/></traceFormat></definitions>"
)
FILES = {
    "numbers": inkml(("", "1125 18432,'23'43,\"7\"-8,3-5,7 -3,6 2,* *,#1F 0,!5 1e2")),
    "contexts": inkml(
        ("contextRef='#d' timeOffset='5'", "1 2 3, 4 5 60, 7 8 ?"), ("", "1 2"),
        definitions=CONTEXTS,
    ),
    "parts": inkml(
        ("xml:id='a' continuation='begin'", "1 2, 4 5"), ("type='penUp'", "1 2"),
        ("continuation='end' priorRef='#a'", "1 2"),
    ),
    "IAM-OnDB": IAM,
}  # fmt: skip


@pytest.mark.parametrize(
    "files", [50, pytest.param(5_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("case", FILES)
def test_damaged_files_are_ink_or_refused(case, files):
    def check(content):
        points = read(content)
        assert points.dtype == np.float32 and points.shape[1] == 4 and np.isfinite(points).all()
        assert points[-1, 3] == 1

    outcomes = read_damaged(check, FILES[case], files=files)
    assert min(outcomes["read"], outcomes["refused"]) > files / 20
