"""The demonstration of guided evolutionary strategies by their authors, by `zoo.GuidedES`.

    python -m docs.studies.guided_es

Minimize f(x) = |Ax - b|²/4000, A of 2000 x 1000 standard normal numbers, from x = 0 in 10,000
updates, where the only gradient at hand is wrong: to the true one a fixed vector of the same length
is added, and in their TensorFlow notebook one and a half times as long a random one. Values of f
cost nothing here, so that their number is the axis: gradient descent by the surrogate takes none,
the strategies two an update. All is computed in the eigenbasis of AᵀA, in which f is diagonal and
the perturbations are distributed as before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks import plots, table
from benchmarks.table import Row
from common import command_line, files

_STEPS = flags.DEFINE_integer("steps", 10_000, "Updates of a run.", lower_bound=1)
_SEED = flags.DEFINE_integer("problem_seed", 0, "Of A, b and the bias; theirs were 0 and 2.")
_STREAMS = flags.DEFINE_integer("streams", 2, "Runs with other random numbers.", lower_bound=1)

IMAGE = table.ROOT / "docs" / "images" / "guided_es.svg"
_POINTS = (0, 100, 1000, 5000, 10_000)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A quadratic in the eigenbasis of its Hessian.

    Attributes:
        curvature: eigenvalues, float64 `[n]`.
        optimum: x*, `[n]`; x begins at 0.
        bias: of the surrogate gradient, of length 1, `[n]`.
        least: f(x*).
    """

    curvature: np.ndarray
    optimum: np.ndarray
    bias: np.ndarray
    least: float

    @classmethod
    def draw(cls, seed: int, rows: int = 2000, columns: int = 1000) -> Problem:
        """Draws A, b and the bias in the order of the authors' notebooks."""
        random = np.random.RandomState(seed)
        a, b = random.randn(rows, columns), random.randn(rows, 1)
        bias = random.randn(columns, 1)
        curvature, basis = np.linalg.eigh(a.T @ a / rows)
        optimum = (basis.T @ (a.T @ b / rows))[:, 0] / curvature
        residual = a @ (basis @ optimum[:, None]) - b
        direction = (basis.T @ (bias / np.linalg.norm(bias)))[:, 0]
        return cls(curvature, optimum, direction, float((residual**2).sum() / (2 * rows)))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient of f."""
        return self.curvature * (x - self.optimum)

    def gap(self, x: np.ndarray) -> float:
        """f(x) - f(x*)."""
        return float((self.curvature * (x - self.optimum) ** 2).sum() / 2)

    def surrogate(self, x: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
        """The wrong gradient; with random numbers noise is added to the bias."""
        gradient = self.gradient(x)
        error = self.bias
        if random is not None:
            noise = random.normal(size=len(x))
            error = error + 1.5 * noise / np.linalg.norm(noise)
        return np.asarray(gradient + error * np.linalg.norm(gradient))

    def plain_expectation(self, rate: float = 0.2) -> Iterator[float]:
        """Yields the expected gap of a plain strategy with one pair before every update."""
        size = len(self.curvature)
        moments = (self.curvature * self.optimum) ** 2
        scaled = rate * self.curvature / size
        while True:
            yield float((moments / self.curvature).sum() / 2)
            moments = moments * (1 - 2 * scaled + 2 * scaled**2) + scaled**2 * moments.sum()


def follow(
    problem: Problem, steps: int, random: np.random.Generator | None, rate: float = 5e-3
) -> Iterator[float]:
    """Yields the gaps of gradient descent by the surrogate before every update, and the last."""
    x = np.zeros_like(problem.optimum)
    for _ in range(steps):
        yield problem.gap(x)
        x = x - rate * problem.surrogate(x, random)
    yield problem.gap(x)


def guided(
    problem: Problem,
    steps: int,
    random: np.random.Generator | None,
    seed: int,
    **arguments: Any,
) -> Iterator[float]:
    """Yields the gaps of `zoo.GuidedES` before every update, and the last.

    Args:
        problem: what to minimize.
        steps: updates.
        random: of the surrogate's noise; None for none.
        seed: of the perturbations.
        **arguments: of `zoo.GuidedES`.
    """
    import keras
    import tensorflow as tf

    import zoo

    x = keras.Variable(np.zeros_like(problem.optimum), dtype="float64")
    strategy = zoo.GuidedES(keras.optimizers.SGD(0.2), sigma=0.1, seed=seed, **arguments)
    strategy.build([x])

    def loss(values: list[Any]) -> Any:
        return keras.ops.sum(problem.curvature * (values[0] - problem.optimum) ** 2) / 2

    @tf.function  # type: ignore[untyped-decorator]
    def update(surrogate: Any) -> None:
        strategy.step(loss, [x], [surrogate])

    for _ in range(steps):
        now = x.numpy()
        yield problem.gap(now)
        update(tf.constant(problem.surrogate(now, random)))
    yield problem.gap(x.numpy())


def _runs(problem: Problem, steps: int, streams: int) -> Iterator[tuple[str, str, int, Any]]:
    """Yields method, surrogate, stream and gaps."""
    yield "plain strategy, expected", "none", 0, problem.plain_expectation()
    for stream in range(streams):

        def strategy(noisy: bool, stream: int = stream, **arguments: Any) -> Iterator[float]:
            random = np.random.default_rng([1, stream]) if noisy else None
            return guided(problem, steps, random, seed=stream, **arguments)

        yield "plain strategy", "none", stream, strategy(False, alpha=1.0)
        for name, noisy in (("bias", False), ("bias and noise", True)):
            random = np.random.default_rng([2, stream]) if noisy else None
            if noisy or stream == 0:
                yield "gradient descent", name, stream, follow(problem, steps, random)
            yield "guided strategy", name, stream, strategy(noisy)
            yield "exact guide, 2 pairs", name, stream, strategy(noisy, guide="exact", pairs=2)


def measure(problem: Problem, steps: int, streams: int, say: Callable[[str], None]) -> list[Row]:
    """Makes all runs; rows hold the gap before some updates."""
    kept = {round(step) for step in np.geomspace(1, max(steps, 1), 60)} | {*_POINTS}
    rows = []
    for method, surrogate, stream, gaps in _runs(problem, steps, streams):
        found = []
        for step, gap in zip(range(steps + 1), gaps, strict=False):
            if step in kept:
                found.append({"step": step, "gap": round(gap, 6)})
        names = {"method": method, "surrogate": surrogate, "stream": stream}
        rows += [{**names, **row} for row in found]
        shown = ", ".join(f"{row['gap']:.5f}" for row in found if row["step"] in _POINTS)
        say(f"{method} ({surrogate}, {stream}): {shown}")
    return rows


def draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draws what is left to gain by updates, for each kind of surrogate gradient."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    each = figure.subplots(1, 2, sharey=True)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for axes, surrogate in zip(each, ("bias", "bias and noise"), strict=True):
        lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for row in rows:
            if row["surrogate"] in (surrogate, "none") and int(row["step"]):
                line = lines.setdefault((row["method"], str(row["stream"])), [])
                line.append((int(row["step"]), float(row["gap"])))
        for (method, stream), points in lines.items():
            axes.plot(
                *zip(*points, strict=True),
                color=plots.COLORS[methods.index(method)],
                linestyle="--" if "expected" in method else "-",
                linewidth=1.2,
                label=method if stream == "0" else None,
            )
        plots.logarithmic(axes)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_yticks([0.01, 0.02, 0.05, 0.1, 0.2])
        axes.set_title(f"surrogate gradient with {surrogate}", fontsize="medium")
        axes.set_xlabel("updates")
        axes.grid(linewidth=0.4)
    each[0].set_ylabel("f(x) - f(x*)")
    each[0].legend(frameon=False, fontsize="small")
    return plots.svg(figure)


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    problem = Problem.draw(_SEED.value)
    print(f"f(x*) {problem.least:.6f}, f(0) {problem.least + problem.gap(0 * problem.optimum):.6f}")
    rows = measure(problem, _STEPS.value, _STREAMS.value, lambda line: print(line, flush=True))
    table.save("guided_es", rows, ("keras", "numpy", "tensorflow"), table.STUDIES)
    files.write_text(IMAGE, draw(rows))
    return 0


if __name__ == "__main__":
    command_line.run(main)
