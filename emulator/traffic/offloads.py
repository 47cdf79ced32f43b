"""Offloads that an interface needs to have on or off while the probe runs.

Several probes may run at the same time, in threads: what one of them needs stays until the last one
that needs it has ended.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from emulator.kernel.netns import Netns
from emulator.kernel.offload import kept_offload


class _Kept:
    """An offload that is kept, and by whom; ``undo`` puts it back as it was."""

    def __init__(self) -> None:
        self.users: set[object] = set()
        self.undo = ExitStack()


_all_kept: dict[tuple[int, str, str], _Kept] = {}
_lock = threading.Lock()


def receive_napi(netns: Netns, interface: str) -> AbstractContextManager[None]:
    """Turn generic receive offload on, for frames that XDP sends into the other end of the link.

    A veth throws such frames away unless it runs NAPI, which it does while it has an XDP program or
    generic receive offload is on.

    Raises:
        MachineError: the interface cannot do it.
    """
    return _shared(netns, interface, "rx-gro", True)


def udp_cut_before_the_link(netns: Netns, interface: str) -> AbstractContextManager[None]:
    """Have the kernel cut a large packet into UDP packets before the interface gets it.

    A veth would hand it on as it is, and so would everything behind it.

    Raises:
        MachineError: the interface cannot do it.
    """
    return _shared(netns, interface, "tx-udp-segmentation", False)


@contextmanager
def _shared(netns: Netns, interface: str, feature: str, on: bool) -> Iterator[None]:
    key = (os.fstat(netns.fd).st_ino, interface, feature)
    user = object()
    try:
        with _lock:
            kept = _all_kept.setdefault(key, _Kept())
            kept.users.add(user)
            kept.undo.enter_context(kept_offload(netns, interface, feature, on))
        yield
    finally:
        with _lock:
            if key in _all_kept:
                kept = _all_kept[key]
                kept.users.discard(user)
                if not kept.users:
                    del _all_kept[key]
                    kept.undo.close()
