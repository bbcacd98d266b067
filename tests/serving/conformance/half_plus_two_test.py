"""TensorFlow Serving's sample model, a graph of TensorFlow 1, as its own tests ask for it."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from serving.devserver.settings import Batching, Loading
from tests.serving.devserver.callers import arrays, request_for, rest, serving

v1 = tf.compat.v1
PREDICT = "tensorflow/serving/predict"


def _save(folder: pathlib.Path, asset: pathlib.Path) -> None:
    """Writes x / 2 + 2 with an asset, an operation that initializes, and `tf.Example`s."""
    asset.write_text("content")
    info, signature = v1.saved_model.build_tensor_info, v1.saved_model.build_signature_def
    with v1.Session(graph=tf.Graph()) as session:
        half, two = v1.Variable(0.5), v1.Variable(2.0)
        name = v1.Variable("unset", trainable=False, collections=[])
        examples = v1.placeholder(tf.string, [None], name="tf_example")
        parsed = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([1], tf.float32)})
        x = tf.identity(parsed["x"], name="x")
        y = tf.identity(half * x + two, name="y")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(str(asset)))
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": signature({"x": info(x)}, {"y": info(y)}, PREDICT),
                "regress_x_to_y": signature(
                    {"inputs": info(examples)}, {"outputs": info(y)}, "tensorflow/serving/regress"
                ),
                "name": signature({}, {"name": info(name.value())}, PREDICT),
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(name.assign("set")),
        )
        builder.save()


@pytest.mark.parametrize("batching", [None, Batching(128, 0, 1_000_000, 8)])
def test_it_is_answered(tmp_path: pathlib.Path, batching: Batching | None) -> None:
    # Versions may have leading zeros.
    _save(tmp_path / "m" / "00000123", tmp_path / "foo.txt")
    path = "/v1/models/m/versions/123:predict"
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(4.0)
    with serving(tmp_path / "m", loading=Loading(batching=batching)) as (server, client):
        for x, y in (([2.0], [3.0]), ([[2.0]], [[3.0]])):
            response = client.call(request_for("", x=x))
            assert arrays(response)["y"].tolist() == y
            assert response.model_spec.version.value == 123
        answer = client.predict("regress_x_to_y", inputs=[example.SerializeToString()])
        assert answer["outputs"].tolist() == [[4.0]]
        assert client.predict("name")["name"] == b"set"
        for body, expected in (
            ({"instances": [2.0, 3.0, 4.0]}, {"predictions": [3.0, 3.5, 4.0]}),
            ({"inputs": [2.0, 3.0, 4.0]}, {"outputs": [3.0, 3.5, 4.0]}),
        ):
            assert rest(server.rest_address, "POST", path, body)[:2] == (200, expected)
