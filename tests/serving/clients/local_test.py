import dataclasses
import threading

import numpy as np
import pytest

from common.errors import InputError
from serving.clients.errors import ServingError
from serving.clients.local import LocalModel, version_folder
from serving.clients.streaming import Stream
from tests.serving.clients import known


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from tests.serving.clients import saved

    folder = tmp_path_factory.mktemp("models") / "known"
    saved.save(folder / "3")
    return folder


@pytest.fixture(scope="module")
def model(base):
    with LocalModel(base) as model:
        yield model


def _nameless(signatures):
    return {
        name: [
            {key: dataclasses.replace(spec, tensor="") for key, spec in specs.items()}
            for specs in (signature.inputs, signature.outputs)
        ]
        for name, signature in signatures.items()
    }


def test_signatures_are_read(model):
    assert _nameless(model.signatures()) == _nameless(known.SIGNATURES)


@pytest.mark.parametrize("signature", ["serving_default", "chunk"])
def test_answers_are_the_models(model, signature):
    inputs = {"sequence": known.frames(3, 6), "lengths": np.array([6, 0, 4], np.int32)}
    if signature == "chunk":
        inputs |= {"h": known.frames(3, 1)[:, 0, :4], "c": known.frames(3, 1, 2)[:, 0, :4]}
    answer, wanted = model.predict(inputs, signature), known.predict(inputs, signature)
    assert answer.keys() == wanted.keys()
    for name, array in wanted.items():
        assert answer[name].dtype == array.dtype
        if array.dtype == object:
            assert answer[name].tolist() == array.tolist()
        else:
            np.testing.assert_allclose(answer[name], array, rtol=1e-5, atol=1e-6)
    assert "\u0259".encode() in answer["classes"]


def test_numbers_are_cast(model):
    frames = known.frames(1, 3)
    exact = model.predict({"sequence": frames, "lengths": np.array([3], np.int32)})
    cast = model.predict({"sequence": frames.astype(np.float64).tolist(), "lengths": [3]})
    np.testing.assert_array_equal(cast["logits"], exact["logits"])


def test_a_stream_is_the_whole_sequence(model):
    frames = known.frames(2, 5)
    whole = model.predict({"sequence": frames, "lengths": [5, 5]})
    stream = Stream(model, batch=2)
    logits = [stream.step(frames[:, time])["logits"] for time in range(5)]
    np.testing.assert_allclose(np.stack(logits, 1), whole["logits"], rtol=1e-6, atol=1e-6)


def test_threads_share_a_model(model):
    frames = [known.frames(1, 4, seed) for seed in range(8)]
    answers = {}

    def ask(index):
        for _ in range(5):
            answers[index] = model.predict({"sequence": frames[index], "lengths": [4]})

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index, sequence in enumerate(frames):
        wanted = known.predict({"sequence": sequence, "lengths": np.array([4])})
        np.testing.assert_allclose(answers[index]["h"], wanted["h"], rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "signature", "problem"),
    [
        ({}, "stop", "one of the signatures chunk, serving_default, step. Received: 'stop'"),
        ({"frame": [[1.0] * 5]}, "step", "the inputs c, frame, h. Received: frame"),
    ],
)
def test_wrong_calls_are_refused(model, inputs, signature, problem):
    with pytest.raises(ServingError, match=problem) as caught:
        model.predict(inputs, signature)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "known/3" in str(caught.value)


def test_what_fails_in_the_graph_is_one_line(tmp_path):
    import tensorflow as tf

    def reshape(x):
        return {"y": tf.reshape(x, [-1, 2])}

    module = tf.Module()
    endpoint = tf.function(reshape).get_concrete_function(x=tf.TensorSpec([None], "float32", "x"))
    tf.saved_model.save(module, str(tmp_path / "1"), {"serving_default": endpoint})
    with (
        LocalModel(tmp_path / "1") as model,
        pytest.raises(ServingError, match="Input to reshape is a tensor with 3 values") as caught,
    ):
        model.predict({"x": [1.0, 2.0, 3.0]})
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "\n" not in str(caught.value)


def test_the_latest_version_is_found(tmp_path):
    for name in ("2", "10", "latest", ".tmp-11"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "11").mkdir()
    assert version_folder(tmp_path) == tmp_path / "10"
    assert version_folder(tmp_path / "2") == tmp_path / "2"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="or of versions .*Received: neither"):
        version_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        version_folder(tmp_path / "absent")


def test_a_damaged_model_is_refused(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="expected a SavedModel. Received: dam") as caught:
        LocalModel(tmp_path)
    assert "\n" not in str(caught.value)
