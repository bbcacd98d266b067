"""What lies beside the graph of a version: model card, warm-up requests, batching parameters."""

from __future__ import annotations

import importlib.metadata
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.clients.local import LocalModel
from serving.publish import sources
from serving.runtime import saved_model
from tests.serving import made_up
from tests.serving.conformance.exported import Exported
from tests.zoo import harness


@pytest.mark.parametrize("code", ["NIG", "FGR"])
def test_warm_up_requests_are_answered(exported: Exported, code: str) -> None:
    version = exported.version(code)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    seen = {}
    with LocalModel(version) as model:
        for record in records:
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            seen[request.model_spec.signature_name] = inputs
            answer = model.predict(inputs, request.model_spec.signature_name)
            assert all(len(value) == 1 for value in answer.values())
    assert list(seen) == ["serving_default", "chunk", "step"]
    assert seen["chunk"]["sequence"].shape == (1, 100, made_up.FEATURES)
    assert seen["chunk"]["lengths"] == [100]
    assert seen["step"]["frame"].shape == (1, made_up.FEATURES)


def test_batches_may_hold_sequences_of_different_lengths(exported: Exported) -> None:
    text = (exported.version("V") / "batching_params.pbtxt").read_text()
    sizes = [int(line.split(":")[1]) for line in text.splitlines() if "allowed" in line]
    assert sizes == sorted(sizes) and f"max_batch_size {{ value: {sizes[-1]} }}" in text
    assert "pad_variable_length_inputs: true" in text


def test_the_card_says_what_the_model_is(exported: Exported) -> None:
    version = exported.version("FGR")
    extra = version / "assets.extra"
    card = json.loads((extra / "model_card.json").read_text())
    study = json.loads((exported.study / "study.json").read_text())
    assert card["variant"] == "FGR" and card["validation"] == 9.0
    assert (
        card["units"] == made_up.UNITS
        and card["parameters"] == exported.model("FGR").count_params()
    )
    assert card["origin"] == "study" and card["study_sha256"] == sources.study_sha256(study)
    assert card["versions"]["tensorflow"] == importlib.metadata.version("tensorflow")
    assert set(card["signatures"]) == {"serving_default", "step", "chunk"}
    step = card["signatures"]["step"]
    assert step["inputs"]["gates"] == {"dtype": "float32", "shape": [None, 3 * made_up.UNITS]}
    assert step["outputs"]["next_gates"]["shape"] == [None, 3 * made_up.UNITS]
    text = (extra / "model_card.md").read_text()
    assert "# made_up, FGR" in text and card["study_sha256"] in text
    assert f"`frame` float32 [?, {made_up.FEATURES}]" in text and "9.0000" in text


@pytest.mark.parametrize(
    ("fact", "same"),
    [("machines", True), ("commands", True), ("seed", False), ("protocol", False)],
)
def test_the_hash_of_a_study_is_of_what_it_is(fact: str, same: bool) -> None:
    changed = {**made_up.STUDY, fact: "another"}
    equal = sources.study_sha256(changed) == sources.study_sha256(made_up.STUDY)
    assert equal == same


def test_the_hash_of_a_study_is_not_of_where_its_data_lay() -> None:
    data = made_up.STUDY["data"]
    moved = {**made_up.STUDY, "data": {**data, "detail": "from elsewhere"}}
    other = {**made_up.STUDY, "data": {**data, "sha256": "1" * 64}}
    assert sources.study_sha256(moved) == sources.study_sha256(made_up.STUDY)
    assert sources.study_sha256(other) != sources.study_sha256(made_up.STUDY)


@harness.some_variants
def test_every_variant_takes_and_returns_its_states(exported: Exported, code: str) -> None:
    signatures = saved_model.read_signatures(exported.version(code))
    states = {"h", "c"} | ({"gates"} if code == "FGR" else set())
    assert set(signatures["step"].inputs) == {"frame", *states}
    assert set(signatures["chunk"].inputs) == {"sequence", "lengths", *states}
    assert set(signatures["serving_default"].outputs) == {"logits", *states}
    for name in ("step", "chunk"):
        outputs = {"logits", *(f"next_{state}" for state in states)}
        assert set(signatures[name].outputs) == outputs
    for signature in signatures.values():
        assert not set(signature.inputs) & set(signature.outputs)
        for spec in [*signature.inputs.values(), *signature.outputs.values()]:
            assert spec.shape is not None and spec.shape[0] is None
            assert np.dtype(spec.dtype) in (np.float32, np.int32)
