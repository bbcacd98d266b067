"""A small recurrent model of which every answer is known: NumPy computes it."""

import numpy as np

from serving.runtime.specs import Signature, TensorSpec

INPUTS, UNITS, OUTPUTS = 5, 4, 3
LABELS = np.array(["a", "\u0259", "h#"])

_RANDOM = np.random.default_rng(7)
W = _RANDOM.normal(size=(INPUTS, UNITS)).astype(np.float32)
R = _RANDOM.normal(size=(UNITS, UNITS)).astype(np.float32)
V = _RANDOM.normal(size=(UNITS, OUTPUTS)).astype(np.float32)


def _specs(**shapes):
    kinds = {"lengths": "int32", "classes": "string", "text": "string"}
    return {
        name: TensorSpec(kinds.get(name, "float32"), shape)
        for name, shape in sorted(shapes.items())
    }


_STATES = {"h": (None, UNITS), "c": (None, UNITS)}
_NEXT = {f"next_{name}": shape for name, shape in _STATES.items()}
_SEQUENCE = {"sequence": (None, None, INPUTS), "lengths": (None,)}
_LOGITS = {"logits": (None, None, OUTPUTS), "classes": (None, None)}

SIGNATURES = {
    "chunk": Signature(_specs(**_SEQUENCE, **_STATES), _specs(**_LOGITS, **_NEXT)),
    "serving_default": Signature(_specs(**_SEQUENCE), _specs(**_LOGITS, **_STATES, text=(None,))),
    "step": Signature(
        _specs(frame=(None, INPUTS), **_STATES), _specs(logits=(None, OUTPUTS), **_NEXT)
    ),
}


def step(frame, h, c):
    """One frame of every row: logits, h and c after it."""
    c = np.float32(0.5) * c + frame @ W + h @ R
    h = np.tanh(c)
    return h @ V, h, c


def sequence(frames, lengths, h=None, c=None):
    """Whole rows; logits after a row's end are NaN, as far from meaning as it gets."""
    rows, times = frames.shape[:2]
    zeros = np.zeros((rows, UNITS), np.float32)
    h, c = zeros if h is None else h, zeros if c is None else c
    logits = np.full((rows, times, OUTPUTS), np.nan, np.float32)
    for time in range(times):
        alive = (time < lengths)[:, None]
        values, next_h, next_c = step(frames[:, time], h, c)
        logits[:, time] = np.where(alive, values, np.nan)
        h, c = np.where(alive, next_h, h), np.where(alive, next_c, c)
    names = LABELS[np.argmax(np.nan_to_num(logits), axis=-1)]
    classes = np.vectorize(str.encode, otypes=[object])(names)
    classes[np.isnan(logits).any(axis=-1)] = b""
    return logits, classes, h, c


def predict(inputs, signature="serving_default"):
    """What the model answers."""
    if signature == "step":
        return dict(zip(("logits", "next_h", "next_c"), step(**inputs), strict=True))
    data = dict(inputs)
    frames, lengths = data.pop("sequence"), data.pop("lengths")
    logits, classes, h, c = sequence(frames, lengths, **data)
    if signature == "chunk":
        return {"logits": logits, "classes": classes, "next_h": h, "next_c": c}
    text = np.array([b"".join(row) for row in classes], object)
    return {"logits": logits, "classes": classes, "text": text, "h": h, "c": c}


class Known:
    """The model in this process: a `Predictor` that remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def signatures(self):
        return SIGNATURES

    def predict(self, inputs, signature="serving_default"):
        self.calls.append((signature, inputs))
        wanted = SIGNATURES[signature].inputs
        arrays = {name: np.asarray(inputs[name], wanted[name].numpy_dtype) for name in inputs}
        return predict(arrays, signature)


def frames(rows, times, seed=1):
    """Input, float32 [rows, times, INPUTS]."""
    return np.random.default_rng(seed).normal(size=(rows, times, INPUTS)).astype(np.float32)


def batch(rows=3, times=6):
    """Rows of different lengths."""
    return {
        "sequence": frames(rows, times),
        "lengths": np.array([times, 2, 4][:rows], np.int32),
    }


def assert_equal(answer, wanted):
    """To the last bit, types and all."""
    assert answer.keys() == wanted.keys()
    for name, array in wanted.items():
        assert answer[name].dtype == array.dtype
        if array.dtype == object:
            assert answer[name].tolist() == array.tolist()
        else:
            np.testing.assert_array_equal(answer[name], array)
