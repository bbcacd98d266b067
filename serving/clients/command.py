"""Turns the flags of `python -m serving.client` into what it prints and writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from common.errors import InputError
from common.media.midi import SUFFIXES
from serving.clients import local
from serving.clients.answers.report import Report
from serving.clients.predictor import Predictor

_INK = (".inkml", ".xml")


@dataclasses.dataclass(frozen=True)
class Question:
    """A user's question; the attributes are the command's flags.

    Attributes:
        address: address of the server; None if the model is local.
        local: an exported model, see `serving.clients.local.opened`; None if it is on a server.
        model: name of the model on the server.
        connection: further arguments of `serving.clients.client.Client`.
        input: the input file.
        signature: name of the signature; None for the one that fits the file.
        ink_scale: factor for the coordinates of ink.
        out: `.npz` file for the outputs.
        plot: `.svg` file for the plot.
    """

    address: str | None
    local: str | None
    model: str | None
    connection: dict[str, Any]
    input: str | None
    signature: str | None
    ink_scale: float
    out: str | None
    plot: str | None


def run(question: Question) -> int:
    """Asks the model and prints the answer.

    Raises:
        InputError: if a flag or the file is invalid, or the model does not answer.
        OSError: if a file cannot be read or written.
    """
    path = _checked(question)
    with _predictor(question) as predictor:
        report = _report(predictor, path, question)
    print("\n".join(report.lines))
    if question.out is not None:
        _write_outputs(report, Path(question.out))
    if question.plot is not None:
        if report.picture is None:
            raise InputError(f"--plot: expected logits over time. Received: none for {path}")
        from serving.clients.answers import drawing

        who = question.model if question.local is None else question.local
        drawing.write_svg(report.picture, f"{path.name}, {who}", Path(question.plot))
    return 0


def _checked(question: Question) -> Path:
    if question.input is None:
        raise InputError("--input: expected a file. Received: nothing")
    if (question.address is None) == (question.local is None):
        received = "nothing" if question.address is None else "--address too"
        raise InputError(
            f"--local: expected either a folder here or a server (--address). Received: {received}"
        )
    if question.address is not None and question.model is None:
        raise InputError("--model: expected the name of a model. Received: nothing")
    for flag, value, suffix in (("out", question.out, ".npz"), ("plot", question.plot, ".svg")):
        if value is not None and Path(value).suffix != suffix:
            raise InputError(f"--{flag}: expected a file {suffix}. Received: {value}")
    path = Path(question.input)
    if not path.is_file():
        raise InputError(f"--input: expected a file. Received: {path}")
    return path


@contextmanager
def _predictor(question: Question) -> Iterator[Predictor]:
    if question.local is not None:
        with local.opened_quietly(question.local) as model:
            yield model
    elif question.address is not None and question.model is not None:
        from serving.clients.client import Client

        with Client(question.address, question.model, **question.connection) as client:
            yield client


def _report(predictor: Predictor, path: Path, question: Question) -> Report:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from serving.clients.answers import arrays

        return arrays.report(predictor, path, question.signature)
    if suffix in SUFFIXES:
        from serving.clients.answers import music

        return music.report(predictor, path, question.signature)
    if suffix in _INK:
        from serving.clients.answers import handwriting

        scale = question.ink_scale
        return handwriting.report(predictor, path, question.signature, scale=scale)
    from serving.clients.answers import speech

    return speech.report(predictor, path, question.signature)


def _write_outputs(report: Report, path: Path) -> None:
    # Objects would need pickle, which is unsafe to load.
    arrays: dict[str, Any] = {
        name: np.asarray(value, "S") if np.asarray(value).dtype == object else value
        for name, value in report.outputs.items()
    }

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, **arrays)

    files.write_file(path, write)
