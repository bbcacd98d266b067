"""The former name of `serving.publish.versions`."""

from serving.publish.versions import load, publish, versions

__all__ = ["load", "publish", "versions"]
