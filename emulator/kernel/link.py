"""What holds a BPF program to the place where it runs."""

from __future__ import annotations

import os

from emulator.closing import Closing
from emulator.kernel.libbpf import library, object_id


class BpfLink(Closing):
    """An attachment that lasts as long as this object, or its process, lives."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.id = object_id(fd)
        self._maker = os.getpid()

    def __del__(self) -> None:
        self.close()

    def give_away(self) -> None:
        """Leave it to a process that has inherited the descriptor, and lasts as long as that."""
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        """Detach; a second call does nothing, nor does one in a forked process."""
        if self.fd >= 0:
            # Closing alone would leave it attached as long as a forked process has a copy.
            if self._maker == os.getpid():
                library().bpf_link_detach(self.fd)
            os.close(self.fd)
            self.fd = -1
