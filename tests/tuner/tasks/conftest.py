"""Every test of a task has a cache folder of its own."""

from tests.common.conftest import cache_folder

__all__ = ["cache_folder"]
