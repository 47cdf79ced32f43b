"""ComNetsEmu's command line, and terminals in its containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.compat.growth import alive_networks
from emulator.compat.mininet.cli import CLI as CLI
from emulator.compat.mininet.log import output
from emulator.compat.unsupported import refuse_names
from emulator.errors import UsageError
from emulator.names import choice_hint

if TYPE_CHECKING:
    from emulator.terminals import Window


def spawnXtermDocker(dcontainer_name: Any) -> Window:
    """Opens a terminal in the container of a host, or in an app container; it ends with the lab.

    Without a display it is a window of tmux, and what to type to see it is printed.

    Args:
        dcontainer_name: the name, or the host itself.

    Raises:
        UsageError: there is no such node in a network that runs.
        MachineError: there is neither a display nor tmux.
    """
    name = str(getattr(dcontainer_name, "name", dcontainer_name))
    networks = alive_networks()
    for network in networks:
        if name in network:
            window = network.open_window(name, prefer="xterm")
            if window.attach:
                output(f"*** {name}: {window.attach}\n")
            return window
    known = [each for network in networks for each in network]
    raise UsageError(f"there is no node {name} that runs", hint=choice_hint(name, known))


__getattr__ = refuse_names("comnetsemu.cli")
