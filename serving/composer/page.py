"""Builds the page that composes in a browser, and serves it to this machine.

    python -m serving.composer.page --out=build/web

writes static files that any web server serves as they are: nothing of what the page does leaves the
browser. Its notes are those of `serving.compose` with the same model, seed and settings. `make web`
first fetches what `--runtime` has to hold.
"""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from common import command_line, files
from common.errors import InputError

if TYPE_CHECKING:
    from serving.publish.sources import Source

_OUT = flags.DEFINE_string("out", None, "Folder of the page.")
_RUNTIME = flags.DEFINE_string(
    "runtime",
    "build/npm/node_modules/onnxruntime-web/dist",
    "Folder of ONNX Runtime for browsers, as npm installs it.",
)
_PRETRAINED = flags.DEFINE_string(
    "pretrained", "music-CIFG", "Music model that comes with the project."
)
_SERVE = flags.DEFINE_boolean("serve", True, "Whether to serve the page until Ctrl-C.")
_PORT = flags.DEFINE_integer("port", 8600, "Of the page on this machine; 0 for any.", 0, 65535)

HOST = "127.0.0.1"

_RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
_STATIC = (".css", ".html", ".js")


def build(source: Source, runtime: Path, folder: Path) -> int:
    """Writes the files of the page.

    Args:
        source: a music model.
        runtime: folder with ONNX Runtime for browsers.
        folder: folder of the page; created if it does not exist.

    Returns:
        Size of the model file, in bytes.

    Raises:
        InputError: if the runtime is missing, or the model is not a music model that can stream.
        OSError: if the page cannot be written.
    """
    for name in _RUNTIME_FILES:
        if not (runtime / name).is_file():
            raise InputError(
                f"--runtime: expected a folder with {name}. Received: {runtime}; `make web` "
                "fetches it"
            )
    command_line.start_tensorflow()
    model, card = _export(source)
    (folder / "runtime").mkdir(parents=True, exist_ok=True)
    for name in _RUNTIME_FILES:
        files.write_bytes(folder / "runtime" / name, (runtime / name).read_bytes())
    theme = resources.files("common").joinpath("theme.css")
    for file in (theme, *resources.files("serving.composer").joinpath("web").iterdir()):
        if file.name.endswith(_STATIC):
            files.write_bytes(folder / file.name, file.read_bytes())
    files.write_bytes(folder / "model.onnx", model)
    files.write_text(folder / "model.json", json.dumps(card, ensure_ascii=False) + "\n")
    return len(model)


def _export(source: Source) -> tuple[bytes, dict[str, Any]]:
    """Converts the signature `step`; returns it and what the page needs to know about the model."""
    from common.media.midi import BEATS_PER_MINUTE, LOWEST_PITCH, PITCHES, pitch_name
    from serving.composer import sampling
    from serving.convert import onnx
    from serving.graph.signatures import STEP
    from serving.runtime.onnx import OnnxModel

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        onnx.convert(source, path, signatures=[STEP])
        step = path.with_name(f"model.{STEP}.onnx")
        content = step.read_bytes()
        described = files.read_json(path.with_name("model.model_card.json"))
        with OnnxModel(step) as model:
            (signature,) = model.signatures().values()
    widths = {name: spec.shape[-1] for name, spec in signature.inputs.items() if spec.shape}
    if widths.pop("frame") != PITCHES or described["outputs"] != PITCHES:
        raise InputError(
            f"--pretrained: expected a music model of {PITCHES} pitches. "
            f"Received: {described['inputs']} inputs and {described['outputs']} outputs"
        )
    return content, {
        "name": source.keras_file.parent.name,
        "units": described["units"],
        "metric": described["metric"]["name"],
        "unit": described["metric"]["unit"],
        "test": described["test"],
        "data": described["data"]["name"],
        "states": widths,
        "lowest_pitch": LOWEST_PITCH,
        "pitch_names": [pitch_name(LOWEST_PITCH + column) for column in range(PITCHES)],
        "beats_per_minute": BEATS_PER_MINUTE,
        "chord": sampling.TONIC,
        "settings": dataclasses.asdict(sampling.Settings()),
    }


class PageServer(http.server.ThreadingHTTPServer):
    """Serves a folder on the loopback interface.

    Args:
        folder: folder of the page.
        port: port number; 0 for any free port.

    Raises:
        InputError: if the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        try:
            super().__init__((HOST, port), functools.partial(_Handler, directory=str(folder)))
        except OSError as error:
            raise InputError(
                f"--port: expected a free one. Received: {port}, {error.strerror}"
            ) from error
        self.url = f"http://{HOST}:{self.server_address[1]}/"


class _Handler(http.server.SimpleHTTPRequestHandler):
    # Not the machine's own table of types: browsers run scripts of these types only.
    extensions_map = {  # noqa: RUF012 - the class that it is of has it so.
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Makes browsers reload a page that was rebuilt."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        """Logs nothing."""


def main() -> int:
    """Runs the command."""
    if _OUT.value is None:
        raise InputError("--out: expected a folder. Received: nothing")
    from serving.publish import sources

    source = sources.from_pretrained(_PRETRAINED.value)
    folder = Path(_OUT.value)
    size = build(source, Path(_RUNTIME.value), folder)
    print(f"page: {folder / 'index.html'}, with {_PRETRAINED.value} ({size / 1e6:.2f} MB)")
    if not _SERVE.value:
        return 0
    with PageServer(folder, _PORT.value) as server:
        print(f"open {server.url}; Ctrl-C ends it", flush=True)
        server.serve_forever()
    return 0


if __name__ == "__main__":
    command_line.run(main)
