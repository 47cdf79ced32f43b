"""What a running VNF tells of itself, in one piece."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError

if TYPE_CHECKING:
    from emulator.dataplane import PortCounters, RunningVnf
    from emulator.plan.model import NodePlan
    from emulator.runtime.usage import ContainerStats


@dataclass(frozen=True)
class VnfStats:
    """A VNF at one moment.

    Attributes:
        node: the node's name.
        vnf: the name in the catalog.
        dataplane: the data plane it runs on.
        mode: how the data plane works here, as the kernel reports it.
        failure: why it does not run any more; None while it does.
        pid: its process; None where it has none.
        idle: what the process does while no frame comes; None without a process.
        cores: the CPUs that the process may run on; empty: any.
        driver: how it gets at its ports, where the data plane has a choice.
        parameters: every parameter with its value in force.
        ports: the counters of each port; empty when nothing of the VNF is left.
        container: what its container uses; None where it is not in one, or that has ended.
    """

    node: str
    vnf: str
    dataplane: str
    mode: str
    failure: str | None
    pid: int | None
    idle: str | None
    cores: tuple[int, ...]
    driver: str | None
    parameters: Mapping[str, Any]
    ports: Mapping[str, PortCounters]
    container: ContainerStats | None = None

    @classmethod
    def of(
        cls, plan: NodePlan, vnf: RunningVnf, container: ContainerStats | None = None
    ) -> VnfStats:
        """Those of the VNF that runs on a node, and of the container that it is in."""
        assert plan.vnf is not None
        failure = vnf.failure()
        try:
            ports = vnf.counters()
        except LabError:
            if failure is None:
                raise
            ports = {}
        return cls(
            node=plan.name,
            vnf=plan.vnf.vnf,
            dataplane=plan.vnf.dataplane,
            mode=vnf.mode,
            failure=failure,
            pid=vnf.pid if failure is None else None,
            idle=plan.vnf.idle,
            cores=plan.vnf.cores,
            driver=plan.vnf.driver,
            parameters={**plan.vnf.parameters, **vnf.parameters()},
            ports=ports,
            container=container,
        )

    @property
    def status(self) -> str:
        """``running`` or ``failed``."""
        return "running" if self.failure is None else "failed"

    def to_json(self) -> dict[str, Any]:
        """The same as plain data; ``container`` is there only where there is one."""
        document = {"status": self.status, **asdict(self)}
        if self.container is None:
            del document["container"]
        return document
