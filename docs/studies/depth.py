"""Parity by networks that take several steps in a frame: how many updates until it is learned.

    python -m docs.studies.depth --seeds=1 --updates=30000

The task of Graves (2016, section 3.1) with 16 numbers: between one and all of them are -1 or 1, the
others 0; is the number of ones odd? One frame, so that all thinking is inside of it. An LSTM of
128 units, Adam at 0.001, 128 new vectors an update, mean cross-entropy; the price of depth is a
vector's, as Fojo et al. (2018) have it. An arm has learned it when 98 % of 10,000 vectors that are
drawn every thousand updates are right, and stops there. A table that exists is gone on with.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line

_SEEDS = flags.DEFINE_integer("seeds", 1, "Runs an arm.", lower_bound=1)
_UPDATES = flags.DEFINE_integer("updates", 30_000, "Updates a run at most.", lower_bound=1000)

_NUMBERS = 16
_BATCH = 128
_UNITS = 128
_TESTED = 10_000
_STRETCH = 1000
_LEARNED = 0.98


@dataclasses.dataclass(frozen=True)
class Arm:
    """A network.

    Attributes:
        name: in the table.
        cell: arguments of `zoo.DepthAdaptiveCell`.
        price: of an inner step of a vector, in nats.
    """

    name: str
    cell: dict[str, Any]
    price: float = 0.0

    def model(self, seed: int) -> Any:
        """Makes the network, which answers with a logit."""
        import keras

        import zoo

        keras.utils.set_random_seed(seed)
        cell = zoo.DepthAdaptiveCell(_UNITS, **self.cell)
        inputs = keras.Input((1, _NUMBERS))
        layer = zoo.AdaptiveRNN(cell, ponder_price=self.price / _BATCH)
        model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss, steps_per_execution=100)
        return model


_SHARED = {"form": "shared", "halting": "fixed"}

ARMS = (
    Arm("one step", {**_SHARED, "max_depth": 1}),
    *(Arm(f"{depth} repeats", {**_SHARED, "max_depth": depth}) for depth in (2, 3, 5)),
    Arm("transition of 3 steps", {"halting": "fixed", "max_depth": 3}),
    *(
        Arm(f"act, price {price}", {"form": "shared", "halting": "act", "max_depth": 3}, price)
        for price in (0.01, 0.001, 0.0001)
    ),
    Arm("choice, price 0.001", {"form": "shared", "halting": "choice", "max_depth": 3}, 0.001),
)


def draw(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws vectors `[count, 1, 16]` and whether their number of ones is odd, `[count, 1]`.

    Example:
        >>> vectors, odd = draw(np.random.default_rng(0), 4)
        >>> bool(np.all(((vectors == 1).sum((1, 2)) % 2)[:, None] == odd)), vectors.shape
        (True, (4, 1, 16))
    """
    filled = random.permuted(
        np.arange(_NUMBERS) < random.integers(1, _NUMBERS + 1, (count, 1)), axis=1
    )
    vectors = (filled * random.choice([-1, 1], (count, _NUMBERS))).astype(np.float32)
    odd = (vectors == 1).sum(axis=1, keepdims=True) % 2
    return vectors[:, None], odd.astype(np.float32)


def train(arm: Arm, seed: int, updates: int) -> Row:
    """Trains a network until it has learned, or has had its updates."""
    random = np.random.default_rng(seed)
    model = arm.model(seed)
    done, right, depth = 0, 0.0, 0.0
    while done < updates and right < _LEARNED:
        vectors, odd = draw(random, _STRETCH * _BATCH)
        model.fit(vectors, odd, batch_size=_BATCH, shuffle=False, verbose=0)
        done += _STRETCH
        vectors, odd = draw(random, _TESTED)
        model.reset_metrics()
        depth = model.evaluate(vectors, odd, _TESTED, verbose=0, return_dict=True)["depth"]
        right = float(np.mean((model.predict(vectors, _TESTED, verbose=0) > 0) == odd))
    return {
        "arm": arm.name,
        "seed": seed,
        "updates": done,
        "learned": right >= _LEARNED,
        "right": round(right, 4),
        "steps a frame": round(float(depth), 2),
    }


def main() -> int:
    """Runs the command."""
    path = table.STUDIES / "depth_parity.csv"
    rows: list[Row] = list(table.read(path)[1]) if path.exists() else []
    found = {(row["arm"], int(row["seed"])) for row in rows}
    command_line.start_tensorflow()
    for seed in range(1, _SEEDS.value + 1):
        for arm in ARMS:
            if (arm.name, seed) not in found:
                rows.append(train(arm, seed, _UPDATES.value))
                table.save("depth_parity", rows, ("keras", "numpy", "tensorflow"), table.STUDIES)
                table.show(rows[-1:])
    return 0


if __name__ == "__main__":
    command_line.run(main)
