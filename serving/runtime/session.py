"""A SavedModel in a session of TensorFlow's C API, as TensorFlow Serving runs it."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from common.errors import InputError
from serving.runtime import c_api, messages, saved_model
from serving.runtime.c_api import Failure, Output, Pointer
from serving.runtime.specs import Signature
from serving.runtime.status import Code

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""Environment variable that turns oneDNN off, with 0; it must be set before TensorFlow starts."""

_TAG = b"serve"


@functools.cache
def count_devices(intra_op_threads: int) -> int:
    """Makes TensorFlow find its devices, which it logs, and counts them.

    Args:
        intra_op_threads: threads per operation, 0 for TensorFlow's choice; it counts if this is the
            first call or `Session` of the process.

    Raises:
        InputError: if TensorFlow is not installed or does not start.
    """
    functions = c_api.library()
    status, graph = functions.TF_NewStatus(), functions.TF_NewGraph()
    options = _options(intra_op_threads, 0, status)
    session = functions.TF_NewSession(graph, options, status)
    try:
        c_api.raise_failure(status)
    except Failure as error:
        raise InputError(f"TensorFlow: expected it to start. Received: {error.cause}") from error
    devices = functions.TF_SessionListDevices(session, status)
    count: int = functions.TF_DeviceListCount(devices)
    functions.TF_DeleteDeviceList(devices)
    functions.TF_CloseSession(session, status)
    functions.TF_DeleteSession(session, status)
    functions.TF_DeleteSessionOptions(options)
    functions.TF_DeleteGraph(graph)
    functions.TF_DeleteStatus(status)
    return count


class Session:
    """A SavedModel that runs in this process; threads may share it.

    A call runs no Python and releases the interpreter lock. The tensors that feed and fetch a
    call's inputs and outputs are looked up once.

    Args:
        folder: folder of the SavedModel.
        intra_op_threads: threads per operation, 0 for TensorFlow's choice. All sessions of a
            process share the threads that the first one asked for.
        inter_op_threads: operations of a call at the same time, 0 for TensorFlow's choice. With 1,
            TensorFlow's single-threaded executor takes a half to nine tenths of the time for a
            recurrent network of 100 units, which has little to do at the same time. It needs a
            single device, a graph without control flow or variables of TensorFlow 1, and an
            environment with `TF_ENABLE_ONEDNN_OPTS=0`: with oneDNN, it adds the terms of a product
            with a single row in a different order inside a loop, and a stream would not be the
            whole sequence bit for bit. Elsewhere, 1 means TensorFlow's choice.

    Attributes:
        signatures: signatures by name, including those that cannot be called.
        signature_defs: the signatures as protocol messages, by name.

    Raises:
        InputError: if TensorFlow is not installed, or the folder has no SavedModel.
        Failure: if TensorFlow cannot load it.
    """

    def __init__(self, folder: Path, intra_op_threads: int = 1, inter_op_threads: int = 1) -> None:
        self._functions = c_api.library()
        self.signature_defs: Mapping[str, Any] = saved_model.read_signature_defs(folder)
        self.signatures = {
            name: Signature.of(message) for name, message in self.signature_defs.items()
        }
        if inter_op_threads == 1 and (
            os.environ.get(ONEDNN) != "0"
            or count_devices(intra_op_threads) > 1
            or saved_model.needs_parallel_executor(folder)
        ):
            inter_op_threads = 0
        self._graph = self._functions.TF_NewGraph()
        with self._status() as status:
            options = _options(intra_op_threads, inter_op_threads, status)
            self._session = self._load(folder, options, status)
        self._ports: dict[tuple[str, tuple[str, ...]], tuple[Any, Any]] = {}
        self._free = threading.Condition()
        self._running = 0
        self._is_closed = False

    def _load(self, folder: Path, options: int, status: int) -> Any:
        functions = self._functions
        try:
            tags = (ctypes.c_char_p * 1)(_TAG)
            session = functions.TF_LoadSessionFromSavedModel(
                options, None, str(folder).encode(), tags, 1, self._graph, None, status
            )
            c_api.raise_failure(status)
        except Failure:
            functions.TF_DeleteGraph(self._graph)
            raise
        finally:
            functions.TF_DeleteSessionOptions(options)
        return session

    @contextmanager
    def _status(self) -> Iterator[int]:
        status = self._functions.TF_NewStatus()
        try:
            yield status
        finally:
            self._functions.TF_DeleteStatus(status)

    def run(
        self,
        name: str,
        inputs: Mapping[str, npt.NDArray[Any]],
        outputs: Sequence[str] = (),
        seconds: float | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Runs a signature.

        Args:
            name: name of the signature.
            inputs: arrays by name, of the types that the signature expects. TensorFlow itself
                checks their shapes.
            outputs: names of the wanted outputs; empty for all.
            seconds: timeout in seconds; None for no timeout.

        Raises:
            Failure: if TensorFlow fails, or the timeout expires.
        """
        with self._using():
            fed, fetched = self._prepared(name, tuple(outputs))
            signature = self.signatures[name]
            keys = tuple(outputs) or tuple(signature.outputs)
            values = (Pointer * len(signature.inputs))()
            answers = (Pointer * len(keys))()
            try:
                for index, key in enumerate(signature.inputs):
                    values[index] = c_api.to_tensor(inputs[key])
                self._call(fed, values, fetched, answers, seconds)
                return {
                    key: c_api.to_array(answer) for key, answer in zip(keys, answers, strict=True)
                }
            finally:
                for tensor in (*values, *answers):
                    if tensor:
                        c_api.delete(tensor)

    def _call(
        self, fed: Any, values: Any, fetched: Any, answers: Any, seconds: float | None
    ) -> None:
        functions, options = self._functions, None
        if seconds is not None:
            # 0 would mean no timeout.
            hurry = messages.RunOptions(timeout_in_ms=max(int(1000 * seconds), 1))
            content = hurry.SerializeToString()
            options = functions.TF_NewBufferFromString(content, len(content))
        try:
            with self._status() as status:
                functions.TF_SessionRun(
                    *(self._session, options),
                    *(fed, values, len(values)),
                    *(fetched, answers, len(answers)),
                    *(None, 0, None, status),
                )
                c_api.raise_failure(status)
        finally:
            if options is not None:
                functions.TF_DeleteBuffer(options)

    def _prepared(self, name: str, outputs: tuple[str, ...]) -> tuple[Any, Any]:
        key = name, outputs
        if key not in self._ports:
            signature = self.signatures[name]
            fetched = [signature.outputs[output] for output in outputs or signature.outputs]
            self._ports[key] = (
                self._find([spec.tensor for spec in signature.inputs.values()]),
                self._find([spec.tensor for spec in fetched]),
            )
        return self._ports[key]

    def _find(self, tensors: Sequence[str]) -> Any:
        found = []
        for tensor in tensors:
            operation, _, index = tensor.rpartition(":")
            place = self._functions.TF_GraphOperationByName(self._graph, operation.encode())
            if not place or not index.isdecimal():
                raise Failure(Code.NOT_FOUND, f"the graph has no tensor {tensor!r}")
            found.append(Output(place, int(index)))
        return (Output * len(found))(*found)

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._free:
            if self._is_closed:
                raise Failure(Code.CANCELLED, "the model is closed")
            self._running += 1
        try:
            yield
        finally:
            with self._free:
                self._running -= 1
                self._free.notify_all()

    def close(self) -> None:
        """Frees all memory, once no call uses the model anymore."""
        with self._free:
            if self._is_closed:
                return
            self._is_closed = True
            self._free.wait_for(lambda: not self._running)
        with self._status() as status:
            self._functions.TF_CloseSession(self._session, status)
            self._functions.TF_DeleteSession(self._session, status)
        self._functions.TF_DeleteGraph(self._graph)
        self._ports.clear()


def _options(intra: int, inter: int, status: int) -> int:
    config = messages.ConfigProto(intra_op_parallelism_threads=intra, allow_soft_placement=True)
    if inter == 1:
        # Calls with a timeout still run in the threads that all sessions of the process share.
        config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    elif inter > 1:
        config.inter_op_parallelism_threads = inter
        config.use_per_session_threads = True
    functions, content = c_api.library(), config.SerializeToString()
    options: int = functions.TF_NewSessionOptions()
    functions.TF_SetConfig(options, content, len(content), status)
    return options
