"""Settings for the tests of the zoo, which run on the TensorFlow and JAX backends."""

import keras

# Looking for examples in it would register the cells that it has.
collect_ignore = ["cells.py"]

if keras.backend.backend() == "jax":
    import jax

    # The value tests compare in float64, which JAX otherwise turns into float32.
    jax.config.update("jax_enable_x64", True)
