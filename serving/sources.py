"""The former name of `serving.publish.sources`."""

from serving.publish.sources import (
    study_sha256,
)

__all__ = [
    *("Source", "choose", "find_best", "from_file", "from_folder", "from_pretrained"),
    "study_sha256",
]
