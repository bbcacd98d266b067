"""What meets in a batch, with a session that is made up."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
import time
from typing import Any

import numpy as np
import pytest

from serving.devserver.batcher import Batcher, Call, Runner
from serving.devserver.settings import Batching
from serving.runtime.c_api import Failure
from serving.runtime.specs import Signature, TensorSpec
from serving.runtime.status import Code
from tests.serving.devserver.callers import fails, looped, wait_for

SIGNATURE = Signature(
    {
        "lengths": TensorSpec("int32", (None,)),
        "sequence": TensorSpec("float32", (None, None, 2)),
    },
    {"sums": TensorSpec("float32", (None, 2)), "same": TensorSpec("float32", (None, None, 2))},
)


class Session:
    """Sums what counts of each row, and remembers the shapes that it was given."""

    def __init__(self) -> None:
        self.signatures, self.go = {"sum": SIGNATURE}, threading.Event()
        self.shapes: list[tuple[int, ...]] = []
        self.timeouts: list[float | None] = []
        self.failure: Exception | None = None
        self.go.set()

    def run(self, name, inputs, outputs, seconds):
        assert self.go.wait(300)
        self.shapes.append(inputs["sequence"].shape)
        self.timeouts.append(seconds)
        if self.failure is not None:
            raise self.failure
        counts = np.arange(inputs["sequence"].shape[1]) < inputs["lengths"][:, None]
        masked = np.where(counts[..., None], inputs["sequence"], 0)
        return {"sums": masked.sum(axis=1), "same": inputs["sequence"]}


@pytest.fixture
def make():
    """Makes batchers, each with a session of its own, and closes them."""
    made = []

    def make(**batching: Any) -> tuple[Session, Batcher]:
        parameters = Batching(4, 2000, num_batch_threads=1, pad_variable_length_inputs=True)
        made.append(Batcher(Runner(2), dataclasses.replace(parameters, **batching)))
        return Session(), made[-1]

    yield make
    for batcher in made:
        batcher.close()


def inputs(time: int, rows: int = 1, value: float = 1.0) -> dict[str, np.ndarray]:
    sequence = np.full((rows, time, 2), value, np.float32)
    return {"sequence": sequence, "lengths": np.full(rows, time, np.int32)}


def begin(batcher: Batcher, session: Any, *asked: dict[str, np.ndarray], end: float | None = None):
    calls = (Call(session, "sum", one, (), end) for one in asked)
    return [asyncio.ensure_future(batcher.call(call)) for call in calls]


async def first_runs(batcher: Batcher, session: Session, *asked: dict[str, np.ndarray]):
    """Begins a batch that runs until `session.go` is set."""
    session.go.clear()
    calls = begin(batcher, session, *asked)
    while not batcher._runner.running:
        await asyncio.sleep(0.001)
    return calls


@looped
async def test_requests_of_different_lengths_meet_and_come_back_each_its_own(make):
    session, batcher = make()
    asked = [inputs(3, value=1), inputs(5, value=2), inputs(1, rows=2, value=3)]
    answers = await asyncio.gather(*begin(batcher, session, *asked))
    assert session.shapes == [(4, 5, 2)]
    for value, (one, answer) in enumerate(zip(asked, answers, strict=True), 1):
        rows, times, _ = one["sequence"].shape
        np.testing.assert_array_equal(answer["sums"], np.full((rows, 2), value * times))
        # Padded with the first element, and so are the outputs.
        np.testing.assert_array_equal(answer["same"], np.full((rows, 5, 2), value))


@looped
async def test_without_padding_only_one_shape_meets(make):
    """And no batch waits for ever to be full."""
    session, batcher = make(pad_variable_length_inputs=False, max_batch_size=1000)
    await asyncio.gather(*begin(batcher, session, *map(inputs, (3, 5, 3, 5))))
    assert sorted(session.shapes) == [(2, 3, 2), (2, 5, 2)]


@looped
async def test_a_wrong_size_or_rank_spoils_no_batch(make):
    """Only free sizes are padded."""
    session, batcher = make()
    wide = {"sequence": np.ones((1, 3, 7), np.float32), "lengths": np.ones(1, np.int32)}
    flat = {"sequence": np.ones((1, 2), np.float32), "lengths": np.ones(1, np.int32)}
    first, _, wrong, last = begin(batcher, session, inputs(3), wide, flat, inputs(3))
    await asyncio.gather(first, last)
    with contextlib.suppress(Exception):
        await wrong
    assert sorted(session.shapes) == [(1, 2), (1, 3, 7), (2, 3, 2)]


@looped
async def test_a_batch_goes_on_filling_while_the_one_before_runs(make):
    session, batcher = make(max_batch_size=3, batch_timeout_micros=0)
    calls = await first_runs(batcher, session, inputs(2))
    for _ in range(4):
        calls += begin(batcher, session, inputs(2))
        await asyncio.sleep(0.002)
    session.go.set()
    await asyncio.gather(*calls)
    assert session.shapes == [(1, 2, 2), (3, 2, 2), (1, 2, 2)]


@looped
async def test_the_next_batch_begins_while_the_event_loop_is_busy(make):
    session, batcher = make(max_batch_size=1)
    calls = await first_runs(batcher, session, inputs(2))
    calls += begin(batcher, session, inputs(3), inputs(4))
    await asyncio.sleep(0)
    session.go.set()
    wait_for(lambda: len(session.shapes) == 3)
    assert not any(call.done() for call in calls)
    await asyncio.gather(*calls)


@looped
async def test_a_saturated_model_leaves_others_their_threads(make):
    (session, batcher), other = make(max_batch_size=1), Session()
    calls = await first_runs(batcher, session, inputs(2))
    calls += begin(batcher, session, *map(inputs, (3, 4, 5)))
    await batcher._runner.call(Call(other, "sum", inputs(7)))
    session.go.set()
    await asyncio.gather(*calls)


def test_only_calls_that_may_take_too_long_have_a_timeout():
    session, runner = Session(), Runner(1)
    for expected in (None, 1e-3, 400.0):
        runner._seconds = dict.fromkeys(runner._seconds, expected)
        runner.run(Call(session, "sum", inputs(2), (), time.monotonic() + 500))
    unknown, brief, long = session.timeouts
    assert 0 < unknown <= 500
    assert brief is None
    assert 0 < long <= 500


@looped
async def test_too_many_rows_and_unequal_ones_are_refused(make):
    session, batcher = make()
    unequal = {**inputs(2), "lengths": np.ones(2, np.int32)}
    for call in begin(batcher, session, inputs(2, rows=5), unequal):
        with fails(Code.INVALID_ARGUMENT):
            await call


@looped
async def test_the_queue_of_batches_is_bounded(make):
    session, batcher = make(max_enqueued_batches=1)
    calls = await first_runs(batcher, session, inputs(1, rows=4))
    *others, last = begin(batcher, session, inputs(1, rows=3), inputs(1, rows=2))
    with fails(Code.UNAVAILABLE):
        await last
    session.go.set()
    await asyncio.gather(*calls, *others)


@looped
async def test_who_has_gone_takes_no_part_and_a_failure_is_everybodys(make):
    session, batcher = make()
    session.failure = Failure(Code.INVALID_ARGUMENT, "no such rows\n\t[[node]]")
    gone, *calls = begin(batcher, session, *map(inputs, (9, 1, 1)))
    await asyncio.sleep(0)
    gone.cancel()
    for call in calls:
        with fails(Code.INVALID_ARGUMENT):
            await call
    assert session.shapes == [(2, 1, 2)]


@looped
async def test_who_has_gone_leaves_room_for_others(make):
    session, batcher = make(max_batch_size=2)
    calls = await first_runs(batcher, session, inputs(1, rows=2))
    gone, *others = begin(batcher, session, *map(inputs, (3, 3, 3)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    session.go.set()
    await asyncio.gather(*calls, *others)
    assert session.shapes == [(2, 1, 2), (2, 3, 2)]


@looped
async def test_all_requests_of_a_running_batch_count(make):
    session, batcher = make()
    calls = await first_runs(batcher, session, *map(inputs, (1, 2, 3, 4)))
    assert batcher._runner.running == 4
    session.go.set()
    await asyncio.gather(*calls)
    assert batcher._runner.running == 0


def test_a_session_that_is_gone_is_no_other():
    session, runner = Session(), Runner(1)
    call = Call(session, "sum", inputs(2))
    kind = call.kind
    assert kind == Call(session, "sum", inputs(2)).kind != Call(Session(), "sum", inputs(2)).kind
    runner.run(call)
    del session, call
    for _ in range(50):
        assert Call(Session(), "sum", inputs(2)).kind not in runner._seconds


@looped
async def test_what_is_late_is_not_run(make):
    session, batcher = make()
    (call,) = begin(batcher, session, inputs(1), end=time.monotonic() - 1)
    with fails(Code.DEADLINE_EXCEEDED):
        await call
    assert session.shapes == []


@looped
async def test_what_has_no_rows_runs_by_itself(make):
    session, batcher = make()
    session.run = lambda name, inputs, *_: inputs
    session.signatures["sum"] = Signature({"x": TensorSpec("float32", ())}, {})
    for asked in ({"x": np.zeros(())}, {}):
        assert await begin(batcher, session, asked)[0] == asked


@looped
async def test_outputs_that_are_no_rows_are_an_error(make):
    session, batcher = make()
    session.run = lambda *_: {"sums": np.zeros(7), "same": np.zeros((1, 1))}
    (call,) = begin(batcher, session, inputs(1))
    with fails(Code.FAILED_PRECONDITION):
        await call
