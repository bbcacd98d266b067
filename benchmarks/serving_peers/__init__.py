"""What `benchmarks.serving` and `benchmarks.soak` measure, and what they measure it with.

`ray_server` runs in an environment of its own (`make bench-ray`), which has Ray, TensorFlow and the
messages of TensorFlow Serving, and may import nothing else.
"""
