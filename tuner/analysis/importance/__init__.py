"""Which hyperparameter explains how much: functional ANOVA."""
