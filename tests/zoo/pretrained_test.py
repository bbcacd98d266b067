"""The models that come with the package: names, files and, where the data is, their scores."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.io
import yaml

import zoo


def card(name: str) -> dict[str, object]:
    return json.loads((zoo.pretrained.find(name) / zoo.pretrained.CARD).read_text())


def test_there_is_one_of_every_variant() -> None:
    assert zoo.list_pretrained() == sorted(f"music-{code}" for code in zoo.list_variants())
    for name in zoo.list_pretrained():
        assert name == f"music-{card(name)['variant']}"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"got 'musicnp'. Did you mean 'music-NP'\?") as caught:
        zoo.load_pretrained("musicnp")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", zoo.list_pretrained())
def test_the_page_for_hugging_face(name: str) -> None:
    said = card(name)
    front, text = zoo.pretrained.hub_page(said, name).removeprefix("---\n").split("---\n", 1)
    read = yaml.safe_load(front)
    assert (read["library_name"], read["license"]) == ("keras", "apache-2.0")
    assert {"lstm", said["task"], said["variant"]} <= set(read["tags"])
    (model,) = read["model-index"]
    (result,) = model["results"]
    assert model["name"] == name and result["dataset"]["name"] == said["data"]["name"]
    scores = [(one["name"], one["value"]) for one in result["metrics"]]
    assert scores == [
        ("validation NLL (nats per frame)", said["validation"]),
        ("test NLL (nats per frame)", said["test"]),
    ]
    assert text.startswith(f"# {name}\n") and f"{said['test']:.3f}" in text


def test_a_model_on_hugging_face_is_loaded_by_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(keras.saving, "load_model", asked.append)
    assert zoo.load_pretrained("hf://someone/music-V") is None
    assert asked == ["hf://someone/music-V"]


@pytest.fixture(scope="module")
def chorales() -> list[np.ndarray]:
    """The test split of the published chorales, which lie beside the repository or nowhere."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "music"
    if not (folder / "JSB_Chorales.mat").is_file():
        pytest.skip("the published data is not beside the repository")
    return list(scipy.io.loadmat(folder / "JSB_Chorales.mat")["testdata"][0])


@pytest.mark.parametrize("code", zoo.list_variants())
def test_the_card_tells_the_score_of_the_model(code: str, chorales: list[np.ndarray]) -> None:
    model = zoo.load_pretrained(f"music-{code}")
    said = card(f"music-{code}")
    assert model.count_params() == said["parameters"]
    total = frames = 0.0
    longest = max(len(roll) for roll in chorales)
    padded = np.zeros((len(chorales), longest, 88), np.float32)
    for row, roll in zip(padded, chorales, strict=True):
        row[: len(roll)] = roll
    # Padding at the end changes nothing before it: the network reads forward only.
    logits = keras.ops.convert_to_numpy(model(padded)).astype(np.float64)
    for row, roll in zip(logits, chorales, strict=True):
        probability = 1 / (1 + np.exp(-row[: len(roll) - 1]))
        total -= np.log(np.where(roll[1:], probability, 1 - probability)).sum()
        frames += len(roll) - 1
    assert total / frames == pytest.approx(said["test"], rel=1e-5)


@pytest.mark.parametrize("name", ["music-FGR", "music-NOG"])
def test_the_weights_are_those_of_the_file(name: str) -> None:
    """Read from the file by Keras' own loader, which only knows the files of its own release."""
    model = zoo.load_pretrained(name)
    whole = keras.models.load_model(zoo.pretrained.find(name) / zoo.pretrained.MODEL)
    for ours, theirs in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
