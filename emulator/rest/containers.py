"""The app containers of a running network: listed, added, removed, described.

What the REST interface does, without HTTP; ComNetsEmu's ``VNFManager`` does it by the same
functions, so that both see the same containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from emulator.errors import LabError, UsageError
from emulator.names import choice_hint

if TYPE_CHECKING:
    from emulator.network import Network
    from emulator.node import Node
    from emulator.runtime.usage import ContainerStats


class NoContainerError(UsageError, ValueError):
    """There is no app container of that name; a ``ValueError`` as well, as in ComNetsEmu."""


class NameTakenError(UsageError):
    """A node of that name is there already."""


class NewContainer(BaseModel):
    """An app container that is to be added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="its name, which no other node of the lab may have")
    dhost: str = Field(description="the host in a container whose network it shares")
    dimage: str = Field(description="the image that it runs")
    dcmd: str | list[str] | None = Field(
        None, description="its program in place of the image's own"
    )
    docker_args: dict[str, Any] = Field(
        default_factory=dict,
        description="limits and the like, as the docker SDK or build-vnf spells them",
    )


class ContainerInfo(BaseModel):
    """An app container as it is."""

    name: str
    dhost: str = Field(description="the host whose network it shares")
    dimage: str = Field(description="the image that it runs")
    status: Literal["running", "failed"]
    failure: str | None = Field(None, description="why it does not do its work")
    id: str | None = Field(None, description="Docker's; null when it could not be started")


def names_of(net: Network, dhost: str | None = None) -> list[str]:
    """The names of the app containers, those of one host if one is named, in order of adding."""
    topo = net.topo
    return [
        name
        for name in topo.apps(sort=False)
        if dhost is None or str(topo.nodeInfo(name)["host"]) == dhost
    ]


def add(
    net: Network,
    name: str,
    dhost: str,
    dimage: str | None,
    dcmd: str | list[str] | None = None,
    docker_args: Mapping[str, Any] | None = None,
    *,
    place: str = "",
) -> Node:
    """Start an app container beside a host; returns when its program runs.

    Args:
        place: the file and line of a script that asks for it, for messages and relative paths.

    Raises:
        NameTakenError: a node of that name is there.
        TopologyError: it cannot be had so; nothing has changed then.
        LabError: it does not start, and nothing stays of it; or the network does not run.
    """
    with net.change() as topo:
        _require_running(net)
        if name in topo.node_entries():
            raise NameTakenError(
                f"a node named {name} is there already",
                hint="choose another name, or remove that one first",
            )
        topo.addAppContainer(
            name, dhost, image=dimage, command=dcmd, docker_args=dict(docker_args or {})
        )
        entry = topo.node_entries()[name]
        # The line that has called is the server's, which is of no interest to anybody.
        entry.folder, _, entry.place = place.rpartition("/")
    return net[name]


def remove(net: Network, name: str) -> None:
    """End an app container; returns when it has gone.

    Raises:
        NoContainerError: there is none of that name.
        LabError: the network does not run.
    """
    with net.change() as topo:
        _require_running(net)
        if name not in topo.apps(sort=False):
            raise _no_container(net, name)
        topo.removeNode(name)


def node_of(net: Network, name: str) -> Node:
    """The running node of an app container.

    Raises:
        NoContainerError: there is none of that name.
    """
    if name not in names_of(net) or name not in net:
        raise _no_container(net, name)
    return net[name]


def describe(net: Network, name: str) -> ContainerInfo:
    """An app container as it is now.

    Raises:
        NoContainerError: there is none of that name.
    """
    node = node_of(net, name)
    failure = node.failure
    assert node.plan.container is not None
    return ContainerInfo(
        name=name,
        dhost=str(node.plan.host),
        dimage=node.plan.container.image,
        status="running" if failure is None else "failed",
        failure=failure,
        id=None if node.container is None else node.container.id,
    )


def usage(net: Network, name: str, *, interval_s: float) -> ContainerStats:
    """What an app container uses, measured over the time from now.

    Raises:
        NoContainerError: there is none of that name.
        LabError: it has ended.
    """
    return node_of(net, name).usage(interval_s=interval_s)


def _require_running(net: Network) -> None:
    """A request may have waited for the lab to stop."""
    if not net.running:
        raise LabError("the network is not running", hint="start it first")


def _no_container(net: Network, name: str) -> NoContainerError:
    return NoContainerError(
        f"there is no app container {name}", hint=choice_hint(name, names_of(net))
    )
