"""Configuration messages of TensorFlow Serving that its Python package leaves out.

`tensorflow-serving-api` has `ModelServerConfig` but not the other three files' messages. Names and
numbers of the fields are those of `session_bundle_config.proto`, `monitoring_config.proto` and
`ssl_config.proto` of https://github.com/tensorflow/serving.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_PACKAGE = "tensorflow.serving"
_INT64, _STRING = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"
_FIELD = descriptor_pb2.FieldDescriptorProto

_MESSAGES: dict[str, list[tuple[str, int, Any]]] = {
    "BatchingParameters": [
        ("max_batch_size", 1, _INT64),
        ("batch_timeout_micros", 2, _INT64),
        ("max_enqueued_batches", 3, _INT64),
        ("num_batch_threads", 4, _INT64),
        ("thread_pool_name", 5, _STRING),
        ("allowed_batch_sizes", 6, _FIELD.TYPE_INT64),
        ("pad_variable_length_inputs", 7, _FIELD.TYPE_BOOL),
    ],
    "PrometheusConfig": [
        ("enable", 1, _FIELD.TYPE_BOOL),
        ("path", 2, _FIELD.TYPE_STRING),
    ],
    "MonitoringConfig": [("prometheus_config", 1, f".{_PACKAGE}.PrometheusConfig")],
    "SSLConfig": [
        ("server_key", 1, _FIELD.TYPE_STRING),
        ("server_cert", 2, _FIELD.TYPE_STRING),
        ("custom_ca", 3, _FIELD.TYPE_STRING),
        ("client_verify", 4, _FIELD.TYPE_BOOL),
    ],
}
_REPEATED = {"allowed_batch_sizes"}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/standin/configuration.proto",
        package=_PACKAGE,
        dependency=[wrappers_pb2.DESCRIPTOR.name],
        syntax="proto3",
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            repeated = field_name in _REPEATED
            field = message.field.add(
                name=field_name,
                number=number,
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                field.type = kind
    return file


def _classes() -> dict[str, Any]:
    # A pool of their own: a package that brings the real descriptors may be loaded, too.
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(_describe())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _classes()

BatchingParameters = _CLASSES["BatchingParameters"]
"""Text of `--batching_parameters_file` and `batching_params.pbtxt`."""

MonitoringConfig = _CLASSES["MonitoringConfig"]
"""Text of `--monitoring_config_file`."""

SSLConfig = _CLASSES["SSLConfig"]
"""Text of `--ssl_config_file`."""
