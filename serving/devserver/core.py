"""What gRPC and REST share: admission, model lookup, execution, and metrics of requests."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from common.errors import InputError
from serving.devserver import configuration
from serving.devserver.batcher import Arrays, Batcher, Runner, expired, selected, told
from serving.devserver.errors import RequestError, invalid
from serving.devserver.metrics import Metrics
from serving.devserver.models import Models
from serving.devserver.settings import Batching, Limits, Settings
from serving.devserver.versions import Loaded
from serving.runtime import messages, tensors
from serving.runtime.c_api import Failure
from serving.runtime.session import Session
from serving.runtime.specs import DEFAULT_SIGNATURE, DTYPES, Signature
from serving.runtime.status import Code

_LOG = logging.getLogger(__name__)

_BATCHING_FILE = "batching_params.pbtxt"
_WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MOST_WARMUPS = 1000
_STRING_BYTES = 24

Decode = Callable[[Signature], Arrays]
"""Decodes a request into the input arrays of a signature."""


@dataclasses.dataclass(frozen=True)
class Target:
    """The model that a request is for.

    Attributes:
        name: name of the model.
        version: number of the version; None for the latest.
        label: label of the version, instead of its number; empty for none.
    """

    name: str
    version: int | None = None
    label: str = ""


class Core:
    """A server without its ports; runs in an event loop.

    Args:
        settings: configuration of the server.

    Attributes:
        settings: configuration of the server.
        metrics: metrics of the server.
        models: the models.
        runner: calls TensorFlow.
        inside: number of pending requests for predictions.
        is_closed: whether new requests are refused.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.runner = Runner(settings.limits.max_concurrency, lambda: self.inside == 1)
        self.models = Models(settings.models, settings.loading, self._load)
        self.inside = 0
        self.is_closed = False
        self.metrics.running.set_function(lambda: self.runner.running)
        self.metrics.waiting.set_function(lambda: max(self.inside - self.runner.running, 0))

    def _load(self, name: str, folder: Path) -> Loaded:
        """Loads and warms up a version."""
        start, loading, status = time.perf_counter(), self.settings.loading, "fail"
        try:
            batching = self._batching(folder)
            session = Session(folder, loading.intra_op_threads, loading.inter_op_threads)
            try:
                if loading.warmup:
                    _warm_up(session, folder, self.settings.limits)
            except BaseException:
                session.close()
                raise
            status = "success"
            batcher = None if batching is None else Batcher(self.runner, session, batching)
            return Loaded(session, batcher)
        except RequestError:
            raise
        except (InputError, OSError) as error:
            raise invalid(str(error)) from error
        except Failure as error:
            raise told(error) from error
        except Exception as error:
            _LOG.exception("%s", folder)
            raise RequestError(Code.INTERNAL, "Internal error.") from error
        finally:
            self.metrics.load(str(folder.parent), status, time.perf_counter() - start)

    def _batching(self, folder: Path) -> Batching | None:
        """Returns the batching parameters of a version.

        With parameters per model, a version without its own file is not batched, and the number of
        threads comes from the common file, as in TensorFlow Serving.
        """
        loading, path = self.settings.loading, folder / _BATCHING_FILE
        if loading.batching is None or not loading.per_model_batching:
            return loading.batching
        if not path.is_file():
            return None
        own = configuration.read_batching(path)
        return dataclasses.replace(own, num_batch_threads=loading.batching.num_batch_threads)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Admits a request, or refuses it at once.

        Raises:
            RequestError: RESOURCE_EXHAUSTED if the queue is full, UNAVAILABLE once closed.
        """
        limits = self.settings.limits
        if self.is_closed:
            raise RequestError(Code.UNAVAILABLE, "The server is shutting down.")
        if self.inside >= limits.max_concurrency + limits.max_queue:
            raise RequestError(
                Code.RESOURCE_EXHAUSTED,
                f"The queue is full: {self.inside} requests run or wait. Try again later.",
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def predict(
        self,
        target: Target,
        signature_name: str,
        decode: Decode,
        outputs: Sequence[str],
        end: float | None,
    ) -> tuple[int, str, Arrays]:
        """Runs a model; the request must have been `admitted`.

        Args:
            target: the model that the request is for.
            signature_name: name of the signature; empty for the default.
            decode: makes the inputs.
            outputs: names of the wanted outputs; empty for all.
            end: deadline, in seconds of `time.monotonic`; None for no deadline.

        Returns:
            Number of the version, name of the signature, and outputs by name.

        Raises:
            RequestError: if the request fails.
        """
        with self.models.use(target.name, target.version, target.label or None) as version:
            loaded = version.loaded
            assert loaded is not None
            name = signature_name or DEFAULT_SIGNATURE
            signature = callable_signature(loaded.session, name)
            inputs = decode(signature)
            _check_outputs(signature, outputs)
            start = time.perf_counter()
            left = None if end is None else end - time.monotonic()
            try:
                async with asyncio.timeout(left):
                    if loaded.batcher is not None and loaded.batcher.takes(name, inputs):
                        answer = await loaded.batcher.call(name, inputs, end)
                    else:
                        answer = await self.runner.call(loaded.session, name, inputs, outputs, end)
            except TimeoutError:
                raise expired() from None
            self.metrics.run(target.name, time.perf_counter() - start)
            return version.number, name, selected(answer, outputs)

    @contextmanager
    def counted(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request, and converts unexpected errors to `RequestError`.

        Args:
            model: name of the requested model.
            api: name of the method.
            entrypoint: `GRPC` or `REST`.
        """
        start, code = time.perf_counter(), Code.OK
        try:
            yield
        except RequestError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except Exception as error:
            code = Code.INTERNAL
            _LOG.exception("%s over %s failed", api, entrypoint)
            raise RequestError(code, "Internal error.") from error
        finally:
            # Each unknown name would be a new counter, and together they would fill the memory.
            known = model if self.models.knows(model) else ""
            self.metrics.request(known, api, entrypoint, code.name, time.perf_counter() - start)


def callable_signature(session: Session, name: str) -> Signature:
    """Finds a signature.

    Raises:
        RequestError: if there is no signature of that name, or it cannot be called.
    """
    signature = session.signatures.get(name)
    if signature is None:
        raise RequestError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if not signature.method:
        raise RequestError(
            Code.FAILED_PRECONDITION, f'Serving signature key "{name}" cannot be called.'
        )
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    if not all(spec.tensor and spec.dtype in DTYPES for spec in specs):
        raise RequestError(
            Code.UNIMPLEMENTED,
            f'Signature "{name}" has tensors of a type or kind that is not served.',
        )
    return signature


def check_names(signature: Signature, sent: set[str]) -> None:
    """Checks that exactly a signature's inputs were sent.

    Raises:
        RequestError: INVALID_ARGUMENT.
    """
    wanted = set(signature.inputs)
    if sent != wanted:
        extra, missing = (",".join(sorted(names)) for names in (sent - wanted, wanted - sent))
        raise invalid(
            f"inputs do not match signature: {','.join(sorted(wanted))}. "
            f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )


def check_shape(name: str, shape: tuple[int, ...], dtype: str, limits: Limits) -> None:
    """Checks the size of an input before memory is allocated for it; the graph checks the rest.

    Rows without bytes count, too, since the graph computes something for each of them.

    Raises:
        RequestError: INVALID_ARGUMENT if the input is too large.
    """
    if max(shape[1:], default=0) > limits.max_sequence_length:
        raise invalid(
            f'input "{name}": expected at most {limits.max_sequence_length} steps. '
            f"Received: shape {list(shape)}"
        )
    item = _STRING_BYTES if dtype == "string" else tensors.itemsize(dtype)
    size = math.prod(max(size, 1) for size in shape) * item
    if size > limits.max_message_bytes:
        raise invalid(
            f'input "{name}": expected at most {limits.max_message_bytes} bytes. '
            f"Received: shape {list(shape)}, {size} bytes"
        )


def inputs_of(protos: Mapping[str, Any], signature: Signature, limits: Limits) -> Arrays:
    """Converts the inputs of a `PredictRequest` to arrays.

    Args:
        protos: `TensorProto` messages by name.
        signature: the signature that they must match.
        limits: limits of a request.

    Raises:
        RequestError: INVALID_ARGUMENT if they do not match the signature or exceed the limits.
    """
    check_names(signature, set(protos))
    arrays = {}
    for name, spec in signature.inputs.items():
        received = tensors.dtype_of(protos[name])
        if received != spec.dtype:
            raise invalid(f'input "{name}": expected {spec.dtype}. Received: {received}')
        try:
            check_shape(name, tensors.shape_of(protos[name]), spec.dtype, limits)
            arrays[name] = tensors.to_array(protos[name])
        except (TypeError, ValueError) as error:
            raise invalid(f'input "{name}": {error}') from error
    return arrays


def _check_outputs(signature: Signature, outputs: Sequence[str]) -> None:
    for position, name in enumerate(outputs):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(sorted(signature.outputs))}}}."
            )
        if name in outputs[:position]:
            raise invalid(f"duplicate output tensor alias: {name}")


def _warm_up(session: Session, folder: Path, limits: Limits) -> None:
    """Replays a version's warm-up requests, so that its first caller need not wait."""
    path = folder / _WARMUP_FILE
    for count, record in enumerate(_records(path) if path.is_file() else (), 1):
        if count > _MOST_WARMUPS:
            raise invalid(f"{path}: expected at most {_MOST_WARMUPS} warm-up requests")
        try:
            log = messages.PredictionLog.FromString(record)
        except DecodeError:
            raise _no_warmup(path) from None
        if not log.HasField("predict_log"):
            raise RequestError(Code.UNIMPLEMENTED, f"{path}: expected predict_log in each record")
        request = log.predict_log.request
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        try:
            inputs = inputs_of(request.inputs, callable_signature(session, name), limits)
            session.run(name, inputs, list(request.output_filter))
        except (Failure, RequestError) as failure:
            error = told(failure) if isinstance(failure, Failure) else failure
            raise RequestError(error.code, f"warm-up request {count}: {error.message}") from failure


def _records(path: Path) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, each a length, checksum, content, and checksum."""
    content, place = path.read_bytes(), 0
    while place < len(content):
        head = content[place : place + 12]
        size = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else len(content)
        if place + size + 16 > len(content):
            raise _no_warmup(path)
        yield content[place + 12 : place + 12 + size]
        place += size + 16


def _no_warmup(path: Path) -> RequestError:
    return RequestError(Code.DATA_LOSS, f"{path}: expected a TFRecord of PredictionLog messages")
