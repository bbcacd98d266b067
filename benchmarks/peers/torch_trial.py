"""PyTorch: `nn.LSTM`, and an LSTM with peepholes as a loop over a cell."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn

from benchmarks.peers import repeated
from benchmarks.work import Work

torch.set_num_threads(1)

# Keras' blocks i f z o are PyTorch's i f g o; PyTorch keeps kernels transposed.


def _parameter(array: Any) -> nn.Parameter:
    return nn.Parameter(torch.tensor(array))


class _Stock(nn.Module):
    """`nn.LSTM`, which has no peepholes; its second bias stays zero, as Keras has only one."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        kernel, recurrent_kernel, bias, *_ = work.weights
        self.lstm = nn.LSTM(kernel.shape[0], work.units)
        self.lstm.weight_ih_l0, self.lstm.bias_ih_l0 = _parameter(kernel.T), _parameter(bias)
        self.lstm.weight_hh_l0 = _parameter(recurrent_kernel.T)
        self.lstm.bias_hh_l0 = _parameter(0 * bias)
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.lstm.flatten_parameters()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(inputs.unsqueeze(1))
        return hidden.squeeze(1)


def _cell(
    projected: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    recurrent_kernel: torch.Tensor,
    peephole_if: torch.Tensor,
    peephole_o: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Computes one step; its net input has the blocks i f z o."""
    net, units = torch.addmm(projected, h, recurrent_kernel), c.shape[1]
    gates, z, o = net.split_with_sizes([2 * units, units, units], dim=1)
    i, f = torch.sigmoid(gates + peephole_if * c.repeat(1, 2)).chunk(2, dim=1)
    c = torch.tanh(z) * i + c * f
    return torch.tanh(c) * torch.sigmoid(o + peephole_o * c), c


class _Peephole(nn.Module):
    """The vanilla LSTM: inputs projected for all frames at once, then a loop over the cell."""

    def __init__(self, work: Work, compiled: bool) -> None:
        super().__init__()
        parameters = map(_parameter, work.weights[:4])
        self.kernel, self.recurrent_kernel, self.bias, self.peephole = parameters
        self.cell = torch.compile(_cell) if compiled else _cell

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        units = self.recurrent_kernel.shape[0]
        projected = torch.addmm(self.bias, inputs, self.kernel).unsqueeze(1)
        peepholes = self.peephole.split([2 * units, units])
        h = c = inputs.new_zeros(1, units)
        outputs = []
        for frame in projected.unbind():
            h, c = self.cell(frame, h, c, self.recurrent_kernel, *peepholes)
            outputs.append(h)
        return torch.cat(outputs)


class TorchTrial:
    """Trains one trial, with one sequence per update."""

    def __init__(self, peepholes: bool = True, compiled: bool = False, device: str = "cpu") -> None:
        """Selects `nn.LSTM` or a loop over a peephole cell, optionally with `torch.compile`."""
        self._peepholes, self._compiled, self._device = peepholes, compiled, device

    def prepare(self, path: str) -> None:
        """Builds the network of some work; the first pass compiles it."""
        self._work = work = Work.load(path)
        recurrent = _Peephole(work, self._compiled) if self._peepholes else _Stock(work)
        output = nn.Linear(work.units, work.targets[0].shape[1])
        output.weight = _parameter(work.weights[-2].T)
        output.bias = _parameter(work.weights[-1])
        self._model = nn.Sequential(recurrent, output).to(self._device)
        weights = [weight for weight in self._model.parameters() if weight.requires_grad]
        how = {"momentum": work.momentum, "nesterov": True, "fused": True}
        self._optimizer = torch.optim.SGD(weights, lr=work.rate, **how)
        self._sequences = [
            tuple(torch.tensor(array).to(self._device) for array in pair)
            for pair in zip(work.inputs, work.targets, strict=True)
        ]

    def run(self) -> dict[str, float]:
        """Trains on every sequence once; returns the mean loss per frame."""
        total = torch.zeros((), device=self._device)
        started = time.perf_counter()
        for inputs, targets in self._sequences:
            noise = torch.randn_like(inputs).mul_(self._work.noise_std)
            logits = self._model(noise.add_(inputs))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            total += loss.detach()
        loss = float(total) / self._work.frames
        return {"seconds": time.perf_counter() - started, "loss": loss, "trials": 1}


class TorchLayer:
    """The layer, with a random linear function of all outputs as the loss."""

    def prepare(self, shape: list[int], inputs: int, **_: str) -> None:
        """Builds the layer for `shape` (batch, time, units) and a number of input features."""
        torch.manual_seed(1)
        batch, steps, units = shape
        self._layer = nn.LSTM(inputs, units, batch_first=True)
        self._sequences = torch.randn(batch, steps, inputs, requires_grad=True)
        self._output_gradients = torch.randn(batch, steps, units)

    def run(self) -> dict[str, float]:
        """Differentiates for some seconds; returns the mean time."""
        return {"seconds": repeated(self._differentiate)}

    def _differentiate(self) -> None:
        outputs, _ = self._layer(self._sequences)
        loss = (outputs * self._output_gradients).sum()
        torch.autograd.grad(loss, [self._sequences, *self._layer.parameters()])
