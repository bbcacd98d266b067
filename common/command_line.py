"""Code shared by all commands of the project: flag parsing and one-line errors.

Heavy imports (TensorFlow, Keras) belong inside the `main` of a command, so that `--help` and
mistyped flags respond at once.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from absl import app, flags, logging

from common.errors import InputError, install, one_line

_KERAS_LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
"""Environment variables that make Keras end any training early."""

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
"""Commands that pip installs, and the modules that they run."""

_spelling: dict[str, str] = {}
"""Command by module, if this process was started by a command instead of `python -m`."""


def run_script(name: str) -> None:
    """Runs the module of a command as `python -m` does.

    Args:
        name: a key of `SCRIPTS`.
    """
    _spelling.update({module: script for script, module in SCRIPTS.items()})
    runpy.run_module(SCRIPTS[name], run_name="__main__", alter_sys=True)


def spelled(text: str) -> str:
    """Spells the commands in a text as this process was started: `odyssey-run` or `python -m`.

    Both work once the project is installed; in a checkout, only the latter does.

    Args:
        text: text with commands such as `python -m tuner.run`.

    Example:
        >>> spelled("Of another: python -m serving.export --variant=V")
        'Of another: python -m serving.export --variant=V'
    """
    for module, script in _spelling.items():
        text = text.replace(f"python -m {module}", script)
    return text


def _set_keras() -> None:
    """Selects TensorFlow as Keras' backend and lifts limits on training, whatever the user has set.

    The variable overrides the user's `keras.json`; it must be set before anything imports Keras.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in _KERAS_LIMITS:
        os.environ.pop(name, None)


def start_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages.

    On a machine without a GPU, they look like errors. They are shown if the import fails, or if the
    environment sets `TF_CPP_MIN_LOG_LEVEL` below 2.
    """
    with quiet_libraries() as quiet:
        if quiet:
            import tensorflow as tf

            tf.config.list_physical_devices()


@contextmanager
def quiet_libraries() -> Iterator[bool]:
    """Suppresses the start-up messages of C++ libraries, unless there is an error.

    Yields:
        Whether it does; False if the environment sets `TF_CPP_MIN_LOG_LEVEL` below 2.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1"):
        yield False
        return
    with without_messages():
        yield True


@contextmanager
def without_messages() -> Iterator[None]:
    """Suppresses messages to standard error, but shows them if there is an error.

    This includes messages from C++, which writes to the file descriptor.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            yield
        except Exception:
            sys.stderr.flush()
            messages.seek(0)
            os.write(screen, messages.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def log(message: str) -> None:
    """Prints one line to standard error: what takes time, was left out or went wrong."""
    print(one_line(message), file=sys.stderr, flush=True)


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; handles `--help` and errors itself."""
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
"""Extras that the commands of a package need in addition to the cells."""


def _missing(error: ModuleNotFoundError) -> str:
    """Says which extra installs a library that a command lacks; re-raises any other error."""
    name = (error.name or "").partition(".")[0]
    spec = sys.modules["__main__"].__spec__
    extra = _EXTRAS.get(spec.name.partition(".")[0]) if spec else None
    if extra is None or not name or importlib.util.find_spec(name):
        raise error
    return f"expected the package {name}: {install(extra)}. Received: not installed"


def run(main: Callable[[], int]) -> None:
    """Runs a command and ends the process with its exit status.

    `InputError`, missing libraries and file-system errors become one line on standard error and
    exit status 2, and a Ctrl-C that the command does not handle exit status 130. A command that
    handles SIGTERM or Ctrl-C itself raises `SystemExit` or returns a status.

    Args:
        main: the command; it reads `absl.flags.FLAGS` and returns the exit status.
    """

    def guarded(_: list[str]) -> int:
        # TensorFlow logs every file that it writes.
        logging.set_verbosity(logging.WARNING)
        _set_keras()
        try:
            return main()
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)
            return 130
        except InputError as error:
            return _complain(str(error))
        except ModuleNotFoundError as error:
            return _complain(_missing(error))
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return _complain(f"{where}{error.strerror or error}")

    app.run(guarded, flags_parser=_parse_flags)
