"""Composes a chorale: samples a music model one frame at a time, as its streaming signature allows.

    python -m serving.compose --out=chorale.mid

writes the music as a MIDI file, and as a picture, `chorale.svg`, beside it. The model is the best
of those that come with the project, exported to the user's cache, unless `--local` names an export
or `--address` a server. The same seed gives the same music.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from common import cache, command_line
from common.errors import InputError, RecordingError, counted

if TYPE_CHECKING:
    from common.media.midi import Roll
    from serving.clients.predictor import Predictor

_OUT = flags.DEFINE_string("out", None, "MIDI file to write; the picture goes beside it as .svg.")
_ADDRESS = flags.DEFINE_string(
    "address", None, "Server of the model: host:port for gRPC, http://host:port for REST."
)
_MODEL = flags.DEFINE_string("model", "music", "The model's name on the server.")
_LOCAL = flags.DEFINE_string(
    "local",
    None,
    "An export instead of a server: its folder, NAME.onnx, NAME.tflite, or NAME.keras.",
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained", "music-NP", "Model that comes with the project, where none is named."
)
_PROMPT = flags.DEFINE_string(
    "prompt", None, "MIDI file that the music begins with; without it a chord of C major."
)
_CHORD = flags.DEFINE_list(
    "chord", None, "Instead, the chord that it begins with, as MIDI pitches: --chord=72,76,79,84."
)
_FRAMES = flags.DEFINE_integer("frames", 64, "Quarter notes to compose.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Below 1 the music keeps to what is likely, above 1 it dares more."
)
_VOICES = flags.DEFINE_integer(
    "voices", 4, "Most notes that sound at once.", lower_bound=1, upper_bound=88
)
_SEED = flags.DEFINE_integer("seed", 1, "The same seed gives the same music.", lower_bound=0)


def main() -> int:
    """Runs the command."""
    if _OUT.value is None:
        raise InputError("--out: expected a MIDI file to write. Received: nothing")
    out = Path(_OUT.value)
    if out.suffix.lower() not in (".mid", ".midi"):
        raise InputError(f"--out: expected a file .mid or .midi. Received: {out}")
    if not _TEMPERATURE.value > 0:
        raise InputError(f"--temperature: expected more than 0. Received: {_TEMPERATURE.value:g}")
    if _ADDRESS.value is not None and _LOCAL.value is not None:
        raise InputError("--local: expected either a server or a folder. Received: --address too")
    if _PROMPT.value is not None and _CHORD.value is not None:
        raise InputError("--chord: expected either a file or a chord. Received: --prompt too")
    from common import files
    from common.media.midi import write_midi
    from serving.composer import piano_roll, sampling

    prompt = _given()
    settings = sampling.Settings(_FRAMES.value, _TEMPERATURE.value, _VOICES.value, _SEED.value)
    with _predictor() as predictor:
        piece = sampling.compose(predictor, prompt, settings)
    picture = out.with_suffix(".svg")
    write_midi(piece.roll, out)
    files.write_text(picture, piano_roll.svg(piece.roll, piece.given, _title()))
    print(
        f"{len(piece.roll) - piece.given} quarter notes after {piece.given} given, "
        f"{piece.roll[piece.given :].sum(axis=1).mean():.1f} voices on average; "
        f"{piece.nll:.2f} nats per frame under the model"
    )
    print(f"music: {out}\npicture: {picture}")
    return 0


def _given() -> Roll:
    from serving.composer import sampling

    if _PROMPT.value is not None:
        return _read(Path(_PROMPT.value))
    if _CHORD.value is None:
        return sampling.chord()
    try:
        return sampling.chord([int(text) for text in _CHORD.value])
    except ValueError as error:
        raise InputError(
            "--chord: expected MIDI pitches of a piano, 21 to 108, separated by commas. "
            f"Received: {','.join(_CHORD.value) or 'nothing'}"
        ) from error


def _read(path: Path) -> Roll:
    from common.media.midi import read_midi

    try:
        piece = read_midi(path.read_bytes())
    except RecordingError as error:
        raise InputError(f"--prompt: expected a MIDI file. Received: {path}, {error}") from error
    if piece.odd:
        command_line.log(f"{path}: {counted(piece.odd)}")
    return piece.roll


def _title() -> str:
    who = _MODEL.value if _ADDRESS.value else _LOCAL.value or _PRETRAINED.value
    return f"Sampled from {who}: temperature {_TEMPERATURE.value:g}, seed {_SEED.value}"


@contextmanager
def _predictor() -> Iterator[Predictor]:
    if _ADDRESS.value is not None:
        from serving.client import Client

        with Client(_ADDRESS.value, _MODEL.value) as client:
            yield client
        return
    from serving.clients import local

    path = Path(_LOCAL.value) if _LOCAL.value is not None else _exported(_PRETRAINED.value)
    with local.opened_quietly(path) as model:
        yield model


def _exported(name: str) -> Path:
    """Exports a pretrained model to the cache, once."""
    from serving.publish import sources

    source = sources.from_pretrained(name)
    card, metric = source.card, source.card["metric"]
    print(
        f"model: {name}, test {metric['name']} {card['test']:.2f} {metric['unit']} on "
        f"{card['data']['name']}"
    )
    return sources.exported(source, cache.folder() / "exports" / source.keras_file.parent.name)


if __name__ == "__main__":
    command_line.run(main)
