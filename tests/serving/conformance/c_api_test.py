"""Every variant through TensorFlow's C API, against Keras: the loader that TF Serving uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest

import zoo
from serving.runtime import saved_model
from tests import commands
from tests.serving import made_up
from tests.serving.conformance import c_api
from tests.serving.conformance.exported import STATES, Exported, after, by_keras

BATCHES, TIMES = (1, 16), (1, 61, 500)
CASES = [(batch, time) for batch in BATCHES for time in TIMES]

# Where a sequence is cut into chunks: one of a frame, and one or more of none.
CUTS = [7, 8, 8, 30, 200]

Answers = Mapping[str, np.ndarray]


def lengths_of(batch: int, time: int) -> np.ndarray:
    """Every second sequence is whole, one is empty, the others are something between."""
    lengths = np.full(batch, time, np.int32)
    lengths[1::2] = np.random.default_rng(time).integers(0, time + 1, len(lengths[1::2]))
    lengths[1:2] = 0
    return lengths


@pytest.fixture(scope="module")
def sequence() -> np.ndarray:
    shape = (max(BATCHES), max(TIMES), made_up.FEATURES)
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.fixture(
    scope="module",
    params=[
        code if code == "FGR" else pytest.param(code, marks=pytest.mark.slow)
        for code in zoo.list_variants()
    ],
)
def code(request: pytest.FixtureRequest) -> str:
    """A variant."""
    return str(request.param)


@pytest.fixture(scope="module")
def answers(
    exported: Exported, code: str, sequence: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """What a process answers for a model, all signatures and shapes."""
    folder = tmp_path_factory.mktemp("c_api")
    inputs = {}
    for batch, time in CASES:
        lengths = lengths_of(batch, time)
        padding = np.arange(time)[None] >= lengths[:, None]
        inputs[f"{batch}x{time}/lengths"] = lengths
        inputs[f"{batch}x{time}/sequence"] = sequence[:batch, :time]
        inputs[f"{batch}x{time}/padded"] = np.where(
            padding[..., None], np.float32(np.nan), sequence[:batch, :time]
        )
    np.savez(folder / "inputs.npz", **inputs)
    version = exported.version(code)
    signatures = saved_model.read_signatures(version)
    states = {n: signatures["step"].inputs[n] for n in STATES if n in signatures["step"].inputs}
    model = {
        "folder": str(version),
        "states": {name: spec.shape[1] for name, spec in states.items()},
    }
    job = {
        "models": {code: model},
        "cases": [f"{batch}x{time}" for batch, time in CASES],
        "cuts": CUTS,
        "inputs": str(folder / "inputs.npz"),
        "answers": str(folder / "answers.npz"),
    }
    (folder / "job.json").write_text(json.dumps(job))
    # Without oneDNN, as on most machines that are not this one, a product of a single row takes
    # another path than one of many.
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    command = [sys.executable, "-m", c_api.__name__, str(folder / "job.json")]
    subprocess.run(command, check=True, cwd=commands.ROOT, env=environment)
    with np.load(folder / "answers.npz") as loaded:
        return {name: loaded[name] for name in loaded.files}


def _answer(answers: Answers, code: str, case: str, way: str) -> dict[str, np.ndarray]:
    prefix = f"{code}/{case}/{way}/"
    return {
        name.removeprefix(prefix): value
        for name, value in answers.items()
        if name.startswith(prefix)
    }


def _states(code: str) -> tuple[str, ...]:
    return STATES if zoo.get_variant(code).gate_recurrence else STATES[:2]


@pytest.fixture(scope="module")
def by_frame(exported: Exported, code: str, sequence: np.ndarray) -> dict[str, np.ndarray]:
    """What Keras makes of the longest sequences: of shorter ones it is the same."""
    return by_keras(exported.model(code), sequence)


def assert_close(answer: np.ndarray, by_frame: Answers, expected: np.ndarray) -> None:
    """To 1e-6 of the largest number that the network works with.

    That is about 1, but for NFG: cells that never forget grow beyond 100 in 500 frames.
    """
    scale = max(1.0, np.abs(by_frame["c"]).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-6 * scale)


def test_whole_sequences_are_answered_as_keras_does(
    answers: Answers, code: str, by_frame: dict[str, np.ndarray]
) -> None:
    names = _states(code)
    for batch, time in CASES:
        lengths = lengths_of(batch, time)
        counted = np.arange(time)[None] < lengths[:, None]
        for way, prefix in (("whole", ""), ("chunk", "next_")):
            answer = _answer(answers, code, f"{batch}x{time}", way)
            assert set(answer) == {"logits", *(prefix + name for name in names)}
            logits = by_frame["logits"][:batch, :time]
            assert_close(answer["logits"][counted], by_frame, logits[counted])
            for name in names:
                last = after(by_frame[name][:batch], lengths)
                assert_close(answer[prefix + name], by_frame, last)


def test_steps_and_chunks_are_the_whole_sequence_bit_for_bit(
    answers: Answers, code: str, by_frame: dict[str, np.ndarray]
) -> None:
    for batch, time in CASES:
        case, lengths = f"{batch}x{time}", lengths_of(batch, time)
        whole = _answer(answers, code, case, "whole")
        counted, full = np.arange(time)[None] < lengths[:, None], lengths == time
        assert counted.any() and full.any()
        for way in ("steps", "chunks"):
            answer = _answer(answers, code, case, way)
            logits = by_frame["logits"][:batch, :time]
            assert_close(answer["logits"], by_frame, logits)
            np.testing.assert_array_equal(answer["logits"][counted], whole["logits"][counted])
            for name in _states(code):
                np.testing.assert_array_equal(answer[name][full], whole[name][full])
