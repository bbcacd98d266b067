"""The process that records a corpus: `python -m tuner.tasks.speech.synthesis.studio`.

It takes a plan on standard input and ends when it is done or when its parent has ended. Every
speaker is recorded in a copy of this process, made before eSpeak NG has spoken: what it speaks
depends on what it spoke before, and so a speaker sounds the same whoever else is recorded, in
whatever order, on however many cores.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError
from tuner.tasks.speech.synthesis.espeak import Espeak
from tuner.tasks.speech.synthesis.mnemonics import Unmapped
from tuner.tasks.speech.synthesis.recording import record
from tuner.tasks.speech.synthesis.voices import Voice

REFUSED = 2
"""Exit status after a line on standard error that is meant for the user."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What one speaker says.

    Attributes:
        folder: where the files go, absolute; it exists.
        voice: the speaker.
        texts: the sentences, by the names of their files.
    """

    folder: str
    voice: Voice
    texts: Mapping[str, str]


def plan(sessions: list[Session], processes: int) -> str:
    """Writes a plan down for this process.

    Args:
        sessions: who says what.
        processes: how many speakers to record at once.
    """
    return json.dumps(
        {
            "processes": processes,
            "sessions": [dataclasses.asdict(session) for session in sessions],
        }
    )


def _session(fields: Mapping[str, Any]) -> Session:
    return Session(**{**fields, "voice": Voice(**fields["voice"])})


def _hold(engine: Espeak, session: Session) -> int:
    """Records one speaker; the exit status of the process that does it."""
    try:
        for name, text in session.texts.items():
            record(engine, session.voice, text).write(Path(session.folder), name)
    except Unmapped as error:
        print(f"eSpeak NG {engine.version}: {error}", file=sys.stderr)
        return REFUSED
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _wait() -> int:
    _, status = os.wait()
    return os.waitstatus_to_exitcode(status)


def main() -> int:
    """Records what standard input says and prints eSpeak NG's version."""
    parent = os.getppid()
    wanted = json.load(sys.stdin)
    try:
        engine = Espeak()
    except InputError as error:
        print(error, file=sys.stderr)
        return REFUSED
    running = problem = 0
    for fields in wanted["sessions"]:
        if running == wanted["processes"]:
            problem = problem or _wait()
            running -= 1
        if problem or os.getppid() != parent:
            break
        if os.fork() == 0:
            os._exit(_hold(engine, _session(fields)))
        running += 1
    for _ in range(running):
        status = _wait()
        problem = problem or status
    if not problem:
        print(engine.version)
    return problem


if __name__ == "__main__":
    sys.exit(main())
