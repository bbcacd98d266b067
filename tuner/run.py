"""Runs a study: which LSTM variant and which hyperparameters suit a task?

    python -m tuner.run --task=music                 # the paper's study
    python -m tuner.run --task=music --preset=quick  # the same path in minutes

The same command goes on with an interrupted study. At the end the report is in the study directory,
and the best model is exported for TF Serving.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from common import command_line, interrupts
from common.errors import InputError
from tuner.parallel import flags as resources
from tuner.search import samplers
from tuner.search.samplers import SAMPLERS
from tuner.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from tuner.parallel.pool import Pool
    from tuner.study.adoption import Source
    from tuner.study.plan import Plan
    from tuner.study.presets import Preset
    from tuner.study.progress import Progress
    from tuner.tasks.task import Corpus, Task
    from tuner.training.protocol import Protocol

_TASK = flags.DEFINE_list(
    "task",
    ["music"],
    "What to learn: music, speech, handwriting, arrays (of your own, in the .npz file that --data "
    "names), or package.module:TaskClass; several, separated by commas, are studied at the same "
    "time, the longest trials first.",
)
_PRESET = flags.DEFINE_enum("preset", "paper", ["paper", "quick"], "Size of the study.")
_VARIANTS = flags.DEFINE_list(
    "variants",
    ["all"],
    "Codes of the variants, or all; of cells of your own, package.module:CellClass, or the name of "
    "a list of them.",
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
_SAMPLER = flags.DEFINE_enum(
    "sampler",
    "random",
    list(SAMPLERS),
    "What proposes the trials; all but random, qmc and grid look at results and choose variants, "
    f"too. {'; '.join(f'{name}: {row.meaning}' for name, row in SAMPLERS.items())}.",
)
_LAG = flags.DEFINE_integer(
    "lag",
    None,
    "A sampler that looks at results knows those of the trials that were proposed at least so many "
    "before; so many can be trained at a time [8].",
    lower_bound=1,
)
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
    # The trial table stores it in 64 bits.
    upper_bound=2**64 - 1,
)
_STUDY_DIR = flags.DEFINE_string(
    "study_dir",
    None,
    "Directory of the study [studies/TASK; studies/TASK-quick]; of several tasks, the folder of "
    "their studies and of the report.",
)
_DATA = flags.DEFINE_string(
    "data", "auto", "The task's data: auto, or a path; of several tasks, TASK=PATH,TASK=PATH."
)
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
_LIVE = flags.DEFINE_bool(
    "live",
    False,
    "Serve a page to browsers on this machine that changes as trials end; prints its address.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print the plan and stop.")


def _variants() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the variants' unique codes in order, and the import paths of those not in the zoo."""
    from zoo import registry
    from zoo.variants import VARIANTS

    if _VARIANTS.value == ["all"]:
        return tuple(VARIANTS), ()
    if not _VARIANTS.value:
        raise InputError("--variants: expected codes such as V,NFG or all. Received: nothing")
    if any(":" in name for name in _VARIANTS.value):
        command_line.start_tensorflow()
    try:
        codes = tuple(registry.find_variants(_VARIANTS.value))
    except ValueError as error:
        raise InputError(f"--variants: {error}") from error
    return codes, tuple(registry.cell_path(code) for code in codes if code not in VARIANTS)


def _protocol(preset: Preset) -> Protocol:
    from tuner.training.protocol import Protocol

    return Protocol(
        max_epochs=_MAX_EPOCHS.value or preset.max_epochs,
        patience=_PATIENCE.value or preset.patience,
        order_seed=_SEED.value,
        optimizer=_OPTIMIZER.value,
    )


def _load(task: Task, data: str, directory: Path) -> Corpus:
    """Loads the data; with `auto`, an existing study keeps the data that it was begun with."""
    from serving.publish.sources import STUDY
    from tuner.study import facts
    from tuner.tasks.task import DatasetInfo, load_begun, load_corpus

    if data == "auto" and task.choices and (directory / STUDY).exists():
        begun = DatasetInfo(**facts.load(directory / STUDY)["data"])
        return load_begun(task, begun)
    return load_corpus(task, data)


def _sources() -> list[Source]:
    """Reads the finished trials to adopt."""
    from tuner.analysis.trials import sources
    from tuner.study.adoption import Source

    found = []
    for path in map(Path, _ADOPT.value):
        study = sources.load_one(path)
        found.append(Source(path, study.facts, study.all_entries))
    return found


def _tasks(strategy: str) -> list[Task]:
    from tuner.tasks.task import find_task

    tasks = [find_task(name) for name in _TASK.value]
    names = [task.name for task in tasks]
    if not tasks or len(set(names)) < len(names):
        raise InputError(
            f"--task: expected different tasks. Received: {', '.join(names) or 'nothing'}"
        )
    if len(tasks) > 1 and strategy != "one":
        raise InputError(
            f"--task: expected one task with --strategy={strategy}. Received: {', '.join(names)}"
        )
    return tasks


def _data(tasks: Sequence[Task]) -> dict[str, str]:
    """Returns the data of each task; for several tasks, `--data` lists them as NAME=PATH."""
    if len(tasks) == 1:
        return {tasks[0].name: _DATA.value}
    found = {task.name: "auto" for task in tasks}
    if _DATA.value == "auto":
        return found
    for item in _DATA.value.split(","):
        name, equals, path = item.partition("=")
        if name not in found or not equals:
            raise InputError(
                f"--data: expected auto or {','.join(f'{task}=PATH' for task in found)}. "
                f"Received: {item!r}"
            )
        found[name] = path
    return found


def _directory(task: Task, *, among: int) -> Path:
    """Returns the directory of a task's study; with several tasks, a subfolder of --study_dir."""
    suffix = "" if _PRESET.value == "paper" else f"-{_PRESET.value}"
    if _STUDY_DIR.value is None:
        return Path("studies") / f"{task.name}{suffix}"
    return Path(_STUDY_DIR.value) / task.name if among > 1 else Path(_STUDY_DIR.value)


def _plans(tasks: Sequence[Task], engine: str) -> list[Plan]:
    """Loads the data of all tasks and plans their studies."""
    from tuner.search.ranges import parse_flag
    from tuner.study.plan import Plan
    from tuner.study.presets import LAG, StudyConfig, find_preset
    from tuner.training.protocol import Problem

    codes, cells = _variants()
    data = _data(tasks)
    plans: list[Plan] = []
    for task in tasks:
        preset = find_preset(_PRESET.value, task)
        space = parse_flag(_SPACE.value, preset.space)
        corpus = _load(task, data[task.name], _directory(task, among=len(tasks)))
        print(f"data: {corpus.dataset}")
        config = StudyConfig(
            Problem(task, corpus, _protocol(preset), cells),
            codes,
            _TRIALS.value or preset.trials,
            space,
            _SEED.value,
            _SAMPLER.value,
            _LAG.value or LAG,
        )
        # The data may have named the task.
        if any(plan.directory == _directory(task, among=len(tasks)) for plan in plans):
            raise InputError(f"--task: expected different tasks. Received two named {task.name}")
        plans.append(Plan.make(config, _directory(task, among=len(tasks)), engine))
        for line in plans[-1].slower() if engine == "auto" else ():
            print(line)
    return plans


def _print_plans(plans: Sequence[Plan], workers: int) -> None:
    from tuner.study.plan import estimate, estimate_on_gpu

    for plan in plans:
        print(*plan.describe(workers), sep="\n")
        if len(plans) > 1:
            print(f"estimate: {estimate([plan], workers)}")
        print(f"study directory: {plan.directory}")
    total = f" of all {sum(plan.trials for plan in plans)} trials" if len(plans) > 1 else ""
    print(f"estimate{total}: {estimate(plans, workers)}")
    if _DRY_RUN.value and (line := estimate_on_gpu(plans)):
        print(f"elsewhere: {line}")


def main() -> int:
    """Runs the command."""
    samplers.require(_SAMPLER.value)
    if _ADOPT.value and flags.FLAGS.strategy == "multiworker":
        raise InputError(
            "--adopt: expected it without --strategy=multiworker; adopt with --strategy=one first"
        )
    strategy = resources.strategy()
    asked, engine = resources.workers(strategy), resources.engine(strategy)
    plans = _plans(_tasks(strategy), engine)
    used = [each for plan in plans for each in plan.engines.values()]
    cluster, workers = resources.connect(asked, used)
    _print_plans(plans, workers)
    adopt = _sources()
    if _DRY_RUN.value:
        return 0

    pool = cluster or resources.make_pool(workers, strategy, plans[0].config.problem)
    return _lead(pool, plans, engine, adopt) if pool else 0


def _lead(pool: Pool, plans: Sequence[Plan], engine: str, adopt: Sequence[Source]) -> int:
    """Runs the studies, writes their report and exports their best models, until interrupted."""
    command = shlex.join(["python", "-m", "tuner.run", *sys.argv[1:]])
    try:
        with interrupts.raised():
            _run(pool, plans, engine, adopt, command)
    except KeyboardInterrupt:
        again = command_line.spelled(command)
        print(f"\nstopped; nothing finished is lost. To go on: {again}", file=sys.stderr)
        return 130
    return 0


def _run(
    pool: Pool, plans: Sequence[Plan], engine: str, adopt: Sequence[Source], command: str
) -> None:
    command_line.start_tensorflow()
    from tuner.study import progress, together
    from tuner.study.study import Study

    console = progress.console()
    followed = [
        progress.Progress(
            plan.config,
            plan.seconds,
            console,
            plan.config.problem.task.name if len(plans) > 1 else "",
        )
        for plan in plans
    ]
    studies = [Study(plan.directory, plan.config, command) for plan in plans]
    folder = plans[0].directory if len(plans) == 1 else Path(_STUDY_DIR.value or "studies")
    with _watched(plans, followed, folder), progress.live(followed):
        together.run(
            list(zip(studies, followed, strict=True)),
            pool,
            engine,
            retry_failed=_RETRY_FAILED.value,
            adopt=adopt,
        )

    from tuner.analysis.report import report
    from tuner.analysis.trials import records

    found = [records.load(plan.directory) for plan in plans]
    print(f"report: {report.write(found, folder / 'report')}")
    for plan, study in zip(plans, found, strict=True):
        if study.finished:
            _export(plan, several=len(plans) > 1)
    for plan, study in zip(plans, found, strict=True):
        if not study.finished:
            raise InputError(
                f"{plan.directory}: expected a finished trial, whose model to export. Received: "
                f"{len(study.all_failures)} failed trials; the report says why"
            )


@contextlib.contextmanager
def _watched(
    plans: Sequence[Plan], followed: Sequence[Progress], folder: Path
) -> Iterator[None]:
    """Serves the live page while the studies run, if `--live` is set."""
    if not _LIVE.value:
        yield
        return
    from tuner.analysis.live.server import LiveServer
    from tuner.analysis.report import report
    from tuner.analysis.trials import records

    def write() -> Path:
        return report.write([records.load(one) for one in directories], folder / "report")

    def running() -> list[str]:
        return [line for progress in followed for line in progress.running()]

    directories = [plan.directory for plan in plans]
    with LiveServer(directories, write, folder / "report", running=running) as server:
        print(f"live: {server.url}", flush=True)
        server.start()
        try:
            yield
        finally:
            server.shutdown()


def _export(plan: Plan, *, several: bool) -> None:
    """Exports the best model of a study."""
    from serving.publish import sources, versions
    from zoo.registry import switches

    directory, task = plan.directory, plan.config.problem.task.name
    best = sources.find_best(directory)
    if switches(best.name) is None:
        export = command_line.spelled("python -m serving.export")
        print(
            f"model for TF Serving: none, since only cells of the zoo are exported; the best is "
            f"{best}. Of another: {export} --study_dir={directory} --variant=CODE"
        )
        return
    base = directory / "export" / task
    if _MODEL_BASE_PATH.value:
        base = Path(_MODEL_BASE_PATH.value, task if several else "")
    print(f"model for TF Serving: {versions.publish(best, base)}")


if __name__ == "__main__":
    command_line.run(main)
