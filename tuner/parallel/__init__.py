"""Many trials at a time: worker processes, and TensorFlow's distribution strategies."""
