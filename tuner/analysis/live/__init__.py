"""A study that is watched in a browser while it runs."""
