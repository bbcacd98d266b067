"""What `benchmarks.trial_throughput` compares: the engines and their peers, by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.remote import Remote, interpreter

_ENGINE = "benchmarks.peers.engine_trial:EngineTrial"
_KERAS = "benchmarks.peers.keras_trial:KerasTrial"
_TORCH = "benchmarks.peers.torch_trial:TorchTrial"
_JAX = "benchmarks.peers.jax_trial:JaxTrial"

NATIVE = "native engine"
"""Name of what everything is compared with."""

TRIALS_AT_ONCE = (1, 2, 4, 8, 16)
"""K of the implementation that trains several trials in one program."""


@dataclasses.dataclass(frozen=True)
class Implementation:
    """One way to train a trial.

    Attributes:
        name: as in the tables.
        variant: what it trains; NP where the library has no peepholes.
        sequences: which work of `benchmarks.work_files` it is timed on.
        target: the class that does it, see `benchmarks.remote`.
        options: arguments of the constructor.
        library: module that it needs.
    """

    name: str
    variant: str
    sequences: str
    target: str
    options: tuple[tuple[str, Any], ...]
    library: str

    def start(self, core: int | None = None) -> Remote:
        """Starts a process of it.

        Args:
            core: see `Remote`.
        """
        python = interpreter(self.library)
        return Remote(self.target, python=python, core=core, **dict(self.options))


def native(variant: str) -> Implementation:
    """The native engine on a variant."""
    options = (("engine", "native"), ("seconds", 0.4))
    return Implementation(NATIVE, variant, "corpus", _ENGINE, options, "numba")


def _stock(layer: str, variant: str, jit_compile: bool) -> Implementation:
    name = f"keras.layers.{layer}{', jit_compile' * jit_compile}"
    sequences = "lengths" if jit_compile else "sample"
    options = (("layer", layer.partition("(")[0]), ("jit_compile", jit_compile))
    return Implementation(name, variant, sequences, _KERAS, options, "keras")


def _cell(compiled: bool) -> Implementation:
    name = f"PyTorch peephole cell{', torch.compile' * compiled}"
    options = (("peepholes", True), ("compiled", compiled))
    return Implementation(name, "V", "sample", _TORCH, options, "torch")


def _jax(trials: int) -> Implementation:
    name = f"JAX vmap + lax.scan, K = {trials}"
    return Implementation(name, "V", "sample", _JAX, (("trials", trials),), "jax")


IMPLEMENTATIONS = (
    native("V"),
    native("NP"),
    Implementation("keras engine", "V", "sample", _ENGINE, (("engine", "keras"),), "keras"),
    _stock("RNN(cell)", "V", False),
    _stock("RNN(cell)", "V", True),
    _stock("LSTM", "NP", False),
    _stock("LSTM", "NP", True),
    Implementation("torch.nn.LSTM", "NP", "corpus", _TORCH, (("peepholes", False),), "torch"),
    _cell(compiled=False),
    _cell(compiled=True),
    *(_jax(trials) for trials in TRIALS_AT_ONCE),
)
"""All of them, ours first."""
