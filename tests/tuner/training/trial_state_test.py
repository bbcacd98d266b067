import dataclasses
import pathlib

import numpy as np
import pytest

from tests.tuner.tiny import TRIAL
from tuner.training.protocol import Epoch, Protocol, Score
from tuner.training.trial_state import Checkpoint, TrialState, is_whole


def score(value: float) -> Score:
    return Score(value, value + 0.5)


def weights(epoch: int) -> tuple[np.ndarray, ...]:
    return (np.full((2, 3), epoch, np.float32), np.array([epoch], np.float32))


def follow(validations: list[float], protocol: Protocol) -> TrialState:
    """Records epochs until the trial is to stop; the first value is the untrained network's."""
    state = TrialState.begin(score(validations[0]), weights(0))
    for epoch, value in enumerate(validations[1:], start=1):
        assert not state.should_stop(protocol), f"over before epoch {epoch}"
        state.end_epoch(10.0 - epoch, score(value), weights(epoch))
    return state


def test_the_best_epoch_keeps_its_weights() -> None:
    protocol = Protocol(max_epochs=10, patience=3)
    state = follow([9.0, 7.0, 5.0, 6.0, 5.0], protocol)
    # An equal score later is no improvement.
    assert (state.best_epoch, state.best_score) == (2, score(5.0))
    np.testing.assert_array_equal(state.best_weights[0], weights(2)[0])
    assert state.curve == [
        Epoch(0, None, 9.0),
        Epoch(1, 9.0, 7.0),
        Epoch(2, 8.0, 5.0),
        Epoch(3, 7.0, 6.0),
        Epoch(4, 6.0, 5.0),
    ]
    assert not state.should_stop(protocol)


def test_stops_after_patience_epochs_without_improvement() -> None:
    assert follow([9.0, 7.0, 8.0, 8.0, 8.0], Protocol(patience=3)).should_stop(Protocol(patience=3))
    assert not follow([9.0, 7.0, 8.0, 8.0], Protocol(patience=3)).should_stop(Protocol(patience=3))


def test_stops_at_the_last_epoch() -> None:
    protocol = Protocol(max_epochs=3, patience=15)
    assert follow([9.0, 8.0, 7.0, 6.0], protocol).should_stop(protocol)


def test_never_improving_keeps_the_untrained_network() -> None:
    protocol = Protocol(patience=2)
    state = follow([9.0, 10.0, 11.0], protocol)
    assert state.should_stop(protocol)
    assert (state.best_epoch, state.best_score) == (0, score(9.0))


@pytest.mark.parametrize(
    ("loss", "value"), [(np.nan, 5.0), (np.inf, 5.0), (5.0, np.nan), (5.0, np.inf)]
)
def test_divergence_ends_a_trial_and_keeps_its_finite_best(loss: float, value: float) -> None:
    state = follow([9.0, 7.0], Protocol())
    state.end_epoch(loss, score(value), weights(2))
    assert state.diverged and state.should_stop(Protocol())
    assert (state.best_epoch, state.best_score) == (1, score(7.0))
    assert len(state.curve) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_network_that_starts_without_a_finite_score_stops_at_once(value: float) -> None:
    state = follow([value], Protocol())
    assert state.diverged and state.should_stop(Protocol())
    result = state.result(TRIAL, score(1.0), None, "native").result
    assert "the validation score at epoch 0" in result.not_finite


@pytest.mark.parametrize(
    ("test", "grouped", "expected"),
    [
        (score(1.0), None, ""),
        (score(1.0), 0.0, ""),
        # No frame of the test set counts: there is no such score.
        (score(1.0), np.nan, ""),
        (score(1.0), np.inf, "the grouped test score at epoch 1 is inf"),
        (Score(np.nan, 1.0), None, "the test score at epoch 1 is nan"),
        (Score(1.0, -np.inf), 5.0, "the test score at epoch 1 is -inf"),
    ],
)
def test_a_result_says_which_score_is_not_finite(
    test: Score, grouped: float | None, expected: str
) -> None:
    result = follow([9.0, 7.0], Protocol()).result(TRIAL, test, grouped, "native").result
    assert result.not_finite == expected
    if not expected:
        assert result.test_grouped in (None, 0.0)


def test_a_checkpoint_comes_back_whole(tmp_path: pathlib.Path) -> None:
    state = follow([9.0, 7.0, 8.0], Protocol())
    state.seconds = 12.5
    arrays = (np.arange(3.0), np.array(7, np.int64), np.ones((2, 2), np.float32))
    path = tmp_path / "V-0.npz"
    Checkpoint(TRIAL, "native", state, visited=4, engine_state=arrays).save(path)
    loaded = Checkpoint.load(path, TRIAL, "native")
    assert loaded is not None and loaded.visited == 4
    assert dataclasses.replace(loaded.state, best_weights=()) == dataclasses.replace(
        state, best_weights=()
    )
    for expected, actual in zip(
        (*arrays, *state.best_weights),
        (*loaded.engine_state, *loaded.state.best_weights),
        strict=True,
    ):
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)


def test_a_damaged_byte_is_noticed_wherever_it_is(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "V-0.npz"
    Checkpoint(TRIAL, "native", follow([9.0, 7.0], Protocol()), 0, (np.ones(2),)).save(path)
    content = path.read_bytes()
    assert is_whole(path)
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        assert not is_whole(path) and Checkpoint.load(path, TRIAL, "native") is None
    for other in (b"", content + b"0", content[32:], b"PK", bytes(len(content))):
        path.write_bytes(other)
        assert not is_whole(path) and Checkpoint.load(path, TRIAL, "native") is None
    path.unlink()
    path.mkdir()
    assert not is_whole(path) and Checkpoint.load(path, TRIAL, "native") is None


def test_a_missing_torn_or_foreign_checkpoint_is_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "V-0.npz"
    assert Checkpoint.load(path, TRIAL, "native") is None
    Checkpoint(TRIAL, "native", follow([9.0, 7.0], Protocol()), 0, (np.ones(2),)).save(path)
    content = path.read_bytes()
    assert Checkpoint.load(path, dataclasses.replace(TRIAL, seed=12), "native") is None
    # What an engine keeps for itself means nothing to another.
    assert Checkpoint.load(path, TRIAL, "keras") is None
    # Nor does what another release kept.
    monkeypatch.setattr("tuner.training.trial_state._FORMAT", 1)
    assert Checkpoint.load(path, TRIAL, "native") is None
    monkeypatch.undo()
    assert Checkpoint.load(path, TRIAL, "native") is not None
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        assert Checkpoint.load(path, TRIAL, "native") is None
