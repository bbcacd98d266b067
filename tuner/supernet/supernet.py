"""The gate supernet: one set of weights for all cells, trained on another cell at every update."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tuner.search.space import Number
from tuner.supernet import blocks
from tuner.supernet.space import CellSpace, Child, cell_of
from tuner.training import random_streams
from tuner.training.native import epoch, memory
from tuner.training.protocol import Problem
from zoo.variants import VARIANTS, Variant


@dataclasses.dataclass
class _Network:
    """What the native engine needs for one cell."""

    cell: Variant
    shape: memory.Shape
    workspace: memory.Workspace


class GateSupernet:
    """Trains the weights of all cells of a gate space by the rules of a study.

    Each update draws a cell uniformly from the legal ones and trains it on one sequence with the
    native engine: noise, summed loss, Nesterov momentum. Weights that the cell does not use, and
    their velocities, stay as they are. All weights and biases are drawn from N(0, 0.1²), so that
    the size of a block is its weight in an angle.

    Args:
        problem: task, data and training rules; the task must be unidirectional.
        values: the hyperparameters: `units`, `learning_rate`, `momentum`, `noise_std`.
        seed: seed of the initial weights, the draws of cells and the noise.
        scheme: see `tuner.supernet.blocks`.
    """

    def __init__(
        self,
        problem: Problem,
        values: Mapping[str, Number],
        seed: int,
        scheme: blocks.Scheme = "own",
    ) -> None:
        task, corpus = problem.task, problem.corpus
        self._problem, self._scheme, self._seed = problem, scheme, seed
        self._units = int(values["units"])
        self._momentum = np.float32(values["momentum"])
        self._rate = np.float32(values["learning_rate"] * (1 - values["momentum"]))
        self._noise_std = np.float32(values["noise_std"])
        sizes = blocks.shapes(task.inputs, self._units, task.outputs)
        drawn = random_streams.initial_weights(
            seed, list(sizes.values()), problem.protocol.weight_std
        )
        self.blocks = dict(zip(sizes, drawn, strict=True))
        self.initial = {name: block.copy() for name, block in self.blocks.items()}
        self._velocities = {name: np.zeros_like(block) for name, block in self.blocks.items()}
        self._networks: dict[str, _Network] = {}
        layout = memory.shape_of(task, VARIANTS["V"], 1)
        self._train = epoch.split_of(corpus.train, layout)
        self._validation = epoch.split_of(corpus.validation, layout)
        self.epochs = 0

    def _network(self, child: Child) -> _Network:
        cell = cell_of(child)
        assert cell is not None, "the space is one of gates"
        if cell.code not in self._networks:
            shape = memory.shape_of(self._problem.task, cell, self._units)
            corpus = self._problem.corpus
            workspace = memory.allocate_for(shape, (corpus.train, corpus.validation))
            self._networks[cell.code] = _Network(cell, shape, workspace)
        return self._networks[cell.code]

    def train(self, space: CellSpace, epochs: int) -> None:
        """Trains on every sequence `epochs` times, each time with a random cell of the space."""
        children, count = space.children(), len(self._train.lengths)
        losses = np.zeros(count)
        for number in range(self.epochs + 1, self.epochs + epochs + 1):
            order = random_streams.order(self._problem.protocol.order_seed, number, count)
            low, high = random_streams.noise_key(self._seed, number)
            key = np.uint32(low), np.uint32(high)
            stream = random_streams.proposal(
                self._seed, self._problem.task.name, "supernet", number
            )
            for visit, place in enumerate(stream.integers(len(children), size=count)):
                self._update(children[place], order, visit, key, losses)
        self.epochs += epochs

    def _update(
        self,
        child: Child,
        order: np.ndarray,
        visit: int,
        key: tuple[np.uint32, np.uint32],
        losses: np.ndarray,
    ) -> None:
        network = self._network(child)
        cell, shape = network.cell, network.shape
        weights, velocities = (
            memory.pack(shape, blocks.gather(cell, held, self._scheme))
            for held in (self.blocks, self._velocities)
        )
        stopped = epoch.train(
            shape, weights, velocities, network.workspace, self._train, order, visit, visit + 1,
            key, self._noise_std, self._momentum, self._rate, losses,
        )  # fmt: skip
        # A sequence whose loss is not finite changes nothing.
        if stopped == visit + 1:
            for held, moved in ((self.blocks, weights), (self._velocities, velocities)):
                blocks.scatter(cell, memory.unpack(shape, moved), held, self._scheme)

    def measure(self, child: Child) -> float:
        """Returns the metric of a cell with the supernet's weights on the validation sequences."""
        network = self._network(child)
        weights = memory.pack(
            network.shape, blocks.gather(network.cell, self.blocks, self._scheme)
        )
        return epoch.score(network.shape, weights, network.workspace, self._validation).mean

    def vectors(self, child: Child) -> tuple[np.ndarray, np.ndarray]:
        """Returns the initial and the current weights of a cell, each as one vector."""
        cell = self._network(child).cell
        first, now = (
            blocks.vector(cell, held, self._scheme) for held in (self.initial, self.blocks)
        )
        return first, now


