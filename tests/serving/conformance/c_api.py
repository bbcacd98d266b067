"""Runs SavedModels through TensorFlow's C API, in a process without Python's TensorFlow.

    python c_api.py job.json

The loader behind `TF_LoadSessionFromSavedModel` is the one that TF Serving uses. The job names the
shared libraries, the models' folders, their signatures (names of the tensors in the graph, which a
client of the C API has to know beforehand), a file of inputs, and one for the answers.
"""

from __future__ import annotations

import ctypes
import json
import pathlib
import sys
from typing import Any

import numpy as np

NUMBERS = {np.dtype(np.float32): 1, np.dtype(np.int32): 3}
TYPES = {number: dtype for dtype, number in NUMBERS.items()}


class Output(ctypes.Structure):
    """`TF_Output`: one result of an operation."""

    _fields_ = (("oper", ctypes.c_void_p), ("index", ctypes.c_int))


class Library:
    """The functions of the C API that running a SavedModel takes."""

    def __init__(self, paths: list[str]) -> None:
        for path in paths:
            self._library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        for name, kind in {
            "TF_AllocateTensor": pointer,
            "TF_Dim": ctypes.c_int64,
            "TF_GetCode": number,
            "TF_GraphOperationByName": pointer,
            "TF_LoadSessionFromSavedModel": pointer,
            "TF_Message": ctypes.c_char_p,
            "TF_NewGraph": pointer,
            "TF_NewSessionOptions": pointer,
            "TF_NewStatus": pointer,
            "TF_NumDims": number,
            "TF_TensorByteSize": ctypes.c_size_t,
            "TF_TensorData": pointer,
            "TF_TensorType": number,
        }.items():
            getattr(self._library, name).restype = kind
        self.status = pointer(self._library.TF_NewStatus())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    def check(self) -> None:
        """Raises what went wrong in the last call."""
        if self.TF_GetCode(self.status) != 0:
            raise RuntimeError(self.TF_Message(self.status).decode())

    def to_tensor(self, array: np.ndarray) -> ctypes.c_void_p:
        """Copies an array into a tensor."""
        array = np.ascontiguousarray(array)
        dims = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        tensor = ctypes.c_void_p(
            self.TF_AllocateTensor(NUMBERS[array.dtype], dims, array.ndim, size)
        )
        ctypes.memmove(self.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def to_array(self, tensor: ctypes.c_void_p) -> np.ndarray:
        """Copies a tensor into an array."""
        shape = [self.TF_Dim(tensor, axis) for axis in range(self.TF_NumDims(tensor))]
        array = np.empty(shape, TYPES[self.TF_TensorType(tensor)])
        assert array.nbytes == self.TF_TensorByteSize(tensor)
        ctypes.memmove(array.ctypes.data, self.TF_TensorData(tensor), array.nbytes)
        return array


class Model:
    """A SavedModel in a session."""

    def __init__(self, library: Library, folder: str, signatures: dict[str, Any]) -> None:
        self._library, self._signatures = library, signatures
        self._graph = ctypes.c_void_p(library.TF_NewGraph())
        options = ctypes.c_void_p(library.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = ctypes.c_void_p(
            library.TF_LoadSessionFromSavedModel(
                options, None, folder.encode(), tags, 1, self._graph, None, library.status
            )
        )
        library.check()
        library.TF_DeleteSessionOptions(options)

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature."""
        library, names = self._library, self._signatures[signature]
        assert sorted(inputs) == sorted(names["inputs"])
        fed = self._outputs(names["inputs"], list(inputs))
        keys = list(names["outputs"])
        fetched = self._outputs(names["outputs"], keys)
        values = (ctypes.c_void_p * len(inputs))(
            *(library.to_tensor(array).value for array in inputs.values())
        )
        answers = (ctypes.c_void_p * len(keys))()
        library.TF_SessionRun(
            *(self._session, None),
            *(fed, values, len(inputs)),
            *(fetched, answers, len(keys)),
            *(None, 0, None, library.status),
        )
        library.check()
        tensors = [ctypes.c_void_p(answer) for answer in answers]
        found = dict(zip(keys, map(library.to_array, tensors), strict=True))
        for tensor in [*tensors, *map(ctypes.c_void_p, values)]:
            library.TF_DeleteTensor(tensor)
        return found

    def _outputs(self, tensors: dict[str, str], keys: list[str]) -> Any:
        found = []
        for key in keys:
            name, index = tensors[key].rsplit(":", 1)
            operation = self._library.TF_GraphOperationByName(self._graph, name.encode())
            assert operation, f"no operation {name}"
            found.append(Output(operation, int(index)))
        return (Output * len(found))(*found)

    def close(self) -> None:
        """Frees session and graph."""
        library = self._library
        library.TF_CloseSession(self._session, library.status)
        library.TF_DeleteSession(self._session, library.status)
        library.TF_DeleteGraph(self._graph)


def stream(
    model: Model, sequence: np.ndarray, states: dict[str, np.ndarray], cuts: list[int]
) -> dict[str, np.ndarray]:
    """Reads a sequence in pieces; with no cuts, frame by frame."""
    logits = []
    pieces = np.split(sequence, cuts, axis=1) if cuts else [None] * sequence.shape[1]
    for time, piece in enumerate(pieces):
        if piece is None:
            answer = model.run("step", {"frame": sequence[:, time], **states})
            logits.append(answer["logits"][:, None])
        else:
            lengths = np.full(len(piece), piece.shape[1], np.int32)
            answer = model.run("chunk", {"sequence": piece, "lengths": lengths, **states})
            logits.append(answer["logits"])
        states = {name: answer[f"next_{name}"] for name in states}
    return {"logits": np.concatenate(logits, axis=1), **states}


def main(job_path: str) -> None:
    """Does a job."""
    job = json.loads(pathlib.Path(job_path).read_text())
    library = Library(job["libraries"])
    answers = {}
    with np.load(job["inputs"]) as inputs:
        for code, described in job["models"].items():
            model = Model(library, described["folder"], described["signatures"])
            for case in job["cases"]:
                sequence, lengths = inputs[f"{case}/sequence"], inputs[f"{case}/lengths"]
                zeros = {
                    name: np.zeros((len(sequence), width), np.float32)
                    for name, width in described["states"].items()
                }
                whole = {"sequence": inputs[f"{case}/padded"], "lengths": lengths}
                found = {
                    "whole": model.run("serving_default", whole),
                    "chunk": model.run("chunk", {**whole, **zeros}),
                    "chunks": stream(model, sequence, zeros, job["cuts"]),
                    "steps": stream(model, sequence, zeros, []),
                }
                for way, answer in found.items():
                    for name, value in answer.items():
                        answers[f"{code}/{case}/{way}/{name}"] = value
            model.close()
    assert not {"tensorflow", "keras", "zoo"} & set(sys.modules)
    np.savez(job["answers"], **answers)


if __name__ == "__main__":
    main(sys.argv[1])
