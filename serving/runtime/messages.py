"""The protocol messages of SavedModels and TensorFlow Serving, without TensorFlow.

`tensorflow-serving-api` has the same messages, but imports TensorFlow (seconds, and hundreds of
megabytes), and lacks those of three configuration files. This module defines the fields that this
project reads or writes, with the names and numbers in the `.proto` files of
https://github.com/tensorflow/tensorflow and https://github.com/tensorflow/serving; other fields of
a message are kept when it is written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
    text_format,
    wrappers_pb2,
)

from common.errors import InputError, reason
from serving.runtime.status import Code, State

# One message per line: its fields, each `name number kind`, where `*kind` is repeated and `@kind`
# a map from strings. The alternatives of a `oneof` are in parentheses after its name.
_MESSAGES = """\
tensorflow.TensorShapeProto: dim 2 *tensorflow.TensorShapeProto.Dim, unknown_rank 3 bool
tensorflow.TensorShapeProto.Dim: size 1 int64, name 2 string
tensorflow.TensorProto: dtype 1 int32, tensor_shape 2 tensorflow.TensorShapeProto, \
  tensor_content 4 bytes, half_val 13 *int32, float_val 5 *float, double_val 6 *double, \
  int_val 7 *int32, string_val 8 *bytes, scomplex_val 9 *float, int64_val 10 *int64, \
  bool_val 11 *bool, dcomplex_val 12 *double, uint32_val 16 *uint32, uint64_val 17 *uint64
tensorflow.TensorInfo: encoding(name 1 string), dtype 2 tensorflow.DataType, \
  tensor_shape 3 tensorflow.TensorShapeProto
tensorflow.SignatureDef: inputs 1 @tensorflow.TensorInfo, outputs 2 @tensorflow.TensorInfo, \
  method_name 3 string, defaults 4 @tensorflow.TensorProto
tensorflow.MetaGraphDef: saver_def 3 tensorflow.SaverDef, \
  signature_def 5 @tensorflow.SignatureDef, \
  meta_info_def 1 tensorflow.MetaGraphDef.MetaInfoDef
tensorflow.SaverDef: restore_op_name 3 string
tensorflow.MetaGraphDef.MetaInfoDef: tags 4 *string
tensorflow.SavedModel: meta_graphs 2 *tensorflow.MetaGraphDef
tensorflow.RunOptions: timeout_in_ms 2 int64
tensorflow.ConfigProto: intra_op_parallelism_threads 2 int32, \
  inter_op_parallelism_threads 5 int32, use_per_session_threads 9 bool, \
  allow_soft_placement 7 bool, experimental 16 tensorflow.ConfigProto.Experimental
tensorflow.ConfigProto.Experimental: executor_type 3 string
tensorflow.serving.ModelSpec: name 1 string, signature_name 3 string, \
  version_choice(version 2 google.protobuf.Int64Value, version_label 4 string)
tensorflow.serving.PredictRequest: model_spec 1 tensorflow.serving.ModelSpec, \
  inputs 2 @tensorflow.TensorProto, output_filter 3 *string
tensorflow.serving.PredictResponse: model_spec 2 tensorflow.serving.ModelSpec, \
  outputs 1 @tensorflow.TensorProto
tensorflow.serving.PredictLog: request 1 tensorflow.serving.PredictRequest
tensorflow.serving.PredictionLog: log_type(predict_log 6 tensorflow.serving.PredictLog)
tensorflow.serving.GetModelMetadataRequest: model_spec 1 tensorflow.serving.ModelSpec, \
  metadata_field 2 *string
tensorflow.serving.GetModelMetadataResponse: model_spec 1 tensorflow.serving.ModelSpec, \
  metadata 2 @google.protobuf.Any
tensorflow.serving.SignatureDefMap: signature_def 1 @tensorflow.SignatureDef
tensorflow.serving.GetModelStatusRequest: model_spec 1 tensorflow.serving.ModelSpec
tensorflow.serving.StatusProto: error_code 1 tensorflow.Code, error_message 2 string
tensorflow.serving.ModelVersionStatus: version 1 int64, state 2 tensorflow.serving.State, \
  status 3 tensorflow.serving.StatusProto
tensorflow.serving.GetModelStatusResponse: \
  model_version_status 1 *tensorflow.serving.ModelVersionStatus
tensorflow.serving.Latest: num_versions 1 uint32
tensorflow.serving.All:
tensorflow.serving.Specific: versions 1 *int64
tensorflow.serving.ServableVersionPolicy: policy_choice(latest 100 tensorflow.serving.Latest, \
  all 101 tensorflow.serving.All, specific 102 tensorflow.serving.Specific)
tensorflow.serving.LogCollectorConfig: type 1 string, filename_prefix 2 string
tensorflow.serving.SamplingConfig: sampling_rate 1 double
tensorflow.serving.LoggingConfig: log_collector_config 1 tensorflow.serving.LogCollectorConfig, \
  sampling_config 2 tensorflow.serving.SamplingConfig
tensorflow.serving.ModelConfig: name 1 string, base_path 2 string, \
  model_type 3 tensorflow.serving.ModelType, model_platform 4 string, \
  logging_config 6 tensorflow.serving.LoggingConfig, \
  model_version_policy 7 tensorflow.serving.ServableVersionPolicy, version_labels 8 @int64
tensorflow.serving.ModelConfigList: config 1 *tensorflow.serving.ModelConfig
tensorflow.serving.ModelServerConfig: config(\
  model_config_list 1 tensorflow.serving.ModelConfigList, \
  custom_model_config 2 google.protobuf.Any)
tensorflow.serving.ReloadConfigRequest: config 1 tensorflow.serving.ModelServerConfig
tensorflow.serving.ReloadConfigResponse: status 1 tensorflow.serving.StatusProto
tensorflow.serving.BatchingParameters: max_batch_size 1 google.protobuf.Int64Value, \
  batch_timeout_micros 2 google.protobuf.Int64Value, \
  max_enqueued_batches 3 google.protobuf.Int64Value, \
  num_batch_threads 4 google.protobuf.Int64Value, \
  thread_pool_name 5 google.protobuf.StringValue, allowed_batch_sizes 6 *int64, \
  pad_variable_length_inputs 7 bool
tensorflow.serving.PrometheusConfig: enable 1 bool, path 2 string
tensorflow.serving.MonitoringConfig: prometheus_config 1 tensorflow.serving.PrometheusConfig
tensorflow.serving.SSLConfig: server_key 1 string, server_cert 2 string, custom_ca 3 string, \
  client_verify 4 bool
"""

_DATA_TYPES = """
    INVALID FLOAT DOUBLE INT32 UINT8 INT16 INT8 STRING COMPLEX64 INT64 BOOL QINT8 QUINT8 QINT32
    BFLOAT16 QINT16 QUINT16 UINT16 COMPLEX128 HALF RESOURCE VARIANT UINT32 UINT64
""".split()

# Some are part of another message or package there, which only shows in their full names.
_ENUMS: Mapping[str, Mapping[str, int]] = {
    "tensorflow.DataType": {f"DT_{name}": number for number, name in enumerate(_DATA_TYPES)},
    "tensorflow.Code": {code.name: code.value for code in Code},
    "tensorflow.serving.ModelType": {"MODEL_TYPE_UNSPECIFIED": 0, "TENSORFLOW": 1, "OTHER": 2},
    "tensorflow.serving.State": {state.name: state.value for state in State},
}

_FIELD = descriptor_pb2.FieldDescriptorProto


def _add_field(message: Any, text: str, oneof: int | None) -> None:
    name, number, kind = text.split()
    field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if oneof is not None:
        field.oneof_index = oneof
    if kind[0] in "*@":
        field.label = _FIELD.LABEL_REPEATED
    if kind[0] == "@":
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key 1 string", None)
        _add_field(entry, f"value 2 {kind[1:]}", None)
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, entry.name
        return
    kind = kind.lstrip("*")
    if "." in kind:
        field.type = _FIELD.TYPE_ENUM if kind in _ENUMS else _FIELD.TYPE_MESSAGE
        field.type_name = f".{kind}"
    else:
        field.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")


def _add_message(file: Any, parents: dict[str, Any], line: str) -> None:
    full_name, _, fields = line.partition(":")
    scope, _, name = full_name.rpartition(".")
    siblings = parents[scope].nested_type if scope in parents else file.message_type
    message = parents[full_name] = siblings.add(name=name)
    oneof = None
    for part in filter(None, map(str.strip, fields.split(","))):
        if "(" in part:
            choice, _, part = part.partition("(")
            oneof = len(message.oneof_decl)
            message.oneof_decl.add(name=choice.strip())
        _add_field(message, part.rstrip(")"), oneof)
        if part.endswith(")"):
            oneof = None


def _files() -> list[Any]:
    """Describes the messages, in one file for each of the two packages."""
    lines = list(filter(None, _MESSAGES.split("\n")))
    found: list[Any] = []
    for package in ("tensorflow", "tensorflow.serving"):
        file = descriptor_pb2.FileDescriptorProto(
            name=f"serving/runtime/{package}.proto", package=package, syntax="proto3"
        )
        file.dependency.extend([wrappers_pb2.DESCRIPTOR.name, any_pb2.DESCRIPTOR.name])
        file.dependency.extend(other.name for other in found)
        for full_name, values in _ENUMS.items():
            if full_name.rpartition(".")[0] == package:
                enum = file.enum_type.add(name=full_name.rpartition(".")[2])
                for name, number in values.items():
                    enum.value.add(name=name, number=number)
        parents: dict[str, Any] = {}
        for line in lines:
            is_serving = line.startswith("tensorflow.serving.")
            if is_serving == (package == "tensorflow.serving"):
                _add_message(file, parents, line)
        found.append(file)
    return found


def _pool() -> descriptor_pool.DescriptorPool:
    # A separate pool, because TensorFlow's own descriptors may be loaded, too.
    pool = descriptor_pool.DescriptorPool()
    for known in (wrappers_pb2, any_pb2):
        copy = descriptor_pb2.FileDescriptorProto()
        known.DESCRIPTOR.CopyToProto(copy)
        pool.Add(copy)
    for file in _files():
        pool.Add(file)
    return pool


_POOL = _pool()


def message(name: str) -> Any:
    r"""Returns the class of a message.

    Args:
        name: name of the message with its package, such as `tensorflow.serving.PredictRequest`.

    Example:
        >>> message("tensorflow.serving.ModelSpec")(name="music").SerializeToString()
        b'\n\x05music'
    """
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


SavedModel = message("tensorflow.SavedModel")
RunOptions = message("tensorflow.RunOptions")
ConfigProto = message("tensorflow.ConfigProto")
TensorProto = message("tensorflow.TensorProto")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")
ModelServerConfig = message("tensorflow.serving.ModelServerConfig")
PredictionLog = message("tensorflow.serving.PredictionLog")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
GetModelMetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
GetModelStatusRequest = message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message("tensorflow.serving.GetModelStatusResponse")
ReloadConfigRequest = message("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message("tensorflow.serving.ReloadConfigResponse")
BatchingParameters = message("tensorflow.serving.BatchingParameters")
MonitoringConfig = message("tensorflow.serving.MonitoringConfig")
SSLConfig = message("tensorflow.serving.SSLConfig")


def read_text(path: Path, message: Any) -> Any:
    """Fills a message from a file in text format, as TensorFlow Serving's configuration files are.

    Raises:
        InputError: if the file cannot be read or does not contain such a message; the error names
            the line.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}") from error
    except (UnicodeDecodeError, text_format.ParseError) as error:
        raise InputError(
            f"{path}: expected a {type(message).__name__} as text. Received: {reason(error)}"
        ) from error


def to_json(message: Any) -> dict[str, Any]:
    """Converts a message to JSON as TensorFlow Serving's REST API does: all fields, by name."""
    document: dict[str, Any] = json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    return document


def from_json(document: Any, message: Any) -> Any:
    """Fills a message from JSON; unknown fields and unknown names of enum values are left out.

    Raises:
        ValueError: if the document is not such a message.
    """
    try:
        return json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise ValueError(str(error)) from error
