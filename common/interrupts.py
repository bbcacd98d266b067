"""Ctrl-C and SIGTERM, which libraries lose.

A signal raises `KeyboardInterrupt` wherever Python happens to be, and that may be a place where the
exception ends: TensorFlow and Keras have bare `except:` clauses, one of which even makes a
`TypeError` of it; Python prints and drops what is raised in a finalizer or in a callback of the
garbage collector (JAX has one).
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclasses.dataclass
class _State:
    """What has come to the main thread, which alone handles signals.

    Attributes:
        installed: whether `raised` has been entered.
        received: number of the last signal; 0 for none.
        held: whether it is to be raised later.
        passed_on: whether it was raised where nothing loses it.
    """

    installed: bool = False
    received: int = 0
    held: bool = False
    passed_on: bool = False

    def reset(self, *, installed: bool) -> None:
        """Forgets what has come."""
        self.installed = installed
        self.received, self.held, self.passed_on = 0, False, False


_state = _State()


@contextmanager
def raised() -> Iterator[None]:
    """Raises `KeyboardInterrupt` for Ctrl-C and SIGTERM, whatever the code inside makes of it.

    A signal that the process ignores (as shells arrange for what they start in the background)
    stays ignored. In any but the main thread, and inside itself, it changes nothing.

    Raises:
        KeyboardInterrupt: if a signal has come; in the place of any other `Exception`, too.

    Example:
        >>> with raised():
        ...     print("working")
        working
    """
    if not _is_main() or _state.installed:
        yield
        return
    hook = sys.unraisablehook

    def handle_lost(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # Not immediately: raised here, it would be lost again.
            threading.Timer(0.05, _repeat).start()
        else:
            hook(lost)

    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    _state.reset(installed=True)
    try:
        sys.unraisablehook = handle_lost
        for number, handler in handlers.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, _handle)
        yield
        _check()
    except Exception as error:
        if _state.received:
            raise KeyboardInterrupt from error
        raise
    finally:
        _state.held = True
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            # None: what a library has installed, which Python cannot install again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _state.reset(installed=False)


@contextmanager
def held() -> Iterator[None]:
    """Holds signals back from what must not be left half done; one that comes is raised at the end.

    In any but the main thread, and inside itself, it changes nothing.

    Raises:
        KeyboardInterrupt: at the beginning, if an earlier signal was lost; or at the end.

    Example:
        >>> with held():
        ...     print("recording")
        recording
    """
    if not _is_main() or _state.held:
        yield
        return
    _check()
    _state.held = True
    try:
        yield
    finally:
        _state.held = False
    _check()


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _handle(number: int, frame: FrameType | None) -> None:
    _state.received, _state.passed_on = number, False
    if not _state.held:
        raise KeyboardInterrupt


def _repeat() -> None:
    if _state.received and not _state.passed_on:
        os.kill(os.getpid(), _state.received)


def _check() -> None:
    if _state.received:
        _state.passed_on = True
        raise KeyboardInterrupt
