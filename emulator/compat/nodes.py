"""Mininet's nodes, declared first and alive later; subclass them as there."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulator.compat.growth import current, user_place
from emulator.compat.mininet.log import error
from emulator.compat.node_commands import NodeCommands
from emulator.compat.node_interfaces import NodeInterfaces
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import LabError, UsageError
from emulator.hosts.limits import RT_PRIORITY, ensure_real_time, quota_of
from emulator.names import suggestion
from emulator.plan.host_model import LimitsPlan

if TYPE_CHECKING:
    from emulator.topo import Topo

_PERIOD_US = LimitsPlan().period_us


class Node(NodeCommands, NodeInterfaces):
    """A node of a script's network.

    Attributes:
        name: its name.
        params: what it was made with.
        born: whether it lives.
        place: where the script made it.
    """

    own_parameters: tuple[str, ...] = (
        "ip", "mac", "defaultRoute", "lo", "privateDirs", "cpu", "cores", "sched", "period_us",
    )  # fmt: skip
    """What the constructor knows beside its named parameters; a subclass may know more."""
    is_ovs = False
    """Whether it is an Open vSwitch bridge."""
    _KINDS: tuple[type, ...]

    def __init__(self, name: str, inNamespace: bool = True, **params: Any) -> None:
        self.name = str(params.pop("name", name))
        self.place = user_place()
        self.growth = current()
        self.inNamespace = inNamespace
        self.params = params
        self.privateDirs = params.get("privateDirs") or []
        self.intfs, self.ports, self.nameToIntf = {}, {}, {}
        self.born = False
        self._later: list[Callable[[], object]] = []
        self._check_namespace()
        self._check_parameters(params)
        self.growth.adopt(self)

    def __repr__(self) -> str:
        intfs = ",".join(f"{intf.name}:{intf.IP()}" for intf in self.intfList())
        return f"<{type(self).__name__} {self.name}: {intfs} pid={self._shown_pid()}> "

    def __str__(self) -> str:
        return self.name

    # Configuration ------------------------------------------------------------------------------

    def setParam(
        self, results: dict[str, Any], method: str, **param: Any
    ) -> dict[str, Any] | Any | None:
        """Calls a method with the value of a parameter, unless that is None.

        Args:
            results: where what it returns is put, under the method's name.
            param: the parameter; a list of values is positional arguments, a dict named ones.
        """
        ((_, value),) = param.items()
        function = getattr(self, method, None)
        if value is None or function is None:
            return None
        if isinstance(value, list):
            result = function(*value)
        elif isinstance(value, dict):
            result = function(**value)
        else:
            result = function(value)
        results[method] = result
        return result

    def config(
        self,
        mac: str | None = None,
        ip: str | None = None,
        defaultRoute: str | None = None,
        lo: str = "up",
        **_params: Any,
    ) -> dict[str, Any]:
        """Configures the node as its parameters say; a subclass may do more, or otherwise."""
        results: dict[str, Any] = {}
        if self.intfs:
            self.setParam(results, "setMAC", mac=mac)
            self.setParam(results, "setIP", ip=ip)
            self.setParam(results, "setDefaultRoute", defaultRoute=defaultRoute)
        if lo != "up":
            self.cmd("ip link set lo", lo)
        return results

    def configDefault(self, **moreParams: Any) -> Any:
        """Configures the node with the parameters that it was made with, and some more."""
        self.params.update(moreParams)
        return self.config(**self.params)

    @property
    def plainly_configured(self) -> bool:
        """Whether only addresses and routes are to be set, which needs nothing alive."""
        return type(self).config in (kind.config for kind in self._KINDS)  # type: ignore[attr-defined]

    def prepare(self) -> None:
        """Takes down, before it lives, the addresses that it is to be configured with."""
        intf = self.defaultIntf()
        if intf is not None and not intf.born:
            if self.params.get("ip"):
                intf.setIP(self.params["ip"], 8)
            if self.params.get("mac"):
                intf.setMAC(self.params["mac"])

    def once_alive(self, do: Callable[[], object]) -> None:
        """Has something done as soon as the node lives."""
        if self.born:
            do()
        else:
            self._later.append(do)

    def cleanup(self) -> None:
        """Ends what the node has under way."""
        if self._under_way is not None:
            self._under_way.close()
            self._under_way = None

    def terminate(self) -> None:
        """Ends what the node does; a subclass may tidy up before."""
        self.cleanup()

    def stop(self, deleteIntfs: bool = False) -> None:
        """Ends what the node does.

        Args:
            deleteIntfs: take its interfaces away too.
        """
        if deleteIntfs:
            self.deleteIntfs()
        self.terminate()

    @classmethod
    def setup(cls) -> None:
        """What a class needs before its first node; here nothing."""

    @classmethod
    def checkSetup(cls) -> None:
        """Calls :meth:`setup` once."""
        if not vars(cls).get("isSetup"):
            cls.setup()
            cls.isSetup = True  # type: ignore[attr-defined]

    # For the engine -----------------------------------------------------------------------------

    def declare(self, topo: Topo) -> None:
        """Adds it to the topology of a lab."""
        topo.addHost(self.name, ip=None, **self.engine_options())

    def engine_options(self) -> dict[str, Any]:
        """The options of the engine's node."""
        options = {
            key: self.params[key]
            for key in ("cpu", "cores", "sched", "period_us")
            if self.params.get(key) is not None
        }
        if self.privateDirs:
            options["privateDirs"] = list(self.privateDirs)
        return options

    def be_born(self) -> None:
        """Takes note of what it is alive."""
        self.engine_node = self.growth.engine[self.name]

    def grow_up(self) -> None:
        """Does what was to be done as soon as the node lives."""
        while self._later:
            self._later.pop(0)()

    # Inside -------------------------------------------------------------------------------------

    def _check_namespace(self) -> None:
        if not self.inNamespace:
            raise UnsupportedError(
                "a node in the machine's own network namespace is not supported",
                where=self.name,
                hint="the machine's network is never touched; addNAT leads to the outside",
            )

    def _check_parameters(self, params: dict[str, Any]) -> None:
        # A class of the script's own may make of parameters what it likes.
        if not type(self).__module__.startswith("emulator."):
            return
        for key in params:
            if key not in (*self.own_parameters, "isSwitch"):
                raise UsageError(
                    f"{type(self).__name__} has no parameter {key}",
                    where=f"{self.place}: {self.name}",
                    hint=suggestion(key, self.own_parameters),
                )

    def _shown_pid(self) -> int | None:
        return self.engine_node.shell_pid if self.engine_node is not None else None


class Host(Node):
    """A host."""


class CPULimitedHost(Host):
    """A host that may take only a share of the CPUs' time, or only some of the CPUs.

    Attributes:
        sched: how it shares the CPUs, ``cfs`` or ``rt``.
        period_us: over which its share is kept to.
        rtprio: the priority of real-time processes.
    """

    rtprio = RT_PRIORITY

    def __init__(self, name: str, sched: str = "cfs", **kwargs: Any) -> None:
        super().__init__(name, sched=sched, **kwargs)
        self.sched = sched
        self.period_us: int = kwargs.get("period_us") or _PERIOD_US

    @classmethod
    def init(cls) -> None:
        """What the class needs before its first host; here nothing."""

    @classmethod
    def checkRtGroupSched(cls) -> None:
        """Raises ``MachineError`` where hosts cannot have shares of real time."""
        ensure_real_time(cls.__name__)

    def cgroupSet(self, param: str, value: Any, resource: str = "cpu") -> int | str:
        """Sets a parameter of the host's control group; what the kernel has made of it.

        Where that is something else, it is told in a line, as in Mininet.

        Args:
            param: its name in version 1 of control groups, whichever version there is.
            resource: the controller.
        """
        node, reason = self.living(), ""
        try:
            found = node.cgroupSet(param, value, resource)
        except LabError as refusal:
            found, reason = node.cgroupGet(param, resource), f": {refusal.message}"
        if str(found) != str(value):
            error(
                f"*** error: {self.name} cgroupSet: {param} set to {found} instead of {value}"
                f"{reason}\n"
            )
        return found

    def cgroupGet(self, param: str, resource: str = "cpu") -> int | str:
        """What a parameter of the host's control group is."""
        return self.living().cgroupGet(param, resource)

    def cgroupDel(self) -> bool:
        """Takes the host's control group away, and its limits; whether it is gone."""
        return self.living().cgroupDel()

    def chrt(self) -> str:
        """Has the host's shell be a real-time process; how it is scheduled then."""
        pid = self.pid
        # From its own group: real-time processes cannot be moved to one without such a share.
        self.cgroupGet("shares")
        try:
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(self.rtprio))
        except OSError as refusal:
            error(f"*** error: could not assign SCHED_RR to {self.name}: {refusal.strerror}\n")
        names = {
            os.SCHED_RR: "SCHED_RR",
            os.SCHED_FIFO: "SCHED_FIFO",
            os.SCHED_OTHER: "SCHED_OTHER",
        }
        policy = os.sched_getscheduler(pid)
        return names.get(policy, str(policy))

    def rtInfo(self, f: float) -> tuple[str, str, int, int]:
        """The parameters that make a fraction of real time, and their values: period, quota."""
        return "rt_period_us", "rt_runtime_us", self.period_us, int(self.period_us * f)

    def cfsInfo(self, f: float) -> tuple[str, str, int, int]:
        """The parameters that make a fraction of the machine, and their values: period, quota.

        0 and less is no limit, which is written as a quota of -1.
        """
        names = ("cfs_period_us", "cfs_quota_us")
        if f <= 0:
            return *names, self.period_us, -1
        share = f * (os.cpu_count() or 1)
        quota_us, period_us = quota_of(share, self.period_us)
        return *names, period_us, quota_us

    def setCPUFrac(self, f: float, sched: str | None = None) -> None:
        """Lets it take a fraction of the machine's CPU time; less than 0 is no limit.

        Args:
            sched: ``cfs`` or ``rt``; as it is without.
        """
        share = None if f is None or f < 0 else f
        self.sched = self.params["sched"] = sched or self.sched
        self.params["cpu"] = share
        if self.born:
            self.living().update(cpu=share, sched=self.sched)

    def setCPUs(self, cores: Any, mems: Any = 0) -> None:
        """Lets it run on some CPUs only: a number, a list of them, or a text; and by ``mems`` use
        the memory of some nodes of the machine only, the first one by default."""
        self.params["cores"] = cores
        if self.born:
            self.living().update(cores=cores)
        if mems:
            self.once_alive(lambda: self.cgroupSet("mems", mems, "cpuset"))

    def config(  # type: ignore[override]
        self, cpu: float = -1, cores: Any = None, **params: Any
    ) -> dict[str, Any]:
        """As for any node, and its limits; without any they stay as they are."""
        results = super().config(**params)
        if self.born and cpu is not None and cpu >= 0 and cpu != self.params.get("cpu"):
            self.setParam(results, "setCPUFrac", cpu=cpu)
        if self.born and cores is not None and cores != self.params.get("cores"):
            self.setParam(results, "setCPUs", cores=cores)
        return results


Node._KINDS = (Node, CPULimitedHost)
