"""The engines: what trains trials, one row each, the fastest first.

An engine's module has a class `Trainer`. Nothing of it is imported before it is to train. The
engine is chosen for each trial: the first of the table that has no obstacle. (Reading the table
imports no NumPy, so that wrong flags are answered at once.)
"""

from __future__ import annotations

import dataclasses
import glob
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from common import command_line
from common.errors import InputError
from common.machine import cores
from tuner.training.optimizers import OPTIMIZERS
from zoo import registry

if TYPE_CHECKING:
    from tuner.training.protocol import Problem, Trial, TrialResult
    from tuner.training.trial_state import CheckpointPath, OnEpochEnd


class Trainer(Interface):
    """Trains the trials of one problem."""

    def __init__(self, problem: Problem) -> None:
        """Prepares what all trials share."""

    def train(
        self,
        trials: Iterable[Trial],
        *,
        checkpoint_path: CheckpointPath = ...,
        checkpoint_seconds: float = ...,
        on_epoch_end: OnEpochEnd = ...,
    ) -> Iterator[TrialResult]:
        """Trains trials, several at a time if the engine can.

        Args:
            trials: what to train. An engine may take as many before it yields a result as its
                `Engine.capacity` says; taking the next may block until there is one.
            checkpoint_path: where a running trial's checkpoint is. That of a finished trial is left
                to the caller, who removes it when the result is safe.
            checkpoint_seconds: least time between two checkpoints.
            on_epoch_end: called after every epoch.

        Yields:
            The result of each trial, in any order.
        """


@dataclasses.dataclass(frozen=True)
class Speed:
    """How fast an engine is on one core.

    Attributes:
        start: seconds that a worker needs before its first trial.
        trial: seconds that every trial takes, however short its epochs.
        frame: seconds a frame of training data and epoch, validation included.
        weight: seconds more of it for every weight.
    """

    start: float
    trial: float
    frame: float
    weight: float


_TRIALS_A_DEVICE = 64
"""Trials that engine `jax` trains side by side on an accelerator."""


def one_at_a_time() -> int:
    """The capacity of an engine that trains a trial after the other."""
    return 1


def anywhere() -> bool:
    """Considers an engine on every machine."""
    return True


def only_by_name() -> bool:
    """Considers an engine on no machine: it has to be asked for by name."""
    return False


def any_trial(trial: Trial) -> Hashable:
    """The group of a trial for an engine to which all trials are alike."""
    return None


@dataclasses.dataclass(frozen=True)
class Engine:
    """One way to train trials.

    Attributes:
        name: in flags, ledgers and checkpoints.
        module: where its `Trainer` is.
        keras_backend: Keras' backend in a process that trains with it: `numpy` where it needs no
            Keras, which keeps TensorFlow out.
        obstacle: says why it cannot train a trial here; empty if it can.
        speed: for estimates.
        workers: how many processes suit this machine.
        capacity: how many trials a process trains at a time.
        group: trials with equal groups can be trained at the same time.
        considered: whether `auto` looks at it on this machine at all.
    """

    name: str
    module: str
    keras_backend: str
    obstacle: Callable[[Problem, Trial], str]
    speed: Speed
    workers: Callable[[], int] = cores
    capacity: Callable[[], int] = one_at_a_time
    group: Callable[[Trial], Hashable] = any_trial
    considered: Callable[[], bool] = anywhere

    def trainer(self, problem: Problem) -> Trainer:
        """Imports the engine and prepares it.

        Raises:
            ImportError: if it is not installed.
        """
        if self.keras_backend == "tensorflow":
            command_line.start_tensorflow()
        for cell in problem.cells:
            registry.find_variant(cell)
        module: Any = importlib.import_module(self.module)
        trainer: Trainer = module.Trainer(problem)
        return trainer

    def seconds(self, problem: Problem, trial: Trial) -> float:
        """Estimates the time of a trial that does not stop before its last epoch."""
        weights = count_params(problem, trial)
        frames = problem.protocol.max_epochs * problem.corpus.train.frames
        return self.speed.trial + frames * (self.speed.frame + self.speed.weight * weights)


def _compiled_obstacle(problem: Problem, trial: Trial) -> str:
    """What an engine of compiled code cannot train, whatever the machine."""
    if not OPTIMIZERS[problem.protocol.optimizer].native:
        return f"it has no optimizer {problem.protocol.optimizer}"
    if registry.switches(trial.variant) is None:
        return f"{trial.variant} is not a variant of the LSTM"
    return ""


def _native_obstacle(problem: Problem, trial: Trial) -> str:
    if importlib.util.find_spec("numba") is None:
        return "Numba is not installed"
    return _compiled_obstacle(problem, trial)


def _cuda_obstacle(problem: Problem, trial: Trial) -> str:
    from tuner.training.cuda import device

    obstacle = device.obstacle() or _compiled_obstacle(problem, trial)
    if obstacle:
        return obstacle
    from tuner.training.cuda import memory

    return memory.obstacle(problem, trial, device.smallest())


def _cuda_workers() -> int:
    from tuner.training.cuda import device

    return max(1, device.count())


def _cuda_capacity() -> int:
    from tuner.training.cuda import device

    return device.capacity()


def _jax_obstacle(problem: Problem, trial: Trial) -> str:
    if importlib.util.find_spec("jax") is None:
        return "JAX is not installed"
    if registry.switches(trial.variant) is not None:
        return ""
    # A cell may be bound to another backend, or keep more than weights and states.
    cell = registry.cell_class(trial.variant)
    used = vars(sys.modules[cell.__module__]).values()
    names = {getattr(one, "__name__", "").partition(".")[0] for one in used}
    if bound := names & {"tensorflow", "torch"}:
        return f"the module of {trial.variant} uses {min(bound)}"
    made = cell(trial.units, **dict(trial.options))
    made.build((1, problem.task.inputs))
    kept = [one for one in made.non_trainable_variables if one.name != "seed_generator_state"]
    if kept or any(getattr(made, name, 0) for name in ("dropout", "recurrent_dropout")):
        return f"{trial.variant} keeps more than weights and states"
    return ""


def _nothing(problem: Problem, trial: Trial) -> str:
    return ""


def accelerator() -> str:
    """Names the kind of device that TensorFlow would prefer to the CPU; empty if none."""
    import tensorflow as tf

    kinds: Iterable[str] = (device.device_type for device in tf.config.list_physical_devices())
    return next((kind for kind in kinds if kind != "CPU"), "")


def _jax_devices() -> int:
    """Accelerators that JAX would use, without starting it; 0 if it would use the CPU."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return 0
    if any(map(importlib.util.find_spec, ("jax_cuda13_plugin", "jax_cuda12_plugin"))):
        return len(glob.glob("/dev/nvidia[0-9]*"))
    return len(glob.glob("/dev/accel*")) if importlib.util.find_spec("libtpu") else 0


def _jax_workers() -> int:
    return 1 if _jax_devices() else cores()


def _jax_capacity() -> int:
    # Side by side on a CPU they take longer than one after the other.
    return _TRIALS_A_DEVICE * _jax_devices() or 1


def _jax_group(trial: Trial) -> Hashable:
    from tuner.training.jax.padding import padded_units

    return trial.variant, padded_units(trial.variant, trial.units), trial.options


def _keras_workers() -> int:
    # Workers on one accelerator would share its memory, and take turns.
    return 1 if accelerator() else cores()


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "cuda",
            module="tuner.training.cuda.engine",
            keras_backend="numpy",
            obstacle=_cuda_obstacle,
            # Of one H100 as a whole, fitted to the figures of a prototype of these kernels (V, 20
            # to 96 units, music); 160 and 200 units took it some times as long as this says.
            speed=Speed(start=10.0, trial=0.0, frame=8e-9, weight=5.4e-13),
            workers=_cuda_workers,
            capacity=_cuda_capacity,
            # It is tested by emulation, and has not yet run on a GPU.
            considered=only_by_name,
        ),
        Engine(
            "native",
            module="tuner.training.native.engine",
            keras_backend="numpy",
            obstacle=_native_obstacle,
            # Fitted to benchmarks/results/study.csv and start.csv (2.4 GHz EPYC core, compiled code
            # cached).
            speed=Speed(start=4.0, trial=0.05, frame=9.2e-7, weight=1.13e-10),
        ),
        Engine(
            "jax",
            module="tuner.training.jax.engine",
            keras_backend="jax",
            obstacle=_jax_obstacle,
            # Beside `native` on music it took 2.7 times as long at 64 units and 1.8 times at 200; a
            # trial traces its network, whose code is compiled once for a size.
            speed=Speed(start=6.0, trial=1.0, frame=4.3e-6, weight=1.8e-10),
            workers=_jax_workers,
            capacity=_jax_capacity,
            group=_jax_group,
        ),
        Engine(
            "keras",
            module="tuner.training.keras_engine",
            keras_backend="tensorflow",
            obstacle=_nothing,
            # Fitted to benchmarks/results/epoch.csv (one thread of such a core), music and speech;
            # with CTC a frame takes twice as long. A trial traces the graphs of its network.
            speed=Speed(start=6.0, trial=4.0, frame=1.4e-4, weight=5e-10),
            workers=_keras_workers,
        ),
    )
}
"""The engines of `python -m tuner.run --engine`, the fastest first."""


_VERSIONED = ("keras", "keras-tuner", "llvmlite", "numba", "numpy", "tensorflow")
"""On whose versions the numbers of a trial depend."""


def versions(others: Iterable[str] = ()) -> dict[str, str]:
    """The versions of the libraries on which the numbers of a trial depend, by name.

    Args:
        others: further packages.
    """
    found = {}
    for name in (*_VERSIONED, *others):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Numba is only needed by the engine that compiles.
            pass
    return found


def candidates() -> list[Engine]:
    """The engines that `auto` looks at on this machine, the fastest first."""
    return [engine for engine in ENGINES.values() if engine.considered()]


def choose(name: str, problem: Problem, trial: Trial) -> Engine:
    """Chooses the engine of a trial.

    Args:
        name: a name of `ENGINES`, or `auto` for the fastest that can train the trial.
        problem: what the trial belongs to.
        trial: what is to be trained; all trials of a variant get the same engine.

    Raises:
        InputError: if the named engine cannot train it.
    """
    if name == "auto":
        return next(engine for engine in candidates() if not engine.obstacle(problem, trial))
    engine = ENGINES[name]
    obstacle = engine.obstacle(problem, trial)
    if obstacle:
        raise InputError(f"--engine={name}: {obstacle}; use --engine=auto")
    return engine


def count_params(problem: Problem, trial: Trial) -> int:
    """Counts the weights of a problem's network.

    Args:
        problem: its task has inputs, outputs and direction.
        trial: for its cell.
    """
    task = problem.task
    directions = 2 if task.bidirectional else 1
    options = dict(trial.options)
    own = registry.count_params(trial.variant, task.inputs, trial.units, **options)
    return directions * own + (directions * trial.units + 1) * task.outputs
