"""Runs a study: which LSTM variant and which hyperparameters suit a task?

    python -m tuner.run --task=music                 # the paper's study
    python -m tuner.run --task=music --preset=quick  # the same path in minutes

The same command goes on with an interrupted study. At the end the report is in the study directory,
and the best model is exported for TF Serving.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from common import command_line
from common.errors import InputError

if TYPE_CHECKING:
    from tuner.parallel.pool import Pool
    from tuner.study.plan import Plan
    from tuner.tasks.task import Corpus, Task

_TASK = flags.DEFINE_string(
    "task",
    "music",
    "What to learn: music, speech, handwriting, arrays (of your own, in the .npz file that --data "
    "names), or package.module:TaskClass.",
)
_PRESET = flags.DEFINE_enum("preset", "paper", ["paper", "quick"], "Size of the study.")
_VARIANTS = flags.DEFINE_list("variants", ["all"], "Codes of the variants, or all.")
_TRIALS = flags.DEFINE_integer("trials", None, "Trials of each variant [preset's].", lower_bound=1)
_MAX_EPOCHS = flags.DEFINE_integer(
    "max_epochs", None, "Most epochs of a trial [preset's].", lower_bound=1
)
_PATIENCE = flags.DEFINE_integer(
    "patience",
    None,
    "Epochs without a better validation score after which a trial stops [preset's].",
    lower_bound=1,
)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of designs, weights, order and noise.", lower_bound=0)
_STUDY_DIR = flags.DEFINE_string(
    "study_dir", None, "Directory of the study [studies/TASK; studies/TASK-quick]."
)
_DATA = flags.DEFINE_string("data", "auto", "The task's data: auto, or a path.")
_ENGINE = flags.DEFINE_enum(
    "engine",
    "auto",
    ["auto", "native", "keras"],
    "What trains: native is compiled code for CPUs, keras is model.fit on any device; auto is "
    "native on CPUs.",
)
_WORKERS = flags.DEFINE_string(
    "workers",
    "auto",
    "How many trials are trained at a time, each in a process; auto is one a core, or one on an "
    "accelerator.",
)
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "one", "mirrored", "multiworker", "tpu"],
    "Where the keras engine trains; auto is tpu if TPU_NAME is set, else one. Updates take one "
    "sequence, so more devices make none faster: see --workers.",
)
_TPU = flags.DEFINE_string("tpu", "", "Name or address of the TPU [TPU_NAME, or local].")
_MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path", None, "Where to export the best model [STUDY_DIR/export]."
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the plan and stop.")


def _plan(task: Task) -> Plan:
    """Makes the plan that the flags ask for."""
    from tuner.study.plan import Plan
    from tuner.study.presets import find_preset
    from tuner.training.protocol import Protocol
    from zoo.registry import get_variant
    from zoo.variants import VARIANTS

    preset = find_preset(_PRESET.value, task.name)
    if _VARIANTS.value == ["all"]:
        codes = list(VARIANTS)
    else:
        try:
            codes = [get_variant(code.strip()).code for code in _VARIANTS.value]
        except ValueError as error:
            raise InputError(f"--variants: {error}") from error
    if not codes:
        raise InputError("--variants: expected codes such as V,NFG or all. Received: nothing")
    return Plan(
        # Each once, in the paper's order, whatever order they were typed in.
        variants=tuple(code for code in VARIANTS if code in codes),
        trials=_TRIALS.value or preset.trials,
        protocol=Protocol(
            max_epochs=_MAX_EPOCHS.value or preset.max_epochs,
            patience=_PATIENCE.value or preset.patience,
            order_seed=_SEED.value,
        ),
        space=preset.space,
        seed=_SEED.value,
    )


def _study_directory(task: Task) -> Path:
    suffix = "" if _PRESET.value == "paper" else f"-{_PRESET.value}"
    return Path(_STUDY_DIR.value or Path("studies") / f"{task.name}{suffix}")


def _engine(strategy: str) -> str:
    """Chooses the engine, and says so where a person might have expected something else."""
    from tuner.training import engines

    keras_for = "" if strategy == "one" else f"--strategy={strategy}"
    choice = engines.choose(_ENGINE.value, keras_for=keras_for)
    if choice.reason:
        print(f"engine: {choice.engine}, because {choice.reason}")
    return choice.engine


def _workers(strategy: str) -> int | None:
    """Reads how many workers are asked for; None if the engine is to decide."""
    from tuner.parallel.pool import count

    asked = count(_WORKERS.value)
    if strategy == "one":
        return asked
    if asked not in (None, 1):
        raise InputError(
            f"--workers: expected 1 with --strategy={strategy}, which trains one trial at a time. "
            f"Received: {asked}"
        )
    return 1


def _pool(
    engine: str, workers: int, strategy: str, task: Task, corpus: Corpus, plan: Plan
) -> Pool | None:
    """Makes what shall train; None if this process has trained for another one's study."""
    if strategy == "one":
        from tuner.parallel.pool import WorkerPool

        return WorkerPool(engine, workers)

    from tuner.parallel import distribute
    from tuner.training import placement

    made = placement.make_strategy(strategy, _TPU.value)
    print(f"strategy: {placement.describe(made)}", flush=True)
    if placement.is_chief(made):
        return distribute.Chief(made)
    print("the chief of the cluster keeps the study; this process trains with it", flush=True)
    distribute.follow(made, task, corpus, plan.protocol)
    return None


def _print_plan(
    plan: Plan, task: Task, corpus: Corpus, engine: str, workers: int, directory: Path
) -> None:
    from tuner.study.progress import duration
    from tuner.training import estimate

    space = plan.space
    low, high = (
        choose(estimate.parameters(task, variant, units) for variant in plan.variants)
        for choose, units in zip((min, max), space.units, strict=True)
    )
    print(
        f"plan: {len(plan.variants) * plan.trials} trials, {plan.trials} of each of "
        f"{', '.join(plan.variants)}; at most {plan.protocol.max_epochs} epochs, patience "
        f"{plan.protocol.patience}; seed {plan.seed}"
    )
    print(
        f"space: units {space.units[0]}-{space.units[1]} ({low:,}-{high:,} parameters), learning "
        f"rate {space.learning_rate[0]:g}-{space.learning_rate[1]:g}, 1 - momentum "
        f"{space.one_minus_momentum[0]:g}-{space.one_minus_momentum[1]:g}, noise "
        f"{space.noise_std[0]:g}-{space.noise_std[1]:g}"
    )
    cost = estimate.Cost(task, corpus, plan.protocol, engine)
    seconds = estimate.seconds(plan.all_trials(task), cost, workers)
    print(
        f"estimate: about {duration(seconds)} with the {engine} engine and {workers} "
        f"worker{'s' if workers > 1 else ''}, less if trials stop early"
    )
    print(f"study directory: {directory}")


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs the command."""
    from tuner.parallel import strategies
    from tuner.parallel.pool import fitting
    from tuner.tasks.task import find_task, load_corpus

    strategy = strategies.choose(_STRATEGY.value)
    asked = _workers(strategy)
    task = find_task(_TASK.value)
    corpus = load_corpus(task, _DATA.value)
    print(f"data: {corpus.dataset}")
    command_line.start_tensorflow()

    plan = _plan(task)
    directory = _study_directory(task)
    engine = _engine(strategy)
    workers = asked or fitting(engine)
    _print_plan(plan, task, corpus, engine, workers, directory)
    if _DRY_RUN.value:
        return 0

    pool = _pool(engine, workers, strategy, task, corpus, plan)
    return _lead(pool, directory, plan, task, corpus) if pool else 0


def _lead(pool: Pool, directory: Path, plan: Plan, task: Task, corpus: Corpus) -> int:
    """Runs the study to its report and its exported model."""
    from tuner.study.progress import Progress
    from tuner.study.study import Study
    from tuner.training.estimate import Cost

    cost = Cost(task, corpus, plan.protocol, pool.engine)
    command = shlex.join(["python", "-m", "tuner.run", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Progress(plan.protocol, task.metric, cost) as progress:
            Study(directory, plan, task, corpus, command).run(pool, progress)
    except KeyboardInterrupt:
        print(f"\nstopped; nothing finished is lost. To go on: {command}", file=sys.stderr)
        return 130

    from serving import sources, versions
    from tuner.analysis.report import report
    from tuner.analysis.trials import records
    from zoo.registry import list_variants

    page = report.write([records.load(directory, list_variants())], directory / "report")
    print(f"report: {page}")
    base = Path(_MODEL_BASE_PATH.value or directory / "export" / task.name)
    print(f"model for TF Serving: {versions.publish(sources.find_best(directory), base)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
