"""What a study varies, and which values it tries."""
