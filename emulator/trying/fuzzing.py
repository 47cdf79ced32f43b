"""Throwing frames at a handler until one of them breaks it: libFuzzer around ``vnfs/lib/fuzz.c``.

The fuzzer begins with the frames of the VNF's cases and changes them towards whatever code they
have not reached yet. The parameters are the defaults and those of the cases.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.control import content_of
from emulator.dataplane.build import MAX_PORTS, build_program, pack_config
from emulator.errors import LabError, MachineError, UsageError
from emulator.kernel.clang import find_clang
from emulator.kernel.parent import ending_with_us
from emulator.trying.cases import Case, load_cases
from emulator.trying.dut import example_ports
from emulator.trying.sanitizer import Report, read_report

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.parameters import Value

_FLAGS = (
    "-O1",
    "-fno-omit-frame-pointer",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize=alignment",
    "-fno-sanitize-recover=undefined",
)
_MAX_SETUPS = 16
"""FUZZ_SETUPS in fuzz.c."""
_BEGINS, _CONFIG, _SETTINGS, _ENTRY = range(4)
_RECORD = struct.Struct("=IIIII")
_FRAME = struct.Struct("=BBH")
_MORE, _IDLE = 0x40, 0x80
_LONGEST_INPUT_BYTES = 16384
_SLOWEST_INPUT_S = 5
_LEAST_GRACE_S = 60.0
_DONE = re.compile(r"^Done (\d+) runs", re.M)
_REACHED = re.compile(r"\bcov: (\d+)")
_TIMEOUT = "libFuzzer: timeout"


@dataclass(frozen=True)
class Thrown:
    """A frame of an input.

    Attributes:
        frame: its bytes.
        port: where it comes in; of a burst, the port of the last frame counts.
        after_ns: how much time passes before it.
    """

    frame: bytes
    port: int
    after_ns: int


@dataclass(frozen=True)
class Breakage:
    """An input that broke the handler.

    Attributes:
        report: what is wrong.
        parameters: those that differ from their defaults.
        ports: how many the VNF had.
        thrown: the frames, one after another, from the start.
    """

    report: Report
    parameters: Mapping[str, object]
    ports: int
    thrown: tuple[Thrown, ...]


@dataclass(frozen=True)
class Fuzzed:
    """What came of it.

    Attributes:
        inputs: how many were tried.
        reached: how many places in the code they reached; to be compared between runs only.
        breakage: what broke; None when nothing did.
    """

    inputs: int
    reached: int
    breakage: Breakage | None


@dataclass(frozen=True)
class _Setup:
    given: Mapping[str, object]
    values: Mapping[str, Value]
    ports: int


def fuzz(
    manifest: Manifest,
    dataplane: str,
    *,
    seconds: float | None = None,
    inputs: int | None = None,
    seed: int = 1,
) -> Fuzzed:
    """Fuzz a VNF's handler as compiled for a data plane in user space.

    Args:
        seconds: for how long; without limit when None.
        inputs: how many inputs at most; without limit when None.
        seed: of the fuzzer's random choices.

    Raises:
        UsageError: the VNF does not compile, or needs parameters that no case gives.
        MachineError: clang or its libFuzzer is not installed.
        LabError: the fuzzer itself fails.
    """
    require_libfuzzer()
    program = build_program(
        manifest, dataplane, run_loop="fuzz", flags=_FLAGS, compiler=find_clang()
    )
    cases = load_cases(manifest)
    setups = _setups(manifest, cases)
    with tempfile.TemporaryDirectory(prefix="vnf-fuzz-") as name:
        folder = Path(name)
        (folder / "setups").write_bytes(b"".join(_pack_setup(manifest, each) for each in setups))
        (folder / "inputs").mkdir()
        for number, seeded in enumerate(_seeds(cases, setups)):
            (folder / "inputs" / f"case-{number}").write_bytes(seeded)
        command = [
            str(program),
            f"-seed={seed}",
            f"-max_len={_LONGEST_INPUT_BYTES}",
            f"-timeout={_SLOWEST_INPUT_S}",
            f"-artifact_prefix={folder}/broken-",
            *([] if seconds is None else [f"-max_total_time={max(1, round(seconds))}"]),
            *([] if inputs is None else [f"-runs={inputs}"]),
            str(folder / "inputs"),
        ]
        said, status = _run(command, folder, seconds)
        done, reached = _DONE.search(said), _REACHED.findall(said)
        tried = int(done[1]) if done else len(re.findall(r"^#\d+", said, re.M))
        if status == 0:
            return Fuzzed(tried, int(reached[-1]) if reached else 0, None)
        broken = next(iter(sorted(folder.glob("broken-*"))), None)
        if broken is None:
            raise LabError(f"the fuzzer ended with {status}: {said[-2000:]}", where=manifest.name)
        report = _report(said, manifest.source(dataplane))
        breakage = _read_input(broken.read_bytes(), report, setups)
        return Fuzzed(tried, int(reached[-1]) if reached else 0, breakage)


@cache
def require_libfuzzer() -> None:
    """Check that there is a fuzzer to use.

    Raises:
        MachineError: clang or its libFuzzer is not installed.
    """
    clang = find_clang()

    def ask(*arguments: str) -> str:
        done = subprocess.run([clang, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    resources = Path(ask("--print-resource-dir"))
    if any(resources.glob("lib/**/libclang_rt.fuzzer*")):
        return
    version = resources.name.partition(".")[0]
    raise MachineError(
        "libFuzzer, which throws the frames, is not installed",
        where=str(clang),
        hint=f"apt-get install libclang-rt-{version}-dev llvm",
    )


def _run(command: Sequence[str], folder: Path, seconds: float | None) -> tuple[str, int]:
    environment = {
        **os.environ,
        "VNF_FUZZ_SETUPS": str(folder / "setups"),
        "ASAN_OPTIONS": "detect_leaks=0:allow_addr2line=1",
    }
    try:
        done = subprocess.run(
            ending_with_us(command, signal.SIGKILL),
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            cwd=folder,
            timeout=None if seconds is None else seconds + _LEAST_GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError("the fuzzer does not come to an end") from error
    return done.stderr, done.returncode


def _setups(manifest: Manifest, cases: Sequence[Case]) -> list[_Setup]:
    """The defaults, if every parameter has one, and what the cases set up."""
    found: list[_Setup] = []
    wanted = [(dict[str, object](), None), *((dict(case.parameters), case.ports) for case in cases)]
    for given, ports in wanted:
        values, problems = manifest.check_parameters(given)
        setup = _Setup(given, values, ports or manifest.ports.min)
        if not problems and setup not in found and setup.ports <= MAX_PORTS:
            found.append(setup)
    if not found:
        raise UsageError(
            "it has a parameter without a default, and no cases that give it one",
            where=manifest.name,
            hint="write cases.py",
        )
    return found[:_MAX_SETUPS]


def _pack_setup(manifest: Manifest, setup: _Setup) -> bytes:
    content = content_of(manifest, setup.values, example_ports(setup.ports))
    records = [
        _record(_BEGINS, ports=setup.ports),
        _record(_CONFIG, value=pack_config(manifest, setup.values)),
        *(
            _record(_SETTINGS, name, value=b"".join(entries))
            for name, entries in content.settings.items()
        ),
        *(
            _record(_ENTRY, name, key, value)
            for name, entries in content.tables.items()
            for key, value in entries.items()
        ),
    ]
    return b"".join(records)


def _record(
    kind: int, name: str = "", key: bytes = b"", value: bytes = b"", *, ports: int = 0
) -> bytes:
    head = _RECORD.pack(kind, ports, len(name), len(key), len(value))
    return head + name.encode() + key + value


def _seeds(cases: Sequence[Case], setups: Sequence[_Setup]) -> Iterator[bytes]:
    for case in cases:
        chosen = next((n for n, each in enumerate(setups) if each.given == case.parameters), 0)
        frames = b"".join(
            _FRAME.pack(step.port, max(0, step.after_ns.bit_length() - 1), len(frame)) + frame
            for step in case.steps
            for frame in [bytes(step.frame)]
        )
        yield bytes([chosen]) + frames


def _report(said: str, source: Path | None) -> Report:
    if _TIMEOUT in said:
        return Report("the handler does not come back", str(source or ""))
    return read_report(said, source) or Report(said.strip()[-1000:], str(source or ""))


def _read_input(content: bytes, report: Report, setups: Sequence[_Setup]) -> Breakage:
    """An input as fuzz.c reads it."""
    setup = setups[content[0] % len(setups)] if content else setups[0]
    thrown, at, waited_ns = [], 1, 0
    while at + _FRAME.size <= len(content):
        port, step, length = _FRAME.unpack_from(content, at)
        at += _FRAME.size
        waited_ns += 1 << (step & 0x3F)
        if port & _IDLE:
            continue
        frame = content[at : at + length]
        at += len(frame)
        thrown.append(Thrown(frame, (port & (_MORE - 1)) % setup.ports, waited_ns))
        waited_ns = 0
    return Breakage(report, setup.given, setup.ports, tuple(thrown))
