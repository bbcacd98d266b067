"""Models with random weights, as a study leaves them on disk."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

import zoo

FEATURES, OUTPUTS, UNITS = 5, 3, 4

STUDY = {
    "task": "made_up",
    "metric": {"name": "NLL", "unit": "nats per frame"},
    "data": {"name": "made up", "sha256": "0" * 64, "detail": "from nowhere"},
    "seed": 1,
    "machines": ["one"],
    "commands": ["python -m tuner.run"],
}
"""What `study.json` may say."""


def make_network(code: str, seed: int, *, bidirectional: bool = False) -> keras.Model:
    """A network whose every weight is random: biases and peepholes too, so that no wrong order goes
    unseen."""
    # Small enough that over hundreds of frames no rounding grows.
    normal = {
        f"{name}_initializer": keras.initializers.RandomNormal(stddev=0.4, seed=10 * seed + offset)
        for offset, name in enumerate(("kernel", "recurrent", "bias", "peephole"))
    }
    cell = zoo.make_cell(code, units=UNITS, unit_forget_bias=False, **normal)
    keras.utils.set_random_seed(seed)
    if bidirectional:
        model = zoo.networks.network(cell, FEATURES, OUTPUTS, bidirectional=True)
        # Both directions were made from the same seeds.
        weights = [keras.random.normal(w.shape, stddev=0.7) for w in model.weights]
        model.set_weights(weights)
        return model
    return zoo.networks.network(cell, FEATURES, OUTPUTS)


def save(folder: pathlib.Path, model: keras.Model, card: Mapping[str, Any]) -> None:
    """Writes `best/<code>` of a study."""
    folder.mkdir(parents=True)
    model.save(folder / "model.keras")
    (folder / "card.json").write_text(json.dumps(dict(card)), encoding="utf-8")


def make_study(directory: pathlib.Path, validations: dict[str, float]) -> dict[str, keras.Model]:
    """The files that serving knows of a study: its facts, a model and a card for each variant."""
    models = {}
    for seed, (code, validation) in enumerate(validations.items()):
        models[code] = make_network(code, seed)
        card = {"task": "made_up", "variant": code, "validation": validation}
        save(directory / "best" / code, models[code], card)
    (directory / "study.json").write_text(json.dumps(STUDY))
    return models
