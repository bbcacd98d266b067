"""The work of the benchmarks."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.work import Work, bucket_lengths, operations
from benchmarks.work_files import WorkFiles
from tests.tuner import tiny
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import find_task
from tuner.training import random_streams
from tuner.training.network import build_network
from zoo.variants import VARIANTS


def sequences(lengths: list[int]) -> Sequences:
    generator = np.random.default_rng(3)
    rolls = [generator.random((length + 1, 88)) < 0.05 for length in lengths]
    return Sequences(
        inputs=tuple(roll[:-1].astype(np.float32) for roll in rolls),
        targets=tuple(roll[1:].astype(np.float32) for roll in rolls),
    )


@pytest.fixture
def files(tmp_path: Path) -> WorkFiles:
    return WorkFiles(tmp_path, sequences([9, 5, 7, 7, 12, 5, 20, 7, 7, 30, 6, 7]))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
def test_buckets_pad_least(count: int) -> None:
    lengths = np.array([5, 9, 9, 12, 3, 20, 21, 4])

    def padded(buckets: tuple[int, ...]) -> int:
        return sum(min(size for size in buckets if size >= length) for length in lengths)

    chosen = bucket_lengths(lengths, count)
    assert len(chosen) <= count
    assert max(chosen) == 21
    every = sorted(set(lengths.tolist()))
    best = min(
        padded((*others, 21))
        for size in range(count)
        for others in itertools.combinations(every[:-1], min(size, len(every) - 1))
    )
    assert padded(chosen) == best


@pytest.mark.parametrize("code", VARIANTS)
def test_operations_are_those_of_the_products(code: str) -> None:
    """Counted product by product: [rows, inner, columns] of each, 2 a multiply-add."""
    variant = VARIANTS[code]
    frames, inputs, outputs, units = 7, 5, 3, 4
    net, gates = len(variant.gates) * units, len(variant.recurrent_gates) * units
    products = [
        *[(frames, inputs, net), (inputs, frames, net)],
        *[(frames, units, net), (frames, net, units), (units, frames, net)],
        *[(frames, units, outputs), (frames, outputs, units), (units, frames, outputs)],
        *[(frames, gates, gates)] * 3,
    ]
    expected = sum(2 * rows * inner * columns for rows, inner, columns in products)
    counted = operations(
        frames, inputs, outputs, units, len(variant.gates), len(variant.recurrent_gates)
    )
    assert counted == expected


@pytest.mark.parametrize("code", ["V", "NP", "CIFG", "FGR"])
def test_weights_are_those_of_an_engine(files: WorkFiles, code: str) -> None:
    work = Work.load(files.path("check", code, 6))
    model = build_network(find_task("music"), tiny.of_size(code, 6), 0.1)
    shapes = [tuple(weight.shape) for weight in model.weights]
    expected = random_streams.initial_weights(work.seed, shapes, 0.1)
    assert len(work.weights) == len(expected)
    for weight, wanted in zip(work.weights, expected, strict=True):
        np.testing.assert_array_equal(weight, wanted)


def test_kinds_of_work(files: WorkFiles) -> None:
    corpus = Work.load(files.path("corpus", "V", 3))
    assert [len(roll) for roll in corpus.inputs] == sorted(len(roll) for roll in corpus.inputs)
    assert corpus.frames == files.frames("corpus") == 122
    lengths = {len(roll) for roll in Work.load(files.path("lengths", "V", 3)).inputs}
    assert len(lengths) == 2
    check = Work.load(files.path("check", "V", 3))
    assert check.noise_std == 0.0
    assert [len(roll) for roll in check.inputs] == [7, 7, 7, 7]
    longer = Work.load(files.path("corpus", "V", 3, longer=2))
    np.testing.assert_array_equal(longer.inputs[0][:5], longer.inputs[0][5:])
    sample = Work.load(files.path("sample", "V", 3))
    assert len(sample.inputs) == files.sequences("sample") == 32
    assert max(len(roll) for roll in sample.inputs) <= max(sample.buckets) == 30
