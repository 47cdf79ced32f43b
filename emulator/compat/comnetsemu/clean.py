"""ComNetsEmu's clean-up: what labs left that did not end well, containers too, and nothing else."""

from __future__ import annotations

from emulator.compat.mininet.clean import cleanup as _clean_labs
from emulator.compat.mininet.clean import sh as sh
from emulator.compat.mininet.log import info
from emulator.compat.unsupported import refuse_names
from emulator.runtime import containers


def cleanup() -> None:
    """Removes what dead labs left behind; labs that run, and others' containers, are left alone."""
    _clean_labs()
    cleanup_docker_containers()


def cleanup_docker_containers() -> None:
    """Removes the containers that dead labs have left."""
    for lab in containers.clean():
        info(f"*** Removed the containers of lab {lab}\n")


def cleanup_netdevs() -> None:
    """Nothing to do: interfaces of labs are in namespaces that the kernel takes back by itself."""


__getattr__ = refuse_names("comnetsemu.clean")
