"""The containers of a lab we own: started at the same time, wired as other nodes, and ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emulator.at_once import AtOnce
from emulator.closing import close_at_once
from emulator.errors import BuildVnfError, LabError
from emulator.native_parts import native_part
from emulator.plan.model import NodePlan
from emulator.runtime.container_arguments import Place
from emulator.runtime.engine import LAB_LABEL, OWNER_LABEL, client_of, connect, told
from emulator.runtime.owned_container import OwnedContainer, discard

if TYPE_CHECKING:
    from docker import DockerClient

    from emulator.catalog import Catalog
    from emulator.fabric import Progress
    from emulator.images import ImageInfo
    from emulator.kernel.netns import Netns
    from emulator.labs import LabFolder
    from emulator.runtime.publish import PortForwarder, PublishedPorts

_AT_ONCE = 16
"""Starting a container is mostly waiting for the engine, and for the kernel's locks."""

T = TypeVar("T")
Failed = Callable[[str, BuildVnfError], None]
"""Told of a node that has failed; raises unless the lab is to go on without it."""


class Containers:
    """Starts and ends the containers of a lab.

    Args:
        folder: the lab's.
        catalog: the VNFs to choose from; those that ship with the product when None.
        progress: told of each container that has started.
        failed: told of each that does not start.
    """

    def __init__(
        self,
        folder: LabFolder,
        catalog: Catalog | None,
        progress: Progress | None,
        failed: Failed,
    ) -> None:
        meeting_place = folder.path / "memif"
        meeting_place.mkdir()
        self.place = Place(
            folder.id, folder.path, folder.hosts_file, meeting_place, owner_of(os.getpid())
        )
        self._catalog = catalog
        self._progress = progress or (lambda stage, done, total: None)
        self._failed = failed
        self._client: DockerClient | None = None
        self._can_nest: bool | None = None
        self._running: dict[str, OwnedContainer] = {}
        self._interrupted = threading.Event()
        self._forwarder: PortForwarder | None = None
        self._published: dict[str, PublishedPorts] = {}

    def __getitem__(self, name: str) -> OwnedContainer:
        return self._running[name]

    def get(self, name: str) -> OwnedContainer | None:
        """The container of a node; None when it has none, or it could not be started."""
        return self._running.get(name)

    def start(self, nodes: Iterable[NodePlan]) -> None:
        """Start the containers of those of the nodes that have any.

        Raises:
            BuildVnfError: one of them cannot be started, and the lab is not to go on without it.
        """
        wanted = [
            node for node in nodes if node.container is not None and node.name not in self._running
        ]
        if not wanted:
            return
        try:
            client = self._connected()
        except BuildVnfError as error:
            self._all_failed(wanted, error)
            return
        images = self._images(client, wanted)
        wanted = [node for node in wanted if node.name in images]
        nested = any(node.host for node in wanted) and self._nests(client)

        def start(node: NodePlan) -> OwnedContainer:
            host = None if node.host is None else self._running.get(node.host)
            if node.host is not None and (host is None or not host.alive):
                raise LabError(
                    f"the container of its host {node.host} does not run",
                    where=node.name,
                    hint=f"a restart of {node.host} brings both back",
                )
            return OwnedContainer.start(
                client, node, images[node.name], self.place, host=host, nested=nested
            )

        def keep(node: NodePlan, container: OwnedContainer) -> None:
            self._running[node.name] = container

        self._each([node for node in wanted if node.host is None], start, keep, "containers")
        self._each([node for node in wanted if node.host], start, keep, "app containers")

    def namespaces(self, nodes: Iterable[NodePlan]) -> dict[str, Netns]:
        """The network namespaces of those of the nodes that have a container of their own."""
        return {
            node.name: self._running[node.name].netns.copy()
            for node in nodes
            if node.name in self._running and node.host is None
        }

    def publish(self, node: NodePlan, netns: Netns, addresses: Sequence[str]) -> None:
        """Have programs of the machine reach the ports of a node that its plan publishes.

        Args:
            netns: where its programs listen; stays the caller's, and has to last as long.
            addresses: on which they may, beside 127.0.0.1.

        Raises:
            UsageError: a port of the machine is taken.
        """
        published = self._published.get(node.name)
        ports = () if node.container is None else node.container.ports
        if published is not None and tuple(port for port, _ in published.bound) != ports:
            self._published.pop(node.name).close()
            published = None
        if published is None and ports:
            published = self._port_forwarder().reserve(ports, where=node.name)
            self._published[node.name] = published
        container = self._running.get(node.name)
        if published is not None and container is not None:
            published.lead_to(netns, addresses)
            container.note_ports(published.bound)

    def _port_forwarder(self) -> PortForwarder:
        # Most labs publish no port, and need not wait for an event loop to be imported.
        from emulator.runtime.publish import PortForwarder

        if self._forwarder is None:
            self._forwarder = PortForwarder()
        return self._forwarder

    def run_programs(self, nodes: Iterable[NodePlan]) -> None:
        """Start the programs of containers whose links are there; returns when they are healthy.

        Raises:
            BuildVnfError: one of them fails, and the lab is not to go on without it.
        """
        fresh = [node for node in nodes if node.name in self._running and node.vnf is None]

        begun: list[NodePlan] = []
        self._each(
            fresh,
            lambda node: self._running[node.name].run_program(),
            lambda node, _: begun.append(node),
            "programs",
        )
        # All have begun by now, so that none waits for another one's health.
        self._each(
            begun,
            lambda node: self._running[node.name].wait_healthy(self._interrupted),
            lambda node, _: None,
            "health",
        )
        for node in fresh:
            failure = self._running[node.name].failure()
            if failure is not None:
                self._failed(node.name, LabError(failure, where=node.name))

    def remove(self, names: Sequence[str], *, for_good: bool = False) -> None:
        """End the containers of these nodes, all of them whatever happens at one.

        Args:
            for_good: give their ports back too; otherwise they wait for what comes in their place.
        """
        for name in names if for_good else ():
            if name in self._published:
                self._published.pop(name).close()
        going = [self._running.pop(name) for name in names if name in self._running]
        with ExitStack() as each:
            # App containers first, though the last that is called back: their control groups lie
            # in those of their hosts.
            each.callback(_close_all, [one for one in going if one.plan.host is None])
            each.callback(_close_all, [one for one in going if one.plan.host is not None])

    def describe(self) -> dict[str, Any]:
        """What another emulator needs to reach them."""
        return {name: container.describe() for name, container in self._running.items()}

    def close(self) -> None:
        """End all of them; closing twice is allowed."""
        try:
            self._published.clear()
            if self._forwarder is not None:
                self._forwarder.close()
            self.remove(list(self._running))
        finally:
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def let_go(self) -> None:
        """Forget them without ending them; what a forked process does."""
        for container in self._running.values():
            container.let_go()
        self._running.clear()
        if self._forwarder is not None:
            self._forwarder.let_go()
        self._published.clear()
        self._client = None

    def _all_failed(self, nodes: Iterable[NodePlan], error: BuildVnfError) -> None:
        for node in nodes:
            self._failed(node.name, error)

    def _connected(self) -> DockerClient:
        if self._client is None:
            native_part("vnf-container")
            self._client = connect()
            reap(self._client)
        return self._client

    def _nests(self, client: DockerClient) -> bool:
        # Asked once: it takes the engine as long as a tenth of a start.
        if self._can_nest is None:
            self._can_nest = _can_nest(client)
        return self._can_nest

    def _images(self, client: DockerClient, nodes: Sequence[NodePlan]) -> dict[str, ImageInfo]:
        """For each node its image, which is built or pulled when it is not there."""
        from emulator.images import ensure_image, ensure_pulled

        found: dict[str, ImageInfo] = {}
        images: dict[str, ImageInfo | BuildVnfError] = {}
        total = len({node.container.image for node in nodes if node.container is not None})
        progress = self._progress
        for node in nodes:
            assert node.container is not None
            name = node.container.image
            if name not in images:
                progress("images", len(images), total)
                try:
                    manifest = self._manifest_of(node)
                    if manifest is not None and node.vnf is not None:
                        plane = node.vnf.dataplane
                        images[name] = ensure_image(client, manifest, plane, progress=progress)
                    else:
                        images[name] = ensure_pulled(
                            client, node.container, progress=progress, where=node.name
                        )
                except BuildVnfError as error:
                    images[name] = error
            image = images[name]
            if isinstance(image, BuildVnfError):
                # Asking a registry once more, for another node, would take as long again.
                image.where = image.where or node.name
                self._failed(node.name, image)
            else:
                found[node.name] = image
        progress("images", total, total)
        return found

    def _manifest_of(self, node: NodePlan) -> Any:
        """The manifest of a VNF that runs in an image of ours; None for other nodes."""
        from emulator.catalog import Catalog
        from emulator.images.names import image_name

        if node.vnf is None or node.container is None:
            return None
        if node.container.image != image_name(node.vnf.vnf, node.vnf.dataplane):
            return None
        if self._catalog is None:
            self._catalog = Catalog.load()
        return self._catalog[node.vnf.vnf]

    def _each(
        self,
        nodes: Sequence[NodePlan],
        work: Callable[[NodePlan], T],
        done_with: Callable[[NodePlan, T], None],
        stage: str,
    ) -> None:
        """Do something for each node at the same time; waits for all even when one fails."""
        if not nodes:
            return
        self._progress(stage, 0, len(nodes))
        self._interrupted.clear()
        failures: list[tuple[str, BuildVnfError]] = []
        calls = AtOnce(work, min(_AT_ONCE, len(nodes)), self._interrupted.set)
        try:
            with calls:
                begun = {calls.submit(node): node for node in nodes}
                for done, each in enumerate(as_completed(begun), 1):
                    node = begun[each]
                    try:
                        done_with(node, each.result())
                    except BuildVnfError as error:
                        error.where = error.where or node.name
                        failures.append((node.name, error))
                    self._progress(stage, done, len(nodes))
        except BaseException:
            # A container that has started by now is ours to end.
            for node, result in calls.made:
                done_with(node, result)
            raise
        for name, failure in failures:
            self._failed(name, failure)


def _close_all(containers: Sequence[OwnedContainer]) -> None:
    close_at_once([container.close for container in containers], _AT_ONCE)


def _can_nest(client: DockerClient) -> bool:
    """Whether a container's control group may lie below that of another one, which has processes.

    Under version 2 controllers work in groups without processes of their own only, and systemd
    makes no groups below those of containers.
    """
    with told("the Docker engine"):
        about = client.info()
    return bool(about.get("CgroupDriver") == "cgroupfs" and about.get("CgroupVersion", "1") == "1")


def clean() -> list[str]:
    """Remove the containers that dead labs have left in the engine that labs use.

    Returns:
        The ids of these labs; none when no engine runs.
    """
    from emulator.runtime.daemon import find_daemon

    try:
        found = find_daemon()
    except BuildVnfError:
        return []
    with closing(client_of(found.url)) as client:
        return reap(client)


def reap(client: DockerClient) -> list[str]:
    """Remove the containers that dead labs have left; returns the ids of these labs."""
    reaped: dict[str, None] = {}
    with told("the containers of dead labs"):
        for container in client.containers.list(
            all=True, filters={"label": OWNER_LABEL}, ignore_removed=True
        ):
            labels = container.labels
            if not _lives(labels.get(OWNER_LABEL, "")):
                discard(container)
                reaped[labels.get(LAB_LABEL, "?")] = None
    return list(reaped)


def owner_of(pid: int) -> str:
    """What tells a process from all others that have or will have its number."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # Other containers may have the socket of the same engine, and numbers of their own.
    return f"{pid}:{fields[19]}:{os.readlink('/proc/self/ns/pid')}"


def _lives(owner: str) -> bool:
    """Whether the owner of a lab still runs, as far as can be seen from here."""
    pid, _, _ = owner.partition(":")
    if not pid.isdigit() or not owner.endswith(os.readlink("/proc/self/ns/pid")):
        return True
    try:
        return owner_of(int(pid)) == owner
    except OSError:
        return False
