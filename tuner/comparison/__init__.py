"""Samplers compared fairly: equal budgets, paired seeds, every training counted."""
