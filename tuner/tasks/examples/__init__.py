"""Tasks to copy from: complete, small, on data that every Python has."""
