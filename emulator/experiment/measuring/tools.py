"""Tools that people know, run on the same path, to set beside our own numbers."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError
from emulator.experiment.measured_tools import ToolLatencyRecord, ToolRecord
from emulator.traffic.adapters import PathTool, tool_named

if TYPE_CHECKING:
    from emulator.experiment.measuring.context import CaseContext
    from emulator.traffic.adapters import ToolResult


def read_tool(text: str) -> tuple[PathTool[Any], Any]:
    """A tool, and what to ask of it, from ``NAME`` or ``NAME:OPTION=VALUE,…``.

    Raises:
        UsageError: there is no such tool or option, or the tool does not send from a node to
            another.
    """
    import yaml

    name, _, rest = text.partition(":")
    tool = tool_named(name.strip())
    if not isinstance(tool, PathTool):
        raise UsageError(
            f"{tool.name} does not send from one node to another",
            where="--tool",
            hint="emulator.traffic.adapters has it for scripts",
        )
    options: dict[str, object] = {}
    for word in rest.split(",") if rest else ():
        key, equals, value = (part.strip() for part in word.partition("="))
        if not equals or not key or key in options:
            raise UsageError(
                f"{word!r} is no option of its own",
                where=f"--tool {text}",
                hint=f"such as {tool.name}:duration_s=2, each option once",
            )
        options[key] = yaml.safe_load(value)
    try:
        return tool, tool.specify(**options)
    except TypeError as error:
        raise UsageError(f"a value makes no sense: {error}", where=f"--tool {text}") from error


def measure_tools(context: CaseContext) -> None:
    """Run every tool that the bench names; what it says is kept as it said it.

    Raises:
        BuildVnfError: a tool is missing, or failed.
    """
    path = context.path
    for text in context.spec.tools:
        if any(each.asked == text for each in context.record.tools):
            continue
        tool, asked = read_tool(text)
        context.tell(f"running {tool.name}")
        found = path.watched(partial(tool.measure, path.source, path.destination, asked))
        context.keep(tools=(*context.record.tools, _record(context, text, found)))


def _record(context: CaseContext, asked: str, found: ToolResult) -> ToolRecord:
    number = len(context.record.tools) + 1
    files = tuple(
        context.bundle.write_output(context.name, f"{number}-{found.tool}-{name}", text)
        for name, text in found.output.items()
    )
    latency = found.latency
    return ToolRecord(
        asked=asked,
        tool=found.tool,
        version=found.version,
        command=found.command,
        protocol=found.protocol,
        duration_s=found.duration_s,
        sent=found.sent_packets,
        received=found.received_packets,
        lost=found.lost_packets,
        throughput_pps=found.throughput_pps,
        throughput_bps=found.throughput_bps,
        bytes_of=found.bytes_of,
        round_trip=found.round_trip,
        latency=None if latency is None else ToolLatencyRecord(**asdict(latency)),
        facts=dict(found.facts),
        notes=found.notes,
        files=files,
    )
