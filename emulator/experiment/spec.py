"""What a bench is to measure: the specification, checked before anything starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from emulator.errors import ResultsError, UsageError
from emulator.experiment.cases import DEFAULT_RATE_PPS, Traffic, check_vary

if TYPE_CHECKING:
    from emulator.measure.goals import SearchGoal
    from emulator.measure.sla import SlaProfile
    from emulator.traffic.probe import Mechanism, ProbeSpec

Measurement = Literal[
    "latency", "throughput", "loaded-latency", "back-to-back", "sla", "soak", "cost"
]
MEASUREMENTS: tuple[Measurement, ...] = get_args(Measurement)
"""In the order in which they are made: what needs the rate of another one comes after it."""

_DEFAULT_FRAMES = ("64",)
DEFAULT_MEASUREMENTS: tuple[Measurement, ...] = ("latency", "throughput", "cost")

_OPTIONS = {
    "rate_pps": "--rate",
    "frames": "--size",
    "pattern": "--pattern",
    "duration_s": "--duration",
    "mechanism": "--probe",
    "core": "--core",
}
"""What the probe calls a value -> the option it came from."""


@dataclass(frozen=True)
class BenchSpec:
    """What to measure.

    Attributes:
        target: a topology: ``FILE[:NAME]``, or a built-in one such as ``linear,4``.
        settings: what the topology's ``build`` is given in every case.
        vary: values to combine; every combination is a case.
        source: the node that sends; the first host when None.
        destination: the node that receives; the last host when None.
        measurements: what is measured of each case: ``latency``, ``throughput``,
            ``loaded-latency``, ``back-to-back``, ``sla``, ``soak``, ``cost``.
        rates_pps: packets per second of the latency trials; every rate is a case. None given: a
            capture has its own, everything else 10,000.
        frames: sizes of frames with their FCS, as RFC 2544 counts, in bytes, or ``imix``; every one
            is a case.
        patterns: how packets follow each other, such as ``const`` and ``poisson``, see
            :func:`emulator.traffic.schedule.parse_pattern`; every one is a case.
        background_pps: a second stream of as many packets per second loads the path during latency
            trials; none by default.
        duration_s: length of a latency trial, of an SLA's, and of a soak.
        mechanism: how packets are made and stamped: ``kernel`` or ``app``.
        round_trip: whether the latency trials measure the way there and back.
        telemetry: whether the delay is split by hops too.
        core: the CPU that the generator is pinned to; left to the kernel when None.
        repeat: rounds: how often each case is measured, each time on a new network.
        goals: what counts as throughput, see :data:`emulator.measure.goals.GOALS`.
        profiles: the service levels to judge by: names, or files.
        tools: others to run on the same path, such as ``ping`` or ``iperf3:protocol=UDP``.
        schedule: a file with a schedule of the links; the topology's own when None.
        stop_after_s: no further round of a case begins after that time.
        stop_on_violation: nor after a service level was violated.
        seed: decides the order of the cases and of packets; drawn, and recorded, when None.
        output: the folder that the bundle is made in.
        certify: whether impaired links are measured against their specifications first, and what
            follows when they are not as they should be: with ``require`` nothing is measured, with
            ``warn`` everything is.

    Raises:
        UsageError: a value is out of range, or values contradict each other.
    """

    target: str
    settings: Mapping[str, str] = field(default_factory=dict)
    vary: Mapping[str, Sequence[str]] = field(default_factory=dict)
    source: str | None = None
    destination: str | None = None
    measurements: Sequence[Measurement] = DEFAULT_MEASUREMENTS
    rates_pps: Sequence[float] = ()
    frames: Sequence[str] = _DEFAULT_FRAMES
    patterns: Sequence[str] = ("const",)
    background_pps: float = 0.0
    duration_s: float = 2.0
    mechanism: Mechanism = "kernel"
    round_trip: bool = False
    telemetry: bool = False
    core: int | None = None
    repeat: int = 1
    goals: Sequence[str] = ("quick",)
    profiles: Sequence[str] = ()
    tools: Sequence[str] = ()
    schedule: Path | None = None
    stop_after_s: float | None = None
    stop_on_violation: bool = False
    seed: int | None = None
    output: Path = Path("results")
    certify: Literal["require", "warn", "no"] = "require"

    def __post_init__(self) -> None:
        check_vary(self.vary, self.settings)
        check_core(self.core)
        self._check_measurements()
        for traffic in self.traffics():
            # The probe knows what it can do; asking it now reports mistakes before all else.
            self.probe(traffic, traffic.rate_pps, self.duration_s, record=True)
        self.search_goals()
        self.sla_profiles()
        self._check_tools()
        if self.repeat < 1:
            raise UsageError(f"{self.repeat} rounds cannot be measured", where="--repeat")
        if self.source is not None and self.source == self.destination:
            raise UsageError(
                "source and destination are the same node",
                where=f"--from {self.source} --to {self.destination}",
                hint="choose two different hosts",
            )

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> Self:
        """The specification that a bundle's ``run.json`` holds.

        Raises:
            ResultsError: it was written by another version.
            UsageError: a value is out of range.
        """
        values = dict(recorded)
        try:
            values["output"] = Path(values["output"])
            values["schedule"] = Path(values["schedule"]) if values["schedule"] else None
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ResultsError(
                f"the specification cannot be understood: {error}",
                where="run.json",
                hint="it was written by another version",
            ) from error

    def record(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        values = dataclasses.asdict(self)
        file, colon, name = self.target.partition(":")
        if Path(file).is_file():
            # Whoever repeats the run may stand in another folder.
            values["target"] = f"{Path(file).resolve()}{colon}{name}"
        values["output"] = str(self.output)
        values["schedule"] = None if self.schedule is None else str(self.schedule.resolve())
        return {
            key: list(value) if type(value) is tuple else value for key, value in values.items()
        }

    def traffics(self) -> list[Traffic]:
        """Every combination of rate, frames and pattern; captures bring their frames.

        Raises:
            UsageError: a pattern or a capture cannot be used, or no frames of that size are sent.
        """
        from emulator.traffic.schedule import is_capture

        captures = [each for each in self.patterns if is_capture(each)]
        if len(captures) == len(self.patterns) and tuple(self.frames) != _DEFAULT_FRAMES:
            raise UsageError(
                "a capture brings the sizes of its frames", where="--size", hint="leave it out"
            )
        found = []
        for rate_pps in self.rates_pps or (None,):
            for number, frames in enumerate(self.frames):
                for pattern in self.patterns:
                    if pattern not in captures:
                        known_pps = DEFAULT_RATE_PPS if rate_pps is None else rate_pps
                        found.append(Traffic(known_pps, frames, pattern))
                    elif number == 0:
                        found.append(Traffic.of_capture(pattern, rate_pps))
        return found

    def measures(self, *names: Measurement) -> bool:
        """Whether any of these is to be measured."""
        return any(name in self.measurements for name in names)

    def recorded_packets(self, traffic: Traffic, round_number: int) -> float:
        """How many packets the samples of a round of a case are of, when every trial is valid."""
        from emulator.experiment.measuring.loaded import LOADS, PROBE_PPS

        pps = traffic.rate_pps if self.measures("latency") else 0.0
        if round_number == 1:
            # These are measured once.
            pps += traffic.rate_pps if self.measures("soak") else 0.0
            pps += len(LOADS) * PROBE_PPS if self.measures("loaded-latency") else 0.0
            for profile in self.sla_profiles():
                rate_pps = traffic.rate_pps if profile.cycle_ns is None else 1e9 / profile.cycle_ns
                pps += rate_pps * max(1, len(profile.payload_bytes))
        return pps * self.duration_s

    def search_goals(self) -> list[SearchGoal]:
        """What counts as throughput.

        Raises:
            UsageError: there is no such goal.
        """
        from emulator.measure.goals import goal_named

        return [goal_named(name) for name in self.goals]

    def sla_profiles(self) -> list[SlaProfile]:
        """The service levels to judge by.

        Raises:
            UsageError: there is no such profile, or its file is wrong.
        """
        from emulator.measure.sla_profiles import profile_named

        return [profile_named(name) for name in self.profiles]

    def probe(
        self, traffic: Traffic, rate_pps: float | None, duration_s: float, *, record: bool
    ) -> ProbeSpec:
        """The specification of one trial of this bench.

        Raises:
            UsageError: the probe cannot do that.
        """
        from emulator.traffic.probe import ProbeSpec
        from emulator.traffic.schedule import is_capture, parse_pattern

        # As fast as possible knows no pattern but one packet after another.
        pattern = "const" if rate_pps is None else traffic.pattern
        try:
            return ProbeSpec(
                rate_pps=rate_pps,
                duration_s=duration_s,
                frames=None if is_capture(pattern) else traffic.frame_mix(),
                pattern=parse_pattern(pattern),
                mechanism=self.mechanism,
                core=self.core,
                record=record,
                seed=self.seed or 0,
            )
        except UsageError as error:
            where = _OPTIONS.get(error.where, error.where)
            raise UsageError(error.message, where=where, hint=error.hint) from error

    def _check_tools(self) -> None:
        from emulator.experiment.measuring.tools import read_tool

        for text in self.tools:
            tool, _ = read_tool(text)
            tool.require()

    def _check_measurements(self) -> None:
        for name in self.measurements:
            if name not in MEASUREMENTS:
                raise UsageError(
                    f"there is no measurement {name!r}",
                    hint=f"there are: {', '.join(MEASUREMENTS)}",
                )
        if not self.measurements:
            raise UsageError(
                "nothing is to be measured", hint=f"choose from: {', '.join(MEASUREMENTS)}"
            )
        check_profiles(self.measurements, self.profiles)


def check_profiles(measurements: Sequence[str], profiles: Sequence[str]) -> None:
    """Check that there are service levels where they are judged by, and nowhere else.

    Raises:
        UsageError: it is otherwise.
    """
    if "sla" in measurements and not profiles:
        from emulator.measure.sla_profiles import PROFILES

        raise UsageError(
            "no service level to judge by",
            where="sla",
            hint=f"name one with --profile: {', '.join(PROFILES)}, or a file of your own",
        )
    if profiles and "sla" not in measurements:
        raise UsageError(
            "a profile is for the measurement sla",
            where="--profile",
            hint="add sla to what is measured",
        )


def check_core(core: int | None) -> None:
    """Check that this machine has the CPU that the generator is to be pinned to.

    Raises:
        UsageError: it has not.
    """
    if core is None:
        return
    from emulator.plan.container_values import read_cpuset

    # Not the CPUs that we may run on: the generator is pinned elsewhere by whoever pins us.
    online = read_cpuset(Path("/sys/devices/system/cpu/online").read_text().strip())
    if core not in online:
        raise UsageError(
            f"there is no CPU {core}",
            where="--core",
            hint=f"there are: {', '.join(map(str, online))}",
        )
