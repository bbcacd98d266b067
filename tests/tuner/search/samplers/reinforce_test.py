"""REINFORCE: exact gradients, rewards, and what the policy learns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.tuner.search.samplers.searches import GENES, best, domain, run
from tuner.search.samplers.domain import Gene
from tuner.search.samplers.policies import (
    Controller,
    Factored,
    Policy,
    entropy_of,
    gradient_of_choice,
    softmax,
)
from tuner.search.samplers.reinforce import Reinforce, Rewards


def test_a_choice_of_three() -> None:
    """Oracle values for logits (.2, -.1, .4) and rewards (1, .5, .2)."""
    chances = softmax(np.array([0.2, -0.1, 0.4]))
    rewards = np.array([1.0, 0.5, 0.2])
    assert chances == pytest.approx([0.337585, 0.250089, 0.412327], abs=5e-7)
    assert chances @ rewards == pytest.approx(0.545094, abs=5e-7)
    # J's gradient is the mean of what single trials say.
    gradient = -sum(
        chance * gradient_of_choice(chances, action, reward, 0.0)
        for action, (chance, reward) in enumerate(zip(chances, rewards, strict=True))
    )
    assert gradient == pytest.approx([0.153569, -0.011278, -0.142292], abs=5e-7)
    assert entropy_of(chances) == pytest.approx(1.078501, abs=5e-7)
    assert -gradient_of_choice(chances, None, 0.0, 1.0) == pytest.approx(
        [0.002511, 0.076887, -0.079398], abs=5e-7
    )


def expected_reward(policy: Policy, rewards: np.ndarray, entropy: float) -> complex:
    """J + entropy · E Σ H by going through all sequences, written for the two policies alike."""

    def forward(actions: tuple[int, ...]) -> np.ndarray:
        if isinstance(policy, Factored):
            inside = np.tanh(policy.parameters[len(actions)] / 1.7)
        else:
            inputs = output = cell = np.zeros(4)
            for gene, action in enumerate((*actions, 0)):
                sums = inputs @ policy.parameters[0] + output @ policy.parameters[1]
                let, keep, block, show = np.split(sums + policy.parameters[2], 4)
                let, keep, show = (1 / (1 + np.exp(-one)) for one in (let, keep, show))
                cell = keep * cell + let * np.tanh(block)
                output = show * np.tanh(cell)
                weights, bias, embeddings = policy.parameters[3 + 3 * gene : 6 + 3 * gene]
                inputs = embeddings[action]
            inside = np.tanh((output @ weights + bias) / 1.7)
        powers = np.exp(1.9 * inside)
        return powers / powers.sum()

    total = 0j
    for actions in itertools.product(*map(range, rewards.shape)):
        chance, uncertainty = 1.0 + 0j, 0j
        for gene, action in enumerate(actions):
            chances = forward(actions[:gene])
            uncertainty -= (chances * np.log(chances)).sum()
            chance *= chances[action]
        total += chance * (rewards[actions] + entropy * uncertainty)
    return total


@pytest.mark.parametrize("kind", [Factored, Controller])
def test_the_mean_gradient_is_that_of_the_expected_reward(kind: type[Policy]) -> None:
    """In a space of 2 × 3 by enumeration, and by complex steps, which are exact."""
    generator = np.random.default_rng(4)
    sizes, entropy = (2, 3), 0.0
    policy = kind(sizes, generator, 1.7, 1.9, **({"units": 4} if kind is Controller else {}))
    for parameter in policy.parameters:
        parameter += generator.normal(0.0, 0.7, parameter.shape)
    rewards = generator.normal(size=sizes)

    mean = [np.zeros_like(parameter) for parameter in policy.parameters]
    for actions in itertools.product(*map(range, sizes)):
        # Of each sequence as likely as it is drawn: its chance follows from J of a reward of 1.
        only = np.zeros(sizes)
        only[actions] = 1.0
        chance = expected_reward(policy, only, 0.0).real
        for total, gradient in zip(
            mean, policy.gradients(actions, float(rewards[actions]), entropy), strict=True
        ):
            total -= chance * gradient

    saved = policy.parameters
    for which, parameter in enumerate(saved):
        for place in np.ndindex(parameter.shape):
            shifted = parameter.astype(complex)
            shifted[place] += 1e-30j
            policy.parameters = [*saved[:which], shifted, *saved[which + 1 :]]
            exact = expected_reward(policy, rewards, entropy).imag / 1e-30
            assert mean[which][place] == pytest.approx(exact, abs=1e-10)
    policy.parameters = saved


def test_a_factored_policys_entropy_is_differentiated() -> None:
    policy = Factored((2, 3), None, 1.7, 1.9)
    for parameter in policy.parameters:
        parameter += np.arange(len(parameter)) - 0.3
    found = policy.gradients((None, None), 0.0, 0.5)
    saved = policy.parameters
    for which, parameter in enumerate(saved):
        for place in range(len(parameter)):
            shifted = parameter.astype(complex)
            shifted[place] += 1e-30j
            policy.parameters = [*saved[:which], shifted, *saved[which + 1 :]]
            exact = expected_reward(policy, np.zeros((2, 3)), 0.5).imag / 1e-30
            assert found[which][place] == pytest.approx(-exact, abs=1e-12)


@pytest.mark.parametrize(("count", "largest"), [(9, 0.9489), (8, 0.9550)])
def test_no_option_gets_more_than_the_cap(count: int, largest: float) -> None:
    policy = Factored((count,), None, 1.0, 2.5)
    policy.parameters[0][:] = -1e9
    policy.parameters[0][3] = 1e9
    assert policy.probabilities(0).max() == pytest.approx(largest, abs=6e-5)


@pytest.mark.parametrize("kind", [Factored, Controller])
@pytest.mark.parametrize("advantage", [1.3, -0.25])
def test_what_was_rewarded_becomes_likelier(kind: type[Policy], advantage: float) -> None:
    """Also where all advantages are negative: what was drawn becomes less likely."""
    policy = kind((3, 4), np.random.default_rng(1))

    def chance() -> float:
        if isinstance(policy, Factored):
            return policy.probabilities(0)[2] * policy.probabilities(1)[1]
        return policy.probabilities(())[2] * policy.probabilities((2,))[1]

    before = chance()
    for parameter, gradient in zip(
        policy.parameters, policy.gradients((2, 1), advantage, 0.0), strict=True
    ):
        parameter -= 1e-2 * gradient
    assert np.sign(chance() - before) == np.sign(advantage)


def test_rewards_are_scaled_by_the_first_scores_and_cut_off() -> None:
    first = [float(score) for score in range(1, 20)] + [None]
    rewards = Rewards(first, 0.95)
    assert rewards.reward(10.0) == 0.0 and rewards.reward(1.0) == pytest.approx(1.0)
    assert rewards.reward(1e9) == rewards.reward(None) == -2.0
    assert rewards.reward(-1e9) == 2.0
    seen = []
    baseline = 0.0
    for score in (1.0, 19.0, None, 10.0):
        reward = rewards.reward(score)
        seen.append(reward)
        # The baseline is the one before the trial.
        expected = (reward - baseline) / (np.std(seen) or 1.0)
        assert rewards.advantage(score) == pytest.approx(expected)
        baseline = 0.95 * baseline + 0.05 * reward


def test_it_learns_and_proposes_levels_only() -> None:
    points, scores = run(lambda domain: Reinforce(domain, learning_rate=0.1), 150)
    for gene in GENES:
        assert {point[gene.name] for point in points} <= set(gene.levels)
    first, last = ([s for s in part if s is not None] for part in (scores[:40], scores[-40:]))
    assert np.mean(last) < np.mean(first) - 0.5
    assert best(scores) == best(last)
    with pytest.raises(ValueError, match="factored, lstm. Received: rnn"):
        Reinforce(domain(), policy="rnn")


def test_levels_cover_ranges() -> None:
    assert Gene("many", int, low=20, high=200, log=True, integer=True, value=int).levels == (
        20, 29, 43, 63, 93, 136, 200,
    )  # fmt: skip
    assert Gene("few", int, low=1, high=3, integer=True, value=int).levels == (1, 2, 3)
    assert Gene("linear", float, low=0.0, high=1.0).levels == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert len(Gene("rate", float, low=1e-6, high=1e-2, log=True).levels) == 9
    assert Gene("same", float, low=3.0, high=3.0).levels == (3.0,)
