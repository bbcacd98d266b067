"""Clients for exported models: over gRPC, over REST, or within the calling process."""
