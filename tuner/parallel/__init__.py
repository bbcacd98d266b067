"""Many trials at a time: worker processes, here or on a Ray cluster; distribution strategies."""
