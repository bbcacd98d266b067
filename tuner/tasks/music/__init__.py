"""Polyphonic music: predict the next frame of a piano roll."""
