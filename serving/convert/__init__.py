"""Exports for runtimes other than TensorFlow's own, each checked with that runtime."""
