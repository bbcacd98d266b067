"""What a client sends is checked before memory is taken for it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.specs import Signature, TensorSpec
from serving.standin import tensors
from serving.standin.errors import Code, ServingError
from serving.standin.settings import Limits

LIMITS = Limits(max_message_bytes=200_000, max_sequence_length=500)


def _read(proto, dtype="float32", shape=(None, 2)):
    signature = Signature({"x": TensorSpec(dtype, shape)}, {})
    return tensors.inputs_of({"x": proto}, signature, LIMITS)["x"]


def _proto(dtype, shape, **fields):
    proto = tf.make_tensor_proto(np.zeros((0,), dtype))
    proto.ClearField("tensor_content")
    del proto.tensor_shape.dim[:]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    for name, values in fields.items():
        getattr(proto, name).extend(values)
    return proto


def _huge(proto):
    for _ in range(4):
        proto.tensor_shape.dim.add(size=1000)


def _overflow(proto):
    for _ in range(8):
        proto.tensor_shape.dim.add(size=2**40)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: p.tensor_shape.ClearField("dim") or _huge(p), "shape [?,2]. Received: [1000,"),
        (lambda p: p.tensor_shape.ClearField("dim") or _overflow(p), "expected shape [?,2]"),
        (lambda p: setattr(p.tensor_shape.dim[0], "size", 10**12), "8000000000000 bytes"),
        (lambda p: setattr(p.tensor_shape.dim[0], "size", -1), "at least 0. Received: [-1,2]"),
        (lambda p: setattr(p.tensor_shape.dim[1], "size", 3), "shape [?,2]. Received: [3,3]"),
        (lambda p: setattr(p.tensor_shape, "unknown_rank", True), "Received: unknown_rank"),
        (lambda p: setattr(p, "dtype", 2), "expected float32. Received: float64"),
        (lambda p: setattr(p, "dtype", 0), "expected float32. Received: DataType 0"),
        (lambda p: setattr(p, "dtype", 777), "expected float32. Received: DataType 777"),
        (lambda p: setattr(p, "tensor_content", b"12345"), "expected 24 bytes of tensor_content"),
        (
            lambda p: p.ClearField("tensor_content") or p.string_val.append(b"7"),
            "expected values of float32 in float_val. Received: string_val",
        ),
        (
            lambda p: p.ClearField("tensor_content") or p.float_val.extend([0.0] * 7),
            "expected 6 values for shape [3,2]. Received: 7",
        ),
    ],
)
def test_malformed_tensors(change, text):
    proto = tf.make_tensor_proto(np.ones((3, 2), np.float32))
    assert _read(proto).tolist() == [[1, 1]] * 3
    change(proto)
    with pytest.raises(ServingError) as error:
        _read(proto)
    assert error.value.code == Code.INVALID_ARGUMENT
    assert text in error.value.message


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_garbage_is_refused_or_read_as_tensorflow_reads_it(data):
    proto = tf.make_tensor_proto(np.ones((1, 2), np.float32))
    proto.Clear()
    proto.dtype = data.draw(st.sampled_from([1, 1, 1, 0, 3, 130]))
    sizes = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 4) | st.just(2)
    for size in data.draw(st.lists(sizes, max_size=3)):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = data.draw(st.just(b"") | st.binary(max_size=16))
    proto.float_val.extend(data.draw(st.lists(st.floats(width=32), max_size=5)))
    proto.int_val.extend(data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=1)))
    try:
        array = _read(proto)
    except ServingError as error:
        assert error.code == Code.INVALID_ARGUMENT
    else:
        np.testing.assert_array_equal(array, tf.make_ndarray(proto))


def test_all_inputs_together_are_bounded():
    proto = tf.make_tensor_proto(np.zeros((15_000, 2), np.float32))
    specs = {name: TensorSpec("float32", (None, 2)) for name in ("x", "y")}
    assert _read(proto).shape == (15_000, 2)
    with pytest.raises(ServingError, match="at most 200000 bytes in all"):
        tensors.inputs_of({"x": proto, "y": proto}, Signature(specs, {}), LIMITS)


def test_only_free_dimensions_are_sequences():
    wide = tf.make_tensor_proto(np.zeros((1, 501), np.float32))
    assert _read(wide, shape=(None, 501)).shape == (1, 501)
    with pytest.raises(ServingError, match="at most 500 steps. Received: 501"):
        _read(wide, shape=(None, None))
    with pytest.raises(ServingError, match="at most 500 steps"):
        _read(wide, shape=None)
    tall = tf.make_tensor_proto(np.zeros((501, 1), np.float32))
    assert _read(tall, shape=(None, None)).shape == (501, 1)


def test_the_last_value_stands_for_those_left_out():
    proto = _proto("float32", (3, 2), float_val=[1.0, 2.0])
    assert _read(proto).tolist() == [[1, 2], [2, 2], [2, 2]] == tf.make_ndarray(proto).tolist()
    assert _read(_proto("float32", (1, 2))).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("dtype", "field", "value"),
    [
        ("int8", "int_val", 128),
        ("uint8", "int_val", -1),
        ("uint16", "int_val", 2**16),
        ("float16", "half_val", 2**16),
    ],
)
def test_values_out_of_range(dtype, field, value):
    with pytest.raises(ServingError, match="out of range"):
        _read(_proto(dtype, (1, 2), **{field: [value, value]}), dtype)


def test_strings_are_all_there():
    assert _read(_proto("S", (1, 2), string_val=[b"ab", b"cd"]), "string").tolist() == [
        [b"ab", b"cd"]
    ]
    with pytest.raises(ServingError, match="expected 2 values"):
        _read(_proto("S", (1, 2), string_val=[b"ab"]), "string")
    proto = _proto("S", (1, 2))
    proto.tensor_content = b"abcd"
    with pytest.raises(ServingError, match="in string_val. Received: tensor_content"):
        _read(proto, "string")
