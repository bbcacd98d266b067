"""Complete, small example tasks to copy from, on data that every Python installation has."""
