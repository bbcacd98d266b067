"""Samples music from a next-step model through its streaming signature, and draws it."""
