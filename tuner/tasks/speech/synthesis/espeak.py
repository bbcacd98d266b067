"""eSpeak NG, which speaks a text and reports when each phoneme begins.

Source: `espeak-ng/speak_lib.h` of https://github.com/espeak-ng/espeak-ng (GPL-3: called, not
included).
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import InputError, install
from tuner.tasks.speech.synthesis.voices import Voice

SAMPLE_RATE = 22_050

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _DO_NOT_EXIT = 1, 1 << 15
_BY_CHARACTER, _UTF_8 = 1, 1
_RATE, _PITCH, _PITCH_RANGE = 1, 3, 4
_END_OF_EVENTS, _PHONEME = 0, 7
_SYSTEM_LIBRARIES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib")


class _Id(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclasses.dataclass(frozen=True)
class Mark:
    """The first sample of a phoneme, and eSpeak NG's name for it, including stress marks."""

    sample: int
    mnemonic: str


@dataclasses.dataclass(frozen=True)
class Speech:
    """A spoken text.

    Attributes:
        samples: int16 `[samples]` at `SAMPLE_RATE`.
        marks: the phonemes in temporal order; the first one may begin later than the audio.
    """

    samples: npt.NDArray[np.int16]
    marks: tuple[Mark, ...]


class Espeak:
    """The library, loaded into this process.

    eSpeak NG works for one thread at a time, and what it speaks depends on what it spoke before:
    reproducible speech needs a separate process. Its working directory becomes the one that has
    eSpeak NG's data, because the library cuts paths off after 160 characters.

    Attributes:
        version: version of the library.
        variants: folder of the files that describe its voices.

    Raises:
        InputError: if eSpeak NG is not installed, or its data are missing.
    """

    def __init__(self) -> None:
        self._library, data = _load()
        if data is not None:
            os.chdir(data.parent)
        rate = self._library.espeak_Initialize(
            _SYNCHRONOUS,
            0,
            None if data is None else data.name.encode(),
            _PHONEME_EVENTS | _DO_NOT_EXIT,
        )
        if rate != SAMPLE_RATE:
            raise InputError(
                f"eSpeak NG: expected its data at {data or 'the place known to the library'}. "
                "Received: none that it could read"
            )
        # The library has just seeded the noise of breathy voices with the time of day; older
        # versions use the random numbers of the C library.
        getattr(self._library, "espeak_ng_SetRandSeed", ctypes.CDLL(None).srand)(
            ctypes.c_long(1)
        )
        path = ctypes.c_char_p()
        self.version = self._library.espeak_Info(ctypes.byref(path)).decode().split()[0]
        self.variants = Path((path.value or b"").decode(), "voices", "!v")
        self._chunks: list[npt.NDArray[np.int16]] = []
        self._marks: list[Mark] = []
        # The library keeps only the callback's address.
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if count > 0 and samples:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _END_OF_EVENTS:
            event = events[index]
            if event.type == _PHONEME:
                self._marks.append(Mark(event.sample, event.id.string.decode()))
            index += 1
        return 0

    def speak(self, voice: Voice, text: str) -> Speech:
        """Speaks a text.

        Raises:
            InputError: if this version has no such voice.
        """
        # An unknown variant would be ignored without an error.
        known = (self.variants / voice.variant).is_file()
        name = f"{voice.accent}+{voice.variant}"
        if not known or self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise InputError(
                f"eSpeak NG {self.version}: expected a voice {name}, as version 1.52 has. "
                "Received: none"
            )
        for parameter, value in (
            (_RATE, voice.rate),
            (_PITCH, voice.pitch),
            (_PITCH_RANGE, voice.pitch_range),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks, self._marks = [], []
        content = text.encode()
        self._library.espeak_Synth(
            content, len(content) + 1, 0, _BY_CHARACTER, 0, _UTF_8, None, None
        )
        self._library.espeak_Synchronize()
        return Speech(np.concatenate(self._chunks), tuple(self._marks))


def _load() -> tuple[Any, Path | None]:
    """Loads the library and finds its data; None if the library knows where they are."""
    candidates: list[tuple[str, Path | None]] = [(name, None) for name in _SYSTEM_LIBRARIES]
    try:
        import espeakng_loader
    except ImportError:
        pass
    else:
        package = Path(espeakng_loader.__file__).resolve().parent
        candidates.insert(0, (espeakng_loader.get_library_path(), package / "espeak-ng-data"))
    for name, data in candidates:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        _declare(library)
        return library, data
    raise InputError(
        "synthetic speech: expected eSpeak NG, which speaks it. "
        f"Received: none; {install('speech')}"
    )


def _declare(library: Any) -> None:
    """Declares the types of the library's functions to ctypes."""
    text, number, address = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
    library.espeak_Initialize.argtypes = (number, number, text, number)
    library.espeak_SetSynthCallback.argtypes = (_Callback,)
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = (text,)
    library.espeak_SetParameter.argtypes = (number, number, number)
    library.espeak_Synth.argtypes = (
        text,
        ctypes.c_size_t,
        ctypes.c_uint,
        number,
        ctypes.c_uint,
        ctypes.c_uint,
        address,
        address,
    )
    library.espeak_Synchronize.argtypes = ()
    library.espeak_Info.argtypes = (ctypes.POINTER(text),)
    library.espeak_Info.restype = text
