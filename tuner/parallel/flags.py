"""Flags that say by what and where trials are trained, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from common import command_line
from common.errors import InputError
from tuner.training.engines import ENGINES

if TYPE_CHECKING:
    from tuner.parallel.pool import Pool
    from tuner.training.engines import Engine
    from tuner.training.protocol import Problem

_ENGINE = flags.DEFINE_enum(
    "engine",
    "auto",
    ["auto", *ENGINES],
    "What trains: native is compiled code for CPUs, cuda is for NVIDIA GPUs, jax compiles any "
    "Keras cell, also for accelerators, keras is model.fit, for any cell and device; auto takes "
    "the fastest of native, jax and keras that can train a trial.",
)
_WORKERS = flags.DEFINE_string(
    "workers",
    "auto",
    "How many trials are trained at a time, each in a process; auto is one a core, or one on an "
    "accelerator.",
)
_RAY = flags.DEFINE_string(
    "ray",
    None,
    "Cluster of Ray whose nodes train, one trial a CPU: auto for the one that this machine belongs "
    "to, or its address. --workers says how many at a time at most.",
)
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored", "multiworker", "tpu"],
    "Where the keras engine trains; auto is tpu if TPU_NAME is set, else one. Updates take one "
    "sequence, so more devices make none faster: see --workers.",
)
_TPU = flags.DEFINE_string("tpu", "", "Name or address of the TPU [TPU_NAME, or local].")


def strategy() -> str:
    """Returns the requested strategy; see `tuner.parallel.strategies.choose`."""
    from tuner.parallel import strategies

    return strategies.choose(_STRATEGY.value)


def engine(strategy: str) -> str:
    """Returns the requested engine; only `keras` trains under a strategy.

    Raises:
        InputError: if another engine is requested under a strategy.
    """
    if strategy == "one":
        return str(_ENGINE.value)
    if _ENGINE.value not in ("auto", "keras"):
        raise InputError(
            f"--engine={_ENGINE.value}: --strategy={strategy} needs --engine=keras"
        )
    return "keras"


def workers(strategy: str) -> int | None:
    """Returns the requested number of workers; None if the engine is to decide.

    Raises:
        InputError: if it is not a number, or does not fit the strategy.
    """
    from tuner.parallel.pool import parse_workers

    asked = parse_workers(_WORKERS.value)
    if strategy == "one":
        return asked
    if _RAY.value is not None:
        raise InputError(f"--ray: expected --strategy=one. Received: --strategy={strategy}")
    if asked not in (None, 1):
        raise InputError(
            f"--workers: expected 1 with --strategy={strategy}, which trains one trial at a time. "
            f"Received: {asked}"
        )
    return 1


def make_pool(workers: int, strategy: str, problem: Problem) -> Pool | None:
    """Makes the pool that trains on this computer, or under a strategy.

    Args:
        workers: number of trials at a time.
        strategy: the strategy returned by `strategies.choose`.
        problem: the problem of the study; if there are several, of the first.

    Returns:
        The pool; None if this process has trained for the study of another process.
    """
    if strategy == "one":
        from tuner.parallel.pool import WorkerPool

        return WorkerPool(workers)

    command_line.start_tensorflow()
    from tuner.parallel import distribute

    made = distribute.make_strategy(strategy, _TPU.value)
    print(f"strategy: {distribute.describe(made)}", flush=True)
    if distribute.is_chief(made):
        return distribute.Chief(made)
    print("the chief of the cluster runs the study; this process trains with it", flush=True)
    distribute.follow(made, problem)
    return None


def connect(asked: int | None, used: Sequence[Engine]) -> tuple[Pool | None, int]:
    """Connects to the cluster of `--ray`.

    Args:
        asked: the number returned by `workers`.
        used: the engines that will train.

    Returns:
        A pool on the cluster, or None if `--ray` is not set; and the number of workers.

    Raises:
        InputError: if the cluster cannot be reached or has no suitable nodes.
    """
    if _RAY.value is None:
        return None, asked or max(engine.workers() for engine in used)
    from tuner.parallel.ray_pool import RayPool

    pool = RayPool.connect(_RAY.value, used, asked)
    cluster = pool.plan()
    print(cluster)
    return pool, cluster.workers
