"""Raw input to features as Keras layers: the same code trains and serves."""

from zoo.frontends.mfcc import MFCC
from zoo.frontends.pen_strokes import PenStrokes

__all__ = ["MFCC", "PenStrokes"]
