"""Engine `jax`: any Keras cell, compiled by XLA, on CPU, GPU or TPU."""
