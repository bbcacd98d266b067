"""Names in the tables of `benchmarks.serving`."""

MODEL = "music"
"""What the model is called."""

SIGNATURES = ("serving_default", "step")
"""What is measured."""

STAND_IN = "stand-in"
"""What everything is compared with: the development server without batches."""

REAL = "TensorFlow Serving"
"""The server that the stand-in stands in for."""
