"""Builds the network of a task, compiles it by the protocol, and measures it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import zoo.networks
from tuner.tasks.heads import HEADS
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task
from tuner.training.optimizers import OPTIMIZERS
from tuner.training.protocol import Score, Trial
from zoo.registry import cell_class


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class SummedLoss(keras.losses.Loss):
    """The paper's loss: the negative log-likelihood, summed over time, outputs and the batch.

    The sequences of a batch must have equal lengths, since padding would be learned as well; the
    protocol uses them one at a time.

    Keras' mean reduction would make the gradient of a music sequence about 5,000 times smaller and
    the paper's range of learning rates useless.

    Args:
        head: name of the task's head, see `tuner.tasks.heads.HEADS`.
        name: name of the loss.

    Example:
        >>> import numpy as np
        >>> loss = SummedLoss("bernoulli")
        >>> round(float(loss(np.ones((1, 10, 88), "float32"), np.zeros((1, 10, 88), "float32"))), 2)
        609.97
    """

    def __init__(self, head: str, name: str = "negative_log_likelihood") -> None:
        super().__init__(name=name, reduction="sum")
        self.head = head

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Computes the loss of every frame or sequence; the reduction sums them."""
        return HEADS[self.head].loss(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"head": self.head, "name": self.name}


def build_network(task: Task, trial: Trial, weight_std: float) -> keras.Model:
    """Makes the untrained network of a task, with weights and biases drawn from N(0, weight_std²).

    Args:
        task: see `make_network`.
        trial: see `make_network`.
        weight_std: standard deviation of the initial weights.
    """
    model = make_network(task, trial)
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=weight_std, dtype=weight.dtype))
    return model


def make_network(task: Task, trial: Trial) -> keras.Model:
    """Makes the network of a task, for weights that are set afterward.

    Every engine relies on the order of its weights: first those of the cell (for the variants:
    kernel, recurrent kernel, bias, then peepholes and the kernel of the gate recurrence if there
    are any), those of the backward cell if the network is bidirectional, then the kernel and bias
    of the output layer. The first rows of that kernel belong to the forward units.

    Args:
        task: provides inputs, outputs, head and direction.
        trial: provides the cell.

    Returns:
        A model from sequences `(batch, time, inputs)` to logits `(batch, time, outputs)`. It is
        float32, regardless of the machine's `keras.json`.
    """
    if keras.config.floatx() != "float32":
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    return zoo.networks.network(
        cell_class(trial.variant)(trial.units, **dict(trial.options)),
        task.inputs,
        task.outputs,
        bidirectional=task.bidirectional,
        ponder_price=trial.ponder_price,
        name=_name(task),
    )


def _name(task: Task) -> str:
    """Returns the name that saved models have always had."""
    if task.head == "bernoulli" and not task.bidirectional:
        return "next_step"
    return "transcription" if task.head == "ctc" else "framewise"


def compile_network(model: keras.Model, task: Task, trial: Trial, optimizer: str) -> None:
    """Compiles a network with the protocol's loss and optimizer.

    Args:
        model: a network from `build_network` or `make_network`.
        task: provides the head.
        trial: provides the learning rate and momentum.
        optimizer: a key of `tuner.training.optimizers.OPTIMIZERS`.
    """
    model.compile(
        optimizer=OPTIMIZERS[optimizer].make(trial),
        loss=SummedLoss(task.head),
        # Sequences have many lengths, and XLA would compile the step again for each.
        jit_compile=False,
    )


class Scorer:
    """Measures a network any number of times with one traced forward pass."""

    def __init__(self, model: keras.Model, task: Task) -> None:
        """Traces the forward pass.

        Args:
            model: the network; later changes to its weights take effect. It runs where its
                distribution strategy placed it.
            task: provides the head and direction.
        """
        self._head = HEADS[task.head]

        self._strategy = model.distribute_strategy

        def compute(inputs: Any, lengths: Any) -> Any:
            # For a forward network a mask would only cost time, since padding comes last.
            if not task.bidirectional:
                return model(inputs, training=False)
            return zoo.networks.padded_logits(model, inputs, lengths)

        # One signature for all shapes: the same graph, so the same rounding, in every run.
        self._forward = tf.function(
            lambda inputs, lengths: self._strategy.run(compute, (inputs, lengths)),
            input_signature=[
                tf.TensorSpec((None, None, task.inputs), tf.float32),
                tf.TensorSpec((None,), tf.int32),
            ],
        )

    def __call__(self, split: Sequences) -> Score:
        """Measures the network on a split; scores are float64."""
        totals = np.zeros(len(split))
        sizes = np.array([self._head.size(targets) for targets in split.targets])
        for index, logits in self._logits(split):
            totals[index] = self._head.score(split.targets[index], logits)
        return Score.of(totals, sizes)

    def decide(self, split: Sequences) -> list[np.ndarray]:
        """Returns the class with the largest output in every frame, int64 `[time]` per sequence."""
        decided = {index: np.argmax(logits, axis=-1) for index, logits in self._logits(split)}
        return [decided[index] for index in range(len(split))]

    def _logits(self, split: Sequences) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the index of every sequence and its logits, `[time, outputs]`, in any order."""
        for batch in split.batches():
            replicas = self._forward(batch.inputs, batch.lengths)
            logits = self._strategy.experimental_local_results(replicas)[0].numpy()
            for row, index in enumerate(batch.indices):
                yield int(index), logits[row, : batch.lengths[row]]
