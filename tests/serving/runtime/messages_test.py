"""Our descriptions of the messages against those that TensorFlow and its server's package bring."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pool
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from serving.runtime import messages

THEIRS = {
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "PredictionLog": prediction_log_pb2.PredictionLog,
    "ReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
    "ReloadConfigResponse": model_management_pb2.ReloadConfigResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
}


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Names our fields that are other ones there, in all messages below."""
    found = []
    for field in ours.fields:
        path = f"{where}.{field.name}"
        other = theirs.fields_by_name.get(field.name)
        # Enumerations travel as the numbers that they are.
        types = {field.type, field.type + 100 * (field.type == field.TYPE_INT32)}
        same = other is not None and (
            other.number == field.number
            and other.is_repeated == field.is_repeated
            and (other.type in types or (other.enum_type is not None and len(types) == 2))
            and (other.containing_oneof is None) == (field.containing_oneof is None)
        )
        if not same:
            found.append(path)
        elif field.message_type is not None:
            found += differences(field.message_type, other.message_type, path)
    return found


@pytest.mark.parametrize("name", THEIRS)
def test_our_fields_are_theirs(name: str) -> None:
    ours = getattr(messages, name).DESCRIPTOR
    assert ours.fields
    assert differences(ours, THEIRS[name].DESCRIPTOR) == []


@pytest.mark.parametrize("name", ["SavedModel", "RunOptions", "ConfigProto"])
def test_our_fields_are_tensorflows(name: str) -> None:
    theirs = descriptor_pool.Default().FindMessageTypeByName(f"tensorflow.{name}")
    assert differences(getattr(messages, name).DESCRIPTOR, theirs) == []


def test_a_wrong_number_is_found() -> None:
    ours = messages.PredictRequest.DESCRIPTOR
    assert differences(ours, predict_pb2.PredictResponse.DESCRIPTOR) == [
        ".model_spec",
        ".inputs",
        ".output_filter",
    ]


def test_what_we_do_not_know_is_kept() -> None:
    theirs = predict_pb2.PredictRequest(client_id=b"me")
    theirs.model_spec.version.value = 3
    ours = messages.PredictRequest.FromString(theirs.SerializeToString())
    assert ours.model_spec.version.value == 3
    assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()) == theirs
