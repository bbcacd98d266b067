"""What the trials say, in sentences."""
