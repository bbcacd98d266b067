"""Tasks: data sets with a head and a metric."""
