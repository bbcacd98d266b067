"""The model that is served: the music task's network with random weights, and its right answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import zoo
from benchmarks.remote import ROOT
from benchmarks.serving_peers import cases
from benchmarks.serving_peers.cases import Case

FEATURES = 88
"""Pitches of a frame, which are the outputs as well."""


def make_study(folder: Path, variants: Sequence[str], units: int, seed: int = 1) -> None:
    """Writes what `serving.export` reads of a study: a network and its card for each variant.

    Args:
        folder: the study's.
        variants: their codes.
        units: of each network.
        seed: of the weights.
    """
    for code in variants:
        place = folder / "best" / code
        place.mkdir(parents=True)
        make_network(code, units, seed).save(place / "model.keras")
        card = {"variant": code, "validation": 9.0, "head": "bernoulli", "task": "music"}
        (place / "card.json").write_text(json.dumps(card), encoding="utf-8")


def make_network(variant: str, units: int, seed: int) -> keras.Model:
    """Makes the network of music with random weights, biases and peepholes too."""
    keras.utils.set_random_seed(seed)
    cell = zoo.make_cell(variant, units=units)
    network = zoo.networks.network(cell, FEATURES, FEATURES)
    generator = np.random.default_rng(seed)
    for variable in network.variables:
        scale = 1 / np.sqrt(units)
        variable.assign(scale * generator.standard_normal(variable.shape, dtype=np.float32))
    return network


def make_cases(network: keras.Model, frames: Sequence[int]) -> dict[str, list[Case]]:
    """Draws requests of one row and lets Keras answer them.

    Args:
        network: of `make_network`.
        frames: length of each sequence; there are as many steps.

    Returns:
        Cases of `serving_default` (a sequence to the logits of every frame) and of `step` (a frame
        and states to logits and states). Their inputs are the same for all networks of a size.
    """
    cell = network.get_layer(zoo.networks.RECURRENT).cell
    output = network.get_layer(zoo.networks.LOGITS)
    sizes = cell.state_size
    names = ("h", "c", "gates")[: len(sizes)]
    generator = np.random.default_rng(2)
    found: dict[str, list[Case]] = {"serving_default": [], "step": []}
    for length in frames:
        # As in a piano roll, some four notes at a time.
        roll = (generator.random((1, length, FEATURES)) < 4 / FEATURES).astype(np.float32)
        lengths = np.array([length], np.int32)
        logits = keras.ops.convert_to_numpy(network(roll))
        inputs = {"sequence": roll, "lengths": lengths}
        found["serving_default"].append(Case(inputs, {"logits": logits}))

        states = [generator.uniform(-0.9, 0.9, (1, size)).astype(np.float32) for size in sizes]
        hidden, after = cell(roll[:, 0], [keras.ops.convert_to_tensor(state) for state in states])
        outputs = {"logits": keras.ops.convert_to_numpy(output(hidden))}
        for name, state in zip(names, after, strict=True):
            outputs[f"next_{name}"] = keras.ops.convert_to_numpy(state)
        inputs = {"frame": roll[:, 0], **dict(zip(names, states, strict=True))}
        found["step"].append(Case(inputs, outputs))
    return found


def export(study: Path, variant: str, base_path: Path) -> None:
    """Exports a variant with the command that a person types."""
    subprocess.run(
        [
            *(sys.executable, "-m", "serving.export", f"--study_dir={study}"),
            *(f"--variant={variant}", f"--model_base_path={base_path}"),
        ],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def convert(folder: Path, signature: str, path: Path) -> None:
    """Converts a signature to ONNX.

    Args:
        folder: a version of the model.
        signature: its name.
        path: of the file to write.
    """
    subprocess.run(
        [
            *(sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(folder)),
            *("--signature_def", signature, "--opset", "17", "--output", str(path)),
        ],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )


def write_cases(path: Path, variant: str, units: int, frames: Sequence[int], seed: int = 1) -> None:
    """Writes the cases of the network that `make_study` makes of a variant."""
    cases.save(path, make_cases(make_network(variant, units, seed), frames))
