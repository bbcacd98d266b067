"""Handwriting: from the trajectory of a pen to the characters of a line."""
