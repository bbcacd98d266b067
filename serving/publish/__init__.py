"""From a trained model to a version directory that a server picks up, atomically."""
