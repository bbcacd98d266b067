"""Exported models that run in this process, without a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import command_line
from common.errors import InputError
from serving.clients.errors import ServingError
from serving.clients.predictor import Array, Predictor
from serving.runtime import saved_model
from serving.runtime.c_api import Failure
from serving.runtime.model import Model
from serving.runtime.session import Session
from serving.runtime.specs import Signature, callable_signatures


class LocalModel(Model):
    """A `Predictor` that loads a SavedModel and runs it in this process; threads may share it.

    TensorFlow's C library runs it, as in TensorFlow Serving; TensorFlow's Python package, which
    takes seconds to import, is not needed. (Messages on standard error come from the library; the
    environment variable `TF_CPP_MIN_LOG_LEVEL=2` suppresses most of them.)

    Args:
        folder: folder of a version, or of all versions of a model, of which the latest is used.

    Raises:
        InputError: if there is no SavedModel, or TensorFlow cannot load it.

    Example:
        >>> model = LocalModel(Path("models/music"))  # doctest: +SKIP
        >>> model.predict({"sequence": roll[None], "lengths": [len(roll)]})  # doctest: +SKIP
        {'logits': array([[[-5.1, ...]]], dtype=float32), 'h': ..., 'c': ...}
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = version_folder(Path(folder))
        try:
            self._session = Session(self.folder)
        except Failure as error:
            raise InputError(
                f"{self.folder}: expected a SavedModel that TensorFlow loads. "
                f"Received: {error.cause}"
            ) from error
        super().__init__(self.folder, callable_signatures(self._session.signature_defs))

    def _run(self, name: str, spec: Signature, arrays: dict[str, Array]) -> dict[str, Array]:
        try:
            return self._session.run(name, arrays)
        except Failure as error:
            raise ServingError(error.code.name, f"{self._where}: {error.cause}") from error

    def close(self) -> None:
        """Frees the model; later calls raise `ServingError`."""
        self._session.close()


@contextmanager
def opened(path: Path | str) -> Iterator[Predictor]:
    """Opens an exported model of any format until the context ends.

    Args:
        path: folder of a SavedModel, or of all its versions; `NAME.onnx` or `NAME.tflite`, as given
            to `serving.export --out`; or `NAME.keras`, which is exported first.

    Raises:
        InputError: if there is no such model, or the package that runs it is not installed.
    """
    path = Path(path)
    if path.suffix == ".keras":
        with tempfile.TemporaryDirectory() as folder:
            with _loaded(_export(path, Path(folder))) as model:
                yield model
        return
    with _loaded(path) as model:
        yield model


@contextmanager
def opened_quietly(path: Path | str) -> Iterator[Predictor]:
    """Opens a model as `opened` does, but hides the libraries' start-up messages.

    For commands, whose users would take the messages for errors. They are shown if the model cannot
    be opened, or if the environment sets `TF_CPP_MIN_LOG_LEVEL` below 2.

    Args:
        path: see `opened`.

    Raises:
        InputError: as `opened` does.
    """
    with ExitStack() as stack:
        with command_line.quiet_libraries():
            model = stack.enter_context(opened(path))
        yield model


def _export(path: Path, folder: Path) -> Path:
    command_line.start_tensorflow()
    from serving.publish import sources, versions

    return versions.publish(sources.from_file(path), folder / path.stem)


def _loaded(path: Path) -> Model:
    if path.suffix == ".onnx":
        from serving.runtime.onnx import OnnxModel

        return OnnxModel(path)
    if path.suffix == ".tflite":
        from serving.runtime.litert import LiteRTModel

        return LiteRTModel(path)
    return LocalModel(path)


def version_folder(folder: Path) -> Path:
    """Finds the SavedModel in a folder.

    Args:
        folder: folder of a version, or of all versions of a model.

    Returns:
        The folder of the version: the given one, or the one with the highest number.

    Raises:
        InputError: if there is no SavedModel.
    """
    if (folder / saved_model.FILE).exists():
        return folder
    numbers = (path.parent for path in folder.glob(f"*/{saved_model.FILE}"))
    versions = [path for path in numbers if saved_model.VERSION.fullmatch(path.name)]
    if not versions:
        file = saved_model.FILE
        raise InputError(
            f"{folder}: expected a folder with {file}, or of versions (1/{file}). "
            f"Received: {'neither' if folder.is_dir() else 'no such folder'}"
        )
    return max(versions, key=lambda path: int(path.name))
