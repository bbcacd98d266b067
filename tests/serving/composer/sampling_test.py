"""Pieces drawn from a small model written in NumPy, which knows the whole sequence at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from common.errors import InputError
from serving.composer import sampling
from serving.composer.sampling import Settings
from serving.runtime.specs import Signature, TensorSpec

UNITS = 6


def signatures(pitches: int) -> dict[str, Signature]:
    state = TensorSpec("float32", (None, UNITS))
    logits = {"logits": TensorSpec("float32", (None, None, pitches)), "next_h": state}
    sequence = {
        "sequence": TensorSpec("float32", (None, None, pitches)),
        "lengths": TensorSpec("int32", (None,)),
        "h": state,
    }
    frame = {"frame": TensorSpec("float32", (None, pitches)), "h": state}
    step = {"logits": TensorSpec("float32", (None, pitches)), "next_h": state}
    return {"chunk": Signature(sequence, logits), "step": Signature(frame, step)}


class Recurrent:
    """h_t = tanh(x_t A + h_{t-1} B), logits_t = h_t C + d; a predictor."""

    def __init__(self, pitches: int = 88) -> None:
        generator = np.random.default_rng(4)
        self.a = generator.normal(size=(pitches, UNITS))
        self.b = generator.normal(size=(UNITS, UNITS))
        self.c = generator.normal(size=(UNITS, pitches))
        self._signatures = signatures(pitches)
        self.steps = 0

    def signatures(self) -> Mapping[str, Signature]:
        return self._signatures

    def whole(self, frames: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = []
        for frame in frames:
            h = np.tanh(frame @ self.a + h @ self.b)
            logits.append(h @ self.c - 3.5)
        return np.array(logits), h

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        if signature == "step":
            self.steps += 1
            logits, h = self.whole(arrays["frame"], arrays["h"][0])
            return {"logits": logits, "next_h": h[None]}
        logits, h = self.whole(arrays["sequence"][0, : arrays["lengths"][0]], arrays["h"][0])
        return {"logits": logits[None], "next_h": h[None]}


def prompt(frames: int) -> np.ndarray:
    return (np.random.default_rng(6).random((frames, 88)) < 0.05).astype(np.uint8)


def test_a_piece_goes_on_from_its_prompt_and_knows_its_likelihood() -> None:
    model = Recurrent()
    given = prompt(5)
    piece = sampling.compose(model, given, Settings(frames=40, voices=6, seed=2))
    assert (piece.given, piece.roll.shape, piece.roll.dtype) == (5, (45, 88), np.uint8)
    np.testing.assert_array_equal(piece.roll[:5], given)
    assert model.steps == 40
    logits, _ = model.whole(piece.roll[:-1], np.zeros(UNITS))
    probability = 1 / (1 + np.exp(-logits[4:]))
    expected = -np.log(np.where(piece.roll[5:], probability, 1 - probability)).sum() / 40
    assert piece.nll == pytest.approx(expected, rel=1e-5)


def test_the_seed_alone_decides() -> None:
    settings = Settings(frames=20, seed=7)
    first, again = (sampling.compose(Recurrent(), prompt(2), settings) for _ in range(2))
    np.testing.assert_array_equal(first.roll, again.roll)
    other = sampling.compose(Recurrent(), prompt(2), dataclasses.replace(settings, seed=8))
    assert (other.roll != first.roll).any()


@pytest.mark.parametrize("voices", [1, 3])
def test_no_frame_has_more_voices_than_allowed(voices: int) -> None:
    piece = sampling.compose(Recurrent(), prompt(1), Settings(frames=60, voices=voices))
    counts = piece.roll[1:].sum(axis=1)
    assert counts.max() == voices


def test_a_low_temperature_keeps_to_what_is_likely() -> None:
    cold, hot = (
        sampling.compose(Recurrent(), prompt(1), Settings(temperature=temperature, voices=88))
        for temperature in (0.05, 2.0)
    )
    assert cold.nll < hot.nll
    # At nearly no temperature a note sounds if it is more likely than not.
    logits, _ = Recurrent().whole(cold.roll[:-1], np.zeros(UNITS))
    assert np.mean(cold.roll[1:] == (logits > 0)) > 0.99


def test_the_first_chord_of_a_piece_without_prompt_is_c_major() -> None:
    roll = sampling.chord()
    assert {(21 + int(column)) % 12 for column in np.flatnonzero(roll[0])} == {0, 4, 7}


def test_other_models_are_refused() -> None:
    with pytest.raises(InputError, match="88 pitches in frame of the signature step. Received: 5"):
        sampling.compose(Recurrent(5), prompt(1), Settings())
    backward = Recurrent()
    backward._signatures = {"serving_default": backward._signatures["chunk"]}
    with pytest.raises(InputError, match="chunk and step.*Received: serving_default"):
        sampling.compose(backward, prompt(1), Settings())
