"""Adapters to tools that people know: run between nodes of a lab, read, and said in one form.

    from emulator.traffic.adapters import tool_named

    tool = tool_named("sockperf")
    result = tool.measure(net["client"], net["server"], tool.specify(rate_mps=1000))

Every measurement is a ``ToolResult`` that names its source. A tool that is missing says how to get
it; processes are always ended.
"""

from __future__ import annotations

from emulator.traffic.adapters.base import NodeTool, PathTool, Tool, ToolLatency, ToolResult
from emulator.traffic.adapters.registry import TOOLS, ToolState, available_tools, tool_named

__all__ = [
    "TOOLS",
    "NodeTool",
    "PathTool",
    "Tool",
    "ToolLatency",
    "ToolResult",
    "ToolState",
    "available_tools",
    "tool_named",
]
