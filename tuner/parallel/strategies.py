"""The choice of a distribution strategy, which is made before TensorFlow starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from common.errors import InputError

# Set by Kaggle, Colab and Cloud TPU machines that have a TPU.
_TPU_NAMES = ("TPU_NAME", "COLAB_TPU_ADDR")


def tpu_name(environment: Mapping[str, str] = os.environ) -> str:
    """Returns the name or address of the TPU that an environment names; empty if none.

    Args:
        environment: the process's environment variables.
    """
    return next((environment[key] for key in _TPU_NAMES if environment.get(key)), "")


def choose(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """Chooses the strategy of a study.

    Args:
        name: `one`, `mirrored`, `multiworker`, `tpu`, or `auto`, which is `tpu` if the
            environment names one, otherwise `one`, even with several GPUs, on which `mirrored`
            would do the same work several times.
        environment: the process's environment variables.

    Raises:
        InputError: if `multiworker` finds no cluster in `TF_CONFIG`, or an invalid one.

    Example:
        >>> choose("auto", {"TPU_NAME": "local"}), choose("auto", {})
        ('tpu', 'one')
    """
    if name == "multiworker":
        check_tf_config(environment.get("TF_CONFIG"))
    if name == "auto":
        return "tpu" if tpu_name(environment) else "one"
    return name


def check_tf_config(text: str | None) -> None:
    """Checks the description of a cluster.

    Args:
        text: the value of the environment variable `TF_CONFIG`.

    Raises:
        InputError: if it does not say which process of which cluster this is.

    Example:
        >>> check_tf_config('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}')
        Traceback (most recent call last):
        common.errors.InputError: TF_CONFIG: expected "task": {"type": ..., "index": ...} ...
    """
    sample = (
        '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, the '
        "index counting the processes"
    )
    if not text:
        raise InputError(
            f"--strategy=multiworker: expected the cluster in TF_CONFIG, {sample}. "
            "Received: nothing"
        )
    try:
        config: Any = json.loads(text)
    except ValueError as error:
        raise InputError(f"TF_CONFIG: expected JSON, {sample}: {error}") from error
    cluster = config.get("cluster") if isinstance(config, dict) else None
    if not (
        isinstance(cluster, dict)
        and set(cluster) <= {"chief", "worker"}
        and all(isinstance(hosts, list) and hosts for hosts in cluster.values())
        and cluster
    ):
        raise InputError(f"TF_CONFIG: expected addresses of workers, {sample}. Received: {text}")
    task = config.get("task")
    hosts = cluster.get(str(task.get("type")), []) if isinstance(task, dict) else []
    index = task.get("index") if isinstance(task, dict) else None
    if not (isinstance(index, int) and 0 <= index < len(hosts)):
        raise InputError(
            'TF_CONFIG: expected "task": {"type": ..., "index": ...} to name one of the '
            f"cluster's processes. Received: {json.dumps(task)}"
        )
