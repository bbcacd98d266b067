"""Exports a trained model as a SavedModel for TF Serving, or for ONNX Runtime or LiteRT.

    python -m serving.export --study_dir=studies/music --model_base_path=models/music

writes `models/music/1` (the next time `2`, and so on), which TensorFlow Serving serves with
`--model_name=music --model_base_path=models/music`. The SavedModel needs neither this project nor
Keras.

    python -m serving.export --keras_file=model.keras --model_base_path=models/mine
    python -m serving.export --pretrained=music-NP --format=onnx --out=music.onnx
    python -m serving.export --pretrained=music-NP --format=litert --out=music.tflite
    python -m serving.export --pretrained=music-NP --format=onnx --out=small.onnx --quantize=dynamic
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from common import command_line, import_path
from common.errors import InputError, install

if TYPE_CHECKING:
    from serving.convert.quantization import Data, Quantization
    from serving.publish.sources import Source

_STUDY_DIR = flags.DEFINE_string("study_dir", None, "Directory of the study that trained it.")
_VARIANT = flags.DEFINE_string(
    "variant", None, "Of the study, the variant whose best model to export [the best of all]."
)
_KERAS_FILE = flags.DEFINE_string(
    "keras_file",
    None,
    "A network of zoo.networks that Keras saved; card.json beside it describes it.",
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained", None, "Name of a model that comes with the package, such as music-NP."
)
_FORMAT = flags.DEFINE_enum(
    "format",
    "saved_model",
    ["saved_model", "onnx", "litert"],
    "saved_model is for TF Serving; onnx is a file for each signature; litert is one file, for "
    "batches of 1. The latter two are checked against the model before they are written.",
)
_MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path", None, "Folder of the model's versions; a new version is added to it."
)
_VERSION = flags.DEFINE_integer(
    "version", None, "Number of the version, which must be new [the next].", 1, 2**63 - 1
)
_LABELS = flags.DEFINE_list(
    "labels", [], "Labels for the version, such as stable,canary: written to models.config."
)
_SERVING_BASE_PATH = flags.DEFINE_string(
    "serving_base_path", None, "Where the server sees --model_base_path, for models.config [there]."
)
_OUT = flags.DEFINE_string("out", None, "File to write with --format=onnx or litert.")
_QUANTIZE = flags.DEFINE_enum(
    "quantize",
    None,
    ["dynamic", "int8"],
    "Weights in 8 bits, for --format=onnx or litert: dynamic finds the scales of activations as it "
    "runs, int8 (litert) takes them from --data.",
)
_DATA = flags.DEFINE_string(
    "data", None, "Data of the task, which measure the quantized model again: `auto` or a path."
)
_TASK = flags.DEFINE_string(
    "task", None, "Task of --data, as the study takes it [the one that the model's card names]."
)


def main() -> int:
    """Runs the command."""
    for_server = _FORMAT.value == "saved_model"
    wanted, other = (_MODEL_BASE_PATH, _OUT) if for_server else (_OUT, _MODEL_BASE_PATH)
    if wanted.value is None:
        kind = "a folder" if for_server else "a file"
        raise InputError(f"--{wanted.name}: expected {kind}. Received: nothing")
    for flag in (other, *([] if for_server else [_VERSION, _LABELS, _SERVING_BASE_PATH])):
        if flag.value:
            raise InputError(
                f"--{flag.name}: expected nothing with --format={_FORMAT.value}. "
                f"Received: {flag.value}"
            )
    _refuse_quantization()
    for flag, needed in ((_DATA, _QUANTIZE), (_TASK, _DATA)):
        if flag.value is not None and needed.value is None:
            raise InputError(
                f"--{flag.name}: expected together with --{needed.name}. Received: {flag.value}"
            )
    from serving.publish import labels, sources

    labels.check(_LABELS.value)
    source = sources.choose(
        study_directory=_STUDY_DIR.value,
        variant=_VARIANT.value,
        keras_file=_KERAS_FILE.value,
        pretrained=_PRETRAINED.value,
    )
    command_line.start_tensorflow()
    return (_publish if for_server else _convert)(source, Path(wanted.value))


def _refuse_quantization() -> None:
    """Refuses flags for quantization that do not fit together."""
    mode, file_format = _QUANTIZE.value, _FORMAT.value
    if mode is not None and file_format == "saved_model":
        raise InputError(
            "--quantize: expected --format=onnx or litert with it: TF Serving computes in float32. "
            "Received: --format=saved_model"
        )
    if mode == "int8" and file_format == "onnx":
        raise InputError(
            "--quantize: expected dynamic with --format=onnx, whose static quantization does not "
            "reach into loops. Received: int8"
        )
    if mode == "int8" and _DATA.value is None:
        raise InputError(
            "--quantize: expected --data with int8, whose scales come from examples. "
            "Received: no --data"
        )


def _publish(source: Source, model_base_path: Path) -> int:
    from serving.publish import labels, versions

    folder = versions.publish(source, model_base_path, _VERSION.value)
    print(f"exported {source.keras_file} to {folder}")
    if _LABELS.value:
        known = labels.attach(_LABELS.value, folder, _SERVING_BASE_PATH.value)
        written = ", ".join(f"{label} is {number}" for label, number in sorted(known.items()))
        print(f"labels in {folder.parent / labels.FILE}: {written}")
    return 0


def _convert(source: Source, path: Path) -> int:
    from serving.convert import litert, onnx

    convert = onnx.convert if _FORMAT.value == "onnx" else litert.convert
    for line in convert(source, path, quantization=_quantization(source)):
        print(line)
    return 0


def _quantization(source: Source) -> Quantization | None:
    if _QUANTIZE.value is None:
        return None
    from serving.convert.quantization import Quantization

    data = None if _DATA.value is None else _measurement(source, _DATA.value)
    return Quantization(_QUANTIZE.value, data)


def _measurement(source: Source, data: str) -> Data:
    task = _TASK.value or source.card.get("task")
    if task is None:
        raise InputError("--task: expected the task of --data: no card names it. Received: nothing")
    try:
        # Imported by name: the study is a higher layer, and models are exported without it.
        measurement = import_path.find("tuner.tasks.measurement:Measurement")
    except ValueError as error:
        raise InputError(
            f"--data: expected the packages of the study, which measures. Received: {error}; run "
            f"`{install('study')}`"
        ) from error
    found: Data = measurement.of(task, data)
    return found


if __name__ == "__main__":
    command_line.run(main)
