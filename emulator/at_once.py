"""Calls made at the same time, of which an interrupt of the caller loses none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class AtOnce(Generic[Item, Result]):
    """A pool of threads that all make the same call, each for another item.

    Leaving the block waits for all calls. When an exception ends it, those that have not begun
    never do, and after the block ``made`` holds all that came to a result: a plain pool forgets a
    thread when a Ctrl-C strikes while it starts.

    Args:
        work: the call.
        at_most: so many at a time.
        on_stop: called when an exception ends the block, before the wait.
    """

    def __init__(
        self,
        work: Callable[[Item], Result],
        at_most: int,
        on_stop: Callable[[], object] = lambda: None,
    ) -> None:
        self._work = work
        self._on_stop = on_stop
        self._pool = ThreadPoolExecutor(at_most)
        self._change = threading.Condition()
        self._active = 0
        self._stopped = False
        self.made: list[tuple[Item, Result]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if value is not None:
            with self._change:
                self._stopped = True
            self._on_stop()
            with self._change:
                self._change.wait_for(lambda: not self._active)
        self._pool.shutdown(cancel_futures=value is not None)

    def submit(self, item: Item) -> Future[Result]:
        """Have the call made for one more item."""
        return self._pool.submit(self._carry_out, item)

    def _carry_out(self, item: Item) -> Result:
        with self._change:
            if self._stopped:
                raise CancelledError
            self._active += 1
        try:
            result = self._work(item)
            self.made.append((item, result))
            return result
        finally:
            with self._change:
                self._active -= 1
                self._change.notify_all()
