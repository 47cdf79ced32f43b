"""Calls at the same time: what an interrupt may not lose."""

from __future__ import annotations

import threading
from concurrent.futures import as_completed

import pytest

from emulator.at_once import AtOnce


def test_every_call_is_made_and_gives_its_result() -> None:
    with AtOnce(lambda item: item * 2, 4) as calls:
        begun = [calls.submit(item) for item in range(20)]
        assert sorted(each.result() for each in as_completed(begun)) == list(range(0, 40, 2))
    assert sorted(calls.made) == [(item, item * 2) for item in range(20)]


def test_an_interrupt_waits_for_what_has_begun_and_begins_nothing_more() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(item: int) -> int:
        begun.set()
        go_on.wait(30)
        return item

    def interrupted() -> None:
        with calls:
            for item in range(3):
                calls.submit(item)
            begun.wait(30)
            raise KeyboardInterrupt

    calls = AtOnce(work, 1, on_stop=go_on.set)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert calls.made == [(0, 0)]


def test_a_call_that_fails_keeps_no_other_one_from_its_end() -> None:
    def work(item: int) -> int:
        if item == 1:
            raise ValueError(item)
        return item

    with AtOnce(work, 2) as calls:
        begun = [calls.submit(item) for item in range(3)]
        with pytest.raises(ValueError, match="1"):
            begun[1].result()
    assert sorted(calls.made) == [(0, 0), (2, 2)]
