"""Names short enough for the kernel, which takes at most 15 bytes for an interface's."""

from __future__ import annotations

import re
from hashlib import blake2b

LONGEST = 15
_TAIL = re.compile(r"-eth\d{1,4}$")
# The loopback device, and what the kernel's settings call all devices together.
_RESERVED = ("lo", "all", "default")


class KernelNames:
    """The names that are taken in one network namespace."""

    def __init__(self) -> None:
        self._taken = set(_RESERVED)

    def keep(self, name: str) -> None:
        """Mark a name as taken."""
        self._taken.add(name)

    def take_as_is(self, name: str) -> str | None:
        """The name itself if it is short enough and free, else None."""
        if len(name) > LONGEST or name in self._taken:
            return None
        self._taken.add(name)
        return name

    def take_short(self, name: str, owner: str) -> str:
        """A free short form of a name: its beginning, five digits of a hash, and its port.

        Args:
            name: the long name.
            owner: what else tells it apart from the same name elsewhere in the namespace.
        """
        tail = _TAIL.search(name)
        end = tail.group() if tail else ""
        attempt = 0
        while True:
            text = f"{owner} {name} {attempt}"
            digits = blake2b(text.encode(), digest_size=3).hexdigest()[:5]
            short = name[: LONGEST - len(end) - len(digits)].rstrip("-_.") + digits + end
            if short not in self._taken:
                self._taken.add(short)
                return short
            attempt += 1
