"""How a file is refused: the kind of mistake is counted, the detail is told."""

from __future__ import annotations

from serving.media.problems import one_line


class Unsuitable(Exception):
    """A recording that cannot be used.

    Args:
        kind: the mistake in a few words that are the same for every recording with this mistake.
        detail: what was expected and what came.

    Example:
        >>> str(Unsuitable("truncated audio", "expected 5 samples. Received: 4"))
        'truncated audio: expected 5 samples. Received: 4'
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(one_line(f"{kind}: {detail}"))
        self.kind = kind
