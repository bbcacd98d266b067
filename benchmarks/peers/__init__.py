"""What is measured: each module is one library on the same work, and knows nothing of the others.

Their classes live in processes of their own, see `benchmarks.remote`. Those of PyTorch may import
nothing but PyTorch, NumPy and `benchmarks.work`: their environment has nothing else.
"""
