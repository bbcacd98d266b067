import gc
import os
import signal
import threading
import time

import pytest

from common import interrupts
from tests.commands import Forked


def interrupt(number: int = signal.SIGINT) -> None:
    """Sends this process a signal, which Python handles soon, in whatever it runs then."""
    os.kill(os.getpid(), number)
    for _ in range(1000):
        pass


def lost_by_a_bare_except() -> None:
    try:
        interrupt(signal.SIGTERM)
    except:  # noqa: E722
        print("lost")


def lost_by_a_callback() -> None:
    def callback(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(callback)
        interrupt()

    gc.callbacks.append(callback)
    gc.collect()
    print("lost")


def an_epoch() -> None:
    time.sleep(60)


def recorded() -> None:
    with interrupts.held():
        interrupt()
        print("recorded")


def next_record() -> None:
    with interrupts.held():
        print("next")


def an_error() -> None:
    raise TypeError("Cannot find maximum value of int32")


def steps(*functions) -> None:
    """Calls functions until there is an interrupt."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        with interrupts.raised():
            for function in functions:
                function()
            print("end")
    except KeyboardInterrupt:
        print("stopped")
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize(
    ("functions", "printed"),
    [
        ((interrupt, an_epoch), "stopped"),
        ((lost_by_a_bare_except, next_record), "lost stopped"),
        ((lost_by_a_bare_except, an_error), "lost stopped"),
        ((lost_by_a_bare_except,), "lost end stopped"),
        ((lost_by_a_callback, an_epoch), "lost stopped"),
        ((recorded, next_record), "recorded stopped"),
        ((next_record,), "next end"),
    ],
)
def test_ctrl_c_is_raised_whatever_libraries_make_of_it(functions, printed: str) -> None:
    done = Forked(steps, *functions).wait()
    assert (done.stdout.split(), done.stderr, done.returncode) == (printed.split(), "", 0)


def cleanup(function) -> None:
    """A signal that was lost and then raised does not come again while things are put in order."""
    try:
        with interrupts.raised():
            try:
                lost_by_a_callback()
                function()
            finally:
                time.sleep(0.2)
                print("clean")
    except KeyboardInterrupt:
        print("stopped")


def test_a_signal_is_not_repeated_into_the_cleanup() -> None:
    done = Forked(cleanup, next_record).wait()
    assert (done.stdout.split(), done.stderr) == (["lost", "clean", "stopped"], "")


def nested() -> None:
    with interrupts.held():
        lost_by_a_bare_except()
        steps(recorded)
        print("whole")


def test_inside_themselves_they_change_nothing() -> None:
    done = Forked(steps, nested).wait()
    assert done.stdout.split() == ["recorded", "end", "whole", "stopped"]


def recorded_in_a_thread() -> None:
    threading.Thread(target=recorded).start()


def test_another_thread_holds_nothing_back() -> None:
    done = Forked(steps, recorded_in_a_thread, an_epoch).wait()
    # Both print at the same time.
    assert done.stdout.replace("\n", "") in ("recordedstopped", "stoppedrecorded")


def ignoring() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    steps(interrupt)


def test_a_signal_that_a_shell_has_ignored_stays_ignored() -> None:
    done = Forked(ignoring).wait()
    assert (done.stdout, done.returncode) == ("end\n", 0)


def twice() -> None:
    steps(interrupt)
    next_record()


def test_a_signal_counts_once() -> None:
    done = Forked(twice).wait()
    assert (done.stdout, done.returncode) == ("stopped\nnext\n", 0)


def in_a_thread() -> None:
    thread = threading.Thread(target=steps, args=(lost_by_a_callback,))
    thread.start()
    thread.join()


def test_another_thread_leaves_signals_to_the_main_thread() -> None:
    done = Forked(in_a_thread).wait()
    assert done.stdout == "lost\nend\n" and "KeyboardInterrupt" in done.stderr


def test_errors_of_others_stay_what_they_are() -> None:
    done = Forked(steps, an_error).wait()
    assert done.returncode == 1 and "TypeError: Cannot find" in done.stderr
