"""What is told about answers that are known."""

import wave
from xml.etree import ElementTree

import numpy as np
import pytest

from common.errors import InputError
from common.media.midi import write_midi
from serving.clients.answers import arrays, drawing, handwriting, music, report, speech
from serving.clients.answers.report import Picture
from serving.clients.errors import ServingError
from serving.runtime.specs import Signature, TensorSpec
from tests.serving.clients import known
from tests.serving.clients.known import Known


class Saying:
    """A predictor with one signature: it answers what it was told and keeps what it was asked."""

    def __init__(self, name, inputs, **outputs):
        self._outputs = outputs
        inputs = {"lengths": ("int32", (None,)), **inputs}
        self._signatures = {
            name: Signature(
                {key: TensorSpec(*spec) for key, spec in inputs.items()},
                {key: self._spec(value) for key, value in outputs.items()},
            )
        }

    @staticmethod
    def _spec(value):
        kind = "string" if value.dtype == object else str(value.dtype)
        free = value.ndim == 3 or (kind == "string" and value.ndim == 2)
        return TensorSpec(kind, (None, None if free else 0, 0)[: value.ndim])

    def signatures(self):
        return self._signatures

    def predict(self, inputs, signature="serving_default"):
        assert signature in self._signatures
        self.asked = inputs
        return self._outputs


def _bytes(*texts):
    return np.array([[text.encode() for text in texts]], object)


# --- Music ---


@pytest.fixture
def roll():
    return (np.random.default_rng(0).random((5, 88)) < 0.1).astype(np.uint8)


@pytest.fixture
def midi(tmp_path, roll):
    roll[-1, 40] = 1
    write_midi(roll, tmp_path / "piece.mid")
    return tmp_path / "piece.mid"


def _music(logits):
    return Saying("serving_default", {"sequence": ("float32", (None, None, 88))}, logits=logits)


def test_a_piece_is_compared_with_what_the_model_expects(midi, roll):
    logits = np.random.default_rng(1).normal(size=(1, 5, 88)).astype(np.float32)
    logits[0, 1, roll[2] == 1] = -9  # What comes as the third frame was not expected.
    logits[0, 4] = -20
    logits[0, 4, [39, 43, 46]] = 5, 2, 7
    model = _music(logits)
    told = music.report(model, midi)
    np.testing.assert_array_equal(model.asked["sequence"][0], roll)
    chance = 1 / (1 + np.exp(-logits[0].astype(np.float64)))
    each = np.where(roll[1:] == 1, np.log(chance[:-1]), np.log1p(-chance[:-1])).sum(axis=1)
    assert told.lines[0].endswith("piece.mid: 5 quarter notes")
    assert told.lines[1] == f"NLL: {-each.mean():.2f} nats per frame, mean of frames 2 to 5"
    assert told.lines[2].startswith("least expected: frame 3 (")
    assert told.lines[2].endswith(f"), {-each[1]:.2f} nats")
    assert told.lines[3].startswith("next: G4 1.00, C4 0.99, E4 0.88, ")
    np.testing.assert_allclose(told.picture.values, chance, rtol=1e-9)
    assert told.picture.row_names[39] == "C4"


def test_what_a_piece_lacks_is_said(midi):
    content = bytearray(midi.read_bytes())
    content[11] = 3  # The header counts three tracks.
    midi.write_bytes(content)
    told = music.report(_music(np.zeros((1, 5, 88))), midi)
    assert told.lines[0].endswith("piece.mid: 5 quarter notes; 2 tracks missing")


def test_likelihoods_of_large_logits_are_finite(roll):
    logits = np.where(roll == 1, 1000.0, -1000.0)
    assert music.negative_log_likelihood(np.roll(logits, -1, axis=0), roll).tolist() == [0] * 4
    assert np.isfinite(music.negative_log_likelihood(-logits, roll)).all()


def test_a_model_of_something_else_is_refused(midi):
    with pytest.raises(InputError, match=r"--model: .* 88 features.*Received: \(None, None, 5\)"):
        music.report(Known(), midi)
    with pytest.raises(ServingError, match="one of the signatures serving_default"):
        music.report(_music(np.zeros((1, 5, 88))), midi, "audio")


def test_a_file_that_is_no_midi_is_refused(tmp_path):
    path = tmp_path / "piece.mid"
    path.write_bytes(b"RIFF")
    with pytest.raises(InputError, match="--input: expected a MIDI file. Received: .*piece.mid, "):
        music.report(_music(np.zeros((1, 5, 88))), path)


# --- Speech ---


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "hello.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.arange(-400, 400, dtype="<i2").tobytes())
    return path


def _speech(**outputs):
    return Saying("audio", {"audio": ("float32", (None, None))}, **outputs)


def test_classes_are_told_as_segments(recording):
    logits = np.full((1, 7, 3), -3.0, np.float32)
    for frame, best in enumerate((0, 0, 2, 2, 2, 0)):
        logits[0, frame, best] = 3
    classes = _bytes("h#", "h#", "\u0259", "\u0259", "\u0259", "h#", "")
    model = _speech(logits=logits, classes=classes, frames=np.array([6], np.int32))
    told = speech.report(model, recording)
    np.testing.assert_array_equal(model.asked["audio"][0], np.arange(-400.0, 400.0))
    assert model.asked["audio"].dtype == np.float32
    assert told.lines[0].endswith("hello.wav: 0.05 s, 6 frames")
    assert told.lines[1:] == (
        "    0.00     0.02  h#",
        "    0.02     0.05  \u0259",
        "    0.05     0.06  h#",
    )
    assert told.picture.row_names == {0: "h#", 2: "\u0259"}
    assert told.picture.values.shape == (6, 3)
    np.testing.assert_allclose(told.picture.values.sum(axis=1), 1)
    assert told.picture.values[2, 2] == pytest.approx(np.exp(6) / (np.exp(6) + 2))


def test_classes_without_names_have_numbers(recording):
    logits = np.eye(3, dtype=np.float32)[None, [1, 1, 0]]
    told = speech.report(_speech(logits=logits, frames=np.array([3], np.int32)), recording)
    assert told.lines[1:] == ("    0.00     0.02  class 1", "    0.02     0.03  class 0")


def test_a_recording_shorter_than_a_frame(recording):
    outputs = {"logits": np.zeros((1, 1, 3), np.float32), "classes": _bytes("")}
    told = speech.report(_speech(**outputs, frames=np.array([0], np.int32)), recording)
    assert told.lines[0].endswith("0 frames")
    assert len(told.lines) == 1


def test_a_model_without_audio_is_refused(recording):
    with pytest.raises(ServingError, match="expected one of the signatures .*Received: 'audio'"):
        speech.report(Known(), recording)


def test_a_file_that_is_no_audio_is_refused(tmp_path):
    (tmp_path / "hello.wav").write_bytes(b"NIST_1A")
    with pytest.raises(InputError, match="--input: expected an audio file. Received: .*hello.wav"):
        speech.report(_speech(logits=np.zeros((1, 1, 3))), tmp_path / "hello.wav")


# --- Handwriting ---


@pytest.fixture
def line(tmp_path):
    path = tmp_path / "line.inkml"
    path.write_text("<ink><trace>5 5,6 7,9 9</trace><trace>8 8,7 7</trace></ink>")
    return path


def _handwriting(**outputs):
    return Saying("strokes", {"strokes": ("float32", (None, None, 4))}, **outputs)


def test_the_text_is_told(line):
    outputs = {"logits": np.zeros((1, 3, 4), np.float32), "frames": np.array([2], np.int32)}
    model = _handwriting(**outputs, text=np.array(["caf\u00e9".encode()], object))
    told = handwriting.report(model, line, scale=10.0)
    np.testing.assert_allclose(
        model.asked["strokes"][0, :, :2], [[0, 0], [10, 20], [40, 40], [30, 30], [20, 20]]
    )
    np.testing.assert_allclose(model.asked["strokes"][0, :, 2], [0, 0.01, 0.02, 0.17, 0.18])
    assert told.lines[0].endswith("line.inkml: 2 strokes, 5 points, 0.18 s")
    assert told.lines[1] == "text: caf\u00e9"
    assert told.picture.values.shape == (2, 4)
    assert told.picture.row_names == {3: "blank"}


def test_a_model_without_labels_is_refused(line):
    model = _handwriting(logits=np.zeros((1, 3, 4), np.float32))
    with pytest.raises(InputError, match="exported with labels.*Received: logits"):
        handwriting.report(model, line)


def test_a_file_that_is_no_ink_is_refused(tmp_path):
    (tmp_path / "line.xml").write_text("<ink/>")
    with pytest.raises(InputError, match="--input: expected pen strokes. Received: .*no ink"):
        handwriting.report(_handwriting(), tmp_path / "line.xml")


# --- Arrays ---


def test_arrays_named_as_inputs_are_the_inputs(tmp_path):
    inputs = {"sequence": known.frames(2, 3), "lengths": np.array([3, 2])}
    np.savez(tmp_path / "x.npz", **inputs)
    told = arrays.report(Known(), tmp_path / "x.npz")
    wanted = known.predict(inputs)
    assert told.outputs.keys() == wanted.keys()
    np.testing.assert_array_equal(told.outputs["logits"], wanted["logits"])
    low, high = np.nanmin(wanted["logits"]), np.nanmax(wanted["logits"])
    assert f"logits: float32 [2, 3, 3] from {low:.4g} to {high:.4g}" in told.lines
    texts = " ".join(text.decode() for text in wanted["text"])
    assert f"text: string [2] {texts}" in told.lines
    np.testing.assert_array_equal(told.picture.values, wanted["logits"][0])


def test_other_arrays_are_sequences(tmp_path):
    sequences = {"a": known.frames(1, 4)[0], "b": known.frames(1, 2, 9)[0]}
    np.savez(tmp_path / "x.npz", **sequences)
    told = arrays.report(Known(), tmp_path / "x.npz")
    assert told.outputs["logits_a"].shape == (4, 3)
    alone = known.predict({"sequence": sequences["b"][None], "lengths": np.array([2])})
    np.testing.assert_allclose(told.outputs["h_b"], alone["h"][0], rtol=1e-5)


def test_another_signature_is_asked(tmp_path):
    step = {"frame": known.frames(1, 2)[0], "h": np.zeros((2, 4)), "c": np.zeros((2, 4))}
    np.savez(tmp_path / "x.npz", **step)
    told = arrays.report(Known(), tmp_path / "x.npz", "step")
    assert told.outputs.keys() == {"logits", "next_c", "next_h"}
    assert told.picture is None


def _saved(array):
    def write(path):
        with open(path, "wb") as file:
            np.save(file, array)

    return write


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04"), "damaged or other content"),
        (lambda path: path.write_bytes(b""), "damaged or other content"),
        (_saved(np.ones(3)), "one array"),
        (lambda path: np.savez(path), "without"),
        (lambda path: np.savez(path, x=np.array([None], object)), "damaged or other content"),
    ],
)
def test_a_file_that_is_no_npz_is_refused(tmp_path, write, problem):
    write(tmp_path / "x.npz")
    with pytest.raises(InputError, match=f"--input: expected an .npz file.*{problem}"):
        arrays.report(Known(), tmp_path / "x.npz")


# --- Pictures ---


def test_probabilities():
    logits = np.array([[0.0, 800.0, -800.0], [1.0, 2.0, 3.0]], np.float32)
    np.testing.assert_allclose(report.softmax(logits)[0], [0, 1, 0], atol=1e-12)
    exponentials = np.exp([1.0, 2.0, 3.0])
    np.testing.assert_allclose(report.softmax(logits)[1], exponentials / exponentials.sum())
    np.testing.assert_allclose(report.sigmoid(logits)[1], 1 / (1 + 1 / exponentials))


def test_a_picture_has_its_words(tmp_path):
    values = np.random.default_rng(2).random((30, 4))
    picture = Picture(values, "probability", "seconds", "class", {0: "h#", 2: "\u0259"}, 0.01)
    for name in ("a.svg", "b.svg"):
        drawing.write_svg(picture, "hello.wav, speech", tmp_path / name)
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for word in ("hello.wav, speech", "probability", "seconds", "class", "h#", "\u0259", "0.30"):
        assert word in texts
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) >= 1


def test_many_names_are_left_out(tmp_path):
    names = {row: f"name {row}" for row in range(41)}
    picture = Picture(np.zeros((3, 41)), "logit", "frame", "output", names)
    drawing.write_svg(picture, "x", tmp_path / "a.svg")
    assert "name 3" not in (tmp_path / "a.svg").read_text()
