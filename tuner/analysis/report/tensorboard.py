"""The trials of studies for TensorBoard: its HParams dashboard, and learning curves as scalars.

TensorFlow is not imported: an event file is a sequence of protocol buffers, which TensorBoard's
own package provides.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.record_writer import RecordWriter

from common import files
from tuner.analysis.trials.records import Records
from tuner.search.space import Hyperparameter
from tuner.training.protocol import Failure, Trial, TrialRecord

_FILE_NAME = "events.out.tfevents.0.trials"
"""Always the same: TensorBoard reads all event files of a folder as one run."""

_METRICS = {
    "validation": hparams.Metric.VALIDATION,
    "test": None,
    "seconds": hparams.Metric.TRAINING,
    "parameters": None,
}
"""Columns of the HParams dashboard, with the data that each is measured on."""


def write(studies: Sequence[Records], logdir: Path) -> None:
    """Writes all ended trials as TensorBoard's HParams with their scalars.

    Each trial is a run, such as `V/013`, or `music/V/013` with several studies. It has the
    hyperparameters, the metrics `validation`, `test`, `seconds` and `parameters`, and by epoch
    `epoch_validation` and `epoch_loss` (the names in Keras' TensorBoard callback). Ledgers record
    how long a trial took, not when: its epochs are spread evenly over its seconds from the start
    of 1970, so that TensorBoard's "relative" axis is training time.

    Writing a study again after it has grown adds its new trials and duplicates no run; what does
    not belong to these studies is removed.

    Args:
        studies: the studies, with different names.
        logdir: folder for `tensorboard --logdir`; created if it does not exist.

    Raises:
        OSError: if the folder cannot be written; each run is then complete or absent.
    """
    wanted = set()
    for name, content in _runs(studies):
        path = logdir / name / _FILE_NAME
        wanted.add(path)
        # An ended trial does not change, and syncing a file takes longer than reading it.
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(path, content)
    for path in logdir.rglob("*.tfevents.*"):
        if path not in wanted:
            path.unlink()


def _runs(studies: Sequence[Records]) -> Iterator[tuple[str, bytes]]:
    """Yields the name of each run and its event file."""
    yield ".", _event_file([_event(_experiment(studies))])
    for study in studies:
        for record in study.trials:
            if isinstance(record, Trial):
                continue
            trial = record.trial
            name = f"{trial.variant}/{trial.index:03d}"
            values: dict[str, str | float] = {"variant": trial.variant, **trial.values}
            if len(studies) > 1:
                name = f"{study.name}/{name}"
                values["study"] = study.name
            start = hparams.hparams_pb(values, trial_id=name, start_time_secs=0.0)
            yield name, _event_file([_event(_repeatable(start)), *_events(record)])


def _event_file(events: Iterable[event_pb2.Event]) -> bytes:
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in (event_pb2.Event(file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString())
    return file.getvalue()


def _event(summary: Any, step: int = 0, seconds: float = 0.0) -> event_pb2.Event:
    return event_pb2.Event(wall_time=seconds, step=step, summary=summary)


def _repeatable(summary: Any) -> Any:
    """Serializes the map in a summary's metadata in an order that is the same in every process."""
    (value,) = summary.value
    plugin = value.metadata.plugin_data
    data = plugin_data_pb2.HParamsPluginData.FromString(plugin.content)
    plugin.content = data.SerializeToString(deterministic=True)
    return summary


def _experiment(studies: Sequence[Records]) -> Any:
    """Describes what was varied and measured in all studies together."""
    metrics = {study.metric for study in studies}
    unit = ""
    if len(metrics) == 1:
        (metric,) = metrics
        unit = f" {metric.name} ({metric.unit})"
    texts = {"study": [study.name for study in studies]} if len(studies) > 1 else {}
    texts["variant"] = list(dict.fromkeys(code for study in studies for code in study.entries))
    rows: dict[str, list[Hyperparameter]] = {}
    for row in (row for study in studies for row in study.space):
        rows.setdefault(row.name, []).append(row)
    ranges = {
        name: hparams.RealInterval(
            float(min(row.low for row in same)), float(max(row.high for row in same))
        )
        for name, same in rows.items()
    }
    discrete = {name: hparams.Discrete(values) for name, values in texts.items() if values}
    return hparams.hparams_config_pb(
        hparams=[hparams.HParam(name, domain) for name, domain in (discrete | ranges).items()],
        metrics=[
            hparams.Metric(
                name,
                display_name=name + unit if name in ("validation", "test") else name,
                dataset_type=data,
            )
            for name, data in _METRICS.items()
        ],
        time_created_secs=0.0,
    )


def _scalars(values: Mapping[str, float]) -> summary_pb2.Summary:
    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, simple_value=one) for tag, one in values.items()]
    )


def _events(record: TrialRecord | Failure) -> Iterator[event_pb2.Event]:
    """Yields the events of an ended trial that follow its hyperparameters."""
    status, seconds = api_pb2.STATUS_FAILURE, 0.0
    if isinstance(record, TrialRecord):
        result = record.result
        status, seconds = api_pb2.STATUS_SUCCESS, result.seconds
        for place, point in enumerate(result.curve, start=1):
            values = {"epoch_validation": point.validation}
            if point.loss is not None:
                values["epoch_loss"] = point.loss
            yield _event(_scalars(values), point.epoch, place * (seconds / len(result.curve)))
        metrics = {
            "validation": result.validation.mean,
            "test": result.test.mean,
            "seconds": result.seconds,
            "parameters": result.parameters,
        }
        yield _event(_scalars(metrics), result.best_epoch, seconds)
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=seconds)
    summary = summary_pb2.Summary()
    # `hparams.summary.session_end_pb` would import TensorFlow.
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(
            plugin_data_pb2.HParamsPluginData(session_end_info=end)
        ),
        tensor=metadata.NULL_TENSOR,
    )
    yield _event(summary, seconds=seconds)
