"""The docker SDK's object of a node's container, as scripts of ComNetsEmu and Containernet use it.

It is the SDK's own but for what the lab has to do with: limits are changed through the lab, so that
its plan stays true; what the container's program prints is in the lab's file; and what it uses is
read from the kernel, because Docker tells nothing of containers whose network it did not make.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil

from emulator.errors import LabError, UsageError

if TYPE_CHECKING:
    from docker.models.containers import Container as Handle

    from emulator.node import Node

_LOG_OPTIONS: dict[str, tuple[Any, ...]] = {
    "stdout": (True,),
    "stderr": (True,),
    "stream": (False, None),
    "follow": (False, None),
    "timestamps": (False,),
    "since": (None,),
    "until": (None,),
}
"""Options of the SDK's ``logs`` -> the values that mean what is the case anyway."""


class Instance:
    """A container of a running lab; what is not here is the SDK's object's.

    Args:
        node: the engine's.
        handle: the SDK's object.
    """

    def __init__(self, node: Node, handle: Handle) -> None:
        self._node = node
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def __repr__(self) -> str:
        return repr(self._handle)

    def __eq__(self, other: object) -> bool:
        return getattr(other, "id", None) == self._handle.id

    def __hash__(self) -> int:
        return hash(self._handle)

    def update(self, **limits: Any) -> None:
        """Change limits while it runs; see ``Node.update``."""
        self._node.update(**limits)

    def logs(self, *, tail: int | str = "all", **options: Any) -> bytes:
        """What its program has printed, both streams.

        Args:
            tail: how many of the last lines.
            options: the SDK's others, with the values that mean what is the case anyway.

        Raises:
            UsageError: an option has another value.
        """
        for name, value in options.items():
            if value not in _LOG_OPTIONS.get(name, ()):
                raise UsageError(
                    f"logs({name}={value!r}) is not supported: lines are kept as they were printed",
                    where=self._node.name,
                    hint="logs(tail=20) gives the last ones",
                )
        return self._node.logs(None if tail == "all" else int(tail)).encode()

    def stats(self, *, stream: bool = True, decode: bool | None = None) -> dict[str, Any]:
        """What it uses, in the form that Docker tells it in, over a quarter of a second.

        What the machine cannot tell is left out; so is the use of each CPU for itself.

        Raises:
            UsageError: as a stream.
            LabError: it has ended.
        """
        if stream or decode:
            raise UsageError(
                "stats() as a stream is not supported",
                where=self._node.name,
                hint="stats(stream=False), as often as you like",
            )
        system_before_ns = _system_cpu_ns()
        used = self._node.usage()
        now: dict[str, Any] = {"online_cpus": os.cpu_count(), "system_cpu_usage": _system_cpu_ns()}
        before: dict[str, Any] = {**now, "system_cpu_usage": system_before_ns}
        if used.cpu_ns is not None and used.cpu_percent is not None:
            passed_ns = round(used.cpu_percent / 100 * used.interval_s * 1e9)
            now["cpu_usage"] = {"total_usage": used.cpu_ns}
            before["cpu_usage"] = {"total_usage": used.cpu_ns - passed_ns}
        if used.throttled_ns is not None:
            now["throttling_data"] = {"throttled_time": used.throttled_ns}
        memory = {
            "usage": used.memory_bytes,
            "max_usage": used.memory_peak_bytes,
            "limit": used.memory_limit_bytes or psutil.virtual_memory().total,
        }
        pids = {"current": used.processes, "limit": used.processes_limit}
        return {
            "read": datetime.now(UTC).isoformat(),
            "name": f"/{self._handle.name}",
            "id": self._handle.id,
            "cpu_stats": now,
            "precpu_stats": before,
            "memory_stats": {name: count for name, count in memory.items() if count is not None},
            "pids_stats": {name: count for name, count in pids.items() if count is not None},
            "networks": {
                name: {
                    "rx_bytes": each.rx_bytes,
                    "rx_packets": each.rx_packets,
                    "rx_dropped": each.rx_dropped_packets,
                    "tx_bytes": each.tx_bytes,
                    "tx_packets": each.tx_packets,
                    "tx_dropped": each.tx_dropped_packets,
                }
                for name, each in used.interfaces.items()
            },
        }


def _system_cpu_ns() -> int:
    """The time that all CPUs have passed since the machine started, idle or not."""
    times = psutil.cpu_times()
    # What guests use is in the time of users already.
    guests = getattr(times, "guest", 0) + getattr(times, "guest_nice", 0)
    return round((sum(times) - guests) * 1e9)


def instance_of(node: Node) -> Instance:
    """The SDK's object of a running node's container.

    Raises:
        LabError: it does not run.
    """
    from emulator.runtime.owned_container import OwnedContainer

    container = node.container
    if not isinstance(container, OwnedContainer):
        raise LabError(
            f"its container does not run: {node.start_failure or 'it was not started'}",
            where=node.name,
        )
    return Instance(node, container.handle)
