"""A Keras model that `fit` trains by guided evolutionary strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.gradients import gradient
from zoo.guided_es import GuidedES
from zoo.layers import check_truncate, truncated
from zoo.variant_cell import Tensor


@keras.saving.register_keras_serializable(package="lstm_odyssey")
class GuidedESModel(keras.Model):
    """A Keras model that `fit` trains by guided evolutionary strategies.

    Pass a `zoo.GuidedES` to `compile` as optimizer. A step computes the model's surrogate gradient,
    evaluates the loss at the perturbed weights (all pairs in one batched program, with the same
    dropout and noise), and updates the weights with the inner optimizer. On PyTorch the model may
    need `vectorized=False`: `torch.vmap` refuses some layers, such as `BatchNormalization`.

    Args:
        model: the model to train; it shares its weights, so it can be used and saved on its own.
        surrogate_loss: a Keras loss that provides the surrogate gradient, for a true loss without a
            useful gradient. Default: the loss of `compile`.
        truncate: steps after which `zoo.RNN` layers cut the surrogate gradient. Default: theirs.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: if `truncate` is neither a positive integer nor None; in training, if the
            optimizer is not a `zoo.GuidedES`.

    Example:
        >>> import keras, numpy as np, zoo
        >>> inputs = keras.Input((3,))
        >>> model = zoo.GuidedESModel(keras.Model(inputs, keras.layers.Dense(1)(inputs)))
        >>> model.compile(zoo.GuidedES("adam", pairs=4, seed=1), loss="mse")
        >>> history = model.fit(np.ones((4, 3)), np.ones((4, 1)), epochs=2, verbose=0)
        >>> len(history.history["loss"])
        2
    """

    def __init__(
        self,
        model: keras.Model,
        surrogate_loss: Any = None,
        truncate: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.surrogate_loss = None if surrogate_loss is None else keras.losses.get(surrogate_loss)
        self.truncate = check_truncate(truncate)
        self.built = model.built

    def build(self, input_shape: Any) -> None:
        """Builds the model."""
        if not self.model.built:
            self.model.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Calls the model."""
        return self.model(inputs, training=training)

    def make_train_function(self, force: bool = False) -> Any:
        """Prepares training; called by `fit`."""
        # Built beforehand: TensorFlow retraces a step that creates variables.
        if self.built and isinstance(self.optimizer, GuidedES):
            self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, *arguments: Any) -> Any:
        """Performs one update; `fit` calls it with the arguments of the backend."""
        if keras.backend.backend() != "jax":
            return self._train(*arguments)
        state, data = arguments
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        pairs = [
            zip(group, values, strict=True) for group, values in zip(groups, state, strict=True)
        ]
        mapping = [pair for each in pairs for pair in each]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = self._train(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def _train(self, data: Any) -> dict[str, Any]:
        guided = self.optimizer
        if not isinstance(guided, GuidedES):
            raise ValueError(
                "Received an invalid value for argument `optimizer`, "
                f"expected a zoo.GuidedES, got {type(guided).__name__}."
            )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        weights, others = self.trainable_variables, self.non_trainable_variables
        # Each evaluation starts from these values, so all get the same dropout and noise.
        before = [ops.copy(variable) for variable in others]

        def run(values: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, Any, list[Tensor]]]:
            mapping = [*zip(weights, values, strict=True), *zip(others, before, strict=True)]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                outputs = self(x, training=True)
                loss = self.compute_loss(
                    x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=True
                )
                surrogate = loss
                if self.surrogate_loss is not None:
                    # Per sample, as Keras' functions return it, or over all samples.
                    surrogate = ops.mean(self.surrogate_loss(y, outputs))
            return surrogate, (loss, outputs, [scope.get_current_value(v) for v in others])

        values = [ops.copy(variable) for variable in weights]
        if guided.needs_surrogate:
            with truncated(self.truncate):
                surrogate, (loss, outputs, after) = gradient(run, values)
        else:
            surrogate, (_, (loss, outputs, after)) = None, run(values)
        guided.step(lambda perturbed: run(perturbed)[1][0], weights, surrogate)
        for variable, value in zip(others, after, strict=True):
            variable.assign(value)
        batch = ops.shape(keras.tree.flatten(x)[0])[0]
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=batch)
        logs: dict[str, Any] = self.compute_metrics(x, y, outputs, sample_weight)
        return logs

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        surrogate = self.surrogate_loss
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "surrogate_loss": None if surrogate is None else keras.losses.serialize(surrogate),
            "truncate": self.truncate,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GuidedESModel:
        """Creates a model from the result of `get_config`."""
        inner = keras.saving.deserialize_keras_object(
            config["model"], custom_objects=custom_objects
        )
        return cls(**{**config, "model": inner})
