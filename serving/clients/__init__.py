"""How a program asks a served model: over gRPC, over REST, or in its own process."""
