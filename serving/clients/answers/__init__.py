"""What a model makes of a file, told and drawn: the answers of `python -m serving.client`."""
