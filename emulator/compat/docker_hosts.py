"""Hosts in containers: what all of them have in common, and Containernet's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.compat.docker_instance import Instance, instance_of
from emulator.compat.nodes import Host
from emulator.plan.container_spellings import NAMES

if TYPE_CHECKING:
    from emulator.topo import Topo


class ContainerHost(Host):
    """A host in a container; everything that the engine can give one may be asked for.

    Attributes:
        dimage: the image that it runs; None for the lab's own.
        dcmd: its program in place of the image's own.
    """

    own_parameters = (*Host.own_parameters, *sorted(NAMES))

    def __init__(
        self,
        name: str,
        dimage: str | None = None,
        dcmd: str | list[str] | None = None,
        **params: Any,
    ) -> None:
        self.dimage = dimage
        self.dcmd = dcmd
        super().__init__(name, **params)

    @property
    def dins(self) -> Instance:
        """The docker SDK's object of its container; it comes to life if it does not yet."""
        return instance_of(self.living())

    def declare(self, topo: Topo) -> None:
        """Adds it to the topology of a lab."""
        topo.addDocker(self.name, ip=None, **self.engine_options())

    def engine_options(self) -> dict[str, Any]:
        """The options of the engine's node."""
        given = {key: value for key, value in self.params.items() if key in NAMES}
        return {
            **super().engine_options(),
            **given,
            "dimage": self.dimage,
            "dcmd": self.dcmd,
        }


class Docker(ContainerHost):
    """A host in a container, which runs what its image says unless ``dcmd`` says otherwise."""

    def start(self) -> None:
        """Has its program run, which it does anyhow as soon as the host lives."""
        self.living()

    @property
    def did(self) -> str:
        """The id of its container."""
        return str(self.dins.id)

    @property
    def dcinfo(self) -> dict[str, Any]:
        """What Docker told of its container when that started."""
        attributes: dict[str, Any] = self.dins.attrs
        return attributes

    @property
    def dcli(self) -> Any:
        """The docker SDK's client, as long as the lab lives."""
        return self.dins.client.api

    @property
    def resources(self) -> dict[str, Any]:
        """Its limits as they are."""
        plan = self.living().plan.container
        assert plan is not None
        return {
            "cpu_quota": -1 if plan.cpus is None else round(plan.cpus * 100_000),
            "cpu_period": None if plan.cpus is None else 100_000,
            "cpu_shares": plan.cpu_shares,
            "cpuset_cpus": ",".join(map(str, plan.cpuset)) or None,
            "mem_limit": plan.memory_bytes,
            "memswap_limit": plan.memory_swap_bytes,
        }

    def update_resources(self, **limits: Any) -> None:
        """Changes limits while it runs; what is None or not named stays."""
        given = {name: value for name, value in limits.items() if value is not None}
        if given:
            self.living().update(**given)

    def updateCpuLimit(
        self,
        cpu_quota: int | None = None,
        cpu_period: int = -1,
        cpu_shares: int = -1,
        cores: str | None = None,
    ) -> None:
        """Changes how much of the CPUs it may use.

        Args:
            cpu_quota: microseconds per period; -1 for all there are.
            cpu_period: in microseconds.
            cpu_shares: its weight among others.
            cores: the CPUs it may run on: ``"0-2,4"``.
        """
        given = {"cpu_period": cpu_period, "cpu_shares": cpu_shares}
        limits: dict[str, Any] = {name: value for name, value in given.items() if value != -1}
        self.update_resources(cpu_quota=cpu_quota, cpuset_cpus=cores, **limits)

    def updateMemoryLimit(self, mem_limit: int | str = -1, memswap_limit: int | str = -1) -> None:
        """Changes how much memory it may use, in bytes; -1 leaves a limit as it is."""
        given = {"mem_limit": mem_limit, "memswap_limit": memswap_limit}
        self.update_resources(**{name: value for name, value in given.items() if value != -1})
