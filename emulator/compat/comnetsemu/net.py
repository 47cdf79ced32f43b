"""ComNetsEmu's network, and its manager of the app containers in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emulator.compat.comnetsemu.exceptions import InvalidDockerArgs
from emulator.compat.comnetsemu.node import APPContainer, DockerHost
from emulator.compat.growth import user_place
from emulator.compat.mininet.log import info, output, warn
from emulator.compat.mininet.net import Mininet
from emulator.compat.unsupported import UnsupportedError, refuse_names
from emulator.errors import LabError, TopologyError, UsageError
from emulator.rest import containers
from emulator.runtime.usage import INTERVAL_S

if TYPE_CHECKING:
    from emulator.network import Network
    from emulator.rest.server import RestServer

VERSION = "0.4.0"
"""Of ComNetsEmu: the one whose names these are."""

_MIB = 1 << 20


class Containernet(Mininet):
    """A network whose hosts may be containers."""

    def addDockerHost(self, name: str, **params: Any) -> DockerHost:
        """Adds a host in a container; see :class:`DockerHost` for what it may be given."""
        host: DockerHost = self.addHost(name, cls=DockerHost, **params)
        return host

    def addLinkNamedIfce(self, src: Any, dst: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds a link with interfaces named after its ends: ``src-dst`` and ``dst-src``."""
        one, two = str(src), str(dst)
        return self.addLink(
            src, dst, *args, intfName1=f"{one}-{two}", intfName2=f"{two}-{one}", **kwargs
        )

    def addP4Switch(self, name: str, **_params: Any) -> Any:
        """Not supported.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "P4 switches are not supported",
            where=name,
            hint="a VNF on the data plane xdp is programmable too: see vnf new",
        )

    @property
    def _appcontainers(self) -> list[str]:
        """The names of the app containers, which scripts look at in spite of its name."""
        return _apps(self.engine)


class APPContainerManager:
    """Adds and removes containers beside hosts while a network runs.

    Args:
        net: the network; it comes to life, if it does not yet, with the first container.
    """

    def __init__(self, net: Mininet) -> None:
        self.net = net
        self._known: dict[str, APPContainer] = {}
        self._servers: list[RestServer] = []

    def addContainer(
        self,
        name: str,
        dhost: str,
        dimage: str,
        dcmd: str | list[str] | None = None,
        docker_args: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> APPContainer:
        """Starts a container in a host's network; returns when its program runs.

        Args:
            name: its name.
            dhost: the host's.
            dimage: the image.
            dcmd: its program; the image's own when None.
            docker_args: options of the docker SDK; the caller's dict stays as it is.
            wait: False allows to return earlier, which is not made use of.

        Raises:
            UsageError: there is no such host.
            InvalidDockerArgs: ``docker_args`` asks for what cannot be had.
            BuildVnfError: it cannot be started; nothing stays of it.
        """
        host = self.net.get(str(dhost))
        self.net.growth.live()
        engine = self.net.engine
        try:
            containers.add(engine, name, host.name, dimage, dcmd, docker_args, place=user_place())
        except TopologyError as error:
            if any(each.message.startswith("docker_args") for each in error.problems):
                raise InvalidDockerArgs(error.problems, where=error.where) from error
            raise
        made = self._known[name] = APPContainer(name, host.name, dimage, engine[name], dcmd)
        return made

    def removeContainer(self, name: str, wait: bool = True) -> None:
        """Ends a container; returns when it has gone.

        Args:
            wait: False allows to return earlier, which is not made use of.

        Raises:
            NoContainerError: there is none of that name; it is a ``ValueError``.
        """
        containers.remove(self.net.engine, str(name))
        self._known.pop(str(name), None)

    def getContainerInstance(
        self, name: str, default: APPContainer | None = None
    ) -> APPContainer | None:
        """The container of that name, the same object each time; ``default`` without one."""
        engine = self.net.engine
        if name not in _apps(engine):
            return default
        node = engine[name]
        known = self._known.get(name)
        if known is None or known.engine_node is not node:
            about = containers.describe(engine, name)
            known = APPContainer(name, about.dhost, about.dimage, node)
            self._known[name] = known
        return known

    def getContainersDhost(self, dhost: str) -> list[str]:
        """The names of the containers beside a host."""
        return _apps(self.net.engine, str(dhost))

    def getAllContainers(self) -> list[str]:
        """The names of all containers, in the order they were added."""
        return _apps(self.net.engine)

    def monResourceStats(
        self, name: str, sample_num: int = 3, sample_period: float = 1.0
    ) -> list[tuple[float, float]]:
        """What a container uses, several times: percent of one CPU, and MiB of memory.

        Two busy CPUs are 200 %.

        Args:
            sample_num: how many times.
            sample_period: the seconds that each CPU use is measured over; a quarter when 0.

        Raises:
            NoContainerError: there is none of that name; it is a ``ValueError``.
            LabError: the machine cannot tell, or the container has ended.
        """
        if sample_period < 0:
            raise UsageError(f"sample_period={sample_period}: a time is not negative")
        samples = []
        for _ in range(sample_num):
            used = containers.usage(
                self.net.engine, str(name), interval_s=sample_period or INTERVAL_S
            )
            if used.cpu_percent is None or used.memory_bytes is None:
                reasons = "; ".join(f"{what}: {why}" for what, why in used.unavailable.items())
                raise LabError(f"what it uses cannot be told: {reasons}", where=str(name))
            samples.append((used.cpu_percent, used.memory_bytes / _MIB))
        return samples

    def runRESTServerThread(
        self,
        ip: str = "127.0.0.1",
        port: int = 8000,
        enable_log: bool = True,
        *,
        token: str | None = "",
    ) -> RestServer:
        """Has the containers managed over HTTP as well, until the network or the manager stops.

        Args:
            ip: where it listens: an address of the machine, or of a node of the network, whose
                programs then reach it.
            port: 0 takes a free one.
            enable_log: show each request, at the level ``info``.
            token: what requests have to show; one is made unless it is given, and None lets
                everybody in who reaches the address.

        Raises:
            UsageError: nothing can listen there.
        """
        self.net.growth.live()
        log = (lambda line: info(f"*** REST: {line}\n")) if enable_log else None
        server = self.net.engine.serve_rest(ip, port, token=token, log=log)
        self._servers.append(server)
        if server.token is None:
            warn(
                f"*** Warning: everybody who reaches {server.url} can start programs on this "
                "machine: it asks for no token\n"
            )
        else:
            output(
                f"*** REST: {server.url}/containers, for requests with the header "
                f"Authorization: Bearer {server.token}\n"
                f"*** REST: the token is in {server.token_file} too\n"
            )
        if not server.local:
            warn(f"*** Warning: {server.url} can be reached from other machines, unencrypted\n")
        return server

    def stop(self) -> None:
        """Ends the containers that are left, and the REST server."""
        while self._servers:
            self._servers.pop().close()
        left = self.getAllContainers()
        if left:
            info(f"*** Ending {len(left)} app containers: {' '.join(left)}\n")
            with self.net.engine.change() as topo:
                for name in left:
                    topo.removeNode(name)
        self._known.clear()


VNFManager = APPContainerManager


def _apps(engine: Network, dhost: str | None = None) -> list[str]:
    return containers.names_of(engine, dhost) if engine.running else []


__getattr__ = refuse_names("comnetsemu.net")
