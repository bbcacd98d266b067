"""Music sampled from a next-step model through its streaming signature, and its picture."""
