"""A model leaves the study: SavedModels for TF Serving."""
