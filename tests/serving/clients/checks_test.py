import numpy as np
import pytest

from serving.clients.checks import prepared, signature_of
from serving.clients.errors import ServingError
from serving.runtime.specs import Signature, TensorSpec

SIGNATURE = Signature(
    {
        "lengths": TensorSpec("int32", (None,)),
        "names": TensorSpec("string", (None,)),
        "sequence": TensorSpec("float32", (None, None, 2)),
        "size": TensorSpec("uint8", None),
    },
    {},
)
GOOD = {"sequence": np.ones((1, 3, 2)), "lengths": [3], "names": ["x"], "size": 4}


def test_arrays_have_the_types_of_the_signature():
    arrays = prepared("m", SIGNATURE, GOOD)
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "lengths": ("int32", (1,)),
        "names": ("object", (1,)),
        "sequence": ("float32", (1, 3, 2)),
        "size": ("uint8", ()),
    }
    assert arrays["names"].tolist() == [b"x"]
    assert list(arrays) == list(SIGNATURE.inputs)


def test_arrays_are_contiguous():
    sequence = np.arange(12, dtype=np.float32).reshape(2, 3, 2).transpose(1, 0, 2)
    arrays = prepared("m", SIGNATURE, {**GOOD, "sequence": sequence[:1]})
    assert arrays["sequence"].flags.c_contiguous
    np.testing.assert_array_equal(arrays["sequence"], sequence[:1])


@pytest.mark.parametrize(
    "names", [["\u0259"], np.array(["\u0259"]), np.array(["\u0259".encode()]), ["\u0259".encode()]]
)
def test_strings_are_utf8_or_bytes(names):
    assert prepared("m", SIGNATURE, {**GOOD, "names": names})["names"][0] == "\u0259".encode()


@pytest.mark.parametrize("sequence", [np.ones((1, 3, 2), bool), np.ones((1, 3, 2), np.uint8)])
def test_a_wider_kind_takes_all(sequence):
    array = prepared("m", SIGNATURE, {**GOOD, "sequence": sequence})["sequence"]
    assert array.dtype == np.float32
    assert array.sum() == 6


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"lengths": [3.0]}, "m: input lengths: expected int32. Received: float64"),
        ({"lengths": [2**31]}, "expected int32. Received: an integer that does not fit"),
        ({"size": -1}, "input size: expected uint8. Received: an integer that does not fit"),
        ({"sequence": [["x"]]}, r"expected the shape \[any, any, 2\]. Received: \[1, 1\]"),
        ({"sequence": np.ones((1, 3, 3))}, r"Received: \[1, 3, 3\]"),
        ({"sequence": np.full((1, 3, 2), "x")}, "expected float32. Received: <U1"),
        ({"sequence": np.full((1, 3, 2), None)}, "expected float32. Received: object"),
        ({"sequence": np.ones((1, 3, 2), complex)}, "expected float32. Received: complex128"),
        ({"sequence": [[[1, 2], [3]]]}, "expected an array. Received: rows of different lengths"),
        ({"lengths": [3, 3]}, "one batch size. Received: lengths 2, names 1, sequence 1"),
        ({"names": [1]}, "expected string. Received: int64"),
        ({"names": np.array([b"x", None])[1:]}, "expected string. Received: NoneType"),
        ({"other": 1}, "inputs lengths, names, sequence, size. Received: .*, other"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, problem):
    with pytest.raises(ServingError, match=problem) as caught:
        prepared("m", SIGNATURE, {**GOOD, **wrong})
    assert caught.value.code == "INVALID_ARGUMENT"


def test_missing_inputs_are_named():
    with pytest.raises(ServingError, match=r"Received: none$"):
        prepared("m", SIGNATURE, {})


def test_a_signature_is_found_or_named():
    assert signature_of("m", {"step": SIGNATURE}, "step") is SIGNATURE
    with pytest.raises(ServingError, match="m: expected one of the signatures a, b. Received: 'c'"):
        signature_of("m", {"a": SIGNATURE, "b": SIGNATURE}, "c")
