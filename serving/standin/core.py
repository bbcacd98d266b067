"""What gRPC and REST have in common: a request comes in, finds its model, runs, and is counted."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import InputError
from serving.specs import Signature
from serving.standin import configuration, warmup
from serving.standin.errors import Code, ServingError, invalid
from serving.standin.gate import Gate
from serving.standin.manager import Manager
from serving.standin.metrics import Metrics
from serving.standin.model import DEFAULT_SIGNATURE, LoadedModel
from serving.standin.settings import Batching, Settings

_LOG = logging.getLogger(__name__)

_BATCHING_FILE = "batching_params.pbtxt"

Decode = Callable[[Signature], Mapping[str, Any]]
"""Turns what came over the wire into the arrays that a signature takes."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model a request is for.

    Attributes:
        name: the model.
        version: number of the version; None for the latest.
        label: name of the version instead; empty for none.
    """

    name: str
    version: int | None = None
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Caller:
    """Who waits for an answer.

    Attributes:
        deadline: until when, in seconds of `time.monotonic`; None for ever.
        is_there: tells whether the caller still waits.
    """

    deadline: float | None
    is_there: Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        version: number of the version that did.
        signature: name of the signature.
        outputs: NumPy arrays by name.
    """

    version: int
    signature: str
    outputs: Mapping[str, Any]


class Core:
    """A server without its ports.

    Args:
        settings: what it is told.

    Attributes:
        settings: the same.
        metrics: counts of what happened.
        gate: who runs and who waits.
        manager: the models.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.gate = Gate(settings.limits)
        self.metrics.running.set_function(lambda: self.gate.running)
        self.metrics.waiting.set_function(lambda: self.gate.waiting)
        self.manager = Manager(settings.models, settings.loading, self._load)

    def _load(self, name: str, version: int, folder: Path) -> LoadedModel:
        """Loads and warms up a version."""
        start = time.perf_counter()
        status = "fail"
        try:
            loading = self.settings.loading
            model = LoadedModel(name, version, folder, loading, self._batching(folder))
            try:
                if loading.warmup:
                    warmup.replay(model, folder, self.settings.limits)
            except ServingError:
                model.close()
                raise
            status = "success"
            return model
        except InputError as error:
            raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error
        except ServingError:
            raise
        except Exception as error:
            _LOG.exception("%s version %d", name, version)
            raise ServingError(Code.INTERNAL, "Internal error.") from error
        finally:
            self.metrics.load(str(folder), status, time.perf_counter() - start)

    def _batching(self, folder: Path) -> Batching | None:
        """Returns the parameters of a version.

        With parameters per model, a version without its own is not batched, and the number of
        threads is that of the common file, as TensorFlow Serving has it.
        """
        loading = self.settings.loading
        if loading.batching is None or not loading.per_model_batching:
            return loading.batching
        path = folder / _BATCHING_FILE
        if not path.is_file():
            return None
        own = configuration.read_batching(path)
        return dataclasses.replace(own, num_batch_threads=loading.batching.num_batch_threads)

    def predict(
        self,
        target: Target,
        signature_name: str,
        decode: Decode,
        outputs: Sequence[str],
        caller: Caller,
    ) -> Answer:
        """Runs a model.

        Args:
            target: which one.
            signature_name: name of the signature; empty for the default.
            decode: makes its inputs.
            outputs: names of the outputs that are wanted; none for all.
            caller: who asks.

        Raises:
            ServingError: if there is no answer.
        """
        with (
            self.gate.admit() as ticket,
            self.manager.use(target.name, target.version, target.label) as model,
        ):
            name = signature_name or DEFAULT_SIGNATURE
            signature = model.signature(name)
            inputs = decode(signature)
            _check_outputs(signature, outputs)
            ticket.start(caller.deadline, caller.is_there)
            start = time.perf_counter()
            arrays = model.run(name, inputs, outputs, caller.deadline)
            self.metrics.run(target.name, time.perf_counter() - start)
            return Answer(model.version, name, arrays)

    def refuse(self, target: Target, signature_name: str, method: str) -> ServingError:
        """Explains why a model is not asked to classify or regress.

        Args:
            target: the model.
            signature_name: name of the signature; empty for the default.
            method: `classify` or `regress`.

        Returns:
            TensorFlow Serving's own refusal where the signature is of another method.
        """
        wanted = f"tensorflow/serving/{method}"
        noun = {"classify": "classification", "regress": "regression"}[method]
        with self.manager.use(target.name, target.version, target.label) as model:
            name = signature_name or DEFAULT_SIGNATURE
            if name not in model.signatures:
                return invalid(f"No signature was found with the name: {name}")
            actual = model.signatures[name].method
        if actual != wanted:
            return invalid(f"Expected {noun} signature method_name to be {wanted}. Was: {actual}")
        return ServingError(
            Code.UNIMPLEMENTED, f"The development server does not {method}; it predicts only."
        )

    @contextmanager
    def counted(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a request, and lets no error out but `ServingError`.

        Args:
            model: name of the model that it asks for.
            api: name of the method.
            entrypoint: `GRPC` or `REST`.
        """
        start = time.perf_counter()
        code = Code.OK
        try:
            yield
        except ServingError as error:
            code = error.code
            raise
        except Exception as error:
            code = Code.INTERNAL
            _LOG.exception("%s over %s failed", api, entrypoint)
            raise ServingError(code, "Internal error.") from error
        finally:
            # Names that nobody serves would fill the memory with counters.
            known = model if self.manager.knows(model) else ""
            self.metrics.request(known, api, entrypoint, code.name, time.perf_counter() - start)


def _check_outputs(signature: Signature, outputs: Sequence[str]) -> None:
    for position, name in enumerate(outputs):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(sorted(signature.outputs))}}}."
            )
        if name in outputs[:position]:
            raise invalid(f"duplicate output tensor alias: {name}")
