"""Asks again what was asked before: the calls that Envoy has written down (`serving/deploy`).

    python -m serving.replay --log=requests --address=localhost:8500 --model=music --label=canary

reports how many a version answers, how far from before, and how fast: for a look at a new version
before callers get it.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from common import command_line
from common.errors import InputError, counted

_LOG = flags.DEFINE_string("log", None, "Folder of the calls.")
_ADDRESS = flags.DEFINE_string(
    "address", None, "The server: host:port for gRPC, http://host:port for REST."
)
_MODEL = flags.DEFINE_string("model", None, "Name of the model on the server.")
_VERSION = flags.DEFINE_integer("version", None, "Version of the model; the latest if not set.")
_LABEL = flags.DEFINE_string("label", None, "Label of the version, instead of its number.")
_LIMIT = flags.DEFINE_integer("limit", None, "How many to ask at most [all].", lower_bound=1)


def main() -> int:
    """Runs the command."""
    folder, address = _needed(_LOG, "a folder"), _needed(_ADDRESS, "a server")
    model = _needed(_MODEL, "its name on the server")
    from serving.client import Client
    from serving.clients import request_log

    log = request_log.read(Path(folder))
    if log.odd:
        command_line.log(f"{folder}: left out: {counted(log.odd)}")
    with Client(address, model, version=_VERSION.value, label=_LABEL.value) as client:
        print(request_log.replay(client, log.requests[: _LIMIT.value]).report())
    return 0


def _needed(flag: flags.FlagHolder[str | None], expected: str) -> str:
    if flag.value is None:
        raise InputError(f"--{flag.name}: expected {expected}. Received: nothing")
    return flag.value


if __name__ == "__main__":
    command_line.run(main)
