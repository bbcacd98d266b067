"""Event files as TensorBoard itself reads them."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

from tests.commands import ROOT
from tests.tuner.analysis import made_up
from tuner.analysis.report import tensorboard
from tuner.analysis.trials.records import Records


class Board:
    """What TensorBoard's servers answer about a logdir."""

    def __init__(self, logdir: pathlib.Path) -> None:
        self._runs = EventMultiplexer().AddRunsFromDirectory(str(logdir))
        self._runs.Reload()
        provider = MultiplexerDataProvider(self._runs, str(logdir))
        self._context = Context(TBContext(logdir=str(logdir), data_provider=provider))

    @property
    def runs(self) -> set[str]:
        return set(self._runs.Runs())

    def scalars(self, run: str, tag: str) -> list[tuple[int, float, float]]:
        return [
            (event.step, event.wall_time, event.tensor_proto.float_val[0])
            for event in self._runs.Tensors(run, tag)
        ]

    def experiment(self) -> api_pb2.Experiment:
        return get_experiment.Handler(
            RequestContext(),
            self._context,
            "",
            api_pb2.GetExperimentRequest(),
        ).run()

    def groups(self) -> dict[str, api_pb2.SessionGroup]:
        names = ["validation", "test", "seconds", "parameters"]
        request = api_pb2.ListSessionGroupsRequest(
            allowed_statuses=list(api_pb2.Status.values()),
            col_params=[api_pb2.ColParams(metric=api_pb2.MetricName(tag=name)) for name in names],
            slice_size=1000,
        )
        answer = list_session_groups.Handler(RequestContext(), self._context, "", request).run()
        return {group.name: group for group in answer.session_groups}


def study(trials: int = 12, ended: float = 1.0) -> Records:
    """One with a failed and some diverged trials."""
    records = made_up.records(trials, ("NOAF", "CIFG"), ended=ended)
    failed = made_up.Failure(records.entries["CIFG"][0].trial, "killed", "native")
    return dataclasses.replace(
        records,
        entries={**records.entries, "CIFG": records.entries["CIFG"][1:]},
        failures={"NOAF": (), "CIFG": (failed,)},
    )


def test_the_hparams_dashboard_has_all_ended_trials(tmp_path: pathlib.Path) -> None:
    records = study(10, ended=0.6)
    tensorboard.write([records], tmp_path / "board")
    groups = Board(tmp_path / "board").groups()
    assert len(groups) == 12
    entry = records.entries["NOAF"][3]
    group = groups["NOAF/003"]
    hparams = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()
    }
    assert hparams == {"variant": "NOAF", **entry.trial.values}
    metrics = {value.name.tag: value.value for value in group.metric_values}
    result = entry.result
    assert metrics == pytest.approx(
        {
            "validation": result.validation.mean,
            "test": result.test.mean,
            "seconds": result.seconds,
            "parameters": result.parameters,
        },
        rel=1e-7,
    )
    (session,) = group.sessions
    assert session.status == api_pb2.STATUS_SUCCESS
    assert session.end_time_secs - session.start_time_secs == result.seconds
    assert groups["CIFG/000"].sessions[0].status == api_pb2.STATUS_FAILURE
    assert not groups["CIFG/000"].metric_values


def test_domains_and_metrics(tmp_path: pathlib.Path) -> None:
    tensorboard.write([study()], tmp_path / "board")
    experiment = Board(tmp_path / "board").experiment()
    infos = {info.name: info for info in experiment.hparam_infos}
    assert set(infos) == {"variant", "units", "learning_rate", "momentum", "noise_std"}
    assert list(infos["variant"].domain_discrete) == ["CIFG", "NOAF"]
    intervals = {
        name: (info.domain_interval.min_value, info.domain_interval.max_value)
        for name, info in infos.items()
        if name != "variant"
    }
    assert intervals == {
        "units": (20, 200),
        "learning_rate": (1e-6, 1e-2),
        "momentum": (0, 0.99),
        "noise_std": (0, 1),
    }
    assert [info.display_name for info in experiment.metric_infos] == [
        "validation NLL (nats per frame)",
        "test NLL (nats per frame)",
        "seconds",
        "parameters",
    ]


def test_curves_are_scalars_by_epoch(tmp_path: pathlib.Path) -> None:
    records = study()
    tensorboard.write([records], tmp_path / "board")
    board = Board(tmp_path / "board")
    entry = records.entries["NOAF"][1]
    result = entry.result
    run = f"NOAF/{entry.trial.index:03d}"
    validation = board.scalars(run, "epoch_validation")
    assert [step for step, _, _ in validation] == [point.epoch for point in result.curve]
    np.testing.assert_allclose(
        [value for _, _, value in validation],
        [point.validation for point in result.curve],
        rtol=1e-7,
    )
    loss = board.scalars(run, "epoch_loss")
    np.testing.assert_allclose(
        [(step, value) for step, _, value in loss],
        [(point.epoch, point.loss) for point in result.curve[1:]],
        rtol=1e-7,
    )
    # Epochs take equal parts of the training time.
    times = np.array([time for _, time, _ in validation])
    assert times[-1] == pytest.approx(result.seconds)
    np.testing.assert_allclose(np.diff(times), result.seconds / len(result.curve))
    (test,) = board.scalars(run, "test")
    assert (test[0], test[2]) == (result.best_epoch, np.float32(result.test.mean))


def test_a_grown_study_adds_its_new_trials(tmp_path: pathlib.Path) -> None:
    board = tmp_path / "board"
    tensorboard.write([study(8, ended=0.5)], board)
    before = {path: path.stat().st_mtime_ns for path in board.rglob("*tfevents*")}
    assert len(before) == 1 + 8
    # What a killed process left.
    (board / "NOAF" / "000" / ".tmp-x-events.out.tfevents.0.trials").write_bytes(b"torn")
    grown = study(8)
    tensorboard.write([grown], board)
    after = {path: path.stat().st_mtime_ns for path in board.rglob("*tfevents*")}
    assert len(after) == 1 + 16
    assert {path: after[path] for path in before} == before
    assert Board(board).runs == {
        ".",
        *(f"{code}/{index:03d}" for code in ("NOAF", "CIFG") for index in range(8)),
    }
    # A failed trial is tried again after its line is removed from the ledger.
    (failed,) = grown.failures["CIFG"]
    again = dataclasses.replace(
        grown,
        failures={"NOAF": (), "CIFG": ()},
        waiting={"NOAF": (), "CIFG": (failed.trial,)},
    )
    tensorboard.write([again], board)
    assert "CIFG/000" not in Board(board).runs


def test_several_studies(tmp_path: pathlib.Path) -> None:
    speech = dataclasses.replace(made_up.records(2, ("V",), task="speech"), name="speech")
    facts = {**speech.facts, "metric": {"name": "error", "unit": "%"}}
    space = {**speech.facts["space"], "units": [10, 60], "forget_bias": [0, 2]}
    speech = dataclasses.replace(speech, facts={**facts, "space": space})
    music = made_up.records(2, ("V", "NP"))
    tensorboard.write([music], tmp_path / "board")
    tensorboard.write([music, speech], tmp_path / "board")
    board = Board(tmp_path / "board")
    assert board.runs == {
        ".",
        *(f"{name}/00{index}" for name in ("music/V", "music/NP", "speech/V") for index in (0, 1)),
    }
    assert board.groups()["speech/V/001"].hparams["study"].string_value == "speech"
    experiment = board.experiment()
    infos = {info.name: info for info in experiment.hparam_infos}
    assert infos["forget_bias"].domain_interval.max_value == 2
    assert list(infos["study"].domain_discrete) == ["music", "speech"]
    assert infos["units"].domain_interval.min_value == 10
    assert infos["units"].domain_interval.max_value == 200
    assert experiment.metric_infos[0].display_name == "validation"


def test_no_study_and_no_tensorflow(tmp_path: pathlib.Path) -> None:
    lines = (
        "import sys; from pathlib import Path; from tests.tuner.analysis import made_up\n"
        "from tuner.analysis.report import tensorboard\n"
        "folder = Path(sys.argv[1])\n"
        "tensorboard.write([], folder / 'empty')\n"
        "tensorboard.write([made_up.records(2, ('V',))], folder / 'one')\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", lines, str(tmp_path)], cwd=ROOT, check=True)
    # Another process would write the same bytes, so it writes nothing.
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*tfevents*")}
    tensorboard.write([made_up.records(2, ("V",))], tmp_path / "one")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*tfevents*")} == written
    assert Board(tmp_path / "one").runs == {".", "V/000", "V/001"}
