"""Reports and plots of a model's answer for a file: the output of `python -m serving.client`."""
