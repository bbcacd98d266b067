"""An exported model in this process, without a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy.typing as npt

from common.command_line import start_tensorflow
from common.errors import InputError
from serving.clients import checks
from serving.clients.errors import ServingError
from serving.clients.predictor import DEFAULT_SIGNATURE, Array
from serving.specs import Signature, callable_signatures

_SAVED_MODEL = "saved_model.pb"


class LocalModel:
    """A `Predictor` that loads a SavedModel and runs it here; threads may share it.

    A session of TensorFlow 1 runs it: the same graph, read and asked faster than by
    `tf.saved_model.load` (which makes Python functions of everything in it).

    Args:
        folder: the folder of a version, or that of all versions of a model: the latest is taken.

    Raises:
        InputError: if there is no SavedModel, or TensorFlow cannot load it.

    Example:
        >>> model = LocalModel(Path("models/music"))  # doctest: +SKIP
        >>> model.predict({"sequence": roll[None], "lengths": [len(roll)]})  # doctest: +SKIP
        {'logits': array([[[-5.1, ...]]], dtype=float32), 'h': ..., 'c': ...}
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = version_folder(Path(folder))
        start_tensorflow()
        import tensorflow as tf

        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default(), _without_advice():
                content = tf.compat.v1.saved_model.loader.load(
                    self._session, [tf.saved_model.SERVING], str(self.folder)
                )
        except (tf.errors.OpError, OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.folder}: expected a SavedModel that TensorFlow {tf.__version__} loads. "
                f"Received: {_cause(error)}"
            ) from error
        self._signatures = callable_signatures(content.signature_def)
        self._runs: dict[str, Callable[..., list[Array]]] = {}
        self._lock = threading.Lock()

    def signatures(self) -> Mapping[str, Signature]:
        """What the model can be asked, by name of the signature."""
        return self._signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Runs the model; see `serving.clients.predictor.Predictor.predict`."""
        import tensorflow as tf

        where = f"model {self.folder}"
        spec = checks.signature_of(where, self._signatures, signature)
        arrays = checks.prepared(where, spec, inputs)
        try:
            values = self._run(signature)(*arrays.values())
        except tf.errors.OpError as error:
            raise ServingError(_name_of(error.error_code), f"{where}: {_cause(error)}") from error
        return dict(zip(spec.outputs, values, strict=True))

    def _run(self, name: str) -> Callable[..., list[Array]]:
        with self._lock:
            if name not in self._runs:
                spec = self._signatures[name]
                graph = self._session.graph
                tensors = [
                    [graph.get_tensor_by_name(tensor.tensor) for tensor in specs.values()]
                    for specs in (spec.outputs, spec.inputs)
                ]
                self._runs[name] = self._session.make_callable(*tensors)
            return self._runs[name]

    def close(self) -> None:
        """Frees the model."""
        self._session.close()

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps TensorFlow from recommending the slower way to load a model."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def version_folder(folder: Path) -> Path:
    """Finds the SavedModel in a folder.

    Args:
        folder: of a version, or of all versions of a model.

    Returns:
        The folder of the version: the given one, or that with the highest number.

    Raises:
        InputError: if there is none.
    """
    if (folder / _SAVED_MODEL).exists():
        return folder
    numbers = (path.parent for path in folder.glob(f"*/{_SAVED_MODEL}"))
    versions = [path for path in numbers if path.name.isdecimal()]
    if not versions:
        raise InputError(
            f"{folder}: expected a folder with {_SAVED_MODEL}, or of versions (1/{_SAVED_MODEL}). "
            f"Received: {'neither' if folder.is_dir() else 'no such folder'}"
        )
    return max(versions, key=lambda path: int(path.name))


def _cause(error: Exception) -> str:
    """What went wrong, without the place in the graph: TensorFlow writes that around it."""
    lines = [line for line in str(error).splitlines() if line and not line[0].isspace()]
    return lines[-1] if lines else type(error).__name__


def _name_of(code: int) -> str:
    import tensorflow as tf

    names = (name for name, value in vars(tf.errors).items() if value == code)
    return next(names, "UNKNOWN")
