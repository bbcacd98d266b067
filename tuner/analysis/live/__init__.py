"""Watching a study in a browser while it runs."""
