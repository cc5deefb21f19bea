"""Waiting for a thread while a signal arrives."""

from __future__ import annotations

import signal
import threading

import pytest

from vjepa_fer.extract.threads import Worker

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer signals")


class Stop(Exception):
    pass


@pytest.fixture
def interrupted():
    """A signal that raises in the main thread a moment from now."""

    def stop(*_):
        raise Stop

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def test_a_signal_while_waiting_does_not_make_a_running_thread_look_ended(interrupted):
    go_on = threading.Event()
    thread = Worker(go_on.wait)
    thread.start()
    with pytest.raises(Stop):
        thread.wait()
    assert not thread.wait(0)
    go_on.set()
    assert thread.wait(10)


def test_wait_surely_sees_the_end_and_then_the_signal(interrupted):
    done = []
    thread = Worker(lambda: (threading.Event().wait(0.3), done.append(True)))
    thread.start()
    with pytest.raises(Stop):
        thread.wait_surely()
    assert done == [True]
