"""Vectors, tiles and products of the native engine, as LLVM IR."""
