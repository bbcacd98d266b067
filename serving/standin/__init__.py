"""The former name of `serving.devserver`."""
