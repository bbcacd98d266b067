"""Keras layers that turn raw input into features, with the same code in training and serving."""

from zoo.frontends.mfcc import MFCC
from zoo.frontends.pen_strokes import PenStrokes

__all__ = ["MFCC", "PenStrokes"]
