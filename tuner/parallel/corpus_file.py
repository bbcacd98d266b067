"""A corpus in a file that several processes map into memory, so that it is there only once."""

from __future__ import annotations

import mmap
import pickle
from typing import BinaryIO

from tuner.tasks.task import Corpus

# Processors read arrays fastest from the start of a cache line.
_ALIGNMENT = 64
_LENGTH_BYTES = 8


def save(corpus: Corpus, file: BinaryIO) -> None:
    """Writes a corpus: the length of a pickle, the pickle without arrays, the arrays.

    Args:
        corpus: the corpus to write.
        file: an empty file, open for writing.

    Raises:
        OSError: if the disk is full.
    """
    buffers: list[pickle.PickleBuffer] = []
    frame = pickle.dumps(corpus, protocol=5, buffer_callback=buffers.append)
    arrays = [buffer.raw() for buffer in buffers]
    head = pickle.dumps((frame, [array.nbytes for array in arrays]))
    file.write(len(head).to_bytes(_LENGTH_BYTES, "little") + head)
    for array in arrays:
        file.write(bytes(_padding(file.tell())))
        file.write(array)
    file.flush()


def load(descriptor: int) -> Corpus:
    """Maps a corpus written by `save` into memory.

    Args:
        descriptor: descriptor of the open file, which may be closed afterward.

    Returns:
        The corpus; changes to its arrays stay private to this process.
    """
    memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    view = memoryview(memory)
    position = _LENGTH_BYTES + int.from_bytes(view[:_LENGTH_BYTES], "little")
    frame, sizes = pickle.loads(view[_LENGTH_BYTES:position])
    arrays = []
    for size in sizes:
        position += _padding(position)
        arrays.append(view[position : position + size])
        position += size
    corpus: Corpus = pickle.loads(frame, buffers=arrays)
    return corpus


def _padding(position: int) -> int:
    return -position % _ALIGNMENT
