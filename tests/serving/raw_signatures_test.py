"""Exports that take raw audio or strokes, against the offline features and the Keras model."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from common.errors import InputError
from serving.publish import versions
from tests import commands
from tuner.tasks import ctc

UNITS = 5
PHONES = ("h#", "iy", "s", "t", "ö")
CHARACTERS = ("a", "b", " ", "é", "…", "c")

# Calls every signature of the exports in a folder as data.npz says, without this project or Keras.
CLIENT = """
import pathlib
import sys

for missing in ("keras", "tf_keras", "zoo", "tuner", "serving"):
    sys.modules[missing] = None

import numpy as np
import tensorflow as tf

folder = pathlib.Path(sys.argv[1])
answers = {}
for export in folder.glob("*/1"):
    loaded = tf.saved_model.load(export)
    for request in folder.glob("*.npz"):
        arrays = {name: tf.constant(array) for name, array in np.load(request).items()}
        signature = request.name.split(".")[0]
        if signature not in loaded.signatures:
            continue
        for name, value in loaded.signatures[signature](**arrays).items():
            answers[f"{export.parent.name}:{request.stem}:{name}"] = value.numpy()
np.savez(folder / "answers", **answers)
"""


def make_model(
    folder: pathlib.Path, code: str, raw_name: str, *, bidirectional: bool
) -> keras.Model:
    """A model and its card as a study leaves them in `folder`."""
    frontend, labels, head = FRONTENDS[raw_name], LABELS[raw_name], HEADS[raw_name]
    generator = np.random.default_rng([len(code), ord(code[0]), bidirectional])
    cell = zoo.make_cell(code, units=UNITS, unit_forget_bias=False)
    inputs, outputs = len(frontend.mean), len(labels) + (head == "ctc")
    model = zoo.networks.network(cell, inputs, outputs, bidirectional=bidirectional)
    # Large ones, for a text of many changes.
    model.set_weights([generator.normal(scale=0.9, size=w.shape) for w in model.weights])
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    card = {
        "variant": code,
        "validation": 1.0,
        "head": head,
        "labels": labels,
        "frontend": keras.saving.serialize_keras_object(frontend),
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return model


def run_client(folder: pathlib.Path) -> dict[str, Any]:
    # Not from the checkout.
    done = commands.Forked(commands.run_code, CLIENT, str(folder), folder=folder).wait()
    assert done.returncode == 0, done.stderr
    with np.load(folder / "answers.npz", allow_pickle=True) as loaded:
        return {name: loaded[name] for name in loaded.files}


def mfcc() -> zoo.frontends.MFCC:
    generator = np.random.default_rng(3)
    return zoo.frontends.MFCC(
        mean=generator.normal(scale=3, size=39).tolist(),
        variance=generator.uniform(5, 90, size=39).tolist(),
    )


def pen_strokes() -> zoo.frontends.PenStrokes:
    return zoo.frontends.PenStrokes(mean=[0.5, -0.25, 0.1, 0.1], variance=[9.0, 4.0, 0.02, 0.1])


def pad(sequences: Sequence[np.ndarray], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Fills up with what spoils every result that it gets into."""
    padded = np.full((len(sequences), longest, *sequences[0].shape[1:]), np.nan, np.float32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded, np.array([len(sequence) for sequence in sequences], np.int32)


def as_text(value: np.ndarray) -> Any:
    return np.char.decode(value.astype(bytes), "utf-8").tolist()


# Exporting takes seconds: each variant, direction and front end, not all their combinations.
EXPORTS = [
    pytest.param("V", "audio", True, id="V-audio-both"),
    pytest.param("CIFG", "strokes", False, id="CIFG-strokes-forward"),
    pytest.param("FGR", "strokes", True, id="FGR-strokes-both"),
]
FRONTENDS = {"audio": mfcc(), "strokes": pen_strokes()}
Exports = tuple[dict[str, keras.Model], dict[str, Any], pathlib.Path]
LABELS = {"audio": PHONES, "strokes": CHARACTERS}
HEADS = {"audio": "softmax", "strokes": "ctc"}


def offline(frontend: Any, sequence: np.ndarray) -> np.ndarray:
    """The features of one sequence by itself, as a task makes them."""
    features, frames = frontend(sequence[None], np.array([len(sequence)], np.int32))
    return keras.ops.convert_to_numpy(features)[0, : int(frames[0])]


@pytest.fixture(scope="module")
def requests() -> Mapping[str, Sequence[np.ndarray]]:
    """Sequences of each request; the last have no frames: audio too short for one, no points."""
    generator = np.random.default_rng(9)
    audio = [generator.normal(scale=2_000, size=n).round() for n in (3_000, 1_777, 399)]
    strokes = []
    for points in (41, 24, 0):
        steps = np.cumsum(generator.normal(size=(points, 2)), axis=0)
        times = np.cumsum(generator.uniform(0.01, 0.03, size=(points, 1)), axis=0)
        pen_up = (generator.uniform(size=(points, 1)) < 0.2).astype(float)
        strokes.append(np.concatenate([steps, times, pen_up], axis=1))
    return {
        name: [sequence.astype(np.float32) for sequence in sequences]
        for name, sequences in (("audio", audio), ("strokes", strokes))
    }


@pytest.fixture(scope="module")
def exports(
    tmp_path_factory: pytest.TempPathFactory, requests: Mapping[str, Sequence[np.ndarray]]
) -> Exports:
    """All models, what their exports answer to one and to three sequences, and the exports."""
    study, served = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("served")
    models = {}
    for parameters in EXPORTS:
        code, raw_name, bidirectional = parameters.values
        name = f"{code}-{raw_name}-{bidirectional}"
        models[name] = make_model(study / name, code, raw_name, bidirectional=bidirectional)
        versions.publish(study / name, served / name)
    for signature, sequences in requests.items():
        for rows, longest in ((sequences, len(sequences[0]) + 7), (sequences[1:2], None)):
            padded, lengths = pad(rows, longest or len(rows[0]))
            np.savez(
                served / f"{signature}.{len(rows)}.npz", **{signature: padded, "lengths": lengths}
            )
    return models, run_client(served), served


@pytest.mark.parametrize(("code", "raw_name", "bidirectional"), EXPORTS)
def test_raw_input_is_answered_as_offline_features_are(
    exports: Exports,
    requests: Mapping[str, Sequence[np.ndarray]],
    code: str,
    raw_name: str,
    bidirectional: bool,
) -> None:
    models, answers, _ = exports
    export = f"{code}-{raw_name}-{bidirectional}"
    model, frontend, labels = models[export], FRONTENDS[raw_name], LABELS[raw_name]
    decoded = "text" if raw_name == "strokes" else "classes"
    for rows in (requests[raw_name], requests[raw_name][1:2]):
        prefix = f"{export}:{raw_name}.{len(rows)}:"
        answer = {
            name.removeprefix(prefix): value
            for name, value in answers.items()
            if name.startswith(prefix)
        }
        states = [] if bidirectional else ["h", "c"]
        assert set(answer) == {"logits", "frames", decoded, *states}
        for row, sequence in enumerate(rows):
            features = offline(frontend, sequence) if len(sequence) else np.zeros((0, 4))
            assert answer["frames"][row] == len(features)
            logits = np.zeros((0, model.outputs[0].shape[-1]))
            if len(features):
                logits = keras.ops.convert_to_numpy(model(features[None]))[0]
            received = answer["logits"][row, : len(features)]
            np.testing.assert_allclose(received, logits, rtol=0, atol=1e-3)
            if raw_name == "strokes":
                best = ctc.best_path(logits) if len(logits) else []
                expected = "".join(labels[label] for label in best)
                assert as_text(answer[decoded])[row] == expected
            else:
                names = [labels[label] for label in np.argmax(received, axis=-1)]
                names += [""] * (answer[decoded].shape[1] - len(features))
                assert as_text(answer[decoded])[row] == names
            for name in states:
                assert np.all(np.isfinite(answer[name][row]))


def test_texts_are_not_all_the_same(exports: Exports) -> None:
    texts = [as_text(value) for name, value in exports[1].items() if name.endswith("s.3:text")]
    assert len(texts) == 2 and len({tuple(text) for text in texts}) == len(texts)
    assert max(len(text) for rows in texts for text in rows) > 5


def test_features_are_answered_with_text_too(exports: Exports) -> None:
    models, _, served = exports
    model = models["FGR-strokes-True"]
    loaded = tf.saved_model.load(served / "FGR-strokes-True" / "1")
    assert set(loaded.signatures) == {"serving_default", "strokes"}
    features = np.random.default_rng(2).normal(size=(2, 31, 4)).astype(np.float32)
    lengths = np.array([31, 9], np.int32)
    answer = loaded.signatures["serving_default"](
        sequence=tf.constant(features), lengths=tf.constant(lengths)
    )
    assert set(answer) == {"logits", "text"}
    texts = [text.decode() for text in answer["text"].numpy()]
    for row, length in enumerate(lengths):
        best = ctc.best_path(model(features[row : row + 1, :length])[0].numpy())
        assert texts[row] == "".join(CHARACTERS[label] for label in best) != ""


def test_labels_that_do_not_fit_the_outputs_are_one_line(tmp_path: pathlib.Path) -> None:
    make_model(tmp_path / "best", "V", "strokes", bidirectional=False)
    path = tmp_path / "best" / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "labels": card["labels"][1:]}))
    with pytest.raises(InputError, match="expected 6 labels for 7 outputs.*Received: 5") as caught:
        versions.publish(tmp_path / "best", tmp_path / "served")
    assert "\n" not in str(caught.value)


def test_a_front_end_that_nobody_knows_is_one_line(tmp_path: pathlib.Path) -> None:
    make_model(tmp_path / "best", "V", "audio", bidirectional=True)
    path = tmp_path / "best" / "card.json"
    path.write_text(path.read_text().replace("MFCC", "Cochlea").replace("zoo.", "ear."))
    with pytest.raises(InputError, match=r"expected a front end of zoo\.front.*Cochlea") as caught:
        versions.publish(tmp_path / "best", tmp_path / "served")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "served").exists()
