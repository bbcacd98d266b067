"""The losses of the heads and their gradients, for one padded sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tuner.tasks.heads import HEADS
from tuner.training.jax.blocks import BLOCK, block, blocks_for, put

Loss = Callable[[Any, Any, Any, Any], tuple[Any, Any]]
"""Computes the loss of a sequence in nats, and the gradient of its logits, zero in the padding.

Args: logits `[room, outputs]`; padded targets; number of frames; number of labels.
"""

_NEVER = -1e30
"""Used in place of log 0, so that differences are 0 instead of NaN."""


def framewise(head: str) -> Loss:
    """Makes the loss for a head whose frames are independent of each other."""

    def of_block(logits: Any, targets: Any, exists: Any) -> Any:
        losses = HEADS[head].loss(targets[None], logits[None])[0]
        return jnp.sum(jnp.where(exists, losses, 0))

    def loss(logits: Any, targets: Any, frames: Any, labels: Any) -> tuple[Any, Any]:
        def add(number: Any, carry: Any) -> Any:
            total, gradient = carry
            exists = number * BLOCK + jnp.arange(BLOCK) < frames
            value, part = jax.value_and_grad(of_block)(
                block(logits, number), block(targets, number), exists
            )
            return total + value, put(gradient, part, number * BLOCK)

        start = jnp.zeros(()), jnp.zeros_like(logits)
        done: tuple[Any, Any] = lax.fori_loop(0, blocks_for(frames), add, start)
        return done

    return loss


def ctc(logits: Any, targets: Any, frames: Any, labels: Any) -> tuple[Any, Any]:
    """Computes the loss of a transcription by the forward-backward algorithm.

    With l' the labels with blanks around and between them, y_t = softmax(logits_t), α_t(s) and
    β_t(s) as in section 4.1 of Graves et al. (2006), except that β excludes y_t,

        -∂ log p / ∂ logits_t(k) = y_t(k) - 1/p Σ_{s: l'_s = k} α_t(s) β_t(s),

    computed in logarithms; see `tuner.tasks.ctc`.
    """
    outputs = logits.shape[-1]
    blanks = jnp.full_like(targets, outputs - 1)
    extended = jnp.append(jnp.stack([blanks, targets], axis=1).reshape(-1), outputs - 1)
    places = jnp.arange(len(extended))
    last = 2 * labels
    exists = places <= last
    skips = jnp.append(jnp.zeros(2, bool), extended[2:] != extended[:-2])
    log_y = jax.nn.log_softmax(logits)
    chosen = jnp.where(exists, log_y[:, extended], _NEVER)

    def shifted(values: Any, by: int) -> Any:
        """Shifts values to later places, or to earlier ones if `by` is negative."""
        moved = jnp.roll(values, by)
        return jnp.where(places < by if by > 0 else places >= len(places) + by, _NEVER, moved)

    def ahead(number: Any, carry: Any) -> Any:
        now, alphas = carry
        ways = [now, shifted(now, 1), jnp.where(skips, shifted(now, 2), _NEVER)]
        now = jax.nn.logsumexp(jnp.stack(ways), axis=0) + chosen[number]
        return now, alphas.at[number].set(now)

    # Before the first frame the path is in the first blank, which it need not emit.
    start = jnp.where(places == 0, 0.0, _NEVER)
    nothing = jnp.full(chosen.shape, _NEVER)
    end, alphas = lax.fori_loop(0, frames, ahead, (start, nothing))
    log_p = jnp.logaddexp(end[last], end[last - 1])

    def back(count: Any, carry: Any) -> Any:
        now, betas = carry
        number = frames - 1 - count
        betas = betas.at[number].set(now)
        now = now + chosen[number]
        ways = [now, shifted(now, -1), shifted(jnp.where(skips, now, _NEVER), -2)]
        return jax.nn.logsumexp(jnp.stack(ways), axis=0), betas

    final = jnp.where((places == last) | (places == last - 1), 0.0, _NEVER)
    _, betas = lax.fori_loop(0, frames, back, (final, nothing))
    occupied = jnp.exp(alphas + betas - log_p)
    expected = jnp.zeros_like(logits).at[:, extended].add(jnp.where(exists, occupied, 0))
    inside = jnp.arange(len(logits)) < frames
    return -log_p, jnp.where(inside[:, None], jnp.exp(log_y) - expected, 0)


LOSSES: dict[str, Loss] = {
    "bernoulli": framewise("bernoulli"),
    "softmax": framewise("softmax"),
    "ctc": ctc,
}
"""The losses, by the names of `tuner.tasks.heads.HEADS`."""
