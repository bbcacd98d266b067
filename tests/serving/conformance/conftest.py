"""All nine variants, each exported once."""

from __future__ import annotations

import os

import filelock
import pytest

import zoo
from tests.serving import made_up
from tests.serving.conformance.exported import Exported


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The models; processes that share the tests share their versions too."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    folder = folder / "nine-variants"
    study = folder / "study"
    with filelock.FileLock(f"{folder}.lock"):
        if not study.exists():
            made_up.make_study(study, dict.fromkeys(zoo.list_variants(), 9.0))
    return Exported(study, folder / "served")
