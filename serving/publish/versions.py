"""Publishes a trained model as a numbered version that TF Serving picks up."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np

from common import files
from common.errors import InputError, reason
from serving.graph import signatures
from serving.graph.inference import Network
from serving.publish import model_card, sources, warmup
from serving.publish.sources import Source
from serving.runtime import saved_model
from serving.runtime.saved_model import LARGEST


def versions(model_base_path: Path) -> list[int]:
    """Lists the versions of a model by TF Serving's rule: folders whose names are numbers.

    Raises:
        InputError: if the folder is itself a version.
    """
    if not model_base_path.exists():
        return []
    if (model_base_path / saved_model.FILE).exists():
        raise InputError(
            "--model_base_path: expected the folder of a model's versions. "
            f"Received: {model_base_path}, which is a version itself; its base path is "
            f"{model_base_path.absolute().parent}"
        )
    return list(saved_model.find_versions(model_base_path))


def publish(model: Source | Path, model_base_path: Path, version: int | None = None) -> Path:
    """Exports a model as a new version: the next one, unless the latest is the same model.

    The version appears at once and whole: a server that polls the folder never loads half of it.
    Processes that publish to the same folder at the same time wait for each other.

    Args:
        model: where the model comes from; or its folder, such as `best/<code>` of a study.
        model_base_path: folder of the model's versions; created if it does not exist.
        version: number of the version; None for the next one.

    Returns:
        The folder of the version.

    Raises:
        InputError: if the version exists or is not a positive 63-bit integer, the model is not one
            of `zoo.networks`, or the card does not match it.
        OSError: if the version cannot be written.
    """
    source = sources.from_folder(model) if isinstance(model, Path) else model
    if version in versions(model_base_path):
        raise _taken(model_base_path, version)
    if version is not None and not 0 < version <= LARGEST:
        raise _no_number(version)
    loaded = load(source)
    network = Network.of(loaded, str(source.keras_file))
    described = model_card.describe(source, loaded, network)
    endpoints = signatures.endpoints(network, signatures.Meaning.of(source.card))
    model_base_path.mkdir(parents=True, exist_ok=True)

    def write(folder: Path) -> None:
        found = signatures.write_saved_model(loaded, endpoints, folder)
        model_card.write(folder, described, found)
        warmup.write(folder, found)

    # The graph takes at most a few hundred kilobytes.
    size = 2**21 + 2 * source.keras_file.stat().st_size
    with files.locked(model_base_path):
        while True:
            present = versions(model_base_path)
            latest = model_base_path / str(present[-1] if present else 0)
            if version is None and model_card.is_of(model_card.read(latest), described):
                return latest
            number = version or int(latest.name) + 1
            if number > LARGEST:
                raise _no_number(number)
            folder = model_base_path / str(number)
            try:
                files.write_new_folder(folder, write, size=size)
            except FileExistsError as error:
                # A process that ignores the lock was faster.
                if version is not None:
                    raise _taken(model_base_path, version) from error
            else:
                return folder


def load(source: Source) -> keras.Model:
    """Loads the model of a source.

    Raises:
        InputError: if Keras cannot load it, or a weight is not finite.
    """
    try:
        model = keras.models.load_model(source.keras_file, compile=False)
    except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{source.keras_file}: expected a model that Keras {keras.__version__} loads. "
            f"Received: {reason(error)}"
        ) from error
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise InputError(
                f"{source.keras_file}: expected finite weights. "
                f"Received: {weight.path} with NaN or infinity"
            )
    return model


def _no_number(version: int) -> InputError:
    return InputError(
        f"--version: expected a number from 1 to {LARGEST}, which a server can count. "
        f"Received: {version}"
    )


def _taken(model_base_path: Path, version: int | None) -> InputError:
    return InputError(
        f"--version: expected one that {model_base_path} does not have: a version is never "
        f"overwritten. Received: {version}"
    )
