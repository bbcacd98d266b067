"""Writes the report of one or several studies, also while they are running.

    python -m tuner.report --study_dir=studies/music
    python -m tuner.report --study_dir=studies/music --study_dir=studies/speech --out=both
    python -m tuner.report --study_dir=studies/music --serve

A study directory, or a table of trials (trials.csv, trials.parquet) that a report or
`python -m tuner.export` has written. The report of one directory goes into it: STUDY_DIR/report.
"""

from __future__ import annotations

import gc
from pathlib import Path

from absl import flags

from common import command_line
from common.errors import InputError

_STUDY_DIR = flags.DEFINE_multi_string(
    "study_dir", [], "Directory of a study, or a table of its trials; may be given several times."
)
_OUT = flags.DEFINE_string("out", None, "Folder of the report [STUDY_DIR/report].")
_IMPORTANCE = flags.DEFINE_enum(
    "importance",
    "forest",
    ["forest", "fanova"],
    "What explains the variance: forest is scikit-learn's, fanova the package of that name (extra "
    "fanova; for non-commercial use only).",
)
_TENSORBOARD = flags.DEFINE_bool(
    "tensorboard", False, "Write the trials for TensorBoard too, into OUT/tensorboard."
)
_SERVE = flags.DEFINE_bool(
    "serve",
    False,
    "Serve a page to browsers on this machine that changes as trials end, until Ctrl-C.",
)
_PORT = flags.DEFINE_integer("port", 0, "Of --serve [one that is free].", 0, 65535)


def _folder(paths: list[Path]) -> Path:
    """Decides where the report goes."""
    if _OUT.value is not None:
        return Path(_OUT.value)
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0] / "report"
    raise InputError(
        "--out: expected a folder for a report that is not of one study directory. "
        "Received: nothing"
    )


def _serve(paths: list[Path], folder: Path) -> int:
    """Serves the live page of studies that may still be running."""
    from tuner.analysis.live.server import LiveServer
    from tuner.analysis.report import report
    from tuner.analysis.trials import records, sources

    for path in paths:
        if not path.is_dir():
            raise InputError(f"--serve: expected directories of studies. Received: {path}")
        records.load(path)

    def write() -> Path:
        return report.write(sources.load_all(paths), folder, _IMPORTANCE.value)

    with LiveServer(paths, write, folder, _PORT.value) as server:
        print(f"live: {server.url}", flush=True)
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return 0
    return 0


def main() -> int:
    """Runs the command."""
    paths = [Path(path) for path in _STUDY_DIR.value]
    if not paths:
        raise InputError("--study_dir: expected a study directory. Received: nothing")
    folder = _folder(paths)

    from tuner.analysis.report import report
    from tuner.analysis.trials import sources

    if _SERVE.value:
        return _serve(paths, folder)
    studies = sources.load_all(paths)
    # Keeps the garbage collector from rescanning hundreds of thousands of epochs.
    gc.freeze()
    print(f"report: {report.write(studies, folder, _IMPORTANCE.value)}")
    if _TENSORBOARD.value:
        from tuner.analysis.report import tensorboard

        logdir = folder / "tensorboard"
        tensorboard.write(studies, logdir)
        print(f"TensorBoard: tensorboard --logdir={logdir}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
