"""Asks a served model: TensorFlow Serving, or whatever speaks like it.

    python -m serving.client --address=localhost:8500 --model=music --input=chorale.mid
    python -m serving.client --address=http://localhost:8501 --model=speech --input=hello.wav
    python -m serving.client --local=models/handwriting/1 --input=line.inkml
    python -m serving.client --local=music.onnx --input=chorale.mid

prints what the model makes of a MIDI, audio, ink or `.npz` file. In Python:

    with Client("localhost:8500", "music") as client:
        logits = client.predict({"sequence": rolls, "lengths": lengths})["logits"]
"""

from __future__ import annotations

from collections.abc import Callable

from absl import flags

from common import command_line
from serving.clients.client import Client
from serving.clients.errors import ServingError
from serving.clients.streaming import Stream
from serving.clients.transport import VersionStatus

__all__ = ["Client", "ServingError", "Stream", "VersionStatus"]


def _command() -> Callable[[], int]:
    """Defines the flags, which must not happen on import, and returns the command."""
    address = flags.DEFINE_string(
        "address",
        None,
        "The server: host:port or grpcs://host:port for gRPC, http://host:port or "
        "https://host:port for REST.",
    )
    model = flags.DEFINE_string("model", None, "Name of the model on the server.")
    version = flags.DEFINE_integer("version", None, "Version of the model; the latest if not set.")
    label = flags.DEFINE_string("label", None, "Label of the version, instead of its number.")
    local = flags.DEFINE_string(
        "local",
        None,
        "An exported model instead of a server: a folder (of a version, or of all), NAME.onnx, "
        "NAME.tflite, or NAME.keras.",
    )
    file = flags.DEFINE_string(
        "input",
        None,
        "The file: .npz (arrays named as the signature's inputs, or each a sequence), MIDI (.mid, "
        ".midi, .kar, .rmi), pen strokes (.inkml, .xml), or audio (WAV, FLAC, SPHERE and others).",
    )
    signature = flags.DEFINE_string(
        "signature",
        None,
        "Signature to ask; if not set, audio for audio, strokes for pen strokes, else "
        "serving_default.",
    )
    out = flags.DEFINE_string("out", None, "File .npz to write the outputs to.")
    plot = flags.DEFINE_string("plot", None, "File .svg to draw the answer over time into.")
    ink_scale = flags.DEFINE_float(
        "ink_scale",
        1.0,
        "What coordinates of pen strokes are multiplied by, to have the unit of the model's "
        "training data.",
    )
    timeout = flags.DEFINE_float("timeout", 10.0, "Seconds for an answer.", lower_bound=0.001)
    retries = flags.DEFINE_integer(
        "retries", 3, "How often to retry when the server is unreachable or busy.", lower_bound=0
    )
    roots = flags.DEFINE_string(
        "root_certificates", None, "File, PEM, of who vouches for the server; else the system's."
    )
    certificate = flags.DEFINE_string(
        "client_certificate", None, "File, PEM, for a server that asks for one."
    )
    key = flags.DEFINE_string("client_key", None, "File, PEM, of its private key.")

    def main() -> int:
        from serving.clients import command

        connection = {
            "version": version.value,
            "label": label.value,
            "timeout": timeout.value,
            "retries": retries.value,
            "root_certificates": roots.value,
            "client_certificate": certificate.value,
            "client_key": key.value,
        }
        return command.run(
            command.Question(
                address.value,
                local.value,
                model.value,
                connection,
                file.value,
                signature.value,
                ink_scale.value,
                out.value,
                plot.value,
            )
        )

    return main


if __name__ == "__main__":
    command_line.run(_command())
