"""What works on this machine, why the rest does not, and the command that fixes it.

Nothing is believed that can be tried: programs are loaded, attached and run, queueing disciplines
added and sockets bound, all in a private network namespace that is gone when the answer is there.
"""

from __future__ import annotations

from emulator.doctor.examination import diagnose
from emulator.doctor.model import Check, Status

__all__ = ["Check", "Status", "diagnose"]
