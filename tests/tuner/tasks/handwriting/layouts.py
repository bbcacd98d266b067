"""Writes made-up handwriting in the layouts of IAM-OnDB and of UJI Pen Characters v2."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

SETS = ("trainset.txt", "testset_v.txt", "testset_t.txt", "testset_f.txt")

BOARDS = {
    "trainset.txt": ["a01-000u", "a01-000x", "b02-011z"],
    "testset_v.txt": ["c03-001a"],
    "testset_t.txt": ["d04-002b"],
    "testset_f.txt": ["e05-003c", "f06-004"],
}

TEXTS = {
    "a01-000u": ["A MOVE to", "stop Mr. Gaitskell"],
    "a01-000x": ["from (1961)"],
    "b02-011z": ["x", "y&z", "#3/4"],
    "c03-001a": ["any more"],
    "d04-002b": ["Labour 'life'"],
    "e05-003c": ["Peers is", "to be made"],
    "f06-004": ["at a meeting"],
}
"""Lines of each board."""


def strokes_of(board: str, number: int) -> list[np.ndarray]:
    """What the pen did on a line: x, y, seconds; every line another."""
    rng = np.random.default_rng([number, *board.encode()])
    strokes, clock = [], 13096.15
    for _ in range(5):
        count = int(rng.integers(8, 16))
        times = clock + np.round(np.cumsum(rng.uniform(0.01, 0.02, count)), 2)
        clock = times[-1] + 0.2
        strokes.append(
            np.column_stack([rng.integers(900, 5000, (count, 2)), np.round(times, 2)])
        )
    return strokes


def stroke_file(strokes: Sequence[np.ndarray]) -> bytes:
    body = "\n".join(
        f'    <Stroke color="black" start_time="{stroke[0][2]:.2f}"'
        f' end_time="{stroke[-1][2]:.2f}">'
        + "".join(
            f'\n      <Point x="{x:.0f}" y="{y:.0f}" time="{time:.2f}"/>' for x, y, time in stroke
        )
        + "\n    </Stroke>"
        for stroke in strokes
        if len(stroke)
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<WhiteboardCaptureSession>
  <WhiteboardDescription>
    <SensorLocation corner="top_left"/>
    <DiagonallyOppositeCoords x="7712" y="4517"/>
    <VerticallyOppositeCoords x="955" y="4517"/>
    <HorizontallyOppositeCoords x="7712" y="978"/>
  </WhiteboardDescription>
  <StrokeSet>
{body}
  </StrokeSet>
</WhiteboardCaptureSession>
""".encode("latin-1")


def transcription(lines: Sequence[str]) -> bytes:
    text = "\n".join(lines)
    return f"OCR:\n\n{text} read by a machine\n\nCSR:\n\n{text}\n".encode("latin-1")


def stroke_path(board: str, number: int) -> str:
    return f"lineStrokes/{board[:3]}/{board[:7]}/{board}-{number:02}.xml"


def text_path(board: str) -> str:
    return f"ascii/{board[:3]}/{board[:7]}/{board}.txt"


def iam_files() -> dict[str, bytes]:
    """A complete small data set: the content of each file by its path."""
    files = {
        f"task1/{name}": "".join(f" {board}\n" for board in boards).encode()
        for name, boards in BOARDS.items()
    }
    for board, lines in TEXTS.items():
        files[text_path(board)] = transcription(lines)
        for number in range(1, len(lines) + 1):
            files[stroke_path(board, number)] = stroke_file(strokes_of(board, number))
    # Ink without text, in no set; and what else lies about.
    files[stroke_path("z01-000z", 1)] = stroke_file(strokes_of("z01-000z", 1))
    files["lineStrokes/a01/a01-000/._a01-000u-01.xml"] = b"\0Mac OS X"
    return files


def write_unpacked(folder: Path, files: Mapping[str, bytes], whole: bool = False) -> None:
    """Writes files as they come out of the archives, or in the folders `...-all` around them."""
    for name, content in files.items():
        part = name.partition("/")[0]
        path = folder / (f"{part}-all/{name}" if whole and part != "task1" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_archives(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files as the three published archives."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, archive in {
        "lineStrokes": "lineStrokes-all.tar.gz",
        "ascii": "ascii-all.tar.gz",
        "task1": "task1.tar.gz",
    }.items():
        with tarfile.open(folder / archive, "w:gz") as tar:
            for name, content in files.items():
                if name.startswith(f"{part}/"):
                    member = tarfile.TarInfo(f"./{name}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def uji_letter(character: str, writer: str, session: int, strokes: Sequence[np.ndarray]) -> str:
    """One letter as the file has it; writer for example `trn_UJI_W01`."""
    points = "".join(
        f"  POINTS {len(stroke)} # {' '.join(f'{number:g}' for number in stroke.ravel())}\r\n"
        for stroke in strokes
    )
    return (
        f"// ASCII char: {character}\r\nWORD {character} {writer}-{session:02}\r\n"
        f"  NUMSTROKES {len(strokes)}\r\n{points}"
    )


def uji_text(writers: Sequence[str], characters: str) -> str:
    """Letters of some writers, every one another."""
    rng = np.random.default_rng(5)
    return "// UJI: 100 units per millimetre\r\n" + "".join(
        uji_letter(
            character,
            writer,
            session,
            [rng.integers(0, 400, (int(count), 2)) for count in rng.integers(12, 30, 2)],
        )
        for writer in writers
        for character in characters
        for session in (1, 2)
    )
