"""Engine `cuda`: many trials at the same time on an NVIDIA GPU, one a thread block or cluster.

The kernels (`kernels/*.cuh`) are C++ that NVRTC compiles at first use. A trial is trained where it
lies: weights, velocities and everything of a sequence stay in device memory, and the device itself
counts epochs, keeps the best weights and stops. The host packs trials, launches, and follows.
"""
