"""Exports that run in this process, and the protocol messages that they and their servers speak."""
