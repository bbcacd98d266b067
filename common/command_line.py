"""What every command of the project shares: flags in, one line of error out.

Heavy imports (TensorFlow, Keras) belong inside the `main` of a command, so that `--help` and a
mistyped flag answer at once.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from absl import app, flags, logging

from common.errors import InputError, install, one_line

_KERAS_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
"""Variables by which Keras ends any training early."""

SCRIPTS = {
    "odyssey-run": "tuner.run",
    "odyssey-report": "tuner.report",
    "odyssey-compare": "tuner.compare",
    "odyssey-shrink": "tuner.shrink",
    "odyssey-trials": "tuner.export",
    "odyssey-export": "serving.export",
    "odyssey-serve": "serving.server",
    "odyssey-client": "serving.client",
    "odyssey-compose": "serving.compose",
}
"""What pip installs as commands, and the modules that they run."""

_spelling: dict[str, str] = {}
"""Modules as this process's user starts them, where that is not `python -m`."""


def run_script(name: str) -> None:
    """Does what `python -m` does with the module of a command.

    Args:
        name: of `SCRIPTS`.
    """
    _spelling.update({module: script for script, module in SCRIPTS.items()})
    runpy.run_module(SCRIPTS[name], run_name="__main__", alter_sys=True)


def spelled(text: str) -> str:
    """Spells the commands in a text as this process was started: `odyssey-run`, or `python -m`.

    Both are there once the project is installed, and only the latter in a checkout.

    Args:
        text: with `python -m tuner.run` and its like.

    Example:
        >>> spelled("Of another: python -m serving.export --variant=V")
        'Of another: python -m serving.export --variant=V'
    """
    for module, script in _spelling.items():
        text = text.replace(f"python -m {module}", script)
    return text


def _set_keras() -> None:
    """Chooses TensorFlow for Keras, whatever a machine's users have chosen for their own work.

    The variable counts more than their `keras.json`; it is to be set before anything imports Keras.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in _KERAS_LIMITS:
        os.environ.pop(name, None)


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages.

    On a machine without a GPU they look like errors. They are shown if the import fails, and if the
    environment sets `TF_CPP_MIN_LOG_LEVEL` below 2.
    """
    with quiet_libraries() as quiet:
        if quiet:
            import tensorflow as tf

            tf.config.list_physical_devices()


@contextmanager
def quiet_libraries() -> Iterator[bool]:
    """Keeps back what libraries in C++ say while they start, unless there is an exception.

    Yields:
        Whether it does: not if the environment sets `TF_CPP_MIN_LOG_LEVEL` below 2.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        yield False
        return
    with without_messages():
        yield True


@contextmanager
def without_messages() -> Iterator[None]:
    """Keeps back what is written to standard error, and shows it if there is an exception.

    Also what comes from C++, which writes to the descriptor.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            messages.seek(0)
            os.write(screen, messages.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def repeat_lost_interrupts() -> None:
    """Lets Ctrl-C come again where Python has ignored it.

    An exception that a signal raises inside a callback of the garbage collector (JAX has one) or a
    finalizer is printed and forgotten.
    """
    before = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            # Not at once, which would be here, where it would be lost again.
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(lost)

    sys.unraisablehook = hook


def log(message: str) -> None:
    """Says on standard error, in one line, what takes time, was left out or went wrong."""
    print(one_line(message), file=sys.stderr, flush=True)


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; answers `--help` and mistakes itself."""
    if any(argument in ("--help", "-h", "--helpshort", "--helpfull") for argument in argv[1:]):
        main_module = sys.modules["__main__"]
        print(spelled(main_module.__doc__ or "").strip())
        print(flags.FLAGS.main_module_help())
        sys.exit(0)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(_complain(" ".join(str(error).split())))
    if len(rest) > 1:
        sys.exit(_complain(f"Expected only flags (--name=value). Received: {rest[1]!r}"))
    return rest


def _complain(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


_EXTRAS = {"serving": "serving", "tuner": "study"}
"""What the commands of a room need beside the cells."""


def _missing(error: ModuleNotFoundError) -> str:
    """Names the extra of a command that lacks a library; raises the error again if it is ours."""
    name = (error.name or "").partition(".")[0]
    spec = sys.modules["__main__"].__spec__
    extra = _EXTRAS.get(spec.name.partition(".")[0]) if spec else None
    if extra is None or not name or importlib.util.find_spec(name):
        raise error
    return f"expected the package {name}: {install(extra)}. Received: not installed"


def run(main: Callable[[], int]) -> None:
    """Runs a command and ends the process with its exit status.

    `InputError`, a library that is missing and file-system errors become one line on standard error
    and exit status 2; Ctrl-C and SIGTERM are the command's own business (it raises `SystemExit` or
    returns a status).

    Args:
        main: the command; it reads `absl.flags.FLAGS` and returns the exit status.
    """

    def guarded(_: list[str]) -> int:
        # TensorFlow logs every file that it writes.
        logging.set_verbosity(logging.WARNING)
        _set_keras()
        try:
            return main()
        except InputError as error:
            return _complain(str(error))
        except ModuleNotFoundError as error:
            return _complain(_missing(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return _complain(f"{where}{error.strerror or error}")

    app.run(guarded, flags_parser=_parse_flags)
