"""Replays the requests that a version brings, so that its first caller does not wait."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from serving.standin import tensors
from serving.standin.errors import Code, ServingError
from serving.standin.model import DEFAULT_SIGNATURE, LoadedModel
from serving.standin.settings import Limits

FILE = Path("assets.extra", "tf_serving_warmup_requests")
"""Where in a version the requests are, as `PredictionLog` messages in a TFRecord file."""

_MOST = 1000


def replay(model: LoadedModel, folder: Path, limits: Limits) -> int:
    """Replays a version's warm-up requests, if it has any.

    Args:
        model: the loaded version.
        folder: its folder.
        limits: those of all requests.

    Returns:
        How many there were.

    Raises:
        ServingError: if the file is broken or a request fails, which fails the load of the version.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    path = folder / FILE
    if not path.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            count += 1
            if count > _MOST:
                raise ServingError(
                    Code.INVALID_ARGUMENT,
                    f"Number of warmup records exceeds the maximum ({_MOST}) at {path}",
                )
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof("log_type")
            if kind != "predict_log":
                raise ServingError(
                    Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind} at {path}"
                )
            request = log.predict_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            inputs = tensors.inputs_of(request.inputs, model.signature(name), limits)
            model.run(name, inputs, list(request.output_filter))
    except ServingError as error:
        raise ServingError(error.code, f"warm-up request {count}: {error.message}") from error
    except Exception as error:
        # A record that is none, or no message: TensorFlow and protobuf raise errors of their own.
        raise ServingError(
            Code.DATA_LOSS, f"{path}: expected a TFRecord of PredictionLog messages"
        ) from error
    return count
