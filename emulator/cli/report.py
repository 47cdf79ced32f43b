"""``vnf report``, ``vnf compare``, ``vnf results`` and ``vnf replay``: what was measured before."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.cli.options import JsonOption
from emulator.cli.output import BenchProgress, print_json, print_rich, print_table

if TYPE_CHECKING:
    from emulator.experiment.results import BundleEntry


class Format(StrEnum):
    """How a figure is kept."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="The folder that a bench made.")
]


def report(
    bundle: BundleArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Where to write the page. [default: report.html in the bundle, written anew]",
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default=False, help="Write each figure to a file in here too."
        ),
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="How the figures are kept.")
    ] = Format.png,
    force: Annotated[
        bool, typer.Option("--force", help="Write files anew that are there already.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write the report of a bundle: one HTML page that needs no network.

    It answers first what did best, by how much and how surely; then come tables, figures, and the
    evidence: certificates of links, what the honesty gate found, the machine, the network. What
    cannot be shown, because a file of the bundle is missing or damaged, is named.

    \b
    Examples:
      vnf report results/20310504T120000Z-chain
      vnf report results/20310504T120000Z-chain --output chain.html
      vnf report results/20310504T120000Z-chain --figures figures --format pdf
    """
    from emulator.experiment.answer import answer
    from emulator.experiment.bundle import load_bundle
    from emulator.experiment.html.write import write_report

    found = load_bundle(bundle)
    written = write_report(
        found, output, figures=figures, figure_format=file_format.value, overwrite=force
    )
    told = answer(found.summary)
    if json:
        print_json(
            {
                "page": str(written.page),
                "figures": [str(path) for path in written.figures],
                "missing": list(written.missing),
                "answer": told.sentence,
                "points": [{"topic": each.topic, "text": each.text} for each in told.points],
            }
        )
        return
    print(told.sentence)
    for line in written.missing:
        print(f"  not shown: {line}")
    print(f"Report   {written.page}")
    if figures is not None:
        print(f"Figures  {len(written.figures)} in {figures}")


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A bundle: what there was before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one: what there is now.")],
    json: JsonOption = False,
) -> None:
    """Say what changed between two bundles, and whether it is more than chance.

    Settings, machine, versions and networks are compared, and for each case that both have its
    latency, loss, throughput and CPU cost. It takes three rounds of both to tell whether a number
    changed; see --repeat of vnf bench.

    \b
    Example:
      vnf compare results/20310504T120000Z-chain results/20310505T090000Z-chain
    """
    from emulator.experiment.bundle import load_bundle
    from emulator.experiment.compare import compare_bundles
    from emulator.experiment.compare_report import as_json, render

    comparison = compare_bundles(load_bundle(a), load_bundle(b))
    if json:
        print_json(as_json(comparison))
    else:
        print_rich(render(comparison))


def results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the bundles are.")] = Path(
        "results"
    ),
    json: JsonOption = False,
) -> None:
    """List the bundles in a folder, the newest first.

    Damaged ones are listed too, with what is wrong.

    \b
    Examples:
      vnf results
      vnf results /data/results --json
    """
    from emulator.experiment.results import list_bundles

    entries = list_bundles(folder)
    if json:
        print_json([_as_json(entry) for entry in entries])
        return
    if not entries:
        print(f"There are no bundles in {folder}.")
        return
    print_table(
        ("name", "started (UTC)", "topology", "measured", "cases", "outcome", "size"),
        [_row(entry) for entry in entries],
        right=("cases", "size"),
        styles={"finished": "green", "failed": "red", "damaged": "red", "interrupted": "yellow"},
    )
    for entry in entries:
        if entry.problem is not None:
            print(f"{entry.name}: {entry.problem}")


def replay(
    bundle: BundleArgument,
    topology: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:NAME]",
            show_default=False,
            help="The topology, where it is not where it was.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="Where to make the folder of the results. [default: beside BUNDLE]",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure what a bundle holds once more, into a new bundle, and compare the two.

    The same specification, seed and order of the cases; what is different about the network is
    said. The exit code is that of vnf bench: a number that changed is no failure.

    \b
    Examples:
      vnf replay results/20310504T120000Z-chain
      vnf replay chain-of-a-friend --topology topologies/chain.py --output results
    """
    from emulator.cli.outcome import say
    from emulator.experiment.bench import run_bench
    from emulator.experiment.bundle import load_bundle
    from emulator.experiment.compare import compare_bundles
    from emulator.experiment.compare_report import as_json, render
    from emulator.experiment.replay import prepare_replay, tell_differences

    before = load_bundle(bundle)
    again = prepare_replay(before, target=topology, output=output)
    tell_differences(say, again)
    with BenchProgress() as progress:
        result = run_bench(again.spec, progress)
    comparison = compare_bundles(before, load_bundle(result.folder))
    if json:
        print_json({"folder": str(result.folder), "comparison": as_json(comparison)})
    else:
        print_rich(render(comparison))
        print(f"Bundle   {result.folder}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _row(entry: BundleEntry) -> tuple[object, ...]:
    from emulator.experiment.words import size

    damaged = entry.problem is not None
    cases = f"{entry.finished}/{entry.cases}" if entry.finished < entry.cases else entry.cases
    return (
        entry.name,
        entry.started_at.strftime("%Y-%m-%d %H:%M"),
        entry.topology,
        None if damaged else ", ".join(entry.measurements),
        None if damaged else cases,
        entry.outcome,
        size(entry.size_bytes),
    )


def _as_json(entry: BundleEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "path": str(entry.path),
        "started_at": entry.started_at.isoformat(),
        "topology": entry.topology,
        "measurements": list(entry.measurements),
        "cases": entry.cases,
        "finished": entry.finished,
        "outcome": entry.outcome,
        "size_bytes": entry.size_bytes,
        "problem": entry.problem,
    }
