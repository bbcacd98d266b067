"""What is said where the trials cannot carry a conclusion."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class InsufficientData:
    """Stands in the place of a result that the trials are too few or too alike for.

    Attributes:
        reason: what is lacking, a clause for a person: "the best tenth of NFG has 2 trials; a test
            needs 3".
    """

    reason: str
