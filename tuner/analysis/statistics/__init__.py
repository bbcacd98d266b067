"""Summaries, comparisons and resampling of trials."""
