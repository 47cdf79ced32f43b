"""Which tools there are, and which of them this machine has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, overload

from emulator.errors import UsageError
from emulator.names import choice_hint
from emulator.traffic.adapters.base import Tool
from emulator.traffic.adapters.iperf3 import Iperf3
from emulator.traffic.adapters.moongen import Moongen
from emulator.traffic.adapters.ping import Ping
from emulator.traffic.adapters.pmd import Pmd
from emulator.traffic.adapters.sockperf import Sockperf
from emulator.traffic.adapters.tcpreplay import Tcpreplay
from emulator.traffic.adapters.trex import Trex

TOOLS: dict[str, Tool[Any]] = {
    tool.name: tool
    for tool in (Iperf3(), Sockperf(), Ping(), Tcpreplay(), Pmd(), Trex(), Moongen())
}
"""Every tool by its name."""


@dataclass(frozen=True)
class ToolState:
    """Whether this machine has a tool.

    Attributes:
        available: it can be used.
        version: of what is installed; empty when it cannot be used.
        reason: why it cannot be used; empty when it can.
        remedy: what to do about that; empty when there is nothing to do.
    """

    name: str
    summary: str
    available: bool
    version: str
    reason: str
    remedy: str


@overload
def tool_named(name: Literal["iperf3"]) -> Iperf3: ...
@overload
def tool_named(name: Literal["sockperf"]) -> Sockperf: ...
@overload
def tool_named(name: Literal["ping"]) -> Ping: ...
@overload
def tool_named(name: Literal["tcpreplay"]) -> Tcpreplay: ...
@overload
def tool_named(name: Literal["testpmd"]) -> Pmd: ...
@overload
def tool_named(name: Literal["trex"]) -> Trex: ...
@overload
def tool_named(name: Literal["moongen"]) -> Moongen: ...
@overload
def tool_named(name: str) -> Tool[Any]: ...
def tool_named(name: str) -> Tool[Any]:
    """The adapter of a tool, whether the machine has the tool or not.

    Raises:
        UsageError: there is no such adapter.
    """
    tool = TOOLS.get(name)
    if tool is None:
        raise UsageError(f"there is no adapter for {name}", hint=choice_hint(name, TOOLS))
    return tool


def available_tools() -> list[ToolState]:
    """Every tool, with its version, or why it cannot be used and what helps."""
    return [_state(tool) for tool in TOOLS.values()]


def _state(tool: Tool[Any]) -> ToolState:
    reason = tool.why_not()
    return ToolState(
        name=tool.name,
        summary=tool.summary,
        available=not reason,
        version="" if reason else tool.version(),
        reason=reason,
        remedy=tool.remedy if reason else "",
    )
