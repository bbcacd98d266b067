"""Exports a study's best model as a SavedModel for TF Serving.

    python -m serving.export --study_dir=studies/music --model_base_path=models/music

writes `models/music/1` (the next time `2`, and so on), which TensorFlow Serving serves with
`--model_name=music --model_base_path=models/music`. The SavedModel needs neither this project nor
Keras.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from serving import command_line
from serving.command_line import InputError

_STUDY_DIR = flags.DEFINE_string("study_dir", None, "Directory of the study.")
_VARIANT = flags.DEFINE_string(
    "variant", "best", "Variant whose best model to export, or `best` for the best of all."
)
_MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path", None, "Folder of the model's versions; a new version is added to it."
)


def main() -> int:
    """Runs the command."""
    study_directory, model_base_path = _STUDY_DIR.value, _MODEL_BASE_PATH.value
    if study_directory is None or model_base_path is None:
        missing = "study_dir" if study_directory is None else "model_base_path"
        raise InputError(f"--{missing}: expected a folder. Received: nothing")
    command_line.start_tensorflow()
    from serving import versions

    folder = versions.find_best(Path(study_directory), _VARIANT.value)
    print(f"exported {folder} to {versions.publish(folder, Path(model_base_path))}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
