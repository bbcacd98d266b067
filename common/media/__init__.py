"""Raw files (music, audio, pen strokes) as the arrays that models take."""
