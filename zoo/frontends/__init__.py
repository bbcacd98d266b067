"""Raw input to features as Keras layers: the same code trains and serves."""
