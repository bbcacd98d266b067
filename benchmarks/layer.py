"""Milliseconds for forward and backward of `zoo.RNN` and its peers, in one run.

    python -m benchmarks.layer

What is timed is the gradient of a random linear loss by inputs and weights. With NP, which has no
peepholes, Keras' and PyTorch's own layers are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from absl import flags

from benchmarks import runner
from benchmarks.runner import Case, Peer, Row, Runner
from zoo.variants import VARIANTS

_SHAPES = flags.DEFINE_list(
    "shapes", ["1x61x64", "32x100x128", "16x300x128", "64x50x256"], "Batch, time and units of each."
)
_VARIANTS = flags.DEFINE_list("variants", list(VARIANTS), "Variants at every shape.")
_LAYERS = {
    name: Peer("benchmarks.peers.keras_trial:KerasLayer", {"layer": name})
    for name in ("zoo.RNN", "keras.layers.RNN(cell)", "keras.layers.LSTM")
}
_LAYERS["torch.nn.LSTM"] = Peer("benchmarks.peers.torch_trial:TorchLayer", library="torch")


def _compared(layer: str, variant: str, compiled: str) -> bool:
    if layer == "torch.nn.LSTM":
        return (variant, compiled) == ("NP", "plain")
    return layer != "keras.layers.LSTM" or variant == "NP"


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the name of their table."""
    for shape, compiled, variant in product(_SHAPES.value, ("plain", "jit"), _VARIANTS.value):
        work = {"shape": [int(size) for size in shape.split("x")], "inputs": 88}
        how = {"variant": variant, "compiled": compiled}
        measured = bench.measure(
            runner.chosen(
                Case({"shape": shape, "layer": layer, **how}, peer, {**work, **how})
                for layer, peer in _LAYERS.items()
                if _compared(layer, variant, compiled)
            )
        )
        rows = [
            {
                **one.labels,
                **one.spread("seconds", "milliseconds", 1e3, digits=3),
                "times_zoo": round(one.median() / measured[0].median(), 2),
            }
            for one in measured
        ]
        yield "layer", rows


if __name__ == "__main__":
    runner.run(tables)
