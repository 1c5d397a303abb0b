"""A signal waits until the step has ended; a second one, or one that nobody asked to hold, does not."""

from __future__ import annotations

import os
import signal

import pytest

from nnx.training.signals import Interrupts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def received(request):
    """A signal, and the list to which its usual handler adds."""
    found = []
    before = signal.signal(request.param, lambda number, frame: found.append(number))
    yield request.param, found
    signal.signal(request.param, before)


def test_the_first_signal_waits_until_it_is_delivered(received):
    number, found = received
    with Interrupts(wanted=True) as interrupts:
        signal.raise_signal(number)
        assert (interrupts.number, found) == (number, [])
        interrupts.deliver(number)
        assert (interrupts.number, found) == (0, [number])
    assert found == [number]


def test_the_second_signal_does_not_wait(received):
    number, found = received
    with Interrupts(wanted=True):
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert found == [number]


def test_a_signal_after_the_last_step_is_delivered_at_the_end(received):
    number, found = received
    with Interrupts(wanted=True):
        signal.raise_signal(number)
    assert found == [number]


def test_an_error_is_not_replaced_by_the_signal_that_waits(received):
    number, found = received

    def step():
        signal.raise_signal(number)
        raise ValueError("the step failed")

    with pytest.raises(ValueError, match="the step failed"), Interrupts(wanted=True):
        step()
    assert found == []
    signal.raise_signal(number)  # the usual handler is back
    assert found == [number]


def test_signals_that_nobody_wants_to_hold_have_their_usual_effect(received):
    number, found = received
    with Interrupts(wanted=False) as interrupts:
        signal.raise_signal(number)
        assert (interrupts.number, found) == (0, [number])


def test_a_signal_that_is_ignored_stays_ignored(received):
    number, found = received
    signal.signal(number, signal.SIG_IGN)
    with Interrupts(wanted=True) as interrupts:
        signal.raise_signal(number)
        assert interrupts.number == 0
    assert signal.getsignal(number) == signal.SIG_IGN
    assert found == []
