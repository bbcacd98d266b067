"""What went wrong, in words that fit into one line."""

from __future__ import annotations


def one_line(text: str) -> str:
    r"""Makes text safe to print in one line: control characters become spaces.

    Example:
        >>> one_line("two\nlines")
        'two lines'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def reason(error: BaseException) -> str:
    """Says in a few words what a library complained about.

    Args:
        error: what it raised; its text may be empty, long, or hold line breaks.

    Example:
        >>> reason(KeyError())
        'KeyError'
    """
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror)
    if isinstance(error, EOFError):
        return "it ends too early"
    text = " ".join(one_line(str(error)).split())
    if len(text) > 120:
        text = f"{text[:117]}..."
    return text or type(error).__name__
