"""Damaged and hostile files that people give: one line each, never a traceback."""

from __future__ import annotations

import json
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np
import pytest

from common.errors import InputError
from serving.clients.answers import arrays
from serving.graph import signatures
from serving.publish import model_card, sources, versions
from tests import damage
from tests.serving import made_up
from tests.serving.clients.known import Known, batch

# --- Arrays ---


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("arrays") / "x.npz"
    np.savez_compressed(path, **batch())
    return path.read_bytes()


def _stored(path: pathlib.Path, content: bytes, **fields: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("sequence.npy")
        archive.writestr(member, content)
    if fields:
        # In both of the archive's headers.
        changed = bytearray(path.read_bytes())
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = changed.find(mark) + offset
            changed[start + 0] |= fields.get("flags", 0)
            if "method" in fields:
                changed[start + 2] = fields["method"]
        path.write_bytes(changed)


_HEAD = b"\x93NUMPY\x01\x00\x76\x00"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: _stored(path, b"\x93NUMPY\x01\x00", flags=1),
        lambda path: _stored(path, b"\x93NUMPY\x01\x00", method=99),
        lambda path: _stored(path, _HEAD + b"{'descr': '<f4', (".ljust(118)),
        lambda path: _stored(
            path,
            _HEAD
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000,)}".ljust(118),
        ),
        lambda path: path.write_bytes(b"PK\x03\x04"),
    ],
    ids=["encrypted", "method", "garbage", "huge", "cut"],
)
def test_hostile_arrays_are_one_line(write: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.npz"
    write(path)
    with pytest.raises(InputError, match="--input: expected an .npz file. Received: ") as caught:
        arrays.report(Known(), path)
    assert "\n" not in str(caught.value)


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(
    tmp_path: pathlib.Path, npz: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(npz)
    monkeypatch.setattr(arrays, "_LARGEST", 100)
    with pytest.raises(InputError, match="bytes when unpacked, at most 100"):
        arrays.report(Known(), path)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_arrays_are_read_or_one_line(seed: int, npz: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(damage.damaged(npz, np.random.default_rng(seed)))
    try:
        arrays.report(Known(), path)
    except InputError as error:
        assert "\n" not in str(error)
    except ValueError as error:
        assert "differ in time only" in str(error)


# --- Cards ---

CARDS: list[tuple[dict[str, Any], str]] = [
    ({"hyperparameters": [1]}, "hyperparameters: expected an object. Received: .1."),
    ({"metric": {"name": "NLL"}}, "metric: expected an object with the strings name and unit"),
    ({"metric": "NLL"}, "metric: expected an object with"),
    ({"labels": "abc"}, "labels: expected a list of strings. Received: 'abc'"),
    ({"labels": [1, 2]}, "labels: expected a list of strings"),
    ({"head": 5}, "head: expected a string. Received: 5"),
    ({"task": ["music"]}, "task: expected a string"),
    ({"data": "chorales"}, "data: expected an object"),
    ({"frontend": "MFCC"}, "frontend: expected an object"),
    ({"validation": "low"}, "validation: expected a finite number"),
    ({"validation": float("nan")}, "validation: expected a finite number. Received: nan"),
    ({"test": True}, "test: expected a finite number. Received: True"),
    ({"study_sha256": 7}, "study_sha256: expected a string"),
]


@pytest.mark.parametrize(("card", "problem"), CARDS)
def test_a_card_with_a_fact_of_another_kind_is_one_line(
    card: dict[str, Any], problem: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "model.keras").touch()
    (tmp_path / "card.json").write_text(json.dumps(card))
    for read in (
        lambda: sources.from_folder(tmp_path),
        lambda: sources.from_file(tmp_path / "model.keras"),
    ):
        with pytest.raises(InputError, match=f"card.json: {problem}") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_a_study_whose_best_model_has_no_score_is_one_line(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "best" / "V"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text("{}")
    with pytest.raises(InputError, match="card.json: validation: expected a finite number"):
        sources.find_best(tmp_path)


@pytest.mark.parametrize(
    "frontend",
    [
        {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}},
        {"module": "this", "class_name": "nothing", "config": {}},
        {"class_name": 5},
        {"module": "builtins", "class_name": "function", "config": "print"},
        {},
    ],
)
def test_what_is_no_front_end_is_one_line(frontend: dict[str, Any]) -> None:
    network = signatures.Network.of(made_up.make_network("V", 1), "V")
    meaning = signatures.Meaning(frontend=frontend)
    with pytest.raises(InputError, match=r"expected a front end of zoo\.frontends") as caught:
        signatures.endpoints(network, meaning)
    assert "\n" not in str(caught.value)


def test_hyperparameters_that_are_no_numbers_are_written() -> None:
    described = {
        "hyperparameters": {"optimizer": "adam", "units": 64, "nesterov": True},
        "metric": None,
        **{"bidirectional": False, "variant": "V", "units": 64, "parameters": 9, "inputs": 2},
        **{"outputs": 3, "model_sha256": "0", "origin": "file", "study_sha256": None},
        "versions": {},
    }
    text = model_card.markdown(described, {})
    assert "| optimizer | adam |\n| units | 64 |\n| nesterov | True |" in text


def test_a_versions_card_that_is_no_object_is_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / model_card.FOLDER).mkdir()
    (tmp_path / model_card.FOLDER / model_card.JSON).write_text("[]")
    with pytest.raises(InputError, match="model_card.json: expected a JSON object"):
        model_card.read(tmp_path)


# --- Models and versions ---


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_not_exported(value: float, tmp_path: pathlib.Path) -> None:
    model = made_up.make_network("V", 1)
    weights = model.get_weights()
    weights[0][0, 0] = value
    model.set_weights(weights)
    made_up.save(tmp_path / "best", model, {})
    with pytest.raises(InputError, match=r"expected finite weights. Received: .*kernel with NaN"):
        versions.publish(tmp_path / "best", tmp_path / "served")
    assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_model_is_one_line(content: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.keras"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"expected a model that Keras {keras.__version__} loads"):
        versions.load(sources.from_file(path))


def test_a_version_is_a_number_that_servers_count(tmp_path: pathlib.Path) -> None:
    made_up.save(tmp_path / "best", made_up.make_network("V", 1), {})
    for number in (2**63, 0, -1):
        with pytest.raises(InputError, match=f"--version: .*1 to {2**63 - 1}.*Received: {number}"):
            versions.publish(tmp_path / "best", tmp_path / "served", number)
    (tmp_path / "served" / str(2**63 - 1)).mkdir(parents=True)
    with pytest.raises(InputError, match=f"--version: .* Received: {2**63}"):
        versions.publish(tmp_path / "best", tmp_path / "served")
    for name in ("٣", str(2**63), "1x", "-1"):
        (tmp_path / "other" / name).mkdir(parents=True)
    assert versions.versions(tmp_path / "other") == []


def test_a_version_is_no_base_path(tmp_path: pathlib.Path) -> None:
    made_up.save(tmp_path / "best", made_up.make_network("V", 1), {})
    (tmp_path / "served" / "1").mkdir(parents=True)
    (tmp_path / "served" / "1" / "saved_model.pb").touch()
    with pytest.raises(InputError, match=r"a version itself; its base path is .*/served$"):
        versions.publish(tmp_path / "best", tmp_path / "served" / "1")
