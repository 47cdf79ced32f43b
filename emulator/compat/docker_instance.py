"""The docker SDK's object of a node's container, as scripts of ComNetsEmu and Containernet use it.

It is the SDK's own but for two things that the lab has to do with: limits are changed through the
lab, so that its plan stays true, and what the container's program prints is in the lab's file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
