"""The table of training engines, the fastest first.

An engine's module defines a class `Trainer` and is imported only when the engine is to train. The
engine is chosen for each trial: the first in the table that has no obstacle. (Reading the table
does not import NumPy, so that wrong flags are reported at once.)
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
from tuner.training.jax.updates import UPDATES
from tuner.training.optimizers import OPTIMIZERS
from zoo import registry

if TYPE_CHECKING:
    from tuner.training.protocol import Problem, Trial, TrialResult
    from tuner.training.trial_state import CheckpointPath, OnEpochEnd


class Trainer(Interface):
    """Trains the trials of one problem."""

    def __init__(self, problem: Problem) -> None:
        """Prepares everything that the trials share."""

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
            trials: the trials to train. An engine may take up to `Engine.capacity` of them before
                it yields a result; taking the next one may block until it is available.
            checkpoint_path: returns the path of a running trial's checkpoint. The caller removes
                that of a finished trial once its result is saved.
            checkpoint_seconds: minimum time between two checkpoints.
            on_epoch_end: called after every epoch.

        Yields:
            The result of each trial, in any order.
        """


@dataclasses.dataclass(frozen=True)
class Speed:
    """The speed of an engine on one core.

    Attributes:
        start: seconds that a worker needs before its first trial.
        trial: seconds that every trial takes, however short its epochs.
        frame: seconds per frame of training data and epoch, including validation.
        weight: additional seconds per frame and epoch for every weight.
    """

    start: float
    trial: float
    frame: float
    weight: float


_TRIALS_A_DEVICE = 64
"""Number of trials that engine `jax` trains side by side on an accelerator."""


def one_at_a_time() -> int:
    """Returns the capacity of an engine that trains one trial at a time."""
    return 1


def anywhere() -> bool:
    """Considers an engine on every machine."""
    return True


def only_by_name() -> bool:
    """Considers an engine on no machine: it has to be requested by name."""
    return False


def any_trial(trial: Trial) -> Hashable:
    """Returns the group of a trial for an engine that can train any trials together."""
    return None


@dataclasses.dataclass(frozen=True)
class Engine:
    """One way to train trials.

    Attributes:
        name: its name in flags, ledgers and checkpoints.
        module: the module that defines its `Trainer`.
        keras_backend: Keras' backend in a process that trains with it; `numpy` if it does not need
            Keras, so that TensorFlow is not imported.
        obstacle: returns why it cannot train a trial on this machine; empty if it can.
        speed: its speed, for estimates.
        workers: returns the number of processes that suits this machine.
        capacity: returns the number of trials that a process trains at a time.
        group: returns the group of a trial; trials with equal groups can be trained together.
        considered: returns whether `auto` considers it on this machine at all.
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
        """Estimates the duration of a trial that does not stop before its last epoch."""
        weights = count_params(problem, trial)
        frames = problem.protocol.max_epochs * problem.corpus.train.frames
        return self.speed.trial + frames * (self.speed.frame + self.speed.weight * weights)


def _compiled_obstacle(problem: Problem, trial: Trial) -> str:
    """Returns why no engine of compiled code can train a trial, regardless of the machine."""
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
    if problem.protocol.optimizer not in UPDATES:
        return f"it has no optimizer {problem.protocol.optimizer}"
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
    """Returns the type of device that TensorFlow would prefer to the CPU; empty if none."""
    import tensorflow as tf

    kinds: Iterable[str] = (device.device_type for device in tf.config.list_physical_devices())
    return next((kind for kind in kinds if kind != "CPU"), "")


def _jax_devices() -> int:
    """Counts the accelerators that JAX would use, without starting it; 0 if it would use a CPU."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return 0
    if any(map(importlib.util.find_spec, ("jax_cuda13_plugin", "jax_cuda12_plugin"))):
        return len(glob.glob("/dev/nvidia[0-9]*"))
    return len(glob.glob("/dev/accel*")) if importlib.util.find_spec("libtpu") else 0


def _jax_workers() -> int:
    return 1 if _jax_devices() else cores()


def _jax_capacity() -> int:
    # On a CPU, training trials side by side takes longer than one after the other.
    return _TRIALS_A_DEVICE * _jax_devices() or 1


def _jax_group(trial: Trial) -> Hashable:
    from tuner.training.jax.padding import padded_units

    return trial.variant, padded_units(trial.variant, trial.units), trial.options


def _keras_workers() -> int:
    # Several workers on one accelerator would share its memory and take turns.
    return 1 if accelerator() else cores()


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "cuda",
            module="tuner.training.cuda.engine",
            keras_backend="numpy",
            obstacle=_cuda_obstacle,
            # For a whole H100, fitted to timings of a prototype of these kernels (V, 20 to 96
            # units, music); 160 and 200 units took several times as long as this predicts.
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
            # On music it took 1.8 times as long as `native` at 64 units and 1.4 times at 200; each
            # trial traces its network, whose code is compiled once per size.
            speed=Speed(start=6.0, trial=1.0, frame=4.1e-6, weight=1.5e-10),
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
            # with CTC a frame takes twice as long. Each trial traces the graphs of its network.
            speed=Speed(start=6.0, trial=4.0, frame=1.4e-4, weight=5e-10),
            workers=_keras_workers,
        ),
    )
}
"""The engines of `python -m tuner.run --engine`, the fastest first."""


_VERSIONED = ("jax", "jaxlib", "keras", "keras-tuner", "llvmlite", "numba", "numpy", "tensorflow")
"""Packages on whose versions the results of a trial depend."""


def versions(others: Iterable[str] = ()) -> dict[str, str]:
    """Returns the versions of the libraries on which the results of a trial depend, by name.

    Args:
        others: names of further packages.
    """
    found = {}
    for name in (*_VERSIONED, *others):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Numba, for example, is only needed by engine `native`.
            pass
    return found


def candidates() -> list[Engine]:
    """Returns the engines that `auto` considers on this machine, the fastest first."""
    return [engine for engine in ENGINES.values() if engine.considered()]


def choose(name: str, problem: Problem, trial: Trial) -> Engine:
    """Chooses the engine for a trial.

    Args:
        name: a key of `ENGINES`, or `auto` for the fastest engine that can train the trial.
        problem: the problem that the trial belongs to.
        trial: the trial to train.

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
        problem: provides the task's inputs, outputs and direction.
        trial: provides the cell.
    """
    task = problem.task
    directions = 2 if task.bidirectional else 1
    options = dict(trial.options)
    own = registry.count_params(trial.variant, task.inputs, trial.units, **options)
    return directions * own + (directions * trial.units + 1) * task.outputs
