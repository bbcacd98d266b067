"""A small server that speaks TensorFlow Serving's protocols: for development and tests only.

It is no TensorFlow Serving: one Python process, no tuning for production, no promise about load. It
runs SavedModels in the session that TensorFlow Serving runs them in, and answers as it does, so
that clients and exports can be tried where no `tensorflow_model_server` is at hand.
"""
