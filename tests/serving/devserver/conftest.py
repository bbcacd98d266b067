"""A model of two versions for the tests of what a server answers."""

from __future__ import annotations

import pytest

from tests.serving.devserver import small_models


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory):
    """Folder of the versions 3 and 12."""
    folder = tmp_path_factory.mktemp("models") / "m"
    small_models.write(folder, 3, 12)
    return folder
