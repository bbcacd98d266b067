"""Reference rate of a core: the product of two square float32 matrices by NumPy's BLAS."""

from __future__ import annotations

import numpy as np

from benchmarks.peers import repeated


class Sgemm:
    """Measures matrix products."""

    def prepare(self, size: int) -> None:
        """Draws two matrices with `size` rows and columns."""
        self._factors = np.random.default_rng(1).standard_normal((2, size, size), dtype=np.float32)
        self._product = np.matmul(*self._factors)

    def run(self) -> dict[str, float]:
        """Multiplies for some time; returns 10⁹ operations per second, 2 size³ per product."""
        seconds = repeated(lambda: np.matmul(*self._factors, out=self._product), at_least=0.1)
        return {"seconds": seconds, "gigaflops": 2 * len(self._product) ** 3 / seconds / 1e9}
