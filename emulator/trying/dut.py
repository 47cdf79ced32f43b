"""The device under test: a VNF that is handed frame after frame, and says what it makes of each.

Inside the kernel that is BPF_PROG_TEST_RUN on the very program that would be attached; for the data
planes in user space it is the handler compiled as for them, behind a port in memory. Time stands
still unless it is moved, and random numbers begin with a seed, so an outcome depends on the frames
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.closing import Closing
from emulator.dataplane.build import FAST, MAX_PORTS, SANITIZED, build_program, build_xdp
from emulator.errors import UsageError
from emulator.trying.model import START_NS, Dut, Outcome, example_ports
from emulator.trying.process_dut import ProcessDut
from emulator.trying.xdp_dut import LoadedXdp, XdpDut

if TYPE_CHECKING:
    from emulator.catalog import Manifest

__all__ = [
    "START_NS",
    "USER_SPACE",
    "Dut",
    "Duts",
    "Outcome",
    "example_ports",
    "open_dut",
    "planes_to_try",
    "prepare",
]

USER_SPACE = ("afxdp", "dpdk", "packet")
"""Data planes that run the handler as the same compiled C code."""
FRAGMENTS_FROM_BYTES = 3500
"""Longer frames reach an XDP program in several pieces."""


def open_dut(
    manifest: Manifest,
    dataplane: str,
    parameters: Mapping[str, object] | None = None,
    *,
    ports: int | None = None,
    seed: int = 1,
    largest_bytes: int = 1518,
    sanitized: bool = False,
) -> Dut:
    """Load a VNF and give it its parameters.

    Args:
        dataplane: one that the manifest names.
        parameters: those that differ from their defaults.
        ports: how many; as few as the manifest allows by default.
        largest_bytes: the longest frame it will be handed.
        sanitized: in user space, stop at the first access out of bounds.

    Raises:
        UsageError: the VNF does not run there, does not compile, or refuses a parameter.
        MachineError: the machine lacks what is needed; trying XDP needs root.
    """
    with Duts(manifest, dataplane, sanitized=sanitized) as duts:
        return duts.open(parameters, ports=ports, seed=seed, largest_bytes=largest_bytes, last=True)


class Duts(Closing):
    """A VNF on a data plane, tried anew again and again; what takes long is done once for all.

    Args:
        dataplane: one that the manifest names.
        sanitized: in user space, stop at the first access out of bounds.
    """

    def __init__(self, manifest: Manifest, dataplane: str, *, sanitized: bool = False) -> None:
        self._manifest = manifest
        self._dataplane = dataplane
        self._sanitized = sanitized
        self._loaded: dict[tuple[int, bool], LoadedXdp] = {}

    def open(
        self,
        parameters: Mapping[str, object] | None = None,
        *,
        ports: int | None = None,
        seed: int = 1,
        largest_bytes: int = 1518,
        last: bool = False,
    ) -> Dut:
        """The VNF from its start, as ``open_dut`` gives it; the one before has to be closed.

        Args:
            last: none follows, so what it needs goes with it.
        """
        manifest = self._manifest
        where = manifest.name
        values, problems = manifest.check_parameters(parameters or {}, where=where)
        if problems:
            text = "; ".join(problem.message for problem in problems)
            raise UsageError(text, where=where, hint=problems[0].hint)
        count = manifest.ports.min if ports is None else ports
        if not manifest.ports.allow(count) or count > MAX_PORTS:
            raise UsageError(f"it needs {manifest.ports} ports, not {count}", where=where)
        if self._dataplane == "xdp":
            loaded = self._load(count, largest_bytes > FRAGMENTS_FROM_BYTES, last)
            try:
                return XdpDut(loaded, values, seed, owned=last)
            except BaseException:
                if last:
                    loaded.close()
                raise
        return ProcessDut(manifest, self._dataplane, values, count, seed, self._command())

    def close(self) -> None:
        while self._loaded:
            self._loaded.popitem()[1].close()

    def _load(self, ports: int, fragments: bool, last: bool) -> LoadedXdp:
        if last:
            return LoadedXdp(self._manifest, ports, fragments)
        kept = self._loaded.get((ports, fragments))
        if kept is not None and kept.can_start_over:
            kept.start_over()
            return kept
        if kept is not None:
            kept.close()
        loaded = self._loaded[ports, fragments] = LoadedXdp(self._manifest, ports, fragments)
        return loaded

    def _command(self) -> list[str]:
        if self._dataplane == "python":
            from emulator.dataplane.python import memory_command

            return memory_command(self._manifest)
        if self._dataplane in USER_SPACE:
            return [str(_program(self._manifest, self._dataplane, self._sanitized))]
        raise UsageError(
            f"the data plane {self._dataplane} has no handler to try", where=self._manifest.name
        )


def prepare(manifest: Manifest, dataplane: str, *, sanitized: bool = False) -> None:
    """Compile what ``open_dut`` will want.

    Raises:
        UsageError: the VNF does not compile.
        MachineError: the compiler is missing.
    """
    if dataplane == "xdp":
        build_xdp(manifest)
    elif dataplane in USER_SPACE:
        _program(manifest, dataplane, sanitized)


def _program(manifest: Manifest, dataplane: str, sanitized: bool) -> Path:
    flags = SANITIZED if sanitized else FAST
    return build_program(manifest, dataplane, run_loop="memory", flags=flags)


def planes_to_try(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The data planes on which a VNF's handler differs, each with those that run the same code.

    Left out are those without a handler of the VNF's own: the kernel's, and ready programs.
    """
    found: dict[str, tuple[str, ...]] = {}
    sources: dict[Path, str] = {}
    for name in ("xdp", "python", *USER_SPACE):
        source = manifest.source(name) if name in manifest.dataplanes else None
        if source is None:
            continue
        first = sources.setdefault(source, name) if name in USER_SPACE else name
        found[first] = (*found.get(first, ()), name)
    return found
