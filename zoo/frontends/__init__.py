"""Raw input to features as Keras layers: the same code trains and serves."""

from zoo.frontends.pen_strokes import PenStrokes

__all__ = ["PenStrokes"]
