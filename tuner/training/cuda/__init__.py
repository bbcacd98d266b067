"""Engine `cuda`: trains many trials at once on an NVIDIA GPU, one per thread block or cluster.

The kernels (`kernels/*.cuh`) are C++ that NVRTC compiles on first use. A trial is trained entirely
on the device: weights, velocities and all values of a sequence stay in its memory, and it counts
epochs, keeps the best weights and stops. The host packs trials, launches them and reads results.
"""
