"""The core's own rate: the product of two square float32 matrices by NumPy's BLAS."""

from __future__ import annotations

import time

import numpy as np


class Sgemm:
    """Measures matrix products."""

    def gigaflops(self, size: int, seconds: float = 0.1) -> float:
        """Measures how fast two matrices are multiplied, 2 size³ operations a product.

        Args:
            size: rows and columns.
            seconds: how long to measure.

        Returns:
            10⁹ floating-point operations a second.
        """
        generator = np.random.default_rng(1)
        a, b = generator.standard_normal((2, size, size), dtype=np.float32)
        product = a @ b
        count = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            np.matmul(a, b, out=product)
            count += 1
        return 2 * size**3 * count / (time.perf_counter() - started) / 1e9
