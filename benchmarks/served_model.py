"""The served model: the music task's network with random weights, and its correct responses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import zoo
from benchmarks.peers.cases import Case
from benchmarks.table import ROOT

FEATURES = 88
"""Pitches per frame, for both inputs and outputs."""


def make_network(variant: str, units: int, seed: int = 1) -> keras.Model:
    """Makes the music task's network with random weights, including biases and peepholes."""
    keras.utils.set_random_seed(seed)
    network = zoo.networks.network(zoo.make_cell(variant, units=units), FEATURES, FEATURES)
    generator = np.random.default_rng(seed)
    for variable in network.variables:
        scale = 1 / np.sqrt(units)
        variable.assign(scale * generator.standard_normal(variable.shape, dtype=np.float32))
    return network


def make_study(folder: Path, variants: Sequence[str], units: int) -> None:
    """Writes what `serving.export` reads from a study: a network and its card per variant."""
    for code in variants:
        place = folder / "best" / code
        place.mkdir(parents=True)
        make_network(code, units).save(place / "model.keras")
        card = {"variant": code, "validation": 9.0, "head": "bernoulli", "task": "music"}
        (place / "card.json").write_text(json.dumps(card), encoding="utf-8")


def make_cases(network: keras.Model, frames: Sequence[int]) -> dict[str, list[Case]]:
    """Draws single-row requests, with sequences of these lengths, and computes Keras' responses.

    `serving_default` maps a sequence to the logits of every frame; `step` maps a frame and states
    to logits and states.
    """
    cell = network.get_layer(zoo.networks.RECURRENT).cell
    output = network.get_layer(zoo.networks.LOGITS)
    names = ("h", "c", "gates")[: len(cell.state_size)]
    generator = np.random.default_rng(2)
    found: dict[str, list[Case]] = {"serving_default": [], "step": []}
    for length in frames:
        # As in a piano roll, about four notes at a time.
        roll = (generator.random((1, length, FEATURES)) < 4 / FEATURES).astype(np.float32)
        inputs = {"sequence": roll, "lengths": np.array([length], np.int32)}
        logits = keras.ops.convert_to_numpy(network(roll))
        found["serving_default"].append(Case(inputs, {"logits": logits}))

        shapes = [(1, size) for size in cell.state_size]
        states = [generator.uniform(-0.9, 0.9, shape).astype(np.float32) for shape in shapes]
        hidden, after = cell(roll[:, 0], [keras.ops.convert_to_tensor(state) for state in states])
        outputs = {"logits": output(hidden)}
        outputs |= {f"next_{name}": state for name, state in zip(names, after, strict=True)}
        answer = {name: keras.ops.convert_to_numpy(tensor) for name, tensor in outputs.items()}
        asked = {"frame": roll[:, 0], **dict(zip(names, states, strict=True))}
        found["step"].append(Case(asked, answer))
    return found


def export(study: Path, variant: str, *target: str) -> None:
    """Exports a variant with the command that users run."""
    command = ["serving.export", f"--study_dir={study}", f"--variant={variant}", *target]
    subprocess.run(
        [sys.executable, "-m", *command], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
    )
