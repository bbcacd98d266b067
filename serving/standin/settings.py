"""The former name of `serving.devserver.settings`."""

from serving.devserver.settings import (
    Specific,
)

__all__ = [
    *("TLS", "All", "Batching", "Latest", "Limits", "Loading", "ModelConfig", "Settings"),
    "Specific",
]
