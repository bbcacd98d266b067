"""From finished trials to statistics, figures and the report."""
