"""Recurrent networks trained by guided evolutionary strategies, at an equal number of frames.

    python -m docs.studies.guided_recurrent --data=PATH/JSB_Chorales.mat

The surrogate is the gradient cut every five frames, on two tasks:

- recall: one of two symbols in frame 1, then blanks, and which it was at frame 50. Vanilla LSTM of
  8 units, forget-gate bias 5, 417 weights;
- music: the first 40 frames of 16 chorales, next frame; 20 units, 10,628 weights.

All sequences of a task are one batch. The axis is frames through the cell, of a sequence: a pass
forward counts 1 a frame, backward 2. Every arm has Adam with the learning rate of 0.01 and 0.03
that ends with the least mean loss over the seeds. The cosines of the cut gradient with the
whole one are those at the initial weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_TASKS = flags.DEFINE_list("tasks", ["recall", "music"], "Tasks whose gradients are compared.")
_TRAINED = flags.DEFINE_list("trained", ["recall", "music"], "Those that are trained, too.")
_SEEDS = flags.DEFINE_integer("seeds", 2, "Runs an arm.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 100_000, "Frames a run and sequence.", lower_bound=1)

_CUT = 5
_PAIRS = 10
_STRETCHES = 20
_RATES = (0.01, 0.03)
_CUTS = (1, 2, 5, 10, 20)


@dataclasses.dataclass(frozen=True)
class Task:
    """All sequences of a task, and its network.

    Attributes:
        name: of the task.
        inputs: `(batch, time, features)`.
        targets: `(batch, outputs)` of the last frame, or `(batch, time, outputs)`.
        units: of the LSTM.
        forget_bias: added to the initial bias of its forget gate.
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    units: int
    forget_bias: float

    @property
    def time(self) -> int:
        """Frames of a sequence."""
        return self.inputs.shape[1]

    def network(self, truncate: int | None = None) -> Any:
        """Makes the network, with logits as outputs."""
        import keras

        import zoo

        inputs = keras.Input(self.inputs.shape[1:])
        layer = zoo.RNN(
            zoo.VanillaCell(self.units), truncate=truncate, return_sequences=self.targets.ndim == 3
        )
        return keras.Model(inputs, keras.layers.Dense(self.targets.shape[-1])(layer(inputs)))

    def initial(self, network: Any, seed: int) -> list[np.ndarray]:
        """Draws weights from N(0, 0.1²)."""
        random = np.random.default_rng(seed)
        weights = [random.normal(0, 0.1, weight.shape) for weight in network.weights]
        # Kernel, recurrent kernel, bias with the gates in the order i f z o.
        weights[2][self.units : 2 * self.units] += self.forget_bias
        return weights

    def loss(self) -> Any:
        """The negative log-likelihood of a frame, or of the answer, in nats."""
        import keras

        outputs = self.targets.shape[-1]

        def likelihood(y_true: Any, y_pred: Any) -> Any:
            each = keras.losses.binary_crossentropy(y_true, y_pred, from_logits=True)
            return outputs * each

        return likelihood


def recall(time: int = 50) -> Task:
    """Makes the delayed recall: of each symbol one sequence."""
    inputs = np.zeros((2, time, 3), np.float32)
    inputs[[0, 1], 0, [0, 1]] = 1
    inputs[:, 1:, 2] = 1
    return Task("recall", inputs, np.array([[0], [1]], np.float32), 8, 5.0)


def music(data: str, time: int = 40, batch: int = 16) -> Task:
    """Takes the beginnings of the first chorales that are long enough."""
    from tuner.tasks.task import find_task

    split = find_task("music").load(data).train
    long = [place for place, each in enumerate(split.inputs) if len(each) >= time][:batch]
    inputs, targets = (
        np.stack([arrays[place][:time] for place in long]).astype(np.float32)
        for arrays in (split.inputs, split.targets)
    )
    return Task("music", inputs, targets, 20, 0.0)


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        name: in the table.
        truncate: where the gradient is cut, if it is taken.
        guided: arguments of `zoo.GuidedES`; None for the gradient itself.
    """

    name: str
    truncate: int | None
    guided: dict[str, Any] | None = None

    def frames(self, time: int) -> int:
        """What an update costs."""
        gradient = 0 if self.guided and self.guided.get("alpha") == 1 else 3 * time
        return gradient + (2 * _PAIRS * time if self.guided else 0)

    def model(self, task: Task, rate: float) -> tuple[Any, Any]:
        """Makes the network and the model that is fitted."""
        import keras

        import zoo

        optimizer = keras.optimizers.Adam(rate)
        if self.guided is None:
            network = model = task.network(self.truncate)
        else:
            network = task.network()
            model = zoo.GuidedESModel(network, truncate=self.truncate)
            optimizer = zoo.GuidedES(optimizer, pairs=_PAIRS, seed=0, **self.guided)
        model.compile(optimizer, loss=task.loss(), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return network, model


ARMS = (
    Arm("whole gradient", None),
    Arm(f"gradient cut every {_CUT}", _CUT),
    Arm("plain strategy", None, {"alpha": 1.0}),
    Arm("guided, 1 direction", _CUT, {"subspace": 1}),
    Arm("guided, 3 directions", _CUT, {"subspace": 3}),
    Arm("exact guide, 3 directions", _CUT, {"subspace": 3, "guide": "exact"}),
)


def train(task: Task, arm: Arm, frames: int, seeds: int) -> Iterator[Row]:
    """Yields the curves of all rates and seeds: frames so far, mean loss of that stretch."""
    import tensorflow as tf

    network, model = arm.model(task, 1.0)
    fresh = [variable.numpy() for variable in model.optimizer.variables]
    updates = max(1, round(frames / arm.frames(task.time) / _STRETCHES))
    stretch = tf.data.Dataset.from_tensors((task.inputs, task.targets)).repeat(updates)
    for rate in _RATES:
        for seed in range(seeds):
            network.set_weights(task.initial(network, seed))
            for variable, value in zip(model.optimizer.variables, fresh, strict=True):
                if "seed_generator" in variable.name:
                    value = np.array([seed + 1, 0], value.dtype)
                variable.assign(value)
            model.optimizer.learning_rate = rate
            curve = model.fit(stretch, epochs=_STRETCHES, shuffle=False, verbose=0).history["loss"]
            for place, loss in enumerate(curve, 1):
                yield {
                    "task": task.name,
                    "arm": arm.name,
                    "rate": rate,
                    "seed": seed,
                    "frames": place * updates * arm.frames(task.time),
                    "loss": round(float(loss), 5),
                }


def best(rows: list[Row]) -> list[Row]:
    """Keeps the rate of an arm that ends with the least mean loss."""
    last = max(row["frames"] for row in rows)
    ends: dict[float, list[float]] = {}
    for row in rows:
        if row["frames"] == last:
            ends.setdefault(row["rate"], []).append(row["loss"] if row["loss"] < np.inf else 1e9)
    rate = min(ends, key=lambda each: float(np.nan_to_num(np.mean(ends[each]), nan=1e9)))
    return [row for row in rows if row["rate"] == rate]


def cosines(task: Task) -> list[Row]:
    """Compares gradients that are cut with the whole one, at the initial weights of a seed."""
    import tensorflow as tf

    import zoo

    network = task.network()
    network.set_weights(task.initial(network, 0))

    def gradient(steps: int | None) -> np.ndarray:
        with tf.GradientTape() as tape, zoo.truncated(steps):
            loss = tf.reduce_mean(task.loss()(task.targets, network(task.inputs)))
        found = tape.gradient(loss, network.trainable_variables[:4])
        return np.concatenate([np.ravel(each) for each in found])

    whole = gradient(None)
    rows = []
    for steps in _CUTS:
        cut = gradient(steps)
        cosine = cut @ whole / np.linalg.norm(cut) / np.linalg.norm(whole)
        rows.append({"task": task.name, "cut_every": steps, "cosine": round(float(cosine), 4)})
    return rows


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    rows: list[Row] = []
    compared: list[Row] = []
    for name in _TASKS.value:
        task = music(_DATA.value) if name == "music" else recall()
        compared += cosines(task)
        table.show(compared[-len(_CUTS) :])
        for arm in ARMS if name in _TRAINED.value else ():
            kept = best(list(train(task, arm, _FRAMES.value, _SEEDS.value)))
            rows += kept
            last = [row for row in kept if row["frames"] == kept[-1]["frames"]]
            table.show(last)
    for file, saved in (("guided_recurrent", rows), ("truncation", compared)):
        table.save(file, saved, ("keras", "numpy", "tensorflow"), table.STUDIES)
    return 0


if __name__ == "__main__":
    command_line.run(main)
