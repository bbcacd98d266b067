"""How long a study may take, before it is run."""

from __future__ import annotations

from tuner.study import Plan
from tuner.tasks.task import Corpus, Task
from zoo.variants import VARIANTS

# Fitted to benchmarks/results/epoch.csv (keras engine, one thread of a 2.4 GHz EPYC core): seconds
# a frame of training data and epoch, validation included, and more of it for every weight.
_SECONDS_PER_FRAME = 1.5e-4
_SECONDS_PER_FRAME_AND_PARAMETER = 4.3e-9
# Tracing the graphs of a trial's network.
_SECONDS_PER_TRIAL = 4.0


def parameters(task: Task, variant: str, units: int) -> int:
    """Counts the weights of a task's network.

    Args:
        task: inputs, outputs and direction.
        variant: code of the variant.
        units: LSTM blocks.

    Example:
        >>> from tuner.tasks.task import find_task
        >>> parameters(find_task("music"), "FGR", 100)
        174788
    """
    directions = 2 if task.bidirectional else 1
    cells = directions * VARIANTS[variant].parameters(task.inputs, units)
    return cells + (directions * units + 1) * task.outputs


def seconds(plan: Plan, task: Task, corpus: Corpus) -> float:
    """Estimates the time of a study if no trial stops before its last epoch.

    Args:
        plan: what is to be done.
        task: what is learnt.
        corpus: its data.

    Returns:
        Seconds on a core like that of the benchmark.
    """
    total = 0.0
    for variant in plan.variants:
        for row in plan.rows(task, variant):
            weights = parameters(task, variant, row.units)
            frame = _SECONDS_PER_FRAME + _SECONDS_PER_FRAME_AND_PARAMETER * weights
            total += _SECONDS_PER_TRIAL + plan.protocol.max_epochs * corpus.train.frames * frame
    return total
