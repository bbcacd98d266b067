"""Where machine code is cached, and when it goes."""

from __future__ import annotations

import os
import pathlib
import time

import pytest

from tuner.training import random_streams
from tuner.training.native import compiling


def cache_folder() -> pathlib.Path | None:
    return compiling._cache_folder.__wrapped__()


def test_the_folder_follows_settings_and_sources(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTM_ODYSSEY_CACHE", str(tmp_path / "ours"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    ours = cache_folder()
    assert ours.parent == tmp_path / "ours" / "native" and (ours / "sources").exists()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "numba"))
    assert cache_folder() == tmp_path / "numba" / "native" / ours.name
    # The draws of the noise are compiled from a file outside the engine.
    changed = tmp_path / "random_streams.py"
    changed.write_bytes(pathlib.Path(random_streams.__file__).read_bytes() + b"# changed")
    monkeypatch.setattr(random_streams, "__file__", str(changed))
    assert cache_folder().name != ours.name
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(changed))
    assert cache_folder() is None


def test_what_nobody_has_used_for_a_month_goes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    root = tmp_path / "native"
    for name, file, days in (("old", "sources", 31), ("new", "sources", 29), ("other", "x", 99)):
        (root / name).mkdir(parents=True)
        (root / name / file).touch()
        os.utime(root / name, (time.time() - days * 86400,) * 2)
    folder = cache_folder()
    assert {path.name for path in root.iterdir()} == {"new", "other", folder.name}
    # What is used stays, and keeps the time of its sources.
    made = (folder / "sources").stat().st_mtime_ns
    os.utime(folder, (0, 0))
    assert cache_folder() == folder
    assert (folder / "sources").stat().st_mtime_ns == made
