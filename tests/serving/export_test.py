"""From a study to the numbered versions that TF Serving picks up, and the command that does it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import pathlib
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from serving.publish import sources, versions
from tests import commands
from tests.serving import made_up


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("study")
    made_up.make_study(directory, {"V": 9.0, "NP": 8.5, "FGR": 8.75})
    # What a killed process may leave.
    (directory / "best" / ".tmp-x").mkdir()
    (directory / "best" / ".tmp-x" / "card.json").write_text('{"validation": 1.0}')
    return directory


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes something in place of a graph: which versions there are does not depend on it."""

    def write(model: object, found: object, folder: pathlib.Path) -> dict[str, object]:
        (folder / "saved_model.pb").write_text("a graph")
        return {}

    monkeypatch.setattr(versions.signatures, "write_saved_model", write)


def test_versions_count_up_as_tf_serving_reads_them(
    study: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    base = tmp_path / "music"
    first = versions.publish(sources.find_best(study, "V"), base)
    assert first == base / "1"
    assert versions.publish(sources.find_best(study, "V"), base) == first
    (base / "v7").mkdir()
    (base / "12").mkdir()
    assert versions.versions(base) == [1, 12]
    second = versions.publish(sources.find_best(study, "NP"), base)
    assert second == base / "13"
    assert sorted(path.name for path in base.iterdir()) == ["1", "12", "13", "v7"]
    # Nothing that the server's account could not read.
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [base / "13", *second.rglob("*")])


@pytest.mark.usefixtures("quick")
def test_a_version_is_never_overwritten(study: pathlib.Path, tmp_path: pathlib.Path) -> None:
    base, best = tmp_path / "music", sources.find_best(study)
    assert versions.publish(best, base, version=7) == base / "7"
    before = (base / "7" / "saved_model.pb").stat()
    with pytest.raises(InputError, match=r"--version: expected one that .* Received: 7"):
        versions.publish(best, base, version=7)
    with pytest.raises(InputError, match="--version"):
        versions.publish(sources.find_best(study, "FGR"), base, version=7)
    assert (base / "7" / "saved_model.pb").stat() == before
    assert versions.publish(sources.find_best(study, "V"), base) == base / "8"


@pytest.mark.usefixtures("quick")
def test_the_same_model_again_is_no_new_version(
    study: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    copy = tmp_path / "copy"
    model = keras.models.load_model(study / "best" / "V" / "model.keras")
    made_up.save(copy, model, {"variant": "V"})
    first = versions.publish(copy, tmp_path / "music")
    # Keras writes the time into its files.
    (copy / "model.keras").unlink()
    model.save(copy / "model.keras")
    assert versions.publish(copy, tmp_path / "music") == first
    model.set_weights([2 * weight for weight in model.get_weights()])
    model.save(copy / "model.keras")
    assert versions.publish(copy, tmp_path / "music").name == "2"


def test_a_failed_export_leaves_no_version(
    study: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(model: object, found: object, folder: pathlib.Path) -> None:
        (folder / "saved_model.pb").write_text("half")
        raise RuntimeError("died")

    monkeypatch.setattr(versions.signatures, "write_saved_model", die)
    with pytest.raises(RuntimeError, match="died"):
        versions.publish(sources.find_best(study), tmp_path / "music")
    assert list((tmp_path / "music").iterdir()) == []


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without"])
def test_who_publishes_at_the_same_time_overwrites_nobody(
    study: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    base, codes = tmp_path / "music", ["V", "FGR"]
    models = {code: keras.models.load_model(study / f"best/{code}/model.keras") for code in codes}
    writing, both = [], threading.Event()

    def write(model: object, found: object, folder: pathlib.Path) -> dict[str, object]:
        writing.append(folder)
        if len(writing) == 2:
            both.set()
        # Who holds a lock would wait in vain for the other one.
        assert locks or both.wait(300)
        return {}

    monkeypatch.setattr(versions.signatures, "write_saved_model", write)
    monkeypatch.setattr(versions, "load", lambda source: models[source.keras_file.parent.name])
    if not locks:
        monkeypatch.setattr(versions.files, "locked", contextlib.nullcontext)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda code: versions.publish(study / "best" / code, base), codes))
    assert {folder.name for folder in folders} == {"1", "2"}
    for code, folder in zip(codes, folders, strict=True):
        card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
        assert card["variant"] == code
    assert sorted(path.name for path in base.iterdir()) == ["1", "2"]


def test_the_command_exports(study: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = commands.run(
        "serving.export",
        f"--study_dir={study}",
        "--variant=FGR",
        f"--model_base_path={tmp_path}/music",
        "--version=3",
        "--labels=stable,canary",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{tmp_path}/music/3" in done.stdout
    assert "canary is 3, stable is 3" in done.stdout
    missing = commands.run("serving.export", f"--study_dir={study}")
    assert missing.returncode == 2
    assert missing.stderr == "error: --model_base_path: expected a folder. Received: nothing\n"


def test_a_bidirectional_export_reads_no_padding(tmp_path: pathlib.Path) -> None:
    model = made_up.make_network("V", 6, bidirectional=True)
    made_up.save(tmp_path / "best", model, {})
    served = versions.publish(tmp_path / "best", tmp_path / "served")

    generator = np.random.default_rng(6)
    lengths = np.array([4, 6, 1, 0], np.int32)
    sequence = generator.normal(size=(4, 6, made_up.FEATURES)).astype(np.float32)
    serve = tf.saved_model.load(served).signatures["serving_default"]
    answer = serve(sequence=tf.constant(sequence), lengths=tf.constant(lengths))
    assert set(answer) == {"logits"}
    for row, length in enumerate(lengths[:3]):
        alone = np.asarray(model(sequence[row : row + 1, :length]))[0]
        np.testing.assert_allclose(answer["logits"][row, :length], alone, atol=1e-6)
    empty = serve(sequence=tf.zeros((2, 0, made_up.FEATURES)), lengths=tf.zeros(2, tf.int32))
    assert empty["logits"].shape == (2, 0, made_up.OUTPUTS)
