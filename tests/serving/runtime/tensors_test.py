"""Tensors against TensorFlow's own way to write and read them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from serving.runtime import messages, tensors
from serving.runtime.specs import DTYPES

ARRAYS = {
    name: (np.arange(6).reshape(2, 3) % (2 if name == "bool" else 7)).astype(name)
    for name in DTYPES
    if name != "string"
} | {"string": np.array([[b"a", b"\xff\x00"], [b"", b"bb"]], object)}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("as_content", [True, False])
def test_tensorflow_reads_what_is_written(name: str, as_content: bool) -> None:
    proto = messages.TensorProto()
    tensors.fill(proto, ARRAYS[name], as_content=as_content)
    theirs = tf.compat.v1.make_tensor_proto(0)
    theirs.ParseFromString(proto.SerializeToString())
    assert bool(theirs.tensor_content) == (as_content and name != "string")
    read = tf.make_ndarray(theirs)
    assert read.tolist() == ARRAYS[name].tolist()
    assert name == "string" or read.dtype == ARRAYS[name].dtype


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("as_content", [True, False])
def test_what_is_written_is_read(name: str, as_content: bool) -> None:
    proto = messages.TensorProto()
    tensors.fill(proto, ARRAYS[name], as_content=as_content)
    read = tensors.to_array(proto)
    assert (read.dtype, read.tolist()) == (ARRAYS[name].dtype, ARRAYS[name].tolist())


@pytest.mark.parametrize("value", [2.5, np.zeros((2, 0, 3)), np.full((2, 2), 7.0), [b"x", b"yy"]])
def test_what_tensorflow_writes_is_read(value: object) -> None:
    theirs = tf.make_tensor_proto(value)
    read = tensors.to_array(messages.TensorProto.FromString(theirs.SerializeToString()))
    np.testing.assert_array_equal(read, tf.make_ndarray(theirs))
    assert read.shape == tf.make_ndarray(theirs).shape


def test_the_last_value_stands_for_the_rest() -> None:
    proto = messages.TensorProto(dtype=1, float_val=[1.0, 5.0])
    proto.tensor_shape.dim.add(size=4)
    assert tensors.to_array(proto).tolist() == [1, 5, 5, 5]
    del proto.float_val[:]
    assert tensors.to_array(proto).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "shape", "problem"),
    [
        ({"dtype": 1, "tensor_content": b"123"}, [1], "expected 4 bytes of tensor_content"),
        ({"dtype": 1, "float_val": [1, 2]}, [1], "expected 1 values .* Received: 2"),
        ({"dtype": 1, "int_val": [1]}, [1], "expected values of float32 in float_val"),
        ({"dtype": 7, "string_val": [b"a"]}, [2], "expected 2 values"),
        ({"dtype": 6, "int_val": [300]}, [1], "values of int8. Received: one out of"),
        ({"dtype": 1}, [-1], "expected a shape of known sizes"),
        ({"dtype": 20}, [1], "Received: DataType 20"),
    ],
)
def test_what_does_not_fit_is_refused(
    fields: dict[str, object], shape: list[int], problem: str
) -> None:
    proto = messages.TensorProto(**fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    with pytest.raises(ValueError, match=problem):
        tensors.to_array(proto)
