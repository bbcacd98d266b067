"""Forward and backward of PyTorch's LSTM on random sequences."""

from __future__ import annotations

import time

import torch
from torch import nn

torch.set_num_threads(1)


class TorchLayer:
    """`nn.LSTM`, its loss a random linear function of all outputs."""

    def __init__(self, shape: tuple[int, int, int], inputs: int) -> None:
        """Makes the layer.

        Args:
            shape: batch, time, units.
            inputs: features of an input.
        """
        torch.manual_seed(1)
        batch, steps, units = shape
        self._layer = nn.LSTM(inputs, units, batch_first=True)
        self._sequences = torch.randn(batch, steps, inputs, requires_grad=True)
        self._output_gradients = torch.randn(batch, steps, units)
        self._differentiate()

    def _differentiate(self) -> None:
        outputs, _ = self._layer(self._sequences)
        loss = (outputs * self._output_gradients).sum()
        torch.autograd.grad(loss, [self._sequences, *self._layer.parameters()])

    def seconds(self, at_least: float) -> float:
        """Differentiates for some seconds and returns the mean time."""
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < at_least:
            self._differentiate()
            count += 1
        return (time.perf_counter() - started) / count
