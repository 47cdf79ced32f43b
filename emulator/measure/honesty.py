"""The honesty gate: whether a trial measured the path, or the machine's other work. Pure.

Each rule looks at one thing that was watched during a trial and gives findings: ``invalid`` means
that the trial does not count, ``warn`` that it counts and its reader should know, ``note`` that
nothing is wrong. A finding tells the number, its limit, and where it can, who is to blame.

A trial is *exact* when it measures the delay of packets at a rate that is known to pass: there,
one packet in a hundred spoils the 99th percentile. Otherwise it measures how much passes, such as a
trial of a throughput search or of cost, at loads that are meant to be too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from emulator.kernel.proc import NS_PER_TICK
from emulator.measure.resources import CpuUse, OtherUse, ProcessUse
from emulator.measure.sensors import Sensors
from emulator.unavailable import Unavailable

Severity = Literal["invalid", "warn", "note"]

MAX_DISTURBED_SHARE = 0.01
"""Of an exact trial: with more than one packet in a hundred, or more than a hundredth of the time,
spoilt by the machine's other work, the 99th percentile tells of that work."""
MAX_LOADED_SHARE = 0.05
"""Of any other trial: its rates and costs are off by about this share, no more than the noise
between two runs anyway."""
MIN_OFFERED_SHARE = 0.99
"""Of the load that was asked for: with less, what is reported is not what was asked about. The
probe keeps a schedule to a packet, so a hundredth is no rounding."""
MAX_SOFTNET_LOSS_SHARE = 0.001
"""Of the packets sent: what the CPUs' queues may have lost of an exact trial without the loss
becoming theirs instead of the path's. It is the goal of the quick search."""
MAX_FREQUENCY_CHANGE = 0.05
"""Between begin and end: CPU time per packet changes by as much. Only a warning, because a CPU that
was idle before the trial always runs slower at its begin."""
HOG_SHARE = 0.1
"""Of a CPU: a process outside that takes a tenth of one keeps a thread that shares it from running
for a tenth of the time, twice what any trial allows."""
MAX_UNEXPLAINED_SHARE = 0.25
"""Of a CPU, by processes that began and ended meanwhile: they cannot be named, and the ticks by
which CPU time is counted for them are coarse, so more than for one that can."""
HINDRANCES = frozenset(
    {
        "generator",
        "generator-wait",
        "vnf-wait",
        "hog",
        "steal",
        "unsent",
        "overrun",
        "softnet",
        "throttled",
        "wire-late",
        "wire-unasked",
    }
)
"""The rules about what can only keep packets from being sent in time, from being carried, or from
being taken. A load that arrives in full in a trial that broke none but these is carried."""
MIN_TICKS = 2
"""CPU time that is counted in ticks may be off by one at either end."""


@dataclass(frozen=True)
class Finding:
    """What a rule has to say of a trial.

    Attributes:
        rule: its name, one word.
        text: what was found, in a sentence without a full stop.
        value: what was measured; None where it is no number.
        limit: what is allowed, in the same unit.
    """

    rule: str
    severity: Severity
    text: str
    value: float | None
    limit: float | None


def check_trial(sensors: Sensors, *, exact: bool = True) -> list[Finding]:
    """Everything that speaks against a trial, the worst first.

    Args:
        sensors: what was watched.
        exact: whether the delay of packets was measured at a rate that is known to pass; otherwise
            how much passes, where packets that could not be sent or taken are part of the answer.
    """
    findings = [finding for rule in _RULES for finding in rule(sensors, exact)]
    return sorted(findings, key=lambda finding: _GRAVITY[finding.severity])


def is_valid(findings: Sequence[Finding]) -> bool:
    """Whether a trial counts."""
    return all(finding.severity != "invalid" for finding in findings)


def blind_spots(sensors: Sensors) -> list[Finding]:
    """What the gate could not watch here, and why: the same in each trial on a machine, so not
    part of :func:`check_trial`."""
    machine = sensors.resources.machine
    watched: dict[str, object] = {"generator-wait": sensors.generator_wait_ns}
    if machine.cpus:
        watched["softnet"] = machine.cpus[0].dropped
        watched["frequency"] = machine.cpus[0].begin_hz
        watched["throttled"] = machine.cpus[0].throttled
    return [
        Finding(rule, "note", f"not watched, because {value.because}", None, None)
        for rule, value in watched.items()
        if isinstance(value, Unavailable)
    ]


_GRAVITY: Mapping[Severity, int] = {"invalid": 0, "warn": 1, "note": 2}


def _limit(exact: bool) -> float:
    return MAX_DISTURBED_SHARE if exact else MAX_LOADED_SHARE


def _unsent(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    """Packets that were not sent in time are the generator's failure, never loss of the path."""
    if not sensors.unsent:
        return
    share = sensors.unsent / (sensors.sent + sensors.unsent)
    severity: Severity = "invalid" if exact and share > MAX_DISTURBED_SHARE else "warn"
    yield Finding(
        "unsent",
        severity,
        f"{sensors.unsent} of {sensors.sent + sensors.unsent} packets ({_percent(share)}) could "
        f"not be sent in time by {sensors.generator_name}",
        share,
        MAX_DISTURBED_SHARE,
    )


def _generator(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    """A generator that cannot keep up, as opposed to one that was kept from running."""
    if sensors.asked_pps is None:
        return
    share = sensors.offered_pps / sensors.asked_pps
    if share >= MIN_OFFERED_SHARE:
        return
    waited = _share_of_time(sensors.generator_wait_ns, sensors.elapsed_ns)
    why = "that is all it can do here"
    if waited is not None and waited > _limit(exact):
        why = f"it was kept from running for {_percent(waited)} of the time"
    yield Finding(
        "generator",
        "invalid" if exact else "warn",
        f"{sensors.generator_name} offered {_rate(sensors.offered_pps)} of the "
        f"{_rate(sensors.asked_pps)} that were asked for: {why}",
        share,
        MIN_OFFERED_SHARE,
    )


def _generator_wait(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    """Work of others that keeps the generator waiting spoils a trial. That of the path does not
    where the question is how much passes: what carries packets in the kernel has as good a right to
    the CPU, and next time it would take as much."""
    share = _share_of_time(sensors.generator_wait_ns, sensors.elapsed_ns)
    if share is None or share <= _limit(exact):
        return
    machine = sensors.resources.machine
    wait_ns = share * sensors.elapsed_ns
    others_ns = sum(other.cpu_ns for other in sensors.resources.others)
    others_ns += machine.unexplained_cpu_ns + sum(cpu.steal_ns for cpu in machine.cpus)
    by_path = not exact and 2 * machine.carriers_cpu_ns >= wait_ns > 2 * others_ns
    text = f"{sensors.generator_name} was ready to send and had no CPU for {_percent(share)} of "
    text += "the time"
    if by_path:
        text += ", because the kernel's threads that carry packets had it"
    else:
        text += _blamed(_hogs(sensors))
    yield Finding("generator-wait", "warn" if by_path else "invalid", text, share, _limit(exact))


def _vnf_wait(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    """Work of others that keeps a VNF waiting spoils a trial. VNFs and generator that wait for each
    other do not: so they do whenever the path has more of them than the machine has CPUs."""
    outside_ns = sum(hog.cpu_ns for hog in _hogs(sensors))
    for name, node in sensors.resources.nodes.items():
        for process in node.processes:
            share = _share_of_time(process.wait_ns, sensors.elapsed_ns)
            if share is None or share <= _limit(exact):
                continue
            by_others = 2 * outside_ns >= share * sensors.elapsed_ns
            how_long = f"{_percent(share)} of the time"
            if share > 1:
                # Several threads wait at once, and a watch lasts longer than the trial in it.
                waited_s, trial_s = share * sensors.elapsed_ns / 1e9, sensors.elapsed_ns / 1e9
                how_long = f"{waited_s:.3g} s in all, where the trial took {trial_s:.3g} s"
            text = f"{name} was ready to work and had no CPU for {how_long}"
            if by_others:
                text += _blamed(_hogs(sensors))
            else:
                text += ", because the path needs more CPUs than there are"
            yield Finding(
                "vnf-wait", "invalid" if by_others else "warn", text, share, _limit(exact)
            )


def _steal(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    for cpu in sensors.resources.machine.cpus:
        share = cpu.steal_ns / sensors.resources.elapsed_ns
        if cpu.steal_ns > MIN_TICKS * NS_PER_TICK and share > _limit(exact):
            yield Finding(
                "steal",
                "invalid",
                f"the hypervisor kept {_percent(share)} of the time of CPU {cpu.cpu} for others",
                share,
                _limit(exact),
            )


def _softnet(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    dropped = sensors.resources.machine.dropped
    if isinstance(dropped, Unavailable) or not dropped:
        return
    text = f"the CPUs' queues of received frames were full and dropped {dropped} frames"
    # They count for the whole machine. Without loss, none of them was of this trial.
    share = min(dropped, sensors.lost) / max(1, sensors.sent)
    if not share:
        yield Finding("softnet", "note", f"{text}, none of this trial", 0.0, MAX_SOFTNET_LOSS_SHARE)
        return
    yield Finding(
        "softnet",
        "invalid" if exact and share > MAX_SOFTNET_LOSS_SHARE else "warn",
        f"{text}; up to {_percent(share)} of the packets may have been lost there "
        "(net.core.netdev_max_backlog)",
        share,
        MAX_SOFTNET_LOSS_SHARE,
    )


def _generic_xdp(sensors: Sensors, _exact: bool) -> Iterator[Finding]:
    for name, mode in sensors.modes.items():
        if "generic" in mode:
            yield Finding(
                "generic-xdp",
                "invalid",
                f"XDP of {name} runs in generic mode, after the kernel has made a buffer of each "
                f"frame: {mode}",
                None,
                None,
            )


def _frequency(sensors: Sensors, _exact: bool) -> Iterator[Finding]:
    changes = [
        (change, cpu)
        for cpu in sensors.resources.machine.cpus
        if (change := _change(cpu)) is not None and abs(change) > MAX_FREQUENCY_CHANGE
    ]
    if changes:
        change, cpu = max(changes, key=lambda each: abs(each[0]))
        yield Finding(
            "frequency",
            "warn",
            f"CPU {cpu.cpu} ran at {_ghz(cpu.begin_hz)} at the begin and at {_ghz(cpu.end_hz)} at "
            "the end; the governor called performance holds it",
            abs(change),
            MAX_FREQUENCY_CHANGE,
        )


def _throttled(sensors: Sensors, _exact: bool) -> Iterator[Finding]:
    for cpu in sensors.resources.machine.cpus:
        if not isinstance(cpu.throttled, Unavailable) and cpu.throttled > 0:
            yield Finding(
                "throttled",
                "invalid",
                f"CPU {cpu.cpu} slowed itself down {cpu.throttled} times because it was hot",
                cpu.throttled,
                0,
            )


def _overrun(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    if not sensors.overrun:
        return
    share = sensors.overrun / max(1, sensors.sent)
    yield Finding(
        "overrun",
        "invalid" if exact and share > MAX_DISTURBED_SHARE else "warn",
        f"{sensors.overrun} packets ({_percent(share)}) arrived and were lost because the receiver "
        "was too slow to take them",
        share,
        MAX_DISTURBED_SHARE,
    )


def _hog(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    waits = [sensors.generator_wait_ns]
    waits += [process.wait_ns for process in _processes(sensors)]
    shares = [_share_of_time(wait_ns, sensors.elapsed_ns) for wait_ns in waits]
    disturbed = any(share is not None and share > _limit(exact) for share in shares)
    for hog in _hogs(sensors):
        pinned = _pinned_to(hog.last_cpu, sensors)
        text = f"process {hog.pid} ({hog.command}) took {_percent(hog.share)} of a CPU"
        if hog.in_lab:
            text += ", inside of the lab"
        if pinned:
            text += f", and last ran on CPU {hog.last_cpu}, which {' and '.join(pinned)} cannot do "
            text += "without"
        yield Finding(
            "hog", "invalid" if pinned or disturbed else "warn", text, hog.share, HOG_SHARE
        )


def _unexplained(sensors: Sensors, _exact: bool) -> Iterator[Finding]:
    share = sensors.resources.machine.unexplained_cpu_ns / sensors.resources.elapsed_ns
    if share > MAX_UNEXPLAINED_SHARE:
        yield Finding(
            "unexplained",
            "warn",
            f"{_percent(share)} of a CPU went to no process there is: to such as began and ended "
            "meanwhile, as a build starts them",
            share,
            MAX_UNEXPLAINED_SHARE,
        )


def _wires(sensors: Sensors, exact: bool) -> Iterator[Finding]:
    sent = max(1, sensors.sent)
    if sensors.wire_unasked:
        # A single one may be all there is of loss.
        yield Finding(
            "wire-unasked",
            "invalid" if exact else "warn",
            f"{sensors.wire_unasked} frames were lost by what impairs links, and nobody asked for "
            "that",
            sensors.wire_unasked,
            0,
        )
    if sensors.wire_late:
        share = sensors.wire_late / sent
        yield Finding(
            "wire-late",
            "invalid" if exact and share > MAX_DISTURBED_SHARE else "warn",
            f"{sensors.wire_late} frames ({_percent(share)}) were released too late by what "
            "impairs links",
            share,
            MAX_DISTURBED_SHARE,
        )


def _idle_states(sensors: Sensors, _exact: bool) -> Iterator[Finding]:
    if sensors.idle_states_kept_out is False:
        yield Finding(
            "idle-states",
            "note",
            "CPUs were free to sleep deeply, so processes that wait for packets wake up late "
            "(/dev/cpu_dma_latency cannot be had)",
            None,
            None,
        )


_RULES: Sequence[Callable[[Sensors, bool], Iterator[Finding]]] = (
    _generator,
    _generator_wait,
    _vnf_wait,
    _hog,
    _unexplained,
    _steal,
    _unsent,
    _overrun,
    _wires,
    _softnet,
    _generic_xdp,
    _throttled,
    _frequency,
    _idle_states,
)


def _hogs(sensors: Sensors) -> list[OtherUse]:
    least_ns = MIN_TICKS * NS_PER_TICK
    return [
        other
        for other in sensors.resources.others
        if other.share >= HOG_SHARE and other.cpu_ns > least_ns
    ]


def _processes(sensors: Sensors) -> list[ProcessUse]:
    return [each for node in sensors.resources.nodes.values() for each in node.processes]


def _pinned_to(cpu: int, sensors: Sensors) -> list[str]:
    """What may run on this CPU and on none but a few: the generator, and nodes."""
    needing = {sensors.generator_name: sensors.generator_cpus}
    for name, node in sensors.resources.nodes.items():
        for process in node.processes:
            if len(process.cpus) < len(sensors.resources.machine.cpus):
                needing[name] = process.cpus
    return [name for name, cpus in needing.items() if cpus == (cpu,)]


def _share_of_time(value_ns: int | Unavailable, elapsed_ns: int) -> float | None:
    return None if isinstance(value_ns, Unavailable) else value_ns / max(1, elapsed_ns)


def _change(cpu: CpuUse) -> float | None:
    if isinstance(cpu.begin_hz, Unavailable) or isinstance(cpu.end_hz, Unavailable):
        return None
    return cpu.end_hz / cpu.begin_hz - 1 if cpu.begin_hz else None


def _blamed(hogs: Sequence[OtherUse]) -> str:
    if not hogs:
        return ""
    return "; most CPU outside went to " + ", ".join(f"{hog.command} ({hog.pid})" for hog in hogs)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rate(pps: float) -> str:
    return f"{pps:,.0f} packets/s"


def _ghz(hz: int | Unavailable) -> str:
    return str(hz) if isinstance(hz, Unavailable) else f"{hz / 1e9:.2f} GHz"
