"""Training many trials at a time: local workers, workers on a Ray cluster, strategies."""
