"""Runtimes for exports in this process, and the protocol messages of exports and servers."""
