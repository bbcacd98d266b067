"""eSpeak NG for the tests, and one small corpus for all of them."""

from __future__ import annotations

import io
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from common import cache
from common.errors import InputError
from tests import commands
from tuner.tasks.speech.synthesis import corpus, recording
from tuner.tasks.speech.synthesis.corpus import Recipe, corpus_folder
from tuner.tasks.speech.synthesis.espeak import Espeak

SMALL = Recipe(train=10, validation=2, test=2, utterances=3)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Espeak:
    """eSpeak NG in this process, which is back in its folder after the test."""
    monkeypatch.chdir(tmp_path)
    try:
        return Espeak()
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a corpus of `SMALL`, only to be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.FOLDER_VARIABLE, str(tmp_path_factory.mktemp("synthetic")))
        try:
            return corpus_folder(SMALL)
        except InputError as error:
            pytest.skip(str(error))


def _record(plan: str) -> None:
    sys.stdin = io.StringIO(plan)
    commands.run_module(recording.__name__)


@pytest.fixture
def quick_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    """What records has SciPy already, which takes most of the time of a few sentences."""

    def run(
        command: list[str], *, input: str, env: Mapping[str, str], **_: object
    ) -> subprocess.CompletedProcess[str]:
        assert command == [sys.executable, "-m", recording.__name__]
        return commands.Forked(_record, input, environment=env).wait()

    monkeypatch.setattr(corpus, "subprocess", types.SimpleNamespace(run=run))
