"""All nine variants, exported once."""

from __future__ import annotations

import os
import pathlib

import filelock
import pytest

import zoo
from serving import sources, versions
from tests.serving import made_up
from tests.serving.conformance.exported import Exported


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The models and their versions; processes that share the tests share these too."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    folder = folder / "nine-variants"
    study, done = folder / "study", folder / "done"
    codes = zoo.list_variants()
    with filelock.FileLock(f"{folder}.lock"):
        if not done.exists():
            made_up.make_study(study, dict.fromkeys(codes, 9.0))
            for code in codes:
                versions.publish(sources.find_best(study, code), folder / "served" / code)
            done.touch()
    return Exported(study, {code: _version(folder, code) for code in codes})


def _version(folder: pathlib.Path, code: str) -> pathlib.Path:
    return folder / "served" / code / "1"
