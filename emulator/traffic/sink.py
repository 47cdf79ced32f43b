"""Takes packets off the network behind the packet socket that has received them."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from emulator.kernel import libbpf
from emulator.kernel.link import BpfLink
from emulator.traffic.native import open_bpf
from emulator.traffic.path import ProbeNode

_OBJECT = "sink.bpf.o"
_TCX_INGRESS = 46


@contextmanager
def swallow(node: ProbeNode, interface: str, flow: int) -> Iterator[bool]:
    """Drop the probe's packets of one flow after they have been received, to spare the IP layer.

    It makes the receiver faster, and nothing but that: gives False where the kernel has no tcx
    (before Linux 6.6) and the packets go on to the IP layer, which drops them too.
    """
    with open_bpf(_OBJECT) as program:
        program.set_global("flow", struct.pack("=I", flow))
        program.load()
        link = node.netns.run(_attach, program.program("sink").fd, interface)
        try:
            yield link is not None
        finally:
            if link is not None:
                link.close()


def _attach(program_fd: int, interface: str) -> BpfLink | None:
    options = libbpf.LinkCreateOpts(sz=ctypes.sizeof(libbpf.LinkCreateOpts))
    fd = libbpf.library().bpf_link_create(
        program_fd, socket.if_nametoindex(interface), _TCX_INGRESS, ctypes.byref(options)
    )
    return None if fd < 0 else BpfLink(fd)
