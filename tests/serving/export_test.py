"""An export against the Keras model, in a process that has neither this project nor Keras."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from serving import signatures, versions
from serving.command_line import InputError

FEATURES, OUTPUTS, UNITS = 5, 3, 4


def make_study(directory: pathlib.Path, validations: dict[str, float]) -> dict[str, keras.Model]:
    """The files that serving knows of a study: a model and a card for each variant."""
    models = {}
    for seed, (code, validation) in enumerate(validations.items()):
        keras.utils.set_random_seed(seed)
        # Biases and peepholes too, so that no wrong order goes unseen.
        normal = {
            name: keras.initializers.RandomNormal(stddev=0.7, seed=10 * seed + offset)
            for offset, name in enumerate(
                (
                    "kernel_initializer",
                    "recurrent_initializer",
                    "bias_initializer",
                    "peephole_initializer",
                )
            )
        }
        cell = zoo.make_cell(code, units=UNITS, unit_forget_bias=False, **normal)
        models[code] = zoo.networks.next_step(cell, FEATURES, OUTPUTS)
        folder = directory / "best" / code
        folder.mkdir(parents=True)
        models[code].save(folder / "model.keras")
        (folder / "card.json").write_text(json.dumps({"variant": code, "validation": validation}))
    return models


# Loads the exports named on the command line without this project or Keras.
CLIENT = """
import sys

for missing in ("keras", "tf_keras", "zoo", "tuner", "serving"):
    # What Python then does is what it does when a package is not installed.
    sys.modules[missing] = None

import numpy as np
import tensorflow as tf

data = np.load(sys.argv[1])
results = {}
for folder in sys.argv[3:]:
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    answer = serve(sequence=tf.constant(data["sequence"]), lengths=tf.constant(data["lengths"]))
    results |= {folder + ":" + name: value.numpy() for name, value in answer.items()}
    single = serve(sequence=tf.constant(data["sequence"][1:2, :4]), lengths=tf.constant([4]))
    results[folder + ":single"] = single["logits"].numpy()
assert sys.modules["keras"] is None and sys.modules["zoo"] is None
np.savez(sys.argv[2], **results)
"""


def test_all_variants_answer_as_the_keras_model_does(tmp_path: pathlib.Path) -> None:
    validations = {code: 9.0 for code in zoo.list_variants()}
    models = make_study(tmp_path / "study", validations)
    generator = np.random.default_rng(1)
    lengths = np.array([7, 4, 1], np.int32)
    sequence = generator.normal(size=(3, 7, FEATURES)).astype(np.float32)
    for row, length in enumerate(lengths):
        # How TF Serving pads: with the first element of the tensor.
        sequence[row, length:] = sequence[0, 0, 0]
    np.savez(tmp_path / "data.npz", sequence=sequence, lengths=lengths)

    folders = {
        code: versions.publish(
            versions.find_best(tmp_path / "study", code), tmp_path / "served" / code
        )
        for code in models
    }
    subprocess.run(
        [
            sys.executable,
            "-c",
            CLIENT,
            str(tmp_path / "data.npz"),
            str(tmp_path / "answers.npz"),
            *map(str, folders.values()),
        ],
        check=True,
        # Not from the checkout.
        cwd=tmp_path,
    )
    with np.load(tmp_path / "answers.npz") as loaded:
        answers = {name: loaded[name] for name in loaded.files}

    for code, model in models.items():
        answer = {
            name.split(":")[1]: value
            for name, value in answers.items()
            if name.startswith(f"{folders[code]}:")
        }
        cell = model.get_layer(zoo.networks.RECURRENT).cell
        stepper = keras.layers.RNN(cell, return_state=True)
        names = ["h", "c", "gates"][: len(cell.state_size)]
        assert set(answer) == {"logits", "single", *names}
        for row, length in enumerate(lengths):
            alone = sequence[row : row + 1, :length]
            logits = np.asarray(model(alone))[0]
            np.testing.assert_allclose(answer["logits"][row, :length], logits, atol=1e-6)
            for name, state in zip(names, stepper(alone)[1:], strict=True):
                np.testing.assert_allclose(answer[name][row], np.asarray(state)[0], atol=1e-6)
        np.testing.assert_allclose(answer["single"][0], answer["logits"][1, :4], atol=1e-6)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("study")
    make_study(directory, {"V": 9.0, "NP": 8.5, "FGR": 8.75})
    # What a killed process may leave.
    (directory / "best" / ".tmp-x").mkdir()
    (directory / "best" / ".tmp-x" / "card.json").write_text('{"validation": 1.0}')
    return directory


def test_the_best_is_chosen_by_validation(study: pathlib.Path) -> None:
    assert versions.find_best(study).name == "NP"
    assert versions.find_best(study, "FGR").name == "FGR"


@pytest.mark.parametrize(
    ("directory", "variant", "named"),
    [("nowhere", "best", "nowhere"), (".", "NIG", "--variant: expected best or one of FGR, NP, V")],
)
def test_what_is_not_there_is_one_line(
    study: pathlib.Path, directory: str, variant: str, named: str
) -> None:
    with pytest.raises(InputError, match=named) as caught:
        versions.find_best(study / directory, variant)
    assert "\n" not in str(caught.value)


def test_versions_count_up_as_tf_serving_reads_them(
    study: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    base = tmp_path / "music"
    first = versions.publish(versions.find_best(study, "V"), base)
    assert first == base / "1"
    assert versions.publish(versions.find_best(study, "V"), base) == first
    (base / "v7").mkdir()
    (base / "12").mkdir()
    assert versions.versions(base) == [1, 12]
    second = versions.publish(versions.find_best(study, "NP"), base)
    assert second == base / "13"
    assert sorted(path.name for path in base.iterdir()) == ["1", "12", "13", "v7"]
    card = json.loads((second / "assets.extra" / "card.json").read_text())
    assert card["variant"] == "NP"
    # Nothing that the server's account could not read.
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [base / "13", *second.rglob("*")])


def test_a_failed_export_leaves_no_version(
    study: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(
        model_path: pathlib.Path, folder: pathlib.Path, meaning: signatures.Meaning
    ) -> None:
        (folder / "saved_model.pb").write_text("half")
        raise RuntimeError("died")

    monkeypatch.setattr(versions.signatures, "write_saved_model", die)
    with pytest.raises(RuntimeError, match="died"):
        versions.publish(versions.find_best(study), tmp_path / "music")
    assert list((tmp_path / "music").iterdir()) == []


def test_the_command_exports(study: pathlib.Path, tmp_path: pathlib.Path) -> None:
    root = pathlib.Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "serving.export"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], cwd=root, text=True, capture_output=True, check=False
        )

    done = run(f"--study_dir={study}", "--variant=FGR", f"--model_base_path={tmp_path}/music")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path}/music/1" in done.stdout
    missing = run(f"--study_dir={study}")
    assert missing.returncode == 2
    assert missing.stderr == "error: --model_base_path: expected a folder. Received: nothing\n"


def test_a_bidirectional_export_reads_no_padding(tmp_path: pathlib.Path) -> None:
    cell = zoo.make_cell("FGR", units=UNITS, unit_forget_bias=False)
    model = zoo.networks.framewise(cell, FEATURES, OUTPUTS)
    generator = np.random.default_rng(6)
    model.set_weights([generator.normal(size=weight.shape) for weight in model.weights])
    model.save(tmp_path / "model.keras")
    (tmp_path / "served").mkdir()
    meaning = signatures.Meaning()
    signatures.write_saved_model(tmp_path / "model.keras", tmp_path / "served", meaning)

    lengths = np.array([4, 6, 1], np.int32)
    sequence = generator.normal(size=(3, 6, FEATURES)).astype(np.float32)
    serve = tf.saved_model.load(tmp_path / "served").signatures["serving_default"]
    answer = serve(sequence=tf.constant(sequence), lengths=tf.constant(lengths))
    assert set(answer) == {"logits"}
    for row, length in enumerate(lengths):
        alone = np.asarray(model(sequence[row : row + 1, :length]))[0]
        np.testing.assert_allclose(answer["logits"][row, :length], alone, atol=1e-5)
