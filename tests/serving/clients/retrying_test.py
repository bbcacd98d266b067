import pytest

from serving.clients.errors import ServingError
from serving.clients.retrying import Patience, persistently


class Clock:
    """A clock that only the pauses move, and a model that answers as it is told."""

    def __init__(self, *answers):
        self.now = 100.0
        self.pauses = []
        self.given = []
        self._answers = list(answers)

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def ask(self, seconds):
        self.given.append(seconds)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, **patience):
        return persistently(
            self.ask, Patience(**patience), clock=lambda: self.now, sleep=self.sleep
        )


BUSY = ServingError("RESOURCE_EXHAUSTED", "busy")
AWAY = ServingError("UNAVAILABLE", "away")


def test_pauses_double_and_shrink_by_up_to_a_half():
    found = []
    for _ in range(50):
        clock = Clock(BUSY, AWAY, BUSY, "answer")
        assert clock.run(timeout=60, retries=3, backoff=2.0) == "answer"
        found.append(clock.pauses)
    for index, longest in enumerate((2.0, 4.0, 8.0)):
        pauses = [one[index] for one in found]
        assert longest / 2 <= min(pauses) < 0.7 * longest
        assert 0.8 * longest < max(pauses) <= longest


def test_every_attempt_has_what_is_left():
    clock = Clock(BUSY, "answer")
    clock.run(timeout=5, retries=1, backoff=1.0)
    assert clock.given[0] == 5
    assert clock.given[1] == pytest.approx(5 - clock.pauses[0])


def test_attempts_are_counted():
    clock = Clock(BUSY, BUSY, AWAY, "answer")
    with pytest.raises(ServingError, match="away"):
        clock.run(timeout=60, retries=2, backoff=0.1)
    assert len(clock.given) == 3


def test_a_pause_beyond_the_deadline_is_not_begun():
    clock = Clock(BUSY, "answer")
    with pytest.raises(ServingError, match="busy"):
        clock.run(timeout=1, retries=5, backoff=3.0)
    assert clock.pauses == []


def test_the_pause_that_was_asked_for_is_kept():
    clock = Clock(ServingError("UNAVAILABLE", "later", retry_after=7.0), "answer")
    clock.run(timeout=60, retries=1, backoff=0.1)
    assert clock.pauses == [7.0]


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "DEADLINE_EXCEEDED", "INTERNAL"])
def test_other_errors_stay(code):
    clock = Clock(ServingError(code, "no"), "answer")
    with pytest.raises(ServingError, match="no"):
        clock.run()
    assert len(clock.given) == 1


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"retries": -1}, {"backoff": -0.1}])
def test_impossible_patience_is_refused(wrong):
    with pytest.raises(ValueError, match="Expected timeout > 0"):
        Patience(**wrong)
