"""Exports, serves, and queries trained models."""
