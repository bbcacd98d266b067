"""PyTorch: `nn.LSTM`, and an LSTM with peepholes as a loop over a cell."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from torch import nn

from benchmarks.work import Pass, Work

torch.set_num_threads(1)

# Keras' blocks i f z o are PyTorch's i f g o; PyTorch keeps kernels transposed.
Tensors = list[torch.Tensor]


def _parameter(array: Any) -> nn.Parameter:
    return nn.Parameter(torch.tensor(array))


class _Stock(nn.Module):
    """`nn.LSTM`, which has no peepholes; its second bias stays zero, as Keras has only one."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        kernel, recurrent_kernel, bias, *_ = work.weights
        self.lstm = nn.LSTM(kernel.shape[0], work.units)
        self.lstm.weight_ih_l0 = _parameter(kernel.T)
        self.lstm.weight_hh_l0 = _parameter(recurrent_kernel.T)
        self.lstm.bias_ih_l0 = _parameter(bias)
        self.lstm.bias_hh_l0 = _parameter(0 * bias)
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.lstm.flatten_parameters()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(inputs.unsqueeze(1))
        return hidden.squeeze(1)


def _peephole_step(
    net: torch.Tensor, c: torch.Tensor, peephole_if: torch.Tensor, peephole_o: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pointwise part of one step; `net` has the blocks i f z o."""
    gates, z, o = net.split_with_sizes([2 * c.shape[1], c.shape[1], c.shape[1]], dim=1)
    i, f = torch.sigmoid(gates + peephole_if * c.repeat(1, 2)).chunk(2, dim=1)
    c = torch.tanh(z) * i + c * f
    return torch.tanh(c) * torch.sigmoid(o + peephole_o * c), c


class _Peephole(nn.Module):
    """The vanilla LSTM: inputs projected for all frames at once, then a loop over the cell."""

    def __init__(self, work: Work, compiled: bool) -> None:
        super().__init__()
        kernel, recurrent_kernel, bias, peephole, *_ = work.weights
        self.kernel = _parameter(kernel)
        self.recurrent_kernel = _parameter(recurrent_kernel)
        self.bias = _parameter(bias)
        self.peephole = _parameter(peephole)
        self.cell = torch.compile(self._cell) if compiled else self._cell

    @staticmethod
    def _cell(
        projected: torch.Tensor,
        h: torch.Tensor,
        c: torch.Tensor,
        recurrent_kernel: torch.Tensor,
        peephole_if: torch.Tensor,
        peephole_o: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        net = torch.addmm(projected, h, recurrent_kernel)
        return _peephole_step(net, c, peephole_if, peephole_o)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        units = self.recurrent_kernel.shape[0]
        projected = torch.addmm(self.bias, inputs, self.kernel).unsqueeze(1)
        peephole_if, peephole_o = self.peephole.split([2 * units, units])
        h = c = inputs.new_zeros(1, units)
        outputs = []
        for frame in projected.unbind():
            h, c = self.cell(frame, h, c, self.recurrent_kernel, peephole_if, peephole_o)
            outputs.append(h)
        return torch.cat(outputs)


class TorchTrial:
    """Trains one trial, one sequence an update."""

    def __init__(self, peepholes: bool, compiled: bool = False, device: str = "cpu") -> None:
        """Chooses the network.

        Args:
            peepholes: whether it is the loop over a cell with peepholes, not `nn.LSTM`.
            compiled: whether the cell goes through `torch.compile`.
            device: PyTorch's name of a device.
        """
        self._device = device
        self._peepholes = peepholes
        self._compiled = compiled

    def prepare(self, path: str) -> None:
        """Builds the network of a work; the first pass compiles it."""
        work = Work.load(path)
        recurrent = _Peephole(work, self._compiled) if self._peepholes else _Stock(work)
        output = nn.Linear(work.units, work.targets[0].shape[1])
        output.weight = _parameter(work.weights[-2].T)
        output.bias = _parameter(work.weights[-1])
        self._model = nn.Sequential(recurrent, output).to(self._device)
        self._optimizer = torch.optim.SGD(
            [weight for weight in self._model.parameters() if weight.requires_grad],
            lr=work.rate,
            momentum=work.momentum,
            nesterov=True,
            fused=True,
        )
        self._noise_std = work.noise_std
        self._frames = work.frames
        self._sequences = [
            (torch.tensor(inputs).to(self._device), torch.tensor(targets).to(self._device))
            for inputs, targets in zip(work.inputs, work.targets, strict=True)
        ]

    def run(self) -> dict[str, Any]:
        """Trains on every sequence once; returns a `Pass`."""
        total = torch.zeros((), device=self._device)
        started = time.perf_counter()
        for inputs, targets in self._sequences:
            logits = self._model(torch.randn_like(inputs).mul_(self._noise_std).add_(inputs))
            loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            total += loss.detach()
        loss = float(total) / self._frames
        seconds = time.perf_counter() - started
        return dataclasses.asdict(Pass(seconds, loss))
