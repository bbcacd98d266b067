"""Runs a study: which LSTM variant and which hyperparameters suit a task?

    python -m tuner.run --task=music                 # the paper's study
    python -m tuner.run --task=music --preset=quick  # the same path in minutes

The same command goes on with an interrupted study. At the end the report is in the study directory,
and the best model is exported for TF Serving.
"""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from common import command_line
from common.errors import InputError
from tuner.search.samplers import SAMPLERS
from tuner.training.engines import ENGINES
from tuner.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from tuner.parallel.pool import Pool
    from tuner.search.space import Space
    from tuner.study.adoption import Source
    from tuner.study.presets import Preset, StudyConfig
    from tuner.tasks.task import Corpus, Task
    from tuner.training.engines import Engine
    from tuner.training.protocol import Problem, Protocol, Trial

_TASK = flags.DEFINE_string(
    "task",
    "music",
    "What to learn: music, speech, handwriting, arrays (of your own, in the .npz file that --data "
    "names), or package.module:TaskClass.",
)
_PRESET = flags.DEFINE_enum("preset", "paper", ["paper", "quick"], "Size of the study.")
_VARIANTS = flags.DEFINE_list(
    "variants",
    ["all"],
    "Codes of the variants, or all; of cells of your own, package.module:CellClass.",
)
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
_SPACE = flags.DEFINE_list(
    "space",
    [],
    "Other ranges of hyperparameters, and further ones: learning_rate=1e-6:1,forget_bias=0:2.",
)
_SAMPLER = flags.DEFINE_enum("sampler", "random", list(SAMPLERS), "What proposes the trials.")
_OPTIMIZER = flags.DEFINE_enum(
    "optimizer",
    next(iter(OPTIMIZERS)),
    list(OPTIMIZERS),
    "; ".join(f"{each.name}: {each.meaning}" for each in OPTIMIZERS.values()) + ".",
)
_SEED = flags.DEFINE_integer(
    "seed",
    1,
    "Seed of designs, weights, order and noise.",
    lower_bound=0,
    # The table of trials has 64 bits for it.
    upper_bound=2**64 - 1,
)
_STUDY_DIR = flags.DEFINE_string(
    "study_dir", None, "Directory of the study [studies/TASK; studies/TASK-quick]."
)
_DATA = flags.DEFINE_string("data", "auto", "The task's data: auto, or a path.")
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
_MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path", None, "Where to export the best model [STUDY_DIR/export]."
)
_RETRY_FAILED = flags.DEFINE_bool(
    "retry_failed", False, "Train failed trials again, for example on a machine with more memory."
)
_ADOPT = flags.DEFINE_list(
    "adopt",
    [],
    "Tables of trials (.csv, .parquet) or study directories: their finished trials are not trained "
    "again, except for the best of each variant, which must come out the same.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the plan and stop.")


def _variants() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Codes of the variants, each once in their order; and the paths of those not of the zoo."""
    from zoo import registry
    from zoo.variants import VARIANTS

    if _VARIANTS.value == ["all"]:
        return tuple(VARIANTS), ()
    if not _VARIANTS.value:
        raise InputError("--variants: expected codes such as V,NFG or all. Received: nothing")
    if any(":" in name for name in _VARIANTS.value):
        command_line.start_tensorflow()
    try:
        found = {registry.find_variant(name.strip()) for name in _VARIANTS.value}
    except ValueError as error:
        raise InputError(f"--variants: {error}") from error
    codes = tuple(code for code in registry.list_variants() if code in found)
    return codes, tuple(registry.cell_path(code) for code in codes if code not in VARIANTS)


def _protocol(preset: Preset) -> Protocol:
    from tuner.training.protocol import Protocol

    return Protocol(
        max_epochs=_MAX_EPOCHS.value or preset.max_epochs,
        patience=_PATIENCE.value or preset.patience,
        order_seed=_SEED.value,
        optimizer=_OPTIMIZER.value,
    )


def _study_directory(task: Task) -> Path:
    suffix = "" if _PRESET.value == "paper" else f"-{_PRESET.value}"
    return Path(_STUDY_DIR.value or Path("studies") / f"{task.name}{suffix}")


def _load(task: Task, directory: Path) -> Corpus:
    """Loads the data; with `auto` a study goes on with those that it was begun with."""
    from serving.sources import STUDY
    from tuner.study import facts
    from tuner.tasks.task import DatasetInfo, load_begun, load_corpus

    if _DATA.value == "auto" and task.choices and (directory / STUDY).exists():
        begun = DatasetInfo(**facts.load(directory / STUDY)["data"])
        return load_begun(task, begun)
    return load_corpus(task, _DATA.value)


def _engine(strategy: str) -> str:
    """The engine that is asked for; only `keras` trains under a strategy."""
    if strategy == "one":
        return str(_ENGINE.value)
    if _ENGINE.value not in ("auto", "keras"):
        raise InputError(
            f"--engine={_ENGINE.value}: --strategy={strategy} needs --engine=keras"
        )
    return "keras"


def _workers(strategy: str) -> int | None:
    """Reads how many workers are asked for; None if the engine is to decide."""
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


def _pool(workers: int, strategy: str, problem: Problem) -> Pool | None:
    """Makes what shall train; None if this process has trained for another one's study."""
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


def _cluster(asked: int | None, chosen: dict[str, Engine]) -> tuple[Pool | None, int]:
    """Connects to the cluster that is asked for; says how many workers there will be."""
    if _RAY.value is None:
        return None, asked or max(engine.workers() for engine in chosen.values())
    from tuner.parallel.ray_pool import RayPool

    pool = RayPool.connect(_RAY.value, chosen.values(), asked)
    plan = pool.plan()
    print(plan)
    return pool, plan.workers


def _draw(config: StudyConfig) -> list[Trial]:
    """Draws as many trials as the study will have, at random, to estimate its time."""
    from tuner.search.samplers import SearchProblem
    from tuner.search.samplers.random import RandomSampler

    task = config.problem.task.name
    search = SearchProblem(config.space, config.seed, task, config.variants, config.trials)
    sampler = RandomSampler(search)
    return [
        sampler.propose(variant, index, ())
        for variant in config.variants
        for index in range(config.trials)
    ]


def _sources() -> list[Source]:
    """Reads the finished trials that are to be adopted."""
    from tuner.analysis.trials import sources
    from tuner.study.adoption import Source

    found = []
    for path in map(Path, _ADOPT.value):
        study = sources.load_one(path)
        found.append(Source(path, study.facts, study.all_entries))
    return found


def _print_plan(
    config: StudyConfig, chosen: dict[str, Engine], workers: int, directory: Path
) -> None:
    from common.text import duration
    from tuner.training import engines

    space, protocol = config.space, config.problem.protocol
    counts = [
        engines.count_params(config.problem, variant, int(units))
        for variant in config.variants
        for units in (space["units"].low, space["units"].high)
    ]
    print(
        f"plan: {len(config.variants) * config.trials} trials, {config.trials} of each of "
        f"{', '.join(config.variants)}; at most {protocol.max_epochs} epochs, patience "
        f"{protocol.patience}; optimizer {protocol.optimizer}; {config.sampler} search, seed "
        f"{config.seed}"
    )
    print(f"space: {space} ({min(counts):,} to {max(counts):,} parameters)")
    costs = [chosen[trial.variant].seconds(config.problem, trial) for trial in _draw(config)]
    start = max(engine.speed.start for engine in chosen.values())
    seconds = start + max(sum(costs) / workers, max(costs))
    names = list(dict.fromkeys(engine.name for engine in chosen.values()))
    print(
        f"estimate: about {duration(seconds)} with the {' and '.join(names)} "
        f"engine{'s' if len(names) > 1 else ''} and {workers} worker{'s' if workers > 1 else ''}, "
        "less if trials stop early"
    )
    print(f"study directory: {directory}")


def _choose(config: StudyConfig, name: str) -> dict[str, Engine]:
    """Chooses the engine of each variant, and says why where it is not the fastest."""
    from tuner.training import engines

    chosen = {}
    for trial in _draw(dataclasses.replace(config, trials=1)):
        chosen[trial.variant] = engine = engines.choose(name, config.problem, trial)
        fastest = engines.candidates()[0]
        if name == "auto" and engine is not fastest:
            why = fastest.obstacle(config.problem, trial)
            print(f"engine of {trial.variant}: {engine.name}, not {fastest.name}: {why}")
    return chosen


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs the command."""
    from tuner.parallel import strategies

    strategy = strategies.choose(_STRATEGY.value)
    asked, name = _workers(strategy), _engine(strategy)
    codes, cells = _variants()

    from tuner.search.ranges import parse_flag
    from tuner.study.presets import StudyConfig, find_preset
    from tuner.tasks.task import find_task
    from tuner.training.protocol import Problem

    task = find_task(_TASK.value)
    preset = find_preset(_PRESET.value, task)
    space: Space = parse_flag(_SPACE.value, preset.space)
    corpus = _load(task, _study_directory(task))
    # The data may have named the task.
    directory = _study_directory(task)
    print(f"data: {corpus.dataset}")
    config = StudyConfig(
        Problem(task, corpus, _protocol(preset), cells),
        codes,
        _TRIALS.value or preset.trials,
        space,
        _SEED.value,
        _SAMPLER.value,
    )
    chosen = _choose(config, name)
    cluster, workers = _cluster(asked, chosen)
    _print_plan(config, chosen, workers, directory)
    adopt = _sources()
    if _DRY_RUN.value:
        return 0

    pool = cluster or _pool(workers, strategy, config.problem)
    return _lead(pool, directory, config, name, chosen, adopt) if pool else 0


def _lead(
    pool: Pool,
    directory: Path,
    config: StudyConfig,
    engine: str,
    chosen: dict[str, Engine],
    adopt: list[Source],
) -> int:
    """Runs the study to its report and its exported model."""
    command_line.start_tensorflow()
    from tuner.study.progress import Progress
    from tuner.study.study import Study

    def seconds(trial: Trial) -> float:
        return chosen[trial.variant].seconds(config.problem, trial)

    command = shlex.join(["python", "-m", "tuner.run", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Progress(config, seconds) as progress:
            Study(directory, config, command).run(
                pool, progress, engine, retry_failed=_RETRY_FAILED.value, adopt=adopt
            )
    except KeyboardInterrupt:
        print(f"\nstopped; nothing finished is lost. To go on: {command}", file=sys.stderr)
        return 130

    from serving import sources, versions
    from tuner.analysis.report import report
    from tuner.analysis.trials import records
    from zoo.registry import switches

    study = records.load(directory)
    print(f"report: {report.write([study], directory / 'report')}")
    if not study.finished:
        raise InputError(
            f"{directory}: expected a finished trial, whose model to export. Received: "
            f"{len(study.all_failures)} failed trials; the report says why"
        )
    best = sources.find_best(directory)
    if switches(best.name) is None:
        print(
            f"model for TF Serving: none, since only cells of the zoo are exported; the best is "
            f"{best}. Of another: python -m serving.export --study_dir={directory} --variant=CODE"
        )
        return 0
    base = Path(_MODEL_BASE_PATH.value or directory / "export" / config.problem.task.name)
    print(f"model for TF Serving: {versions.publish(best, base)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
