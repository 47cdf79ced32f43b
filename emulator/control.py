"""The control side of a VNF: what its parameters make of its tables and settings.

Numbers, truth values and addresses reach the handler as fields of ``struct vnf_config``. What needs
more, a list of rules or a table of routes, is made by a module in the VNF's folder that the
manifest names: ``control = "control.py"``. It has one function::

    def control(parameters: dict, ports: tuple[PortInfo, ...]) -> TableContent

which is given every parameter, checked and with defaults filled in, and the VNF's ports, and says
what the settings and tables shall contain. It is called when the topology is checked, when the VNF
starts, and whenever a parameter is changed, and it must be pure: nothing but its arguments counts.
For text that it does not understand it raises ``ParameterError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from emulator.errors import UsageError
from emulator.userfile import blaming, run_file

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value
    from emulator.plan.model import InterfacePlan

__all__ = ["ParameterError", "PortInfo", "TableContent", "content_of", "port_infos"]


class ParameterError(ValueError):
    """A parameter's text means nothing to the VNF.

    Args:
        parameter: its name.
        message: what is wrong.
        hint: what would be right.
    """

    def __init__(self, parameter: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter
        self.hint = hint


@dataclass(frozen=True)
class PortInfo:
    """A port of the VNF, as its control side may know it.

    Addresses are as in the plan: ``10.0.0.1/24``, None without one.
    """

    name: str
    mac: str
    ipv4: str | None = None
    ipv6: str | None = None
    mtu: int = 1500


@dataclass(frozen=True)
class TableContent:
    """What a VNF's settings and tables shall contain.

    Attributes:
        settings: name of a ``VNF_SETTINGS`` -> its first entries, packed as the C type lies in
            memory; the entries behind them are zero.
        tables: name of a table -> its entries, key and value packed. Entries that the control side
            does not name, and did not name before, are left alone: they are the handler's own.
    """

    settings: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[bytes, bytes]] = field(default_factory=dict)


ControlFunction = Callable[[dict[str, "Value"], tuple[PortInfo, ...]], object]


def port_infos(interfaces: Sequence[InterfacePlan]) -> tuple[PortInfo, ...]:
    """The ports of a node in the plan."""
    return tuple(
        PortInfo(each.name, each.mac, each.ipv4, each.ipv6, each.mtu) for each in interfaces
    )


def content_of(
    manifest: Manifest, parameters: Mapping[str, Value], ports: tuple[PortInfo, ...]
) -> TableContent:
    """What the parameters make of the VNF's settings and tables; empty without a control module.

    Raises:
        ParameterError: the module does not understand a parameter.
        UsageError: the module itself is at fault.
    """
    if manifest.control is None:
        return TableContent()
    path = manifest.folder / manifest.control
    function = _control_function(path, path.stat().st_mtime_ns)
    with blaming(path, ParameterError):
        content = function(dict(parameters), ports)
    if not isinstance(content, TableContent):
        raise UsageError("control() returns no TableContent", where=str(path))
    for name in _not_of_bytes(content):
        raise UsageError(f"what control() returns for {name} is not bytes", where=str(path))
    return content


def _not_of_bytes(content: TableContent) -> Iterator[str]:
    for name, entries in content.settings.items():
        if not all(isinstance(entry, bytes) for entry in entries):
            yield name
    for name, table in content.tables.items():
        if not all(isinstance(part, bytes) for entry in table.items() for part in entry):
            yield name


@lru_cache(maxsize=64)
def _control_function(path: Path, _modified_ns: int) -> ControlFunction:
    name = f"build_vnf_control_{path.parent.name.replace('-', '_')}"
    function = getattr(run_file(path, name), "control", None)
    if not callable(function):
        raise UsageError("there is no function control(parameters, ports)", where=str(path))
    return cast(ControlFunction, function)
