"""ComNetsEmu's nodes: hosts in containers, and app containers beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.compat.docker_hosts import ContainerHost
from emulator.compat.docker_instance import Instance, instance_of
from emulator.compat.unsupported import UnsupportedError, refuse_names
from emulator.node import Node as EngineNode

_SHELL, _SHELL_ARGUMENTS = "bash", "--norc -is"
_IDLE = "sh"
"""What a host runs unless it is told otherwise: a shell that waits, whatever the image would."""


class DockerHost(ContainerHost):
    """A host in a container.

    Args:
        dimage: the image.
        docker_args: options of the docker SDK; the caller's dict stays as it is.
        dcmd: its program; a shell that waits by default, not the image's own.
        params: those of a host, and further options of a container.
    """

    def __init__(
        self,
        name: str,
        dimage: str | None = None,
        docker_args: Mapping[str, Any] | None = None,
        dcmd: str | list[str] | None = None,
        ishell: str = _SHELL,
        ishell_args: str = _SHELL_ARGUMENTS,
        **params: Any,
    ) -> None:
        if (ishell, ishell_args) != (_SHELL, _SHELL_ARGUMENTS):
            raise UnsupportedError(
                f"ishell={ishell!r}: commands of all nodes are run by one kind of bash",
                where=name,
                hint=f"leave it out; h.cmd('{ishell} -c …') runs a command in another shell",
            )
        self.docker_args = dict(docker_args or {})
        super().__init__(name, dimage, _IDLE if dcmd is None else dcmd, **params)

    def engine_options(self) -> dict[str, Any]:
        """The options of the engine's node."""
        return {**super().engine_options(), "docker_args": self.docker_args}


class APPContainer:
    """A container beside a host, in its network; made by ``VNFManager.addContainer``.

    Attributes:
        name: its name.
        dhost: the name of its host.
        dimage: the image that it runs.
        dcmd: its program, if another than the image's own.
        engine_node: the engine's node.
    """

    def __init__(
        self,
        name: str,
        dhost: str,
        dimage: str,
        engine_node: EngineNode,
        dcmd: str | list[str] | None = None,
    ) -> None:
        self.name = name
        self.dhost = dhost
        self.dimage = dimage
        self.dcmd = dcmd
        self.engine_node = engine_node

    def __repr__(self) -> str:
        return f"<APPContainer {self.name}: {self.dimage} in {self.dhost}>"

    @property
    def dins(self) -> Instance:
        """The docker SDK's object of it."""
        return instance_of(self.engine_node)

    def getCurrentStats(self) -> dict[str, Any]:
        """What it uses, in the form that Docker tells it in."""
        stats: dict[str, Any] = self.dins.stats(stream=False)
        return stats

    def getLogs(self) -> str:
        """What its program has printed; without the times, which are not kept."""
        return self.engine_node.logs()


__getattr__ = refuse_names("comnetsemu.node")
