"""Compiling a VNF for every data plane that its manifest names, and having the kernel judge it."""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from emulator.catalog import AVAILABLE
from emulator.dataplane import afxdp
from emulator.dataplane.build import MAX_PORTS, build_program, build_xdp
from emulator.errors import BuildVnfError, MachineError, UsageError
from emulator.kernel.bpf import BpfObject
from emulator.names import choice_hint

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.catalog import Manifest

_LIBRARIES = {"afxdp": afxdp.LIBRARIES, "dpdk": ("libdpdk",), "packet": ()}
_AS_ROOT = "not shown to the kernel's verifier: that takes root"


@dataclass(frozen=True)
class Built:
    """What became of a VNF on one data plane.

    Attributes:
        plane: the data plane.
        result: ``ok``; ``failed``, which is the VNF's fault; ``missing``: the machine lacks what
            it takes; ``none``: there is nothing to compile.
        detail: what else there is to say of it, in a few words.
        seconds: how long it took.
        error: why it failed, or what is missing.
    """

    plane: str
    result: Literal["ok", "failed", "missing", "none"]
    detail: str = ""
    seconds: float = 0.0
    error: BuildVnfError | None = None


def build_vnf(manifest: Manifest, planes: Sequence[str] | None = None) -> Iterator[Built]:
    """Compile a VNF for each data plane, one after another.

    Args:
        planes: those of the manifest by default.

    Raises:
        UsageError: the manifest does not name a data plane that is asked for.
    """
    for plane in planes or ():
        if plane not in manifest.dataplanes:
            raise UsageError(
                f"VNF {manifest.name} does not run on {plane}",
                where="--dataplane",
                hint=choice_hint(plane, manifest.dataplanes),
            )
    for plane in planes or manifest.dataplanes:
        started_s = time.monotonic()
        try:
            detail = _build(manifest, plane)
        except MachineError as error:
            yield Built(plane, "missing", error.message, error=error)
        except BuildVnfError as error:
            yield Built(plane, "failed", seconds=time.monotonic() - started_s, error=error)
        else:
            result: Literal["ok", "none"] = "ok" if manifest.source(plane) else "none"
            yield Built(plane, result, detail, time.monotonic() - started_s)


def _build(manifest: Manifest, plane: str) -> str:
    if plane not in AVAILABLE:
        raise MachineError("this data plane is not available yet")
    support = manifest.dataplanes[plane]
    if support.program is not None:
        # A slash in it means a file in the VNF's folder; see the manifest.
        if "/" not in support.program and shutil.which(support.program) is None:
            raise MachineError(f"the program {support.program} is not installed")
        return f"{support.program} is used as it is"
    if manifest.source(plane) is None:
        return "the kernel does it by itself"
    if plane == "xdp":
        return _build_xdp(manifest)
    if plane == "python":
        return _check_python(manifest)
    return _size(build_program(manifest, plane, libraries=_LIBRARIES[plane]))


def _build_xdp(manifest: Manifest) -> str:
    paths = [build_xdp(manifest, fragments=fragments) for fragments in (False, True)]
    if os.geteuid() != 0:
        return f"{_size(paths[0])}, {_AS_ROOT}"
    for path in paths:
        _verify(manifest, path)
    return f"{_size(paths[0])}, accepted by the kernel's verifier"


def _verify(manifest: Manifest, path: Path) -> None:
    ports = min(manifest.ports.min, MAX_PORTS)
    with BpfObject(path, name=f"VNF {manifest.name}", source=manifest.source("xdp")) as bpf:
        bpf.set_global("port_count", struct.pack("=I", ports))
        for number in range(ports, MAX_PORTS):
            bpf.disable(f"port{number}")
        bpf.load()


def _check_python(manifest: Manifest) -> str:
    from emulator.dataplane import python

    bursts = python.check_source(manifest)
    python.build_library("packet")
    return "takes frames in bursts" if bursts else "takes frames one by one"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1024:.0f} KiB"
