"""What all tests of serving have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.zoo import harness


@pytest.fixture(scope="module", autouse=True)
def small_graphs() -> Iterator[None]:
    """What is exported here is traced in little time."""
    with harness.small_blocks():
        yield
