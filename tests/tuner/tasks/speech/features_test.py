from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from tests.tuner.tasks.speech.conftest import spoken
from tuner.tasks.features import Extraction
from tuner.tasks.speech import features
from zoo.frontends import MFCC

SAMPLES = [spoken("fcjf0", f"si{number}").samples for number in range(5)]
LENGTHS = [(len(samples) - 400) // 160 + 1 for samples in SAMPLES]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Computes in this process, which takes no start; notes how many utterances each time."""
    calls: list[int] = []

    def run(extraction: Extraction, samples: list[np.ndarray]) -> list[np.ndarray]:
        calls.append(len(samples))
        return extraction.compute(samples)

    monkeypatch.setattr(Extraction, "run", run)
    return calls


def _one_by_one() -> list[np.ndarray]:
    layer = MFCC()
    found = (layer(one[None].astype(np.float32), np.array([len(one)]))[0] for one in SAMPLES)
    return [ops.convert_to_numpy(one)[0] for one in found]


def _assert_right(found: list[np.ndarray]) -> None:
    assert [one.shape for one in found] == [(length, 39) for length in LENGTHS]
    for one, expected in zip(found, _one_by_one(), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, expected, rtol=0, atol=2e-4)


def test_the_options_are_the_defaults_of_the_layer() -> None:
    options = features.EXTRACTION.options
    assert MFCC(**options).get_config().items() >= dict(options).items()
    defaults = MFCC().get_config()
    assert {name: defaults[name] for name in options} == options


def test_are_kept(
    here: list[int], cache_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = features.of(SAMPLES, "hash")
    printed = capfd.readouterr()
    assert printed.err == "Computing the features of 0.00 hours of speech; once ...\n"
    assert printed.out == ""
    _assert_right(first)
    second = features.of(SAMPLES, "hash")
    assert here == [5]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    features.of(SAMPLES, "another")
    assert here == [5, 5]
    assert len(list(cache_folder.iterdir())) == 2


def test_other_options_are_other_features(
    here: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    features.of(SAMPLES, "hash")
    other = {**features.EXTRACTION.options, "filters": 26}
    monkeypatch.setattr(features, "EXTRACTION", Extraction("MFCC", other))
    features.of(SAMPLES, "hash")
    assert here == [5, 5]


@pytest.mark.parametrize("damage", ["cut", "byte", "other", "shape"])
def test_a_damaged_file_is_made_again(here: list[int], cache_folder: Path, damage: str) -> None:
    features.of(SAMPLES, "hash")
    (path,) = cache_folder.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "shape":
        np.savez(path, features=np.zeros((3, 39), np.float32))
    elif damage == "other":
        np.savez(path, something=np.zeros(3))
    else:
        path.write_bytes(bytes(content if damage == "byte" else content[:1000]))
    _assert_right(features.of(SAMPLES, "hash"))
    assert here == [5, 5]
    _assert_right(features.of(SAMPLES, "hash"))
    assert here == [5, 5]