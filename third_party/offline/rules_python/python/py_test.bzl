"""Forwards py_test to the rule built into Bazel 4."""

py_test = native.py_test
