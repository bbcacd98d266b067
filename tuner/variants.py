"""The variants' codes, for what only reads trials: `zoo`, their home, imports Keras."""

from __future__ import annotations

CODES = ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
"""Codes of all variants in the order of the tables, that of `zoo.list_variants()`."""
