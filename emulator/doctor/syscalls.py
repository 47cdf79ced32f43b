"""The few system calls the doctor makes by itself.

A library that is missing or too old must not be able to hide what the kernel can do, so nothing
here rests on libbpf or libxdp. Numbers and layouts: linux/bpf.h, linux/if_xdp.h,
linux/if_packet.h and linux/perf_event.h of the kernel's user-space API.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import socket
import struct

_SYSCALLS = {
    "x86_64": {"bpf": 321, "perf_event_open": 298},
    "aarch64": {"bpf": 280, "perf_event_open": 241},
}

_PROG_LOAD, _PROG_TEST_RUN, _LINK_CREATE = 5, 10, 28
_PROG_TYPE_XDP, _ATTACH_XDP = 6, 37
_TEST_XDP_LIVE_FRAMES = 1 << 1
_XDP_FLAGS_DRV_MODE = 1 << 2
_ATTR_BYTES = 128

_AF_XDP, _SOL_XDP = 44, 283
_XDP_RX_RING, _XDP_UMEM_REG = 2, 4
_XDP_UMEM_FILL_RING, _XDP_UMEM_COMPLETION_RING = 5, 6
_XDP_COPY = 1 << 1
_FRAME_BYTES, _FRAMES = 4096, 16

_SOL_PACKET, _PACKET_RX_RING, _PACKET_VERSION, _TPACKET_V2 = 263, 5, 10, 1
_ETH_P_ALL = 3

XDP_DROP, XDP_PASS = 1, 2
PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS = 0, 1
PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK = 1, 1


def load_xdp_program(verdict: int) -> int:
    """Load an XDP program that always gives ``verdict``; returns its descriptor.

    Raises:
        OSError: the kernel refused.
    """
    instructions = ctypes.create_string_buffer(
        struct.pack("=BBhi", 0xB7, 0, 0, verdict) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    )
    license_name = ctypes.create_string_buffer(b"Dual MIT/GPL")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        _PROG_TYPE_XDP,
        2,
        ctypes.addressof(instructions),
        ctypes.addressof(license_name),
        *(0, 0, 0, 0, 0),
        b"doctor",
        0,
        _ATTACH_XDP,
    )
    return _bpf(_PROG_LOAD, attributes)


def attach_native_xdp(program_fd: int, interface_index: int) -> int:
    """Attach in native mode by a link, whose descriptor is returned; closing it detaches.

    Raises:
        OSError: the kernel refused.
    """
    attributes = struct.pack("=IIII", program_fd, interface_index, _ATTACH_XDP, _XDP_FLAGS_DRV_MODE)
    return _bpf(_LINK_CREATE, attributes)


def run_live_frames(program_fd: int) -> None:
    """Run the program once on a frame that is a real one to the kernel.

    Raises:
        OSError: the kernel refused.
    """
    frame = ctypes.create_string_buffer(64)
    attributes = struct.pack(
        "=IIIIQQIIIIQQIII",
        program_fd,
        0,
        len(frame),
        0,
        ctypes.addressof(frame),
        0,
        1,
        *(0, 0, 0, 0, 0),
        _TEST_XDP_LIVE_FRAMES,
        0,
        1,
    )
    _bpf(_PROG_TEST_RUN, attributes)


def bind_xdp_socket(interface_index: int) -> None:
    """Make an AF_XDP socket with memory and rings and bind it to the interface's first queue.

    Raises:
        OSError: the kernel refused.
    """
    with (
        mmap.mmap(-1, _FRAME_BYTES * _FRAMES) as memory,
        socket.socket(_AF_XDP, socket.SOCK_RAW, 0) as xsk,
    ):
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        registration = struct.pack("=QQIIII", address, len(memory), _FRAME_BYTES, 0, 0, 0)
        xsk.setsockopt(_SOL_XDP, _XDP_UMEM_REG, registration)
        for ring in (_XDP_UMEM_FILL_RING, _XDP_UMEM_COMPLETION_RING, _XDP_RX_RING):
            xsk.setsockopt(_SOL_XDP, ring, _FRAMES)
        where = struct.pack("=HHIII", _AF_XDP, _XDP_COPY, interface_index, 0, 0)
        if _LIBC.bind(xsk.fileno(), where, len(where)) < 0:
            raise _last_error()


def bind_packet_socket(interface: str) -> None:
    """Make a packet socket with a ring of the second version and bind it to the interface.

    Raises:
        OSError: the kernel refused.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packet:
        packet.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        ring = struct.pack("=IIII", _FRAME_BYTES * _FRAMES, 1, _FRAME_BYTES, _FRAMES)
        packet.setsockopt(_SOL_PACKET, _PACKET_RX_RING, ring)
        packet.bind((interface, _ETH_P_ALL))


def count_with_perf(kind: int, event: int) -> None:
    """Open a counter of this thread and close it again.

    Raises:
        OSError: the kernel refused.
    """
    exclude_kernel, exclude_hypervisor = 1 << 5, 1 << 6
    attributes = struct.pack(
        "=IIQQQQQIIQ", kind, 64, event, 0, 0, 0, exclude_kernel | exclude_hypervisor, 0, 0, 0
    )
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    os.close(_syscall("perf_event_open", ctypes.byref(buffer), 0, -1, -1, 0))


_LIBC = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, _ATTR_BYTES)
    return _syscall("bpf", command, ctypes.byref(buffer), _ATTR_BYTES)


def _syscall(name: str, *arguments: object) -> int:
    numbers = _SYSCALLS.get(platform.machine())
    if numbers is None:
        raise OSError(errno.ENOSYS, f"the doctor does not know {platform.machine()}")
    words = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    result = int(_LIBC.syscall(ctypes.c_long(numbers[name]), *words))
    if result < 0:
        raise _last_error()
    return result


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
