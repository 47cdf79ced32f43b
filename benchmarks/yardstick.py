"""How fast the machine itself is from moment to moment: two fixed computations, timed.

A virtual machine's neighbours take time and caches from it that it cannot see. What is measured in
such moments varies as these computations do, be it measured well or not.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

COMPUTING, MEMORY = "BLAKE2b in a core's own cache", "reading memory in random order"

_MESSAGE_BYTES, _MESSAGES = 1 << 16, 2500
_TABLE_ENTRIES, _READS, _PASSES = 1 << 23, 1 << 20, 8
"""Entries of 8 bytes: 64 MiB, more than a core's caches hold."""


class Yardstick:
    """The computations, with what they work on; each takes some tenths of a second."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        self._message = random.bytes(_MESSAGE_BYTES)
        self._table = random.integers(0, 1 << 60, _TABLE_ENTRIES)
        self._places = random.integers(0, _TABLE_ENTRIES, _READS)
        self._work: dict[str, Callable[[], object]] = {COMPUTING: self._hash, MEMORY: self._gather}
        self._look()
        self.windows: dict[str, list[float]] = {name: [] for name in self._work}
        """Of each computation, the seconds that it took around each window."""

    @contextmanager
    def window(self) -> Iterator[None]:
        """Time the computations just before the block and just after it."""
        before = self._look()
        yield
        after = self._look()
        for name, seconds in self.windows.items():
            seconds.append(statistics.mean((before[name], after[name])))

    def _look(self) -> dict[str, float]:
        took = {}
        for name, compute in self._work.items():
            began = time.perf_counter()
            compute()
            took[name] = time.perf_counter() - began
        return took

    def _hash(self) -> None:
        digest = hashlib.blake2b()
        for _ in range(_MESSAGES):
            digest.update(self._message)

    def _gather(self) -> None:
        for _ in range(_PASSES):
            self._table[self._places].sum()
