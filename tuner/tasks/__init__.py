"""Tasks: datasets with a head and a metric."""
