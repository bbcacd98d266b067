"""One version of a model, loaded in a TensorFlow session of its own."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from serving.specs import Signature
from serving.standin.batching import Queues
from serving.standin.errors import Code, ServingError, UnknownSignatureError
from serving.standin.settings import Batching, Loading

DEFAULT_SIGNATURE = "serving_default"

_TAGS = ("serve",)
_NOT_TOLD = ("Graph execution error", "Detected at", "Node: ", "File ", "[[")
"""How lines of TensorFlow's messages begin that tell where something failed, not what."""

_METHODS = tuple(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


class LoadedModel:
    """One version of a model.

    `tf.compat.v1.Session` is the C++ session that TensorFlow Serving itself runs, and closing it
    gives back all that a version has taken: variables, tables, batch threads.

    Args:
        name: the model's name.
        version: number of the version.
        folder: its SavedModel.
        loading: threads, and how requests are batched.
        batching: parameters of this version, or None to run each request by itself.

    Attributes:
        name: the model's name.
        version: number of the version.
        signatures: what it can be asked, by name.
        signature_defs: the same as protocol messages.

    Raises:
        ServingError: if the folder holds no SavedModel that TensorFlow can load.
    """

    def __init__(
        self, name: str, version: int, folder: Path, loading: Loading, batching: Batching | None
    ) -> None:
        self.name, self.version = name, version
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=_config(loading))
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session, list(_TAGS), str(folder)
                )
            self.signature_defs: Mapping[str, Any] = dict(meta_graph.signature_def)
            self.signatures = {
                key: Signature.of(message) for key, message in self.signature_defs.items()
            }
            self._tensors = {
                key: (self._find(signature.inputs), self._find(signature.outputs))
                for key, signature in self.signatures.items()
                if signature.method in _METHODS
            }
        except Exception as error:
            # A broken SavedModel can fail in any part of TensorFlow, in any way.
            self.close()
            raise _translate(error, Code.FAILED_PRECONDITION) from error
        self._queues: dict[str, Queues] = {}
        if batching is not None:
            for key, (inputs, outputs) in self._tensors.items():
                queues = Queues.of(self._graph, key, inputs, outputs, batching)
                if queues is not None:
                    self._queues[key] = queues

    def _find(self, specs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._graph.get_tensor_by_name(spec.tensor)
            for name, spec in specs.items()
            # A sparse tensor has three names instead of one.
            if spec.tensor
        }

    def signature(self, name: str) -> Signature:
        """Finds a signature that can be called.

        Args:
            name: its name.

        Raises:
            ServingError: if there is none of that name, or it cannot be called.
        """
        signature = self.signatures.get(name)
        if signature is None:
            raise UnknownSignatureError(name)
        if name not in self._tensors:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(_METHODS)}}}. Was: {signature.method}",
            )
        inputs, outputs = self._tensors[name]
        if len(inputs) < len(signature.inputs) or len(outputs) < len(signature.outputs):
            raise ServingError(
                Code.UNIMPLEMENTED, f'Signature "{name}" has sparse tensors, which are not served.'
            )
        return signature

    def run(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """Runs a signature.

        Args:
            signature: name of one that `signature` has found.
            inputs: an array for each of its inputs, checked.
            outputs: names of the outputs to compute; none for all.
            deadline: when to give up, in seconds of `time.monotonic`.

        Returns:
            NumPy arrays by name.

        Raises:
            ServingError: if TensorFlow cannot run it, or not in time.
        """
        out: Mapping[str, Any]
        into, out = self._tensors[signature]
        queues = self._queues.get(signature)
        if queues is not None:
            inputs, out = queues.prepare(inputs)
        names = outputs or list(out)
        try:
            arrays = self._session.run(
                [out[name] for name in names],
                {into[name]: array for name, array in inputs.items()},
                options=_options(deadline),
            )
        except tf.errors.OpError as error:
            raise _translate(error, Code.INTERNAL) from error
        except (TypeError, ValueError) as error:
            raise _translate(error, Code.INVALID_ARGUMENT) from error
        return dict(zip(names, arrays, strict=True))

    def close(self) -> None:
        """Gives back all that the version has taken; no request may be running."""
        self._session.close()
        # The session itself goes with the object, which the graph's own circles keep until then.
        del self._session, self._graph
        self._tensors, self._queues = {}, {}
        gc.collect()


def _config(loading: Loading) -> Any:
    intra, inter = loading.intra_op_threads, loading.inter_op_threads
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=intra,
        inter_op_parallelism_threads=inter,
        # Otherwise all sessions of the process share the threads that the first one asked for.
        use_per_session_threads=bool(intra or inter),
        allow_soft_placement=True,
    )


def _options(deadline: float | None) -> Any:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    # 0 would mean that there is no hurry.
    return tf.compat.v1.RunOptions(timeout_in_ms=max(int(1000 * left), 1))


def _translate(error: Exception, otherwise: Code) -> ServingError:
    if isinstance(error, ServingError):
        return error
    code = otherwise
    if isinstance(error, tf.errors.OpError):
        code = Code(error.error_code)
    if isinstance(error, tf.errors.DeadlineExceededError):
        return ServingError(code, "The deadline was exceeded.")
    message = str(getattr(error, "message", None) or error)
    lines = [line.strip() for line in message.splitlines()]
    told = [line for line in lines if line and not line.startswith(_NOT_TOLD)]
    return ServingError(code, told[0] if told else type(error).__name__)
