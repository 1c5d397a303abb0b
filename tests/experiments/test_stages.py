"""Slow parts of an experiment are shown by the one who asks for it, and only while it asks."""

from __future__ import annotations

from contextlib import contextmanager, suppress

from nnx.experiments.stages import shown_by, stage


def recorder(events, name=""):
    @contextmanager
    def show(what, seconds):
        events.append((f"{name}{what}", seconds))
        try:
            yield
        finally:
            events.append((f"{name}{what}", "ended"))

    return show


def test_a_stage_is_shown_from_its_begin_to_its_end_also_where_it_fails():
    events = []
    with suppress(ZeroDivisionError), shown_by(recorder(events)), stage("fitting PCA", 2.0):
        events.append("at work")
        raise ZeroDivisionError
    assert events == [("fitting PCA", 2.0), "at work", ("fitting PCA", "ended")]
    with stage("nobody asks any more"):
        pass
    assert len(events) == 3


def test_who_asks_last_is_the_one_that_shows_until_it_is_done():
    events = []
    with shown_by(recorder(events, "outer ")):
        with shown_by(recorder(events, "inner ")), stage("a"):
            pass
        with stage("b"):
            pass
    assert [event for event, _ in events] == ["inner a", "inner a", "outer b", "outer b"]
