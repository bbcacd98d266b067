"""A model of two versions for the tests of what a server answers."""

from __future__ import annotations

import pytest

from tests.serving.devserver import small_models


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Folder of the versions, and what each answers, by number."""
    folder = tmp_path_factory.mktemp("models") / "m"
    return folder, {version: small_models.write(folder, version) for version in (3, 12)}
