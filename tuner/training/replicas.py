"""One sequence on several replicas: how updates work under a distribution strategy.

The protocol updates the weights after every single sequence, and a sequence cannot be split. So
every replica gets the same sequence with weight 1 / replicas: the summed gradient is that of one
device, whatever the strategy, and so is every result of a study, up to rounding.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf


def replicate(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Sends each element of a dataset to every replica, weighted so that the copies count as one.

    Args:
        dataset: batches (inputs, targets) of one sequence.
        strategy: strategy of the model to be fitted.

    Returns:
        The dataset itself if there is one replica; else a distributed dataset of (inputs, targets,
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
    """Returns the chief's numbers in every process of a cluster.

    The chief decides for all processes, since the last digits may differ between kinds of
    processors, and processes that are out of step would wait for each other forever.

    Args:
        values: float64 `[n]`; n is the same in all processes.
        strategy: strategy of the model; all processes of a cluster must call this together.
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
