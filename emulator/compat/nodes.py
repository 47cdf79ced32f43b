"""Mininet's nodes, declared first and alive later; subclass them as there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emulator.compat.growth import current, user_place
from emulator.compat.links import Intf, Link
from emulator.compat.mininet.log import output
from emulator.compat.under_way import UnderWay
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import LabError, UsageError
from emulator.names import suggestion

if TYPE_CHECKING:
    from emulator.node import Node as EngineNode
    from emulator.topo import Topo


class Node:
    """A node of a script's network.

    Attributes:
        name: its name.
        params: what it was made with.
        intfs, ports, nameToIntf: its interfaces by port, the ports by interface, and by name.
        growth: the network's nodes and links.
        engine_node: the engine's node, once it lives.
        born: whether it lives.
        place: where the script made it.
        lastCmd: the last command.
        waiting: whether a command that was sent has not ended.
    """

    portBase = 0
    own_parameters: tuple[str, ...] = (
        "ip", "mac", "defaultRoute", "lo", "privateDirs", "cpu", "cores", "sched", "period_us",
    )  # fmt: skip
    """What the constructor knows beside its named parameters; a subclass may know more."""
    _KINDS: tuple[type, ...]

    def __init__(self, name: str, inNamespace: bool = True, **params: Any) -> None:
        self.name = str(params.pop("name", name))
        self.place = user_place()
        self.growth = current()
        self.inNamespace = inNamespace
        self.params = params
        self.privateDirs = params.get("privateDirs") or []
        self.intfs: dict[int, Intf] = {}
        self.ports: dict[Intf, int] = {}
        self.nameToIntf: dict[str, Intf] = {}
        self.engine_node: EngineNode | None = None
        self.born = False
        self.lastCmd: str | None = None
        self.execed = False
        self._under_way: UnderWay | None = None
        self._background_pid: int | None = None
        self._later: list[Callable[[], object]] = []
        self._check_namespace()
        self._check_parameters(params)
        self.growth.adopt(self)

    def __repr__(self) -> str:
        intfs = ",".join(f"{intf.name}:{intf.IP()}" for intf in self.intfList())
        return f"<{type(self).__name__} {self.name}: {intfs} pid={self._shown_pid()}> "

    def __str__(self) -> str:
        return self.name

    # Commands -----------------------------------------------------------------------------------

    def cmd(self, *args: Any, verbose: bool = False, printPid: bool = False) -> str:
        """Runs a command line in the node's shell; returns what it printed, both streams.

        The shell is one for the life of the node: ``cd``, variables and jobs carry over. Several
        arguments are joined by spaces.
        """
        command = command_line(args)
        if self.waiting:
            raise LabError("a command is under way", where=self.name, hint="waitOutput first")
        if verbose:
            output(f"*** {self.name} : {args}\n")
        text = self.living().cmd(command)
        self._note(command)
        if verbose:
            output(text)
        return text

    def cmdPrint(self, *args: Any) -> str:
        """As :meth:`cmd`, and shows the command and what it printed."""
        return self.cmd(*args, verbose=True)

    def sendCmd(self, *args: Any, printPid: bool = True) -> None:
        """Begins a command; :meth:`monitor` and :meth:`waitOutput` give what it prints."""
        if self.waiting:
            raise LabError("a command is under way", where=self.name, hint="waitOutput first")
        self.lastCmd = command_line(args)
        self._background_pid = None
        self._under_way = UnderWay(self.living(), self.lastCmd)

    def monitor(self, timeoutms: float | None = None, findPid: bool = True) -> str:
        """What the command under way has printed since it was asked last; waits for something.

        Args:
            timeoutms: at most so long; without, until there is something.
        """
        if self._under_way is None:
            raise LabError("no command is under way", where=self.name, hint="sendCmd first")
        text, ended = self._under_way.read(timeoutms)
        if ended:
            self._finish()
        return text

    def waitOutput(self, verbose: bool = False, findPid: bool = True) -> str:
        """Waits for the end of the command under way; what it printed since it was asked last."""
        pieces = []
        while self.waiting:
            pieces.append(self.monitor())
            if verbose:
                output(pieces[-1])
        return "".join(pieces)

    def waitReadable(self, timeoutms: float | None = None) -> bool:
        """Waits until the command under way has printed something, or has ended."""
        return self._under_way is None or self._under_way.readable(timeoutms)

    def sendInt(self, intr: str = "\x03") -> None:
        """Interrupts the command under way, as Ctrl-C does."""
        if intr != "\x03":
            raise UnsupportedError("only Ctrl-C can be sent", where=self.name)
        self.living().interrupt()

    @property
    def waiting(self) -> bool:
        """Whether a command that was sent has not ended."""
        return self._under_way is not None

    @property
    def stdout(self) -> Any:
        """What can be polled for the output of the command under way."""
        if self._under_way is None:
            raise LabError("no command is under way", where=self.name, hint="sendCmd first")
        return self._under_way.output

    @property
    def lastPid(self) -> int | None:
        """The process of the command under way, or of the last one in the background."""
        if self._under_way is not None:
            import psutil

            children = psutil.Process(self.pid).children()
            return children[-1].pid if children else None
        return self._background_pid

    def popen(self, *args: Any, **kwargs: Any) -> subprocess.Popen[Any]:
        """Starts a program in the node, as ``subprocess.Popen`` does.

        Its output goes to pipes unless another place is given.
        """
        command = args[0] if len(args) == 1 else [str(arg) for arg in args]
        if kwargs.get("shell") and not isinstance(command, str):
            command = " ".join(map(str, command))
        elif not isinstance(command, str):
            command = [str(word) for word in command]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return self.living().popen(command, **options)

    def pexec(self, *args: Any, **kwargs: Any) -> tuple[str, str, int]:
        """Runs a program in the node to its end: its output, its errors, its exit status."""
        process = self.popen(*args, stdin=subprocess.PIPE, **kwargs)
        out, err = process.communicate()
        return (
            out.decode(errors="replace"),
            "" if err is None else err.decode(errors="replace"),
            process.wait(),
        )

    @property
    def pid(self) -> int:
        """The process of the node's shell, whose namespaces are the node's."""
        return self.living().shell_pid

    @property
    def shell(self) -> Any:
        """Something while the node lives."""
        return self.engine_node

    # Interfaces ---------------------------------------------------------------------------------

    def newPort(self) -> int:
        """The number for the next port."""
        return max(self.ports.values()) + 1 if self.ports else self.portBase

    def addIntf(
        self, intf: Intf, port: int | None = None, moveIntfFn: Callable[..., Any] | None = None
    ) -> None:
        """Gives the node an interface.

        Args:
            port: its number; the next one by default.
        """
        port = self.newPort() if port is None else port
        intf.node = self
        if intf.name == "lo":
            self.nameToIntf[intf.name] = intf
            return
        self.intfs[port] = intf
        self.ports[intf] = port
        self.nameToIntf[intf.name] = intf

    def delIntf(self, intf: Intf) -> None:
        """Forgets an interface."""
        port = self.ports.pop(intf, None)
        if port is not None:
            del self.intfs[port]
            self.nameToIntf.pop(intf.name, None)

    def defaultIntf(self) -> Intf | None:
        """The interface with the lowest port; None without any."""
        return self.intfs[min(self.intfs)] if self.intfs else None

    def intf(self, intf: str | Intf | None = None) -> Any:
        """An interface by its name; without a name the default one. None where there is none."""
        if not intf:
            return self.defaultIntf()
        return self.nameToIntf.get(intf) if isinstance(intf, str) else intf

    def intfList(self) -> list[Intf]:
        """The interfaces by port."""
        return [self.intfs[port] for port in sorted(self.intfs)]

    def intfNames(self) -> list[str]:
        """The names of the interfaces, by port."""
        return [str(intf) for intf in self.intfList()]

    def connectionsTo(self, node: Node) -> list[tuple[Intf, Intf]]:
        """The links to another node, as pairs of interfaces, ours first."""
        found = []
        for intf in self.intfList():
            if intf.link:
                one, two = intf.link.intf1, intf.link.intf2
                if one.node is self and two.node is node:
                    found.append((one, two))
                elif one.node is node and two.node is self:
                    found.append((two, one))
        return found

    def linkTo(self, node: Node, link: Callable[..., Link] = Link) -> Link:
        """Links the node to another one."""
        return link(self, node)

    def deleteIntfs(self, checkName: bool = True) -> None:
        """Takes the interfaces, and the links at them, away.

        Args:
            checkName: only those whose name has the node's in it.
        """
        for intf in self.intfList():
            if self.name in intf.name or not checkName:
                intf.delete()

    # Addresses ----------------------------------------------------------------------------------

    def IP(self, intf: str | Intf | None = None) -> str | None:
        """The IPv4 address of an interface, by default that of the default one."""
        found = self.intf(intf)
        return None if found is None else found.IP()

    def MAC(self, intf: str | Intf | None = None) -> str | None:
        """The MAC address of an interface, by default that of the default one."""
        found = self.intf(intf)
        return None if found is None else found.MAC()

    def intfIsUp(self, intf: str | Intf | None = None) -> bool:
        """Whether an interface is up."""
        return bool(self._intf(intf).isUp())

    def setIP(
        self, ip: str, prefixLen: int | None = 8, intf: str | Intf | None = None, **kwargs: Any
    ) -> str:
        """Gives an interface an address, by default the default one."""
        return str(self._intf(intf).setIP(ip, prefixLen, **kwargs))

    def setMAC(self, mac: str, intf: str | Intf | None = None) -> str:
        """Gives an interface a MAC address, by default the default one."""
        return str(self._intf(intf).setMAC(mac))

    def setARP(self, ip: str, mac: str) -> str:
        """Tells the node the MAC address of a neighbour."""
        self.living().setARP(ip, mac)
        return ""

    def setHostRoute(self, ip: str, intf: str | Intf) -> str:
        """Has packets to an address leave by an interface."""
        self.living().setHostRoute(ip, str(self._intf(intf).engine_name))
        return ""

    def setDefaultRoute(self, intf: str | Intf | None = None) -> str:
        """Has packets without another route go ``via ADDRESS``, or leave by an interface."""
        is_route = isinstance(intf, str) and " " in intf
        self.living().setDefaultRoute(str(intf) if is_route else self._intf(intf).engine_name)
        return ""

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

    def living(self) -> EngineNode:
        """The engine's node; it comes to life if it does not yet."""
        self.growth.live()
        if self.engine_node is None:
            raise LabError("the node has been removed", where=self.name)
        return self.engine_node

    # Inside -------------------------------------------------------------------------------------

    def _intf(self, intf: str | Intf | None) -> Any:
        found = self.intf(intf)
        if found is None:
            known = ", ".join(self.nameToIntf) or "none"
            what = "there is no interface" if intf is None else f"there is no interface {intf}"
            raise UsageError(what, where=self.name, hint=f"it has: {known}")
        return found

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

    def _note(self, command: str) -> None:
        self.lastCmd = command
        if command.rstrip().endswith("&") and not command.rstrip().endswith("&&"):
            pid = self.living().cmd("echo $!").strip()
            self._background_pid = int(pid) if pid.isdecimal() else None

    def _finish(self) -> None:
        under_way, self._under_way = self._under_way, None
        assert under_way is not None
        under_way.close()
        assert self.lastCmd is not None
        self._note(self.lastCmd)

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

    def config(self, cpu: float = -1, cores: Any = None, **params: Any) -> dict[str, Any]:
        """As for any node, and its limits; without any they stay as they are."""
        results = super().config(**params)
        if self.born and cpu is not None and cpu >= 0 and cpu != self.params.get("cpu"):
            self.setParam(results, "setCPUFrac", cpu=cpu)
        if self.born and cores is not None and cores != self.params.get("cores"):
            self.setParam(results, "setCPUs", cores=cores)
        return results


Node._KINDS = (Node, CPULimitedHost)


def command_line(args: tuple[Any, ...]) -> str:
    """The command line that the arguments of ``cmd`` make."""
    words = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    return " ".join(map(str, words))
