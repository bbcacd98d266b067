"""Parity and addition by networks that take several steps in a frame: updates until it is learned.

    python -m docs.studies.depth --seeds=1
    python -m docs.studies.depth --task=addition

The tasks of Graves (2016, sections 3.1 and 3.3). An LSTM of 128 units, Adam at 0.001, 128 new
sequences an update, mean cross-entropy; the price of depth is relative to a sequence's summed
cross-entropy, as Fojo et al. (2018) have it. An arm has learned the task when 98 % of 10,000
sequences that are drawn every thousand updates are right, and stops there. A table that exists is
gone on with.

- parity: 16 numbers in one frame, so that all thinking is inside of it. Between one and all of them
  are -1 or 1, the others 0; is the number of ones odd?
- addition: five frames with a number of one to five digits each; what is the sum so far? Graves
  draws one to five frames, and has 512 units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line

_SEEDS = flags.DEFINE_integer("seeds", 1, "Runs an arm.", lower_bound=1)
_UPDATES = flags.DEFINE_integer("updates", 30_000, "Updates a run at most.", lower_bound=1000)

_NUMBERS = 16
_TERMS, _DIGITS = 5, 5
_BATCH = 128
_UNITS = 128
_TESTED = 10_000
_STRETCH = 1000
_LEARNED = 0.98


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        shape: frames and features of a sequence.
        draw: draws sequences `[count, frames, features]` and their targets.
        answers: number of targets of a sequence.
        table: name of the table.
        arms: names of the arms.
    """

    shape: tuple[int, int]
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    answers: int
    table: str
    arms: tuple[str, ...]

    def model(self, cell: Any, price: float) -> Any:
        """Makes the network, which answers with logits."""
        import keras

        import zoo

        inputs = keras.Input(self.shape)
        layer = zoo.AdaptiveRNN(
            cell, ponder_price=price / (_BATCH * self.answers), return_sequences=self.answers > 1
        )
        hidden = layer(inputs)
        if self.answers == 1:
            outputs = keras.layers.Dense(1)(hidden)
            loss: Any = keras.losses.BinaryCrossentropy(from_logits=True)
        else:
            # The first number is its own sum.
            later = keras.layers.Cropping1D((1, 0))(hidden)
            classes = keras.layers.Dense((_DIGITS + 1) * 11)(later)
            outputs = keras.layers.Reshape((_TERMS - 1, _DIGITS + 1, 11))(classes)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.Adam(1e-3), loss, steps_per_execution=100)
        return model

    def right(self, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Returns which answers are right, `[sequences, answers]`."""
        found = logits > 0 if self.answers == 1 else logits.argmax(axis=-1)
        return (found == targets).reshape(len(targets), -1)


@dataclasses.dataclass(frozen=True)
class Arm:
    """A network.

    Attributes:
        name: in the table.
        cell: arguments of `zoo.DepthAdaptiveCell`.
        price: of an inner step of a frame, in nats.
    """

    name: str
    cell: dict[str, Any]
    price: float = 0.0

    def model(self, task: Task, seed: int) -> Any:
        """Makes the network."""
        import keras

        import zoo

        keras.utils.set_random_seed(seed)
        return task.model(zoo.DepthAdaptiveCell(_UNITS, **self.cell), self.price)


_SHARED = {"form": "shared", "halting": "fixed"}

ARMS = (
    Arm("one step", {**_SHARED, "max_depth": 1}),
    *(Arm(f"{depth} repeats", {**_SHARED, "max_depth": depth}) for depth in (2, 3, 5)),
    Arm("transition of 3 steps", {"halting": "fixed", "max_depth": 3}),
    *(
        Arm(f"act, price {price}", {"form": "shared", "halting": "act", "max_depth": 3}, price)
        for price in (0.01, 0.001, 0.0001)
    ),
    Arm("act of 5 steps, price 0.001", {"form": "shared", "halting": "act", "max_depth": 5}, 0.001),
    Arm("choice, price 0.001", {"form": "shared", "halting": "choice", "max_depth": 3}, 0.001),
)


def draw_parity(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws vectors `[count, 1, 16]` and whether their number of ones is odd, `[count, 1]`.

    Example:
        >>> vectors, odd = draw_parity(np.random.default_rng(0), 4)
        >>> bool(np.all(((vectors == 1).sum((1, 2)) % 2)[:, None] == odd)), vectors.shape
        (True, (4, 1, 16))
    """
    filled = random.permuted(
        np.arange(_NUMBERS) < random.integers(1, _NUMBERS + 1, (count, 1)), axis=1
    )
    vectors = (filled * random.choice([-1, 1], (count, _NUMBERS))).astype(np.float32)
    odd = (vectors == 1).sum(axis=1, keepdims=True) % 2
    return vectors[:, None], odd.astype(np.float32)


def draw_addition(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws numbers `[count, 5, 50]`, and the digits of the sums after the second to the last.

    A digit is one of ten features; a target `[count, 4, 6]` is a digit of the sum, or 10 where the
    sum has none. The last digit of a number comes first.

    Example:
        >>> numbers, sums = draw_addition(np.random.default_rng(0), 1)
        >>> digits = numbers[0].reshape(5, 5, 10)
        >>> terms = (digits.argmax(-1) * 10 ** np.arange(5)).sum(-1)
        >>> terms.tolist(), sums[0, -1].tolist()
        ([13687, 1677, 114, 25, 83], [6, 8, 5, 5, 1, 10])
    """
    lengths = random.integers(1, _DIGITS + 1, (count, _TERMS))
    # The first digit of a number is not 0, unless it is the only one.
    least = np.where(lengths > 1, 10 ** (lengths - 1), 0)
    terms = random.integers(least, 10**lengths)
    there = np.arange(_DIGITS) < lengths[..., None]
    digits = terms[..., None] // 10 ** np.arange(_DIGITS) % 10
    numbers = (digits[..., None] == np.arange(10)) & there[..., None]
    sums = terms.cumsum(axis=1)[:, 1:, None]
    powers = 10 ** np.arange(_DIGITS + 1)
    targets = np.where((sums >= powers) | (powers == 1), sums // powers % 10, 10)
    return numbers.reshape(count, _TERMS, -1).astype(np.float32), targets


TASKS = {
    "parity": Task(
        (1, _NUMBERS), draw_parity, 1, "depth_parity",
        tuple(arm.name for arm in ARMS if "5 steps" not in arm.name),
    ),
    "addition": Task(
        (_TERMS, 10 * _DIGITS), draw_addition, (_TERMS - 1) * (_DIGITS + 1), "depth_addition",
        ("one step", "2 repeats", "3 repeats", "5 repeats", "act, price 0.001",
         "act of 5 steps, price 0.001"),
    ),
}  # fmt: skip

_TASK = flags.DEFINE_enum("task", "parity", list(TASKS), "What is learned.")


def train(task: Task, arm: Arm, seed: int, updates: int) -> Row:
    """Trains a network until it has learned, or has had its updates."""
    random = np.random.default_rng(seed)
    model = arm.model(task, seed)
    done, share, depth = 0, 0.0, 0.0
    while done < updates and share < _LEARNED:
        sequences, targets = task.draw(random, _STRETCH * _BATCH)
        model.fit(sequences, targets, batch_size=_BATCH, shuffle=False, verbose=0)
        done += _STRETCH
        sequences, targets = task.draw(random, _TESTED)
        model.reset_metrics()
        depth = model.evaluate(sequences, targets, _TESTED, verbose=0, return_dict=True)["depth"]
        right = task.right(model.predict(sequences, _TESTED, verbose=0), targets)
        share = float(right.all(axis=1).mean())
    return {
        "arm": arm.name,
        "seed": seed,
        "updates": done,
        "learned": share >= _LEARNED,
        "right": round(share, 4),
        **({"digits right": round(float(right.mean()), 4)} if task.answers > 1 else {}),
        "steps a frame": round(float(depth), 2),
    }


def main() -> int:
    """Runs the command."""
    task = TASKS[_TASK.value]
    path = table.STUDIES / f"{task.table}.csv"
    rows: list[Row] = list(table.read(path)[1]) if path.exists() else []
    found = {(row["arm"], int(row["seed"])) for row in rows}
    command_line.start_tensorflow()
    for seed in range(1, _SEEDS.value + 1):
        for arm in ARMS:
            if arm.name in task.arms and (arm.name, seed) not in found:
                rows.append(train(task, arm, seed, _UPDATES.value))
                table.save(task.table, rows, ("keras", "numpy", "tensorflow"), table.STUDIES)
                table.show(rows[-1:])
    return 0


if __name__ == "__main__":
    command_line.run(main)
