"""The command that composes: on a model of the project's own, and on servers of the same."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import zoo
from common.media.midi import read_midi, write_midi
from serving.clients.local import LocalModel
from serving.devserver import launch
from serving.devserver.launch import Running
from serving.devserver.settings import ModelConfig, Settings
from tests import commands

MODEL = "music-V"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the cache, a prompt, and what is composed."""
    return tmp_path_factory.mktemp("compose")


def compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"LSTM_ODYSSEY_CACHE": str(folder / "cache")}
    return commands.run("serving.compose", *arguments, environment=environment)


@pytest.fixture(scope="module")
def prompt(folder: Path) -> np.ndarray:
    """Six quarter notes of two voices, also as a file."""
    roll = np.zeros((6, 88), np.uint8)
    roll[:, 72 - 21] = roll[[0, 2, 5], 55 - 21] = 1
    write_midi(roll, folder / "prompt.mid")
    return roll


SAME = ("--frames=24", "--seed=5", "--temperature=0.9")


@pytest.fixture(scope="module")
def composed(folder: Path, prompt: np.ndarray) -> str:
    """What the command says of a piece by a model that comes with the project."""
    given = f"--prompt={folder}/prompt.mid"
    done = compose(folder, f"--out={folder}/a.mid", given, f"--pretrained={MODEL}", *SAME)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def server(folder: Path, composed: str) -> Iterator[Running]:
    """A server of the export that the command left in the cache."""
    base = folder / "cache" / "exports" / MODEL
    settings = Settings((ModelConfig("bach", base),), grpc_port=0, rest_port=0)
    with launch.running(settings) as running:
        yield running


def test_a_piece_goes_on_from_its_prompt(folder: Path, prompt: np.ndarray, composed: str) -> None:
    roll = read_midi((folder / "a.mid").read_bytes()).roll
    np.testing.assert_array_equal(roll[:6], prompt)
    assert 6 < len(roll) <= 30 and 0 < roll[6:].sum(axis=1).max() <= 4
    picture = ElementTree.parse(folder / "a.svg").getroot()
    assert picture.find("{http://www.w3.org/2000/svg}title").text == (
        f"Sampled from {MODEL}: temperature 0.9, seed 5"
    )
    assert "test NLL 8.52 nats per frame on JSB Chorales" in composed


def test_the_likelihood_that_it_tells_is_that_of_the_music(folder: Path, composed: str) -> None:
    roll = np.zeros((30, 88), np.float32)
    read = read_midi((folder / "a.mid").read_bytes()).roll
    # Silence at the end of a piece is not in the file.
    roll[: len(read)] = read
    logits = np.asarray(zoo.load_pretrained(MODEL)(roll[None, :-1]))[0, 5:]
    probability = 1 / (1 + np.exp(-logits.astype(float)))
    nll = -np.log(np.where(roll[6:], probability, 1 - probability)).sum() / 24
    assert re.search(r"([\d.]+) nats per frame under the model", composed)[1] == f"{nll:.2f}"


def test_a_piece_goes_on_from_a_chord(folder: Path, composed: str) -> None:
    export = f"--local={folder}/cache/exports/{MODEL}"
    done = compose(folder, f"--out={folder}/c.mid", "--chord=57,64,73", export, "--frames=4")
    assert (done.returncode, done.stderr) == (0, "")
    roll = read_midi((folder / "c.mid").read_bytes()).roll
    np.testing.assert_array_equal(np.flatnonzero(roll[0]) + 21, [57, 64, 73])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_gives_the_same_music(folder: Path, server: Running, protocol: str) -> None:
    address = server.grpc_address if protocol == "grpc" else f"http://{server.rest_address}"
    out = folder / f"{protocol}.mid"
    given = f"--prompt={folder}/prompt.mid"
    where = (f"--address={address}", "--model=bach")
    done = compose(folder, f"--out={out}", given, *where, *SAME)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes() == (folder / "a.mid").read_bytes()


def test_the_export_in_the_cache_is_made_once(folder: Path, composed: str) -> None:
    base = folder / "cache" / "exports" / MODEL
    assert [path.name for path in base.iterdir()] == ["1"]
    assert {"step", "chunk"} <= LocalModel(base).signatures().keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--out: expected a MIDI file to write. Received: nothing"),
        (("--out=a.wav",), "--out: expected a file .mid or .midi. Received: a.wav"),
        (("--out=a.mid", "--temperature=0"), "--temperature: expected more than 0. Received: 0"),
        (
            ("--out=a.mid", "--chord=60,20"),
            "--chord: expected MIDI pitches of a piano, 21 to 108, separated by commas. "
            "Received: 60,20",
        ),
        (
            ("--out=a.mid", "--chord=60", "--prompt=a.mid"),
            "--chord: expected either a file or a chord. Received: --prompt too",
        ),
        (
            ("--out=a.mid", "--prompt=README.md"),
            "--prompt: expected a MIDI file. Received: README.md, not a readable MIDI file",
        ),
    ],
)
def test_mistakes_get_one_line(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    done = compose(folder, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}") and done.stderr.count("\n") == 1
