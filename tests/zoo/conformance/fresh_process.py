"""What needs a process in which nothing has been imported yet; all of it in one, which starts once.

Run as `python fresh_process.py <folder>` with the models of `fresh_process_test.py`. Prints a line
for each model that has passed, and at last what `mirrored.py` finds, as JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import pathlib
import sys

import zoo


def check_import() -> None:
    """Importing the zoo imports no framework; a class of it does."""
    from zoo import registry

    assert registry.find_variant("cifg") in zoo.list_variants()
    assert registry.count_params("V", 88, 100) == 75900 and "RNN" in dir(zoo)
    assert not {"keras", "tensorflow", "jax", "numpy"} & set(sys.modules)


def check_classes() -> None:
    """What the zoo has imports Keras."""
    assert zoo.VanillaCell and zoo.networks and zoo.frontends
    assert not hasattr(zoo, "nothing") and "keras" in sys.modules


def reload(folder: pathlib.Path) -> list[str]:
    """Loads models and compares what they compute: SavedModels without the zoo."""
    import numpy as np
    import tensorflow as tf

    tolerance = 1e-6  # Float32; the graph may be optimized otherwise than the code that wrote it.
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]
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
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance, err_msg=code)
        print("SavedModel", code)

    del sys.modules["zoo"]
    import keras

    zoo = importlib.import_module("zoo")
    for code, expected in arrays.items():
        model = keras.models.load_model(folder / f"{code}.keras", safe_mode=True)
        for layer in (model.layers[1].forward_layer, model.layers[1].backward_layer):
            assert type(layer.cell) is type(zoo.make_cell(code)), code
        outputs = model(inputs)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance, err_msg=code)
        print("keras", code)
    return list(arrays)


def main(folder: pathlib.Path) -> None:
    check_import()
    check_classes()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, 2 * [tf.config.LogicalDeviceConfiguration()])
    codes = reload(folder)
    from tests.zoo.conformance import mirrored

    print(json.dumps(mirrored.compare(codes)))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
