"""The study: which LSTM variant and which hyperparameter matter for a task."""
