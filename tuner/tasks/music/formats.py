"""File formats of piano rolls, by suffix."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import DataError
from tuner.tasks import files, ragged_npz
from tuner.tasks.music.piano_rolls import SPLITS, PianoRolls, from_arrays, from_pitch_lists

LARGEST_FILE = 2**28
LARGEST_UNPACKED = 2**29

PUBLISHED_MAT = {
    "JSB_Chorales.mat": "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4",
    "MuseData.mat": "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff",
    "Nottingham.mat": "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea",
    "Piano_midi.mat": "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34",
}
"""SHA-256 of the published MATLAB files. Others are refused: `scipy.io.loadmat` trusts what a file
says about itself, so that one changed byte can end the process."""

_CONVERT = "convert it to .npz or .json"


def read_file(path: Path) -> PianoRolls:
    """Reads piano rolls.

    Args:
        path: a file whose suffix determines its format: `.mat`, `.pickle`, `.pkl`, `.json`, `.npz`;
            at most 256 MiB.

    Raises:
        DataError: if the file cannot be used: missing, unreadable, empty, damaged, or of other
            content.
    """
    if path.suffix.lower() not in _READERS:
        raise DataError(
            path,
            f"expected a file {', '.join(_READERS)} or a folder of MIDI files. "
            f"Received: {f'a file {path.suffix}' if path.suffix else 'a file without suffix'}",
        )
    return parse(str(path), files.read_content(path, "piano rolls", LARGEST_FILE))


def parse(source: str, content: bytes) -> PianoRolls:
    """Converts a file's content to piano rolls; see `read_file`."""
    kind, reader = _READERS[Path(source).suffix.lower()]
    return files.parse(source, content, kind, reader)


def _read_json(source: str, content: bytes) -> PianoRolls:
    """Reads `{"train": [...], "valid": [...], "test": [...]}`; see `from_pitch_lists`."""
    return from_pitch_lists(source, json.loads(content.decode("utf-8-sig")))


def _read_npz(source: str, content: bytes) -> PianoRolls:
    """Reads the format of `write_npz`."""
    archive = ragged_npz.read(source, content, LARGEST_UNPACKED)
    return from_arrays(
        source,
        {
            name: archive.sequences(name, "u", "uint8 [frames, 88]", f"{name}_lengths")
            for name in SPLITS
        },
    )


def write_npz(path: Path, rolls: PianoRolls) -> None:
    """Writes piano rolls as `.npz`; see `ragged_npz.write`.

    For each of `train`, `valid`, `test` there is an array of that name, uint8 [frames, 88], with
    all its sequences concatenated, and an array `<name>_lengths`, integer [sequences], the number
    of frames in each.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, split in rolls.splits.items():
        arrays[name] = np.concatenate(split)
        arrays[f"{name}_lengths"] = np.array([len(roll) for roll in split], np.int64)
    ragged_npz.write(path, arrays)


def _read_matlab(source: str, content: bytes) -> PianoRolls:
    """Reads cell arrays `traindata`, `validdata`, `testdata` of matrices [T, 88]."""
    if hashlib.sha256(content).hexdigest() not in PUBLISHED_MAT.values():
        raise DataError(
            source,
            f"expected one of the published files {', '.join(PUBLISHED_MAT)}. "
            f"Received: another or damaged file; {_CONVERT}",
        )
    import scipy.io

    variables = scipy.io.loadmat(io.BytesIO(content))
    return from_arrays(source, {name: list(variables[f"{name}data"].flat) for name in SPLITS})


def _read_pickle(source: str, content: bytes) -> PianoRolls:
    """Reads nested lists, see `from_pitch_lists`, whose numbers may be NumPy's.

    This is the format published by Boulanger-Lewandowski et al. (2012). A pickle is a program: any
    name in it, except those of NumPy numbers, is refused before it is imported.
    """
    for opcode, argument, _ in pickletools.genops(content):
        # The unpickler reserves memory for the largest memo number in a file, so that a single
        # changed byte could request many gigabytes.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise ValueError(f"memo number {argument} in a file of {len(content)} bytes")
    return from_pitch_lists(source, _Unpickler(source, content).load())


class _StandIn:
    """Stand-in for a constructor of NumPy, which should not see unchecked input."""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a constructor has no state")


class _Dtype(_StandIn):
    """Stand-in for `numpy.dtype`: a type of numbers and, by its state, a byte order."""

    def __init__(self, name: str, *_: Any) -> None:
        if not re.fullmatch("[iu][1248]|f[248]", name):
            raise pickle.UnpicklingError(f"a number of type {name[:20]!r}")
        self.numpy = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("an unknown byte order")
        self.numpy = self.numpy.newbyteorder(state[1])


class _Bytes(_StandIn):
    """Stand-in for `_codecs.encode`, with which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, _: str) -> bytes:  # type: ignore[misc]
        return text.encode("latin1")


class _Number(_StandIn):
    """Stand-in for NumPy's constructor of a number."""

    def __new__(cls, dtype: _Dtype, raw: Any) -> int | float:  # type: ignore[misc]
        # Python 2 wrote bytes as `str`, which arrives here as text decoded as latin1.
        content = raw.encode("latin1") if isinstance(raw, str) else raw
        (number,) = np.frombuffer(content, dtype.numpy).tolist()
        return number  # type: ignore[no-any-return]


_STAND_INS = {
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray.scalar": _Number,
    "numpy._core.multiarray.scalar": _Number,
    "_codecs.encode": _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, source: str, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _STAND_INS:
            raise DataError(
                self._source,
                "expected a pickle of lists and numbers only; it was not executed. "
                f"Received: a pickle that asks for {module[:60]}.{name[:60]}; {_CONVERT}",
            )
        return _STAND_INS[f"{module}.{name}"]


_READERS: dict[str, tuple[str, Callable[[str, bytes], PianoRolls]]] = {
    ".mat": ("a MATLAB 5", _read_matlab),
    ".pickle": ("a pickle", _read_pickle),
    ".pkl": ("a pickle", _read_pickle),
    ".json": ("a JSON", _read_json),
    ".npz": ("an .npz", _read_npz),
}
