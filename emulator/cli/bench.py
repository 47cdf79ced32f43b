"""``vnf bench``: measures a topology in all the variants asked for."""

from __future__ import annotations

import dataclasses
import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.amounts import parse_duration, parse_rate
from emulator.cli.bench_words import alone, check_running, is_given, listed, split
from emulator.cli.options import (
    JsonOption,
    ScheduleOption,
    SetOption,
    TopoOption,
    parse_settings,
    target_of,
)
from emulator.cli.output import BenchProgress, print_json, print_rich
from emulator.errors import ResultsError

if TYPE_CHECKING:
    from emulator.experiment.bench import BenchResult
    from emulator.experiment.certificates import CertificatesRecord
    from emulator.network import Network


def _complete_measurement(incomplete: str) -> list[str]:
    from emulator.experiment.spec import MEASUREMENTS

    return [name for name in MEASUREMENTS if name.startswith(incomplete)]


class Certify(StrEnum):
    """What is done about impaired links before they carry traffic."""

    require = "require"
    warn = "warn"
    no = "no"


class Mechanism(StrEnum):
    """How packets are made and stamped."""

    kernel = "kernel"
    app = "app"


def bench(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE[:NAME]] [MEASUREMENT]...",
            show_default=False,
            autocompletion=_complete_measurement,
            help="A Python file with a topology (NAME picks one where it has several) or a YAML "
            "file with a scenario, and what to measure: latency, throughput, loaded-latency, "
            "back-to-back, sla, soak, cost. [default: latency throughput cost]",
        ),
    ] = None,
    topo: TopoOption = None,
    settings: SetOption = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=A,B...",
            help="Measure with each of these values of a parameter; several --vary are combined. "
            "Values that have commas in them are separated by semicolons.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NODE",
            show_default=False,
            help="Who sends. [default: the first host]",
        ),
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="NODE",
            show_default=False,
            help="Who receives. [default: the last host]",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            metavar="PPS,...",
            show_default=False,
            help="Packets per second of the latency trials: 1000, 10k, 1.5M; several are cases. "
            "[default: 10k, and of a capture its own]",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            metavar="BYTES,...",
            help="Frame sizes with their 4 bytes of FCS, from 64 to 18 more than the MTU of the "
            "links (1518 by default), and at most 3300 with the kernel probe; or imix. Several are "
            "cases.",
        ),
    ] = "64",
    pattern: Annotated[
        str,
        typer.Option(
            metavar="PATTERN;...",
            help="How packets follow each other: const, poisson, onoff(...), pareto(...), "
            "burst(...), pcap:FILE. Several, separated by semicolons, are cases.",
        ),
    ] = "const",
    background: Annotated[
        str | None,
        typer.Option(
            metavar="PPS",
            show_default=False,
            help="Load the path with so many packets per second more during latency trials.",
        ),
    ] = None,
    duration: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Length of a latency trial, an SLA's, a soak: 2, 500ms, 1min."
        ),
    ] = "2",
    probe: Annotated[
        Mechanism,
        typer.Option(
            help="Who makes and stamps the packets: the kernel, or an application over sockets."
        ),
    ] = Mechanism.kernel,
    round_trip: Annotated[
        bool, typer.Option("--round-trip", help="Measure the latency there and back.")
    ] = False,
    telemetry: Annotated[
        bool, typer.Option("--telemetry", help="Split the latency by links, queues and VNFs too.")
    ] = False,
    core: Annotated[
        int | None,
        typer.Option(metavar="CPU", show_default=False, help="Pin the generator to this CPU."),
    ] = None,
    repeat: Annotated[
        int, typer.Option(metavar="N", help="Rounds of latency and throughput of each case.")
    ] = 1,
    goal: Annotated[
        str,
        typer.Option(
            metavar="GOAL,...",
            help="What counts as throughput: quick, csit-ndr, csit-pdr, tst009, rfc2544, or your "
            "own, such as loss=1%/trial=1s/sum=3s/width=2%.",
        ),
    ] = "quick",
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            metavar="NAME|FILE",
            help="The service level that sla judges by, such as franka-fci; repeat for more.",
        ),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            "--tool",
            metavar="NAME[:OPTION=VALUE,...]",
            help="Run a tool that people know on the same path too: iperf3, sockperf, ping, "
            "tcpreplay; repeat for more.",
        ),
    ] = None,
    schedule: ScheduleOption = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Decides the order of the cases, and of packets. [default: drawn]",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to make the folder of the results.")
    ] = Path("results"),
    certify: Annotated[
        Certify,
        typer.Option(
            help="Measure impaired links against what was asked of them first, and stop when they "
            "are not as they should be (require), go on and say so (warn), or do not measure them."
        ),
    ] = Certify.require,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            show_default=False,
            help="Go on with a run that was stopped, as it was asked for then.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure latency, throughput and CPU cost of a topology, and keep every sample.

    The results are a table, and a folder with the plans, the machine, all samples and a picture;
    vnf report makes a page of it. Stopping with Ctrl-C keeps what was measured, and --resume goes
    on. The exit code is 1 when a case failed, when a service level is violated, and when impaired
    links are not as they should be.

    \b
    Examples:
      vnf bench topologies/chain.py --vary dataplane=none,kernel,xdp
      vnf bench topologies/chain.py throughput --size 64,512,imix --repeat 5
      vnf bench topologies/chain.py latency --pattern 'const;poisson' --rate 1k,100k
      vnf bench topologies/chain.py sla --profile franka-fci --duration 1min
      vnf bench --topo chain --set dataplane=afxdp --vary 'idle=poll;spin:20us,wait'
      vnf bench night.yaml
    """
    from emulator.experiment.bench import (
        bench_running,
        partial_result,
        resume_bench,
        run_bench,
        running_target,
    )
    from emulator.experiment.cases import parse_vary
    from emulator.experiment.scenario import is_scenario, load_scenario
    from emulator.experiment.spec import DEFAULT_MEASUREMENTS, BenchSpec

    file, measurements = split(what or (), topo)
    # In the shell of a lab it is that lab which is measured.
    running: Network | None = context.obj
    if running is not None:
        check_running(context, file)
    spec = None
    if resume is not None:
        alone(context, "--resume", ("resume", "json"), what or ())
    elif file is not None and is_scenario(file):
        alone(context, file, ("what", "output", "json"), measurements)
        spec = load_scenario(Path(file))
        if is_given(context, "output"):
            spec = dataclasses.replace(spec, output=output)
    else:
        spec = BenchSpec(
            target=target_of(file, topo) if running is None else running_target(running),
            settings=parse_settings(settings),
            vary=parse_vary(vary or ()),
            source=source,
            destination=destination,
            measurements=measurements or DEFAULT_MEASUREMENTS,
            rates_pps=()
            if rate is None
            else tuple(parse_rate(each) for each in listed(rate, ",", "--rate")),
            frames=tuple(listed(size, ",", "--size")),
            patterns=tuple(listed(pattern, ";", "--pattern")),
            background_pps=0
            if background is None
            else parse_rate(background, where="--background"),
            duration_s=parse_duration(duration, where="--duration"),
            mechanism=probe.value,
            round_trip=round_trip,
            telemetry=telemetry,
            core=core,
            repeat=repeat,
            goals=tuple(listed(goal, ",", "--goal")),
            profiles=tuple(profile or ()),
            tools=tuple(tool or ()),
            schedule=None if schedule is None else Path(schedule),
            seed=seed,
            output=output,
            certify=certify.value,
        )
    try:
        with BenchProgress() as progress:
            if spec is None:
                assert resume is not None
                result = resume_bench(resume, progress)
            elif running is not None:
                result = bench_running(running, spec, progress)
            else:
                result = run_bench(spec, progress)
    except (KeyboardInterrupt, ResultsError) as stop:
        partial = partial_result(stop)
        if partial is not None:
            _print_result(partial, json)
            if not json and running is None:
                print(f"Go on    {_resume_command(partial)}")
        raise
    _print_result(result, json)
    if result.stopped is not None and not json:
        print(f"Stopped  {result.stopped}; the rest: {_resume_command(result)}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _resume_command(result: BenchResult) -> str:
    return f"vnf bench --resume {shlex.quote(str(result.folder))}"


def _print_result(result: BenchResult, json: bool) -> None:
    from emulator.experiment.report import render

    certificates = result.certificates
    if json:
        document = {"folder": str(result.folder), **result.summary.model_dump(mode="json")}
        if result.stopped is not None:
            document["stopped"] = result.stopped
        if certificates is not None:
            document["certificates"] = certificates.model_dump(mode="json")
        print_json(document)
        return
    if certificates is not None:
        _print_certificates(certificates, refused=result.refused)
    if not result.refused:
        print_rich(render(result.summary))
    print(f"Bundle   {result.folder}")
    picture = result.folder / "latency-cdf.png"
    if picture.is_file():
        print(f"Picture  {picture}")


def _print_certificates(certificates: CertificatesRecord, *, refused: bool) -> None:
    from emulator.wire.certificate_report import complaints, summary

    for each in certificates.certified:
        about = f" ({', '.join(each.cases)})" if len(certificates.certified) > 1 else ""
        print(f"Links    {summary(each.certificate)}{about}")
        for line in complaints(each.certificate):
            print(f"  {line}")
    if refused:
        print("  nothing was measured; --certify warn does it all the same")
