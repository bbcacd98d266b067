"""Publishes trained models as versions that a server picks up, atomically."""
