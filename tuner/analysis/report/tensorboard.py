"""The trials of studies for TensorBoard: its HParams dashboard, and learning curves as scalars.

Nothing of TensorFlow is imported: an event file is a sequence of protocol buffers, which
TensorBoard's own package brings.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from common import files
from tuner.analysis.trials.records import Records
from tuner.training.protocol import Failure, TrialRecord

_FILE_NAME = "events.out.tfevents.0.trials"
"""Always the same: TensorBoard reads all event files of a folder as one run."""

_METRICS = {
    "validation": api_pb2.DATASET_VALIDATION,
    "test": api_pb2.DATASET_UNKNOWN,
    "seconds": api_pb2.DATASET_TRAINING,
    "parameters": api_pb2.DATASET_UNKNOWN,
}
"""Columns of the HParams dashboard, of which data each is measured on."""


def write(studies: Sequence[Records], logdir: Path) -> None:
    """Writes all ended trials as TensorBoard's HParams with their scalars.

    Each trial is a run, `V/013`, of several studies `music/V/013`. It has the hyperparameters, as
    metrics `validation`, `test`, `seconds` and `parameters`, and by epoch `epoch_validation` and
    `epoch_loss` (the names that Keras' TensorBoard callback gives them). Ledgers know how long a
    trial took, not when: its epochs lie evenly over its seconds from the beginning of 1970, so that
    TensorBoard's "relative" axis is training time.

    Writing a grown study again adds its new trials and leaves no run twice; what is not of these
    studies goes.

    Args:
        studies: with different names.
        logdir: folder for `tensorboard --logdir`; made if it does not exist.

    Raises:
        OSError: if it cannot be written; each run is then whole or absent.
    """
    wanted = set()
    for name, content in _runs(studies):
        path = logdir / name / _FILE_NAME
        wanted.add(path)
        # An ended trial does not change, and to sync a file takes longer than to read it.
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
        for variant in study.entries:
            ended: list[TrialRecord | Failure] = [*study.entries[variant], *study.failures[variant]]
            for record in ended:
                name = f"{variant}/{record.trial.index:03d}"
                hyperparameters: dict[str, str | float] = {
                    "variant": variant,
                    **record.trial.hyperparameters,
                }
                if len(studies) > 1:
                    name = f"{study.name}/{name}"
                    hyperparameters["study"] = study.name
                yield name, _event_file(_events(record, hyperparameters))


def _event_file(events: Iterable[event_pb2.Event]) -> bytes:
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in (event_pb2.Event(file_version="brain.Event:2"), *events):
        writer.write(event.SerializeToString())
    return file.getvalue()


def _event(*values: summary_pb2.Summary.Value, step: int = 0, seconds: float = 0.0) -> Any:
    return event_pb2.Event(wall_time=seconds, step=step, summary=summary_pb2.Summary(value=values))


def _scalars(values: Mapping[str, float]) -> Iterator[Any]:
    for tag, value in values.items():
        yield summary_pb2.Summary.Value(tag=tag, simple_value=value)


def _hparams(tag: str, **content: Any) -> Any:
    """Wraps what the HParams dashboard reads: metadata of an empty tensor."""
    data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    plugin_data = summary_pb2.SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME,
        # The order of a map is another one in every process otherwise.
        content=data.SerializeToString(deterministic=True),
    )
    return summary_pb2.Summary.Value(
        tag=tag,
        metadata=summary_pb2.SummaryMetadata(plugin_data=plugin_data),
        tensor=metadata.NULL_TENSOR,
    )


def _experiment(studies: Sequence[Records]) -> Any:
    """Describes what was varied and measured in all studies together."""
    metrics = {study.metric for study in studies}
    unit = ""
    if len(metrics) == 1:
        (metric,) = metrics
        unit = f" {metric.name} ({metric.unit})"
    return _hparams(
        metadata.EXPERIMENT_TAG,
        experiment=api_pb2.Experiment(
            hparam_infos=[*_texts(studies), *_numbers(studies)],
            metric_infos=[
                api_pb2.MetricInfo(
                    name=api_pb2.MetricName(tag=name),
                    display_name=name + unit if name in ("validation", "test") else name,
                    dataset_type=data,
                )
                for name, data in _METRICS.items()
            ],
        ),
    )


def _texts(studies: Sequence[Records]) -> Iterator[Any]:
    names = {"study": [study.name for study in studies]} if len(studies) > 1 else {}
    names["variant"] = list(dict.fromkeys(code for study in studies for code in study.entries))
    for name, values in names.items():
        info = api_pb2.HParamInfo(name=name, type=api_pb2.DATA_TYPE_STRING)
        info.domain_discrete.extend(values)
        yield info


def _numbers(studies: Sequence[Records]) -> Iterator[Any]:
    for name in ("units", "learning_rate", "momentum", "noise_std"):
        ends = [end for study in studies for end in _range(study, name)]
        yield api_pb2.HParamInfo(
            name=name,
            type=api_pb2.DATA_TYPE_FLOAT64,
            domain_interval=api_pb2.Interval(
                min_value=min(ends, default=0.0), max_value=max(ends, default=0.0)
            ),
        )


def _range(study: Records, name: str) -> Sequence[float]:
    """Lowest and highest value of a hyperparameter."""
    space = study.facts["space"]
    if name == "momentum":
        return [1 - rest for rest in space["one_minus_momentum"]]
    ends: Sequence[float] = space[name]
    return ends


def _events(
    record: TrialRecord | Failure, hyperparameters: Mapping[str, str | float]
) -> Iterator[Any]:
    """Yields what there is to say about an ended trial."""
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in hyperparameters.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    yield _event(_hparams(metadata.SESSION_START_INFO_TAG, session_start_info=start))
    status, seconds = api_pb2.STATUS_FAILURE, 0.0
    if isinstance(record, TrialRecord):
        result = record.result
        status, seconds = api_pb2.STATUS_SUCCESS, result.seconds
        epoch_seconds = seconds / len(result.curve)
        for place, point in enumerate(result.curve, start=1):
            values = {"epoch_validation": point.validation}
            if point.loss is not None:
                values["epoch_loss"] = point.loss
            yield _event(*_scalars(values), step=point.epoch, seconds=place * epoch_seconds)
        metrics = {
            "validation": result.validation.mean,
            "test": result.test.mean,
            "seconds": result.seconds,
            "parameters": result.parameters,
        }
        yield _event(*_scalars(metrics), step=result.best_epoch, seconds=seconds)
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=seconds)
    yield _event(_hparams(metadata.SESSION_END_INFO_TAG, session_end_info=end), seconds=seconds)
