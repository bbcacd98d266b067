"""Readers of raw files (music, audio, pen strokes) as the arrays that models expect."""
