"""Where the `keras` engine trains: TensorFlow's distribution strategies, and what they mean here.

The protocol changes the weights after every single sequence, and one sequence cannot be shared out.
So every replica gets the same sequence with weight 1 / replicas: the gradients' sum is that of one
device, whatever the strategy, and so is every number of a study up to rounding. A strategy thus
gets a study onto a device (a TPU) or into a cluster that wants one; it makes no update faster.
Trials are what can be shared out: `--workers`.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import InputError
from tuner.parallel import strategies


class _MultiWorkerMirroredStrategy(tf.distribute.MultiWorkerMirroredStrategy):
    """The strategy with a `reduce` for the ways in which `keras.Model.fit` calls it.

    TensorFlow's takes neither a whole batch (inputs, targets, weights) nor a number without axes,
    so that Keras 3 cannot fit under it: https://github.com/keras-team/keras/issues/20585.
    """

    def reduce(self, reduce_op: Any, value: Any, axis: int | None) -> Any:
        """Reduces values of replicas, nested as they may be; see the base class."""
        reduce = super().reduce

        def one(part: Any) -> Any:
            rank = self.experimental_local_results(part)[0].shape.rank
            return reduce(reduce_op, part, axis if rank else None)

        return tf.nest.map_structure(one, value)


def make_strategy(
    name: str, tpu: str = "", environment: Mapping[str, str] = os.environ
) -> tf.distribute.Strategy:
    """Makes a distribution strategy; for a cluster or a TPU before TensorFlow does anything else.

    Args:
        name: `one`; `mirrored` over all GPUs, or all logical CPUs where there is none;
            `multiworker` over the processes of `TF_CONFIG`, which are checked before; or `tpu`.
        tpu: name or address of the TPU; by default what the environment says, else `local`.
        environment: the process's.

    Raises:
        InputError: if the TPU cannot be reached.
    """
    if name != "one":
        # The length of an epoch is unknown to Keras where a data set is distributed.
        warnings.filterwarnings("ignore", "Your input ran out of data", module="keras")
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multiworker":
        return _MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _make_tpu_strategy(tpu or strategies.tpu_name(environment) or "local")
    return tf.distribute.get_strategy()


def _make_tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise InputError(
            f"--strategy=tpu: cannot reach the TPU {tpu!r}; name it by --tpu or TPU_NAME: "
            f"{_one_line(error)}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Says whether this process is the one that writes: the only one, or the first of a cluster.

    Args:
        strategy: what `make_strategy` made.
    """
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or resolver is None:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def describe(strategy: tf.distribute.Strategy) -> str:
    """Says in a line what a strategy does and what it does not.

    Args:
        strategy: what `make_strategy` made.
    """
    replicas = strategy.num_replicas_in_sync
    kind = type(strategy).__name__.removesuffix("V2").removeprefix("_")
    return (
        f"{kind}, {replicas} replica{'s' if replicas > 1 else ''}; updates take one sequence at a "
        "time, so replicas repeat each other's work: no faster than one device. Trials side by "
        "side are faster: --strategy=one with --workers"
    )


def replicate(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Gives every replica each element of a data set, weighted so that they count as one.

    Args:
        dataset: batches (inputs, targets) of one sequence.
        strategy: that of the model which is to be fitted.

    Returns:
        The data set itself for one replica; else a distributed data set of (inputs, targets,
        weights) for `model.fit`.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def for_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = replicas // context.num_input_pipelines

        def copies(inputs: Any, targets: Any) -> tf.data.Dataset:
            weights = tf.fill([1], 1.0 / replicas)
            return tf.data.Dataset.from_tensors((inputs, targets, weights)).repeat(here)

        return dataset.flat_map(copies)

    return strategy.distribute_datasets_from_function(for_host)


def of_chief(values: np.ndarray, strategy: tf.distribute.Strategy) -> np.ndarray:
    """Gives every process of a cluster the numbers that its chief has.

    Decisions are the chief's, since its last digits may differ from those of another kind of
    processor, and processes out of step wait for each other forever.

    Args:
        values: float64 `[n]`; n is the same everywhere.
        strategy: what `make_strategy` made; all processes of a cluster must call this together.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return values
    shared: np.ndarray = strategy.experimental_local_results(_sharer(strategy)(values))[0].numpy()
    return shared


@functools.cache
def _sharer(strategy: tf.distribute.Strategy) -> Any:
    def contribute(values: Any) -> Any:
        context = tf.distribute.get_replica_context()
        # Replica 0 is the chief's.
        own = tf.where(context.replica_id_in_sync_group == 0, values, tf.zeros_like(values))
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    return tf.function(
        lambda values: strategy.run(contribute, (values,)),
        input_signature=[tf.TensorSpec((None,), tf.float64)],
    )
