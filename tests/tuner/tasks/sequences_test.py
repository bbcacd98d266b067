from __future__ import annotations

import numpy as np
import pytest

from tuner.tasks.sequences import Sequences


def sequences(*lengths, width=3):
    """Sequences whose every value is different."""
    inputs, start = [], 1
    for length in lengths:
        size = length * width
        inputs.append(np.arange(start, start + size, dtype=np.float32).reshape(length, width))
        start += size
    return Sequences(inputs=tuple(inputs), targets=tuple(-values for values in inputs))


def test_length_and_frames():
    split = sequences(4, 2, 7)

    assert len(split) == 3
    assert split.lengths.tolist() == [4, 2, 7]
    assert split.lengths.dtype == np.int64
    assert split.frames == 13


def test_batches_hold_every_sequence_once_unchanged():
    split = sequences(5, 2, 9, 2, 7, 1, 3)

    seen = []
    for batch in split.batches(size=3):
        assert batch.inputs.dtype == np.float32 and batch.lengths.dtype == np.int32
        assert batch.inputs.shape == (len(batch.indices), batch.lengths.max(), 3)
        for row, index in enumerate(batch.indices):
            length = batch.lengths[row]
            np.testing.assert_array_equal(batch.inputs[row, :length], split.inputs[index])
            assert not batch.inputs[row, length:].any()
        seen += batch.indices.tolist()

    assert sorted(seen) == list(range(7))


def test_batches_are_sorted_by_length_so_that_little_is_padding():
    split = sequences(5, 2, 9, 2, 7, 1, 3)

    batches = list(split.batches(size=3))

    assert [batch.indices.tolist() for batch in batches] == [[5, 1, 3], [6, 0, 4], [2]]
    assert [batch.lengths.tolist() for batch in batches] == [[1, 2, 2], [3, 5, 7], [9]]


def test_no_sequences_give_no_batches():
    assert list(Sequences(inputs=(), targets=()).batches()) == []
    assert Sequences(inputs=(), targets=()).frames == 0


def test_inputs_without_targets_are_refused():
    roll = np.zeros((2, 3), np.float32)

    with pytest.raises(ValueError, match="1 inputs and 0 targets"):
        Sequences(inputs=(roll,), targets=())
