"""Policies that choose a level of each gene, with exact gradients of the REINFORCE loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import Protocol as Interface

import numpy as np

Array = Any
"""An array of float64."""

Actions = Sequence[int | None]
"""Index of the level chosen for each gene; None for a value that is not a level."""


class Policy(Interface):
    """Chooses a level of each gene.

    Attributes:
        parameters: the trainable parameters; float64 arrays that are updated in place.
    """

    parameters: list[Array]

    def sample(self, parts: Sequence[float]) -> tuple[int, ...]:
        """Chooses levels by inverting the cumulative probabilities.

        Args:
            parts: a uniform number in [0, 1) for each gene.
        """

    def gradients(self, actions: Actions, advantage: float, entropy: float) -> list[Array]:
        """Returns the gradient of a loss with respect to each parameter.

            loss = -advantage · Σ ln π(action) - entropy · Σ H(π),   sums over the genes

        Args:
            actions: the chosen levels.
            advantage: how much better than expected the outcome was.
            entropy: weight of the policy's entropy.
        """


def softmax(logits: Array) -> Array:
    """Converts logits to probabilities.

    Example:
        >>> softmax(np.array([0.2, -0.1, 0.4])).round(6)
        array([0.337585, 0.250089, 0.412327])
    """
    powers = np.exp(logits - np.max(logits.real))
    return powers / powers.sum()


def entropy_of(probabilities: Array) -> Any:
    """Returns the entropy of a choice, in nats."""
    return -(probabilities * np.log(probabilities)).sum()


def gradient_of_choice(
    probabilities: Array, action: int | None, advantage: float, entropy: float
) -> Array:
    """Differentiates the loss of `Policy.gradients` with respect to the logits of one gene.

        ∂loss/∂logits = advantage · (π - e_action) + entropy · π (ln π + H)

    Args:
        probabilities: π, the probability of each of its levels.
        action: index of the chosen level, if any.
        advantage: see `Policy.gradients`.
        entropy: see `Policy.gradients`.
    """
    uncertainty = entropy_of(probabilities)
    gradient = entropy * probabilities * (np.log(probabilities) + uncertainty)
    if action is not None:
        gradient = gradient + advantage * probabilities
        gradient[action] -= advantage
    return gradient


def _choose(probabilities: Array, part: float) -> int:
    place = int(np.searchsorted(np.cumsum(probabilities), part, side="right"))
    return min(place, len(probabilities) - 1)


class Factored:
    """Chooses each gene independently; `logits = cap · tanh(parameter / temperature)`.

    Args:
        sizes: number of levels of each gene.
        generator: unused; all levels are equally likely at first.
        temperature: temperature of the logits.
        cap: the largest logit. A level's probability is at most 1 / (1 + (n - 1) exp(-2 cap)) for n
            levels: .949 with a cap of 2.5 and 9 levels, .9996 with a cap of 5.

    Example:
        >>> policy = Factored((2, 9), None, cap=2.5)
        >>> policy.parameters[1][:] = [1e9] + 8 * [-1e9]
        >>> round(float(policy.probabilities(1).max()), 4)
        0.9488
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: np.random.Generator | None,
        temperature: float = 1.0,
        cap: float = 5.0,
    ) -> None:
        self.parameters = [np.zeros(size) for size in sizes]
        self._temperature = temperature
        self._cap = cap

    def probabilities(self, gene: int) -> Array:
        """Returns the probability of each level of a gene."""
        return softmax(self._cap * np.tanh(self.parameters[gene] / self._temperature))

    def sample(self, parts: Sequence[float]) -> tuple[int, ...]:
        """Chooses levels; see `Policy.sample`."""
        return tuple(
            _choose(self.probabilities(gene), part) for gene, part in enumerate(parts)
        )

    def gradients(self, actions: Actions, advantage: float, entropy: float) -> list[Array]:
        """Differentiates the loss; see `Policy.gradients`."""
        found = []
        for gene, action in enumerate(actions):
            inside = np.tanh(self.parameters[gene] / self._temperature)
            gradient = gradient_of_choice(softmax(self._cap * inside), action, advantage, entropy)
            found.append(gradient * self._cap * (1 - inside**2) / self._temperature)
        return found


class Controller:
    """Chooses the genes one after another with an LSTM, GraphNAS' controller (Gao et al. 2019).

    Each gene g has its own head and embedding:
    `logits = cap · tanh((W_g h + b_g) / temperature)`; the chosen level's embedding is the next
    input; the first input is 0. All parameters are drawn from U(-0.1, 0.1).

    Args:
        sizes: number of levels of each gene.
        generator: draws the parameters.
        temperature: temperature of the logits.
        cap: the largest logit.
        units: number of units of the LSTM, and size of the embeddings.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: np.random.Generator,
        temperature: float = 5.0,
        cap: float = 2.5,
        units: int = 100,
    ) -> None:
        shapes = [(units, 4 * units), (units, 4 * units), (4 * units,)]
        for size in sizes:
            shapes += [(units, size), (size,), (size, units)]
        self.parameters = [generator.uniform(-0.1, 0.1, shape) for shape in shapes]
        self._sizes = tuple(sizes)
        self._temperature = temperature
        self._cap = cap
        self._units = units

    def _head(self, gene: int) -> tuple[Array, Array, Array]:
        """Returns the weights, bias and embeddings of a gene."""
        first = 3 + 3 * gene
        weights, bias, embeddings = self.parameters[first : first + 3]
        return weights, bias, embeddings

    def _step(self, inputs: Array, output: Array, cell: Array) -> tuple[Array, ...]:
        """Computes one step of the LSTM: its gates, its cell state and its output."""
        from_input, from_output, bias = self.parameters[:3]
        sums = np.split(inputs @ from_input + output @ from_output + bias, 4)
        let, keep, show = (1 / (1 + np.exp(-one)) for one in (sums[0], sums[1], sums[3]))
        block = np.tanh(sums[2])
        cell = keep * cell + let * block
        return let, keep, block, show, cell, show * np.tanh(cell)

    def probabilities(self, actions: Sequence[int]) -> Array:
        """Returns the probability of each level of the gene after those already chosen."""
        inputs = output = cell = np.zeros(self._units)
        for gene, action in enumerate((*actions, 0)):
            *_, cell, output = self._step(inputs, output, cell)
            weights, bias, embeddings = self._head(gene)
            inputs = embeddings[action]
        return softmax(self._cap * np.tanh((output @ weights + bias) / self._temperature))

    def sample(self, parts: Sequence[float]) -> tuple[int, ...]:
        """Chooses levels; see `Policy.sample`."""
        actions: tuple[int, ...] = ()
        for part in parts:
            actions += (_choose(self.probabilities(actions), part),)
        return actions

    def gradients(self, actions: Actions, advantage: float, entropy: float) -> list[Array]:
        """Differentiates through time; see `Policy.gradients`.

        Entropies are taken along the chosen path. The input after a gene without a level is 0.
        """
        nothing = np.zeros(self._units)
        steps = []
        inputs = output = cell = nothing
        for gene, action in enumerate(actions):
            before = inputs, output, cell
            *gates, cell, output = self._step(inputs, output, cell)
            steps.append((before, gates, cell, output))
            inputs = nothing if action is None else self._head(gene)[2][action]

        found = [np.zeros_like(parameter) for parameter in self.parameters]
        d_inputs = d_output = d_cell = nothing
        for gene in reversed(range(len(actions))):
            (inputs, before_output, before_cell), gates, cell, output = steps[gene]
            first, action = 3 + 3 * gene, actions[gene]
            if action is not None:
                found[first + 2][action] = d_inputs
            weights, bias, _ = self._head(gene)
            inside = np.tanh((output @ weights + bias) / self._temperature)
            d_logits = gradient_of_choice(softmax(self._cap * inside), action, advantage, entropy)
            d_head = d_logits * self._cap * (1 - inside**2) / self._temperature
            found[first] = np.outer(output, d_head)
            found[first + 1] = d_head
            let, keep, block, show = gates
            state = np.tanh(cell)
            d_output = d_output + weights @ d_head
            d_cell = d_cell + d_output * show * (1 - state**2)
            d_sums = np.concatenate(
                [
                    d_cell * block * let * (1 - let),
                    d_cell * before_cell * keep * (1 - keep),
                    d_cell * let * (1 - block**2),
                    d_output * state * show * (1 - show),
                ]
            )
            found[0] += np.outer(inputs, d_sums)
            found[1] += np.outer(before_output, d_sums)
            found[2] += d_sums
            d_inputs = self.parameters[0] @ d_sums
            d_output = self.parameters[1] @ d_sums
            d_cell = d_cell * keep
        return found


class Adam:
    """The Adam optimizer (Kingma & Ba 2015), with the paper's constants.

    Args:
        parameters: the parameters to update, in place.
        learning_rate: step size.
    """

    def __init__(self, parameters: Sequence[Array], learning_rate: float) -> None:
        self._parameters = parameters
        self._rate = learning_rate
        self._steps = 0
        self._means = [np.zeros_like(parameter) for parameter in parameters]
        self._squares = [np.zeros_like(parameter) for parameter in parameters]

    def step(self, gradients: Sequence[Array]) -> None:
        """Takes one step against the gradients."""
        self._steps += 1
        for parameter, gradient, mean, square in zip(
            self._parameters, gradients, self._means, self._squares, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            unbiased = np.sqrt(square / (1 - 0.999**self._steps)) + 1e-8
            parameter -= self._rate * mean / (1 - 0.9**self._steps) / unbiased
