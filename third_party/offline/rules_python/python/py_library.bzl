"""Forwards py_library to the rule built into Bazel 4."""

py_library = native.py_library
