"""Settings for the tests of the zoo, which run on the TensorFlow and JAX backends."""

import keras
import pytest

# Looking for examples in it would register the cells that it has.
collect_ignore = ["cells.py"]

if keras.backend.backend() == "jax":
    import jax

    # The value tests compare in float64, which JAX otherwise turns into float32.
    jax.config.update("jax_enable_x64", True)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 2 or 3 steps: a graph that holds few steps is made in a third of the time."""
    from zoo import blocks

    monkeypatch.setattr(blocks, "_BLOCK_STEPS", (2, 3))
