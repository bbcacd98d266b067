"""Exports for other runtimes than TensorFlow's own, each checked with that runtime."""
