"""Forwards py_binary to the rule built into Bazel 4."""

py_binary = native.py_binary
