"""One sequence on several replicas: what a distribution strategy means for an update.

The protocol changes the weights after every single sequence, and one sequence cannot be split. So
every replica gets the same sequence with weight 1 / replicas: the gradients' sum is that of one
device, whatever the strategy, and so is every number of a study up to rounding.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf


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
        strategy: of the model; all processes of a cluster must call this together.
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
