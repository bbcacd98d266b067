"""Speech: which phone is spoken in each frame."""
