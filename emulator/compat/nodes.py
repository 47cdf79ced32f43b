"""Mininet's nodes, declared first and alive later; subclass them as there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulator.compat.growth import current, user_place
from emulator.compat.node_commands import NodeCommands
from emulator.compat.node_interfaces import NodeInterfaces
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import UsageError
from emulator.names import suggestion

if TYPE_CHECKING:
    from emulator.topo import Topo


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
                    f"a {type(self).__name__} has no parameter {key}",
                    where=f"{self.place}: {self.name}",
                    hint=suggestion(key, self.own_parameters),
                )

    def _shown_pid(self) -> int | None:
        return self.engine_node.shell_pid if self.engine_node is not None else None


class Host(Node):
    """A host."""


class CPULimitedHost(Host):
    """A host that may take only a share of the CPUs' time, or only some of the CPUs."""

    def __init__(self, name: str, sched: str = "cfs", **kwargs: Any) -> None:
        super().__init__(name, sched=sched, **kwargs)

    @classmethod
    def init(cls) -> None:
        """What the class needs before its first host; here nothing."""

    def setCPUFrac(self, f: float, sched: str | None = None) -> None:
        """Lets it take a fraction of the machine's CPU time; less than 0 is no limit.

        Args:
            sched: ``cfs`` or ``rt``.
        """
        share = None if f is None or f < 0 else f
        if sched is not None:
            self.params["sched"] = sched
        self.params["cpu"] = share
        if self.born:
            self.living().update(cpu=share)

    def setCPUs(self, cores: Any, mems: int = 0) -> None:
        """Lets it run on some CPUs only: a number, a list of them, or a text."""
        if mems:
            raise UnsupportedError("memory nodes cannot be chosen", where=self.name)
        self.params["cores"] = cores
        if self.born:
            self.living().update(cores=cores)

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
