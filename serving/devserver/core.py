"""What gRPC and REST share: admission, model lookup, execution, and metrics of requests."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.devserver import configuration
from serving.devserver.batcher import Arrays, Batcher, Call, Runner
from serving.devserver.errors import expired, invalid, only_failures
from serving.devserver.metrics import Metrics
from serving.devserver.models import Models, Target
from serving.devserver.settings import Batching, Limits, Settings
from serving.runtime import messages, tensors
from serving.runtime.c_api import STRING_BYTES, Failure
from serving.runtime.session import Session
from serving.runtime.specs import DEFAULT_SIGNATURE, DTYPES, Signature, TensorSpec
from serving.runtime.status import Code

_BATCHING_FILE = "batching_params.pbtxt"
_WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")

_MOST_RECORDS = 1000
"""Most warm-up requests of a version, as in TensorFlow Serving."""


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
        self.settings, self.metrics = settings, Metrics()
        self.runner = Runner(settings.limits.max_concurrency, lambda: self.inside == 1)
        self.models = Models(settings.models, settings.loading, self._load)
        self.inside, self.is_closed = 0, False
        self.metrics.running.set_function(lambda: self.runner.running)
        self.metrics.waiting.set_function(lambda: max(self.inside - self.runner.running, 0))

    def _load(self, folder: Path) -> tuple[Session, Batcher | None]:
        """Loads and warms up a version."""
        start, loading, status = time.perf_counter(), self.settings.loading, "fail"
        try:
            with only_failures(f"loading {folder}"):
                batching = self._batching(folder)
                session = Session(folder, loading.intra_op_threads, loading.inter_op_threads)
                try:
                    if loading.warmup:
                        _warm_up(session, folder / _WARMUP_FILE, self.settings.limits)
                except BaseException:
                    session.close()
                    raise
            status = "success"
        finally:
            self.metrics.load(str(folder.parent), status, time.perf_counter() - start)
        return session, None if batching is None else Batcher(self.runner, batching)

    def _batching(self, folder: Path) -> Batching | None:
        """Returns the batching parameters of a version.

        With parameters per model, a version without its own file is not batched, and the number of
        threads comes from the common file, as in TensorFlow Serving.
        """
        common, path = self.settings.loading.batching, folder / _BATCHING_FILE
        if common is None or not self.settings.loading.per_model_batching:
            return common
        if not path.is_file():
            return None
        own = configuration.read_batching(path)
        return dataclasses.replace(own, num_batch_threads=common.num_batch_threads)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Admits a request, or refuses it at once.

        Raises:
            Failure: RESOURCE_EXHAUSTED if the queue is full, UNAVAILABLE once closed.
        """
        limits = self.settings.limits
        if self.is_closed:
            raise Failure(Code.UNAVAILABLE, "The server is shutting down.")
        if self.inside >= limits.max_concurrency + limits.max_queue:
            raise Failure(
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
        decode: Callable[[Signature], Arrays],
        outputs: Sequence[str],
        end: float | None,
    ) -> tuple[int, str, Arrays]:
        """Runs a model; the request must have been `admitted`.

        Args:
            target: the model that the request is for.
            signature_name: name of the signature; empty for the default.
            decode: makes the inputs of the signature.
            outputs: names of the wanted outputs; empty for all.
            end: deadline, in seconds of `time.monotonic`; None for no deadline.

        Returns:
            Number of the version, name of the signature, and outputs by name.

        Raises:
            Failure: if the request fails.
        """
        with self.models.use(target) as version:
            session = version.session
            assert session is not None
            name = signature_name or DEFAULT_SIGNATURE
            signature = _callable_signature(session, name)
            call = Call(session, name, decode(signature), outputs, end)
            unknown = [output for output in outputs if output not in signature.outputs]
            if unknown:
                raise invalid(
                    f"expected some of the outputs {_listed(signature.outputs)}. "
                    f"Received: {_listed(unknown)}"
                )
            start = time.perf_counter()
            try:
                async with asyncio.timeout(None if end is None else end - time.monotonic()):
                    answer = await (version.batcher or self.runner).call(call)
            except TimeoutError:
                raise expired() from None
            self.metrics.run(target.name, time.perf_counter() - start)
            return version.number, name, {output: answer[output] for output in outputs or answer}

    @contextmanager
    def counted(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request, see `Metrics.request`, and converts unexpected errors to `Failure`."""
        start, code = time.perf_counter(), Code.OK
        try:
            with only_failures(f"{api} over {entrypoint}"):
                yield
        except Failure as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        finally:
            # Each unknown name would be a new counter, and together they would fill the memory.
            known = model if self.models.knows(model) else ""
            self.metrics.request(known, api, entrypoint, code.name, time.perf_counter() - start)


def _callable_signature(session: Session, name: str) -> Signature:
    signature = session.signatures.get(name)
    if signature is None or not signature.method:
        raise Failure(Code.FAILED_PRECONDITION, f"expected a signature to call. Received: {name}")
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    if not all(spec.tensor and spec.dtype in DTYPES for spec in specs):
        raise Failure(Code.UNIMPLEMENTED, f"signature {name}: a kind of tensor is not supported")
    return signature


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def check_names(signature: Signature, sent: Iterable[str]) -> None:
    """Raises `Failure` unless exactly a signature's inputs were sent."""
    if set(sent) != set(signature.inputs):
        raise invalid(
            f"expected the inputs {_listed(signature.inputs)}. Received: {_listed(sent) or 'none'}"
        )


def check_shape(shape: tuple[int, ...], spec: TensorSpec, limits: Limits) -> None:
    """Checks the size of an input before memory is allocated for it; the graph checks the rest.

    Rows without bytes count, too, since the graph computes something for each of them.

    Raises:
        ValueError: if the input is too large.
    """
    item = STRING_BYTES if spec.dtype == "string" else spec.numpy_dtype.itemsize
    size = math.prod(max(size, 1) for size in shape) * item
    longest = max(shape[1:], default=0)
    if longest > limits.max_sequence_length or size > limits.max_message_bytes:
        raise ValueError(
            f"expected at most {limits.max_sequence_length} steps and "
            f"{limits.max_message_bytes} bytes. Received: shape {list(shape)}, {size} bytes"
        )


def inputs_of(protos: Mapping[str, Any], signature: Signature, limits: Limits) -> Arrays:
    """Converts the inputs of a `PredictRequest` to arrays.

    Args:
        protos: `TensorProto` messages by name.
        signature: the signature that they must match.
        limits: limits of a request.

    Raises:
        Failure: INVALID_ARGUMENT if they do not match the signature or exceed the limits.
    """
    check_names(signature, protos)
    arrays = {}
    for name, spec in signature.inputs.items():
        received = tensors.dtype_of(protos[name])
        try:
            if received != spec.dtype:
                raise ValueError(f"expected {spec.dtype}. Received: {received}")
            check_shape(tensors.shape_of(protos[name]), spec, limits)
            arrays[name] = tensors.to_array(protos[name])
        except (TypeError, ValueError) as error:
            raise invalid(f'input "{name}": {error}') from error
    return arrays


def _warm_up(session: Session, path: Path, limits: Limits) -> None:
    """Replays a version's warm-up requests, so that its first caller need not wait."""
    for count, record in enumerate(_records(path) if path.is_file() else (), 1):
        if count > _MOST_RECORDS:
            raise invalid(f"{path}: expected at most {_MOST_RECORDS} warm-up requests")
        try:
            log = messages.PredictionLog.FromString(record)
            if not log.HasField("predict_log"):
                raise Failure(Code.UNIMPLEMENTED, "expected a predict_log")
            request = log.predict_log.request
            name = request.model_spec.signature_name or DEFAULT_SIGNATURE
            inputs = inputs_of(request.inputs, _callable_signature(session, name), limits)
            session.run(name, inputs, list(request.output_filter))
        except Failure as failure:
            raise Failure(failure.code, f"warm-up request {count}: {failure.cause}") from failure


def _records(path: Path) -> Iterator[bytes]:
    """Yields the records of a TFRecord file, each a length, checksum, content, and checksum."""
    content, place = path.read_bytes(), 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 8], "little")
        if place + size + 16 > len(content):
            raise Failure(Code.DATA_LOSS, f"{path}: expected a TFRecord file")
        yield content[place + 12 : place + 12 + size]
        place += size + 16
