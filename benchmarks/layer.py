"""Milliseconds for forward and backward of `zoo.RNN` and its peers, in one run.

    python -m benchmarks.layer

Layers get sequences of 88 features and give the output of every step; what is timed is the gradient
of a random linear loss by inputs and weights. Every layer has a process of its own with one thread;
repeats interleave; a number is the median of its repeats. `compiled` says how: a plain
`tf.function`, or `jit_compile=True`; PyTorch runs as it is. `times_zoo` is to `zoo.RNN` with the
same variant, compiled alike.
"""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

from absl import flags

from benchmarks import table
from benchmarks.remote import Missing, Remote, interpreter
from common import command_line

_SHAPES = flags.DEFINE_list(
    "shapes", ["1x61x64", "32x100x128", "16x300x128", "64x50x256"], "Batch, time and units of each."
)
_VARIANTS = flags.DEFINE_list("variants", ["V", "NP", "FGR"], "Variants at every shape.")
_OTHERS = flags.DEFINE_list(
    "others", ["NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG"], "Variants at the second shape only."
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Timed repeats.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 1.0, "Least duration of a repeat.", lower_bound=0)
_SAVE = flags.DEFINE_boolean("save", True, "Whether to write the results down.")

_OURS = "zoo.RNN"
_STOCK = "keras.layers.RNN(cell)"
_INPUTS = 88

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A line of the table."""

    layer: str
    variant: str
    compiled: str

    def start(self, shape: list[int]) -> Remote:
        """Starts a process that times it."""
        if self.layer == "torch.nn.LSTM":
            target = "benchmarks.peers.torch_layer:TorchLayer"
            return Remote(target, python=interpreter("torch"), shape=shape, inputs=_INPUTS)
        return Remote(
            "benchmarks.peers.keras_layer:KerasLayer",
            layer=self.layer,
            variant=self.variant,
            shape=shape,
            inputs=_INPUTS,
            compiled=self.compiled == "jit",
        )


def _entries(variants: list[str]) -> list[list[_Entry]]:
    """Lists what is measured at a shape; what is compared with each other runs at a time."""
    groups = []
    for compiled in ("plain", "jit"):
        for variant in variants:
            group = [_Entry(layer, variant, compiled) for layer in (_OURS, _STOCK)]
            if variant == "NP":
                group.append(_Entry("keras.layers.LSTM", variant, compiled))
                if compiled == "plain":
                    group.append(_Entry("torch.nn.LSTM", variant, compiled))
            groups.append(group)
    return groups


def _measure(group: list[_Entry], shape: list[int]) -> dict[_Entry, float]:
    """Times some layers in turns; leaves out what cannot be imported."""
    running = {entry: entry.start(shape) for entry in group}
    times: dict[_Entry, list[float]] = {entry: [] for entry in group}
    try:
        for entry, remote in list(running.items()):
            try:
                remote.call("seconds", at_least=0.1)
            except Missing as error:
                print(f"{entry.layer}: skipped ({error})", flush=True)
                running.pop(entry).close()
                times.pop(entry)
        for _ in range(_REPEATS.value):
            for entry, remote in running.items():
                times[entry].append(remote.call("seconds", at_least=_SECONDS.value))
    finally:
        for remote in running.values():
            remote.close()
    return {entry: statistics.median(measured) for entry, measured in times.items()}


def _rows(medians: dict[_Entry, float], shape: str) -> list[Row]:
    ours = next(value for entry, value in medians.items() if entry.layer == _OURS)
    return [
        {
            "shape": shape,
            **dataclasses.asdict(entry),
            "milliseconds": round(1e3 * value, 3),
            "times_zoo": round(value / ours, 2),
        }
        for entry, value in medians.items()
    ]


def main() -> int:
    """Runs the command."""
    rows: list[Row] = []
    for place, name in enumerate(_SHAPES.value):
        shape = [int(size) for size in name.split("x")]
        for group in _entries(_VARIANTS.value + (_OTHERS.value if place == 1 else [])):
            found = _rows(_measure(group, shape), name)
            table.show(found)
            rows += found
    if _SAVE.value:
        print(f"results: {table.save('layer', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
