"""Cases of a VNF: frames in, and what has to come out.

A VNF's folder may hold a file ``cases.py`` that defines ``CASES``, a list of these. Frames are
written with scapy, or as bytes::

    from scapy.all import IP, UDP, Ether

    from emulator.trying.cases import Case, Step

    datagram = Ether() / IP(dst="10.0.1.2") / UDP(dport=9999) / b"hello"

    CASES = [
        Case("lets the port through", [Step(datagram, out={1: datagram})],
             parameters={"allow": "udp dport 9999"}),
    ]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, MachineError, UsageError
from emulator.trying.dut import Duts
from emulator.trying.model import START_NS, Dut, Outcome
from emulator.userfile import run_file

if TYPE_CHECKING:
    from emulator.catalog import Manifest

FILE = "cases.py"
LONGEST_FRAME_BYTES = 9216
_SEED_LIMIT = 2**64


@dataclass(frozen=True)
class Step:
    """A frame, and what the VNF has to make of it.

    Attributes:
        frame: what comes in: bytes, or a scapy packet.
        port: where it comes in.
        out: port -> what has to leave there; nothing may leave anywhere else.
        to_host: what has to go to the node's own network stack; None for nothing.
        set: parameters that are changed before the frame comes.
        after_ns: how much time passes before the frame comes.
        counts: the VNF's own counters of that port, as they have to stand afterwards.
    """

    frame: Any
    port: int = 0
    out: Mapping[int, Any] = field(default_factory=dict)
    to_host: Any = None
    set: Mapping[str, object] = field(default_factory=dict)
    after_ns: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Steps that a VNF takes one after another, from the start.

    Attributes:
        name: what it shows, in a few words.
        steps: the frames.
        parameters: those that differ from their defaults.
        ports: how many the VNF has; as few as the manifest allows by default.
        seed: of the VNF's random numbers.
    """

    name: str
    steps: Sequence[Step]
    parameters: Mapping[str, object] = field(default_factory=dict)
    ports: int | None = None
    seed: int = 1


@dataclass(frozen=True)
class Mismatch:
    """A step that went otherwise than its case says.

    Attributes:
        step: its number, from 1.
        what: what differs, in words.
        wanted: the frame that was to come; None when none was.
        got: the frame that came; None when none did.
    """

    step: int
    what: str
    wanted: bytes | None = None
    got: bytes | None = None


def load_cases(manifest: Manifest) -> list[Case]:
    """The cases in a VNF's folder; none when it has no ``cases.py``.

    Raises:
        UsageError: the file cannot be loaded, or defines no list ``CASES``.
        MachineError: it needs scapy, which is not installed.
    """
    path = manifest.folder / FILE
    if not path.is_file():
        return []
    name = f"build_vnf_cases_{manifest.name.replace('-', '_')}"
    try:
        module = run_file(path, name)
    except UsageError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name == "scapy":
            raise MachineError("scapy is not installed", hint="pip install scapy") from error
        raise
    cases = getattr(module, "CASES", None)
    if not isinstance(cases, list) or not all(isinstance(case, Case) for case in cases):
        raise UsageError("it defines no list CASES of Case objects", where=str(path))
    for case in cases:
        for what in _mistakes(case, case.ports or manifest.ports.min):
            raise UsageError(f"case {case.name!r}: {what}", where=str(path))
    return cases


def _mistakes(case: Case, ports: int) -> Iterator[str]:
    if not 0 <= case.seed < _SEED_LIMIT:
        yield f"seed {case.seed} is not a whole number of 64 bits"
    for number, step in enumerate(case.steps, 1):
        here = f"step {number}"
        for port in (step.port, *step.out):
            if port not in range(ports):
                yield f"{here}: there is no port {port}; the VNF has {ports}"
        if step.after_ns < 0:
            yield f"{here}: time goes on, and not back by {-step.after_ns} ns"
        for frame in (step.frame, *step.out.values(), step.to_host):
            if frame is not None:
                yield from (f"{here}: {what}" for what in _unfit_frame(frame))


def _unfit_frame(frame: Any) -> Iterator[str]:
    if isinstance(frame, int):  # of which bytes() would make so many zeros
        yield f"the number {frame} is no frame"
        return
    try:
        length = len(bytes(frame))
    except Exception as error:  # noqa: BLE001 - scapy builds it only now
        yield f"a frame cannot be built: {type(error).__name__}: {error}"
        return
    if not 0 < length <= LONGEST_FRAME_BYTES:
        yield f"a frame has {length} bytes; it may have 1 to {LONGEST_FRAME_BYTES}"


def run_case(
    manifest: Manifest, dataplane: str, case: Case, *, sanitized: bool = False
) -> list[Mismatch]:
    """Run a case; an empty list says that the VNF did what it had to.

    Raises:
        BuildVnfError: the VNF cannot be tried at all.
    """
    with Duts(manifest, dataplane, sanitized=sanitized) as duts:
        return run_one_of(duts, case)


def run_one_of(duts: Duts, case: Case) -> list[Mismatch]:
    """The same for one of several cases."""
    longest = max((len(bytes(step.frame)) for step in case.steps), default=0)
    with duts.open(case.parameters, ports=case.ports, seed=case.seed, largest_bytes=longest) as dut:
        return list(_run_steps(dut, case.steps))


def _run_steps(dut: Dut, steps: Sequence[Step]) -> Iterator[Mismatch]:
    now_ns = START_NS
    for number, step in enumerate(steps, 1):
        if step.after_ns:
            now_ns += step.after_ns
            dut.set_clock_ns(now_ns)
        try:
            if step.set:
                dut.set(**step.set)
            before = dut.counters()
            outcome = dut.handle(step.port, bytes(step.frame))
        except (LabError, UsageError) as error:
            yield Mismatch(number, str(error))
            return
        counted = dut.counters()
        mismatches = list(_compare(number, step, outcome))
        yield from mismatches
        if mismatches and counted[step.port].no_port_packets > before[step.port].no_port_packets:
            there = ", ".join(map(str, range(len(counted))))
            yield Mismatch(number, f"the VNF sent it to a port that is not there; it has {there}")
        own = counted[step.port].own
        for name, wanted in step.counts.items():
            if own.get(name) != wanted:
                yield Mismatch(number, f"counter {name} is {own.get(name)}, not {wanted}")


def _compare(number: int, step: Step, outcome: Outcome) -> Iterator[Mismatch]:
    for port in sorted({*step.out, *outcome.sent}):
        wanted = bytes(step.out[port]) if port in step.out else None
        got = outcome.sent.get(port)
        if wanted != got:
            yield Mismatch(number, f"port {port}: {_difference(wanted, got)}", wanted, got)
    wanted = None if step.to_host is None else bytes(step.to_host)
    if wanted != outcome.to_host:
        text = f"the node's own stack: {_difference(wanted, outcome.to_host)}"
        yield Mismatch(number, text, wanted, outcome.to_host)


def _difference(wanted: bytes | None, got: bytes | None) -> str:
    if got is None:
        return "no frame came"
    if wanted is None:
        return f"a frame of {len(got)} bytes came, and none was to"
    if len(wanted) != len(got):
        return f"{len(got)} bytes came instead of {len(wanted)}"
    at = next(
        index for index, pair in enumerate(zip(wanted, got, strict=True)) if len(set(pair)) > 1
    )
    return f"byte {at} is {got[at]:#04x} instead of {wanted[at]:#04x}"
