"""What the wires did in a trial beyond what they were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import LabError

if TYPE_CHECKING:
    from emulator.link import Link
    from emulator.network import Network


@dataclass(frozen=True)
class WireTrouble:
    """Frames that wires did not treat as they were asked to, of all impaired links together.

    Attributes:
        late: released more than 100 µs after they were due.
        unasked: lost, though no impairment lost them: the wire was too slow, or out of memory.
    """

    late: int = 0
    unasked: int = 0


class WireWatch:
    """Counts the trouble of a network's wires from one trial to the next."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._links = [network.link(link.id) for link in network.links if link.mechanism == "wire"]
        self._before = _trouble(self._links)

    def begin(self) -> None:
        """Count from now on."""
        self._before = _trouble(self._links)

    def trouble(self) -> WireTrouble:
        """What has come since.

        Raises:
            LabError: the wires have died, or a schedule of links could not be carried out.
        """
        failure = self._network.wires_failure
        if failure is not None:
            raise LabError(failure, where="wires")
        for schedule in self._network.schedules:
            schedule.check()
        now = _trouble(self._links)
        return WireTrouble(now.late - self._before.late, now.unasked - self._before.unasked)


def _trouble(links: Iterable[Link]) -> WireTrouble:
    late = unasked = 0
    for link in links:
        counters = link.counters()
        for way in (counters.up, counters.down):
            late += way.late_packets
            unasked += way.unasked_packets
    return WireTrouble(late, unasked)
