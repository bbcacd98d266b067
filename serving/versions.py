"""From a trained model to a numbered version that TF Serving picks up."""

from __future__ import annotations

from pathlib import Path

import keras

from common import files
from common.errors import InputError
from serving import model_card, signatures, sources, warmup
from serving.inference import Network
from serving.sources import Source


def versions(model_base_path: Path) -> list[int]:
    """Lists the versions of a model, as TF Serving counts them: folders named by a number."""
    if not model_base_path.exists():
        return []
    return sorted(int(entry.name) for entry in model_base_path.iterdir() if entry.name.isdecimal())


def publish(model: Source | Path, model_base_path: Path, version: int | None = None) -> Path:
    """Exports a model as a new version; as the next, unless the latest is that very model.

    The version appears at once and whole: a server that polls the folder never loads half of it.
    Of processes that publish to the same folder at the same time, one waits for the other.

    Args:
        model: where it comes from; or its folder, such as `best/<code>` of a study.
        model_base_path: folder of the model's versions; made if it does not exist.
        version: number of the version, if it is not to be the next.

    Returns:
        The folder of the version.

    Raises:
        InputError: if the version exists, the model is none of `zoo.networks`, or the card does not
            fit it.
        OSError: if it cannot be written.
    """
    source = sources.from_folder(model) if isinstance(model, Path) else model
    if version in versions(model_base_path):
        raise _taken(model_base_path, version)
    loaded = load(source)
    network = Network.of(loaded, str(source.keras_file))
    described = model_card.describe(source, loaded, network)
    endpoints = signatures.endpoints(network, signatures.Meaning.of(source.card))
    model_base_path.mkdir(parents=True, exist_ok=True)

    def write(folder: Path) -> None:
        found = signatures.write_saved_model(loaded, endpoints, folder)
        model_card.write(folder, described, found)
        warmup.write(folder, found)

    # The graph is no larger than some hundred kilobytes.
    size = 2**21 + 2 * source.keras_file.stat().st_size
    with files.locked(model_base_path):
        while True:
            present = versions(model_base_path)
            latest = model_base_path / str(present[-1] if present else 0)
            if version is None and model_card.is_of(model_card.read(latest), described):
                return latest
            folder = model_base_path / str(version or int(latest.name) + 1)
            try:
                files.write_new_folder(folder, write, size=size)
            except FileExistsError as error:
                # Somebody who heeds no locks was faster.
                if version is not None:
                    raise _taken(model_base_path, version) from error
            else:
                return folder


def load(source: Source) -> keras.Model:
    """Loads the model of a source.

    Raises:
        InputError: if Keras cannot.
    """
    try:
        return keras.models.load_model(source.keras_file, compile=False)
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{source.keras_file}: expected a model that Keras {keras.__version__} loads. "
            f"Received: {reason}"
        ) from error


def _taken(model_base_path: Path, version: int | None) -> InputError:
    return InputError(
        f"--version: expected one that {model_base_path} does not have: a version is never "
        f"overwritten. Received: {version}"
    )
