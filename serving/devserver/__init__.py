"""A small server that speaks TensorFlow Serving's protocols: for development and tests only.

It is not TensorFlow Serving: it is a single Python process, not tuned for production, and makes no
promises about load. It runs SavedModels in the same kind of session as TensorFlow Serving and
answers like it, so that clients and exports can be tried without a `tensorflow_model_server`.
"""
