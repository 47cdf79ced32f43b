"""``vnf bench``: measures a topology in all the variants asked for."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.cli.options import (
    FileArgument,
    JsonOption,
    SetOption,
    TopoOption,
    parse_duration,
    parse_rate,
    parse_settings,
    target_of,
)
from emulator.cli.output import BenchProgress, print_json, print_rich
from emulator.errors import ResultsError

if TYPE_CHECKING:
    from emulator.experiment.bench import BenchResult
    from emulator.experiment.certificates import CertificatesRecord


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
    file: FileArgument = None,
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
        str,
        typer.Option(
            metavar="PPS", help="Packets per second of the latency trials: 1000, 10k, 1.5M."
        ),
    ] = "10k",
    size: Annotated[
        int,
        typer.Option(
            metavar="BYTES",
            help="Frame size with its 4 bytes of FCS: from 64 to 18 more than the MTU of the links "
            "(1518 by default), and at most 3300 with the kernel probe.",
        ),
    ] = 64,
    duration: Annotated[
        str, typer.Option(metavar="TIME", help="Length of a latency trial: 2, 500ms, 1min.")
    ] = "2",
    probe: Annotated[
        Mechanism,
        typer.Option(
            help="Who makes and stamps the packets: the kernel, or an application over sockets."
        ),
    ] = Mechanism.kernel,
    core: Annotated[
        int | None,
        typer.Option(metavar="CPU", show_default=False, help="Pin the generator to this CPU."),
    ] = None,
    repeat: Annotated[int, typer.Option(metavar="N", help="Latency trials of each case.")] = 1,
    loss_goal: Annotated[
        float,
        typer.Option(metavar="RATIO", help="The loss at which a rate still counts as carried."),
    ] = 0.001,
    search_duration: Annotated[
        str, typer.Option(metavar="TIME", help="Length of a trial of the throughput search.")
    ] = "500ms",
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default=False, help="Decides the order of the cases. [default: drawn]"
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
    json: JsonOption = False,
) -> None:
    """Measure latency, throughput and CPU cost of a topology, and keep every sample.

    The results are a table, and a folder with the plans, the machine, all samples and a picture.
    Stopping with Ctrl-C keeps what was measured. The exit code is 1 when a case failed, and when
    impaired links are not as they should be.

    \b
    Examples:
      vnf bench topologies/chain.py --vary dataplane=none,kernel,xdp
      vnf bench --topo chain --set dataplane=xdp --vary length=1,2,4 --rate 100k
      vnf bench --topo chain --set dataplane=afxdp --vary 'idle=poll;spin:20us,wait'
    """
    fixed = parse_settings(settings)
    target = target_of(file, topo)

    from emulator.experiment.bench import BenchSpec, partial_result, run_bench
    from emulator.experiment.cases import parse_vary

    spec = BenchSpec(
        target=target,
        settings=fixed,
        vary=parse_vary(vary or ()),
        source=source,
        destination=destination,
        rate_pps=parse_rate(rate),
        duration_s=parse_duration(duration, where="--duration"),
        frame_size_bytes=size,
        mechanism=probe.value,
        core=core,
        repeat=repeat,
        loss_goal=loss_goal,
        search_duration_s=parse_duration(search_duration, where="--search-duration"),
        seed=seed,
        output=output,
        certify=certify.value,
    )
    try:
        with BenchProgress() as progress:
            result = run_bench(spec, progress)
    except (KeyboardInterrupt, ResultsError) as stop:
        partial = partial_result(stop)
        if partial is not None:
            _print_result(partial, json)
        raise
    _print_result(result, json)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _print_result(result: BenchResult, json: bool) -> None:
    from emulator.experiment.report import render

    certificates = result.certificates
    if json:
        document = {"folder": str(result.folder), **result.summary.model_dump(mode="json")}
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
