"""The former name of `serving.devserver.launch`."""

from serving.devserver.launch import Running, running

__all__ = ["Running", "running"]
