"""Loads the models of `saving_test.py` in a fresh process, and compares what they compute.

Run as `python reload.py <folder>`. Prints a line for each model that has passed.
"""

from __future__ import annotations

import contextlib
import importlib
import pathlib
import sys

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-6
"""Float32; the graph may be optimized otherwise than the code that wrote it."""


def main(folder: pathlib.Path) -> None:
    # Whatever the path holds, `import zoo` fails for now.
    sys.modules["zoo"] = None  # type: ignore[assignment]
    with contextlib.suppress(ImportError):
        importlib.import_module("zoo")
        raise AssertionError("the SavedModels must be loaded without zoo")

    arrays = dict(np.load(folder / "expected.npz"))
    inputs = arrays.pop("inputs")
    for code, expected in arrays.items():
        loaded = tf.saved_model.load(str(folder / code))
        outputs = loaded.serve(inputs)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=TOLERANCE, err_msg=code)
        print("SavedModel", code)

    del sys.modules["zoo"]
    import keras

    import zoo

    for code, expected in arrays.items():
        model = keras.models.load_model(folder / f"{code}.keras", safe_mode=True)
        for layer in (model.layers[1].forward_layer, model.layers[1].backward_layer):
            assert type(layer.cell) is type(zoo.make_cell(code)), code
        outputs = model(inputs)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=TOLERANCE, err_msg=code)
        print("keras", code)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
