"""``vnf new``, ``build``, ``test`` and ``show``: writing a VNF, and getting it right."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.amounts import parse_duration
from emulator.cli.options import JsonOption
from emulator.cli.outcome import shown
from emulator.cli.output import print_json, print_table
from emulator.cli.tried import (
    built_json,
    explain,
    print_cases,
    print_fuzzed,
    print_row,
    tested_json,
)
from emulator.errors import UsageError

if TYPE_CHECKING:
    from emulator.catalog import Manifest
    from emulator.trying.building import Built
    from emulator.trying.fuzzing import Fuzzed

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        show_default=False,
        help="VNFs: names, or paths of their folders. [default: those in ./vnfs, or else all]",
    ),
]
PlanesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataplane",
        metavar="PLANE",
        show_default=False,
        help="Only this data plane; repeat for more. [default: all that the manifest names]",
    ),
]


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the VNF is called.")],
    language: Annotated[
        str, typer.Option("--language", metavar="LANGUAGE", help="c or python.")
    ] = "c",
    folder: Annotated[
        Path, typer.Option("--folder", metavar="FOLDER", help="Where the VNF's folder goes.")
    ] = Path("vnfs"),
) -> None:
    """Write the folder of a new VNF: a manifest, a handler with comments, cases and a README.

    \b
    Examples:
      vnf new myfw
      vnf new myfw --language python --folder /srv/vnfs
    """
    from emulator.names import choice_hint
    from emulator.trying.template import LANGUAGES, write_vnf

    chosen = next((each for each in LANGUAGES if each == language), None)
    if chosen is None:
        raise UsageError(
            f"VNFs are not written in {language}",
            where="--language",
            hint=choice_hint(language, LANGUAGES),
        )
    target = write_vnf(name, language=chosen, folder=folder)
    sys.stdout.write(f"wrote {target}: {', '.join(sorted(p.name for p in target.iterdir()))}\n")

    from emulator.catalog import read_manifest
    from emulator.paths import share_dir

    ours = share_dir() / "vnfs" / name
    if ours.is_dir() and ours != target.resolve():
        sys.stdout.write(f"It stands in for {ours} wherever the folder {folder} is searched.\n")

    # Other commands find it by its name in ./vnfs, and anywhere by its path.
    called = name if folder == Path("vnfs") else str(target)
    sys.stdout.write(
        f"\nNext:\n  vnf build {called}\n  vnf test {called}\nIn a topology beside the folder "
        f"{folder}:\n  {_add_vnf(read_manifest(target / 'vnf.toml'))}\n"
    )


def build(
    names: NamesArgument = None,
    planes: PlanesOption = None,
    json: JsonOption = False,
) -> None:
    """Compile VNFs for their data planes; as root, have the kernel judge the XDP programs too.

    The exit code is 1 when a VNF does not compile or is refused, and 3 when the machine lacks what
    a data plane takes that was asked for.

    \b
    Examples:
      vnf build myfw
      vnf build firewall --dataplane xdp --dataplane dpdk
    """
    from emulator.trying.building import build_vnf

    results: list[tuple[Manifest, Built]] = []
    for manifest in find_vnfs(names):
        for built in build_vnf(manifest, planes):
            results.append((manifest, built))
            if not json:
                print_row(manifest.name, built.plane, built.result, built.detail)
    if json:
        print_json([built_json(manifest, built) for manifest, built in results])
    explain(built.error for _, built in results if built.result == "failed")
    if any(built.result == "failed" for _, built in results):
        raise typer.Exit(1)
    if planes:
        for _, built in results:
            if built.error is not None:
                raise built.error


def run_tests(
    names: NamesArgument = None,
    planes: PlanesOption = None,
    sanitize: Annotated[
        bool,
        typer.Option(
            "--sanitize/--no-sanitize",
            help="In user space, stop at the first access out of bounds.",
        ),
    ] = True,
    fuzz: Annotated[
        str | None,
        typer.Option(
            "--fuzz",
            metavar="TIME",
            show_default=False,
            help="Throw frames at the handler for so long as well, such as 10s.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run a VNF's cases, frames in and frames out, without a network on each of its data planes.

    Data planes that run the same compiled code share a column. XDP takes root. The exit code is 1
    when a case fails.

    \b
    Examples:
      vnf test myfw
      vnf test firewall --dataplane xdp
      vnf test myfw --fuzz 10s
    """
    fuzz_s = None if fuzz is None else parse_duration(fuzz, where="--fuzz")

    from emulator.trying.cases import load_cases
    from emulator.trying.suite import chosen_planes, run_cases

    report: dict[str, Any] = {}
    failed = False
    for manifest in find_vnfs(names):
        cases, columns = load_cases(manifest), chosen_planes(manifest, planes)
        verdicts = list(run_cases(manifest, cases, columns, sanitized=sanitize))
        if not json:
            print_cases(manifest, columns, verdicts)
        fuzzed = {} if fuzz_s is None else _fuzz(manifest, columns, fuzz_s, quiet=json)
        report[manifest.name] = tested_json(columns, verdicts, fuzzed)
        failed = failed or any(each.result == "failed" for each in verdicts)
        failed = failed or any(each.breakage for each in fuzzed.values())
    if json:
        print_json(report)
    if failed:
        raise typer.Exit(1)


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A VNF, or the path of its folder.")],
    json: JsonOption = False,
) -> None:
    """Show a VNF: what it does, where it runs, what it takes and counts, and how to add it.

    \b
    Examples:
      vnf show forward
      vnf show vnfs/myfw --json
    """
    from emulator.trying.portrait import portrait_of

    manifest = find_vnfs([name])[0]
    portrait = portrait_of(manifest)
    line = _add_vnf(manifest)
    if json:
        content = manifest.model_dump(mode="json", exclude={"folder"})
        print_json({**content, **portrait.to_json(), "folder": str(manifest.folder), "add": line})
        return
    sys.stdout.write(f"{manifest.name}: {manifest.summary}\n")
    if portrait.about:
        sys.stdout.write(f"\n{portrait.about}\n")
    sys.stdout.write(f"\nfolder: {shown(manifest.folder)}\nports:  {manifest.ports}\n\n")
    print_table(
        ("data plane", "source", "on this machine"),
        [(each.name, each.source, each.state) for each in portrait.planes],
        styles={"works": "green"},
    )
    if manifest.parameters:
        print_table(
            ("parameter", "takes", "default", "meaning"),
            [
                (key, parameter.describe(), parameter.default, parameter.summary)
                for key, parameter in manifest.parameters.items()
            ],
        )
    if manifest.counters:
        print_table(("counter", "meaning"), manifest.counters.items())
    if portrait.tables:
        print_table(
            ("table", "kind", "content", "entries"),
            [(each.name, each.kind, each.content, each.entries) for each in portrait.tables],
        )
    sys.stdout.write(f"In a topology:\n  {line}\n")


def find_vnfs(names: list[str] | None) -> list[Manifest]:
    """The VNFs that are named; those in ./vnfs, or else all there are, when none is.

    A name is the path of a VNF's folder, that of a folder in ./vnfs, or one of the catalogue.

    Raises:
        UsageError: there is no such VNF, or its manifest has mistakes.
    """
    from emulator.catalog import Catalog, read_manifest

    here = Path("vnfs")
    if not names:
        own = [read_manifest(path) for path in sorted(here.glob("*/vnf.toml"))]
        if own:
            return own
        catalog = Catalog.load()
        return [catalog[name] for name in catalog]
    found = []
    for name in names:
        folder = Path(name)
        if (folder / "vnf.toml").is_file():
            found.append(read_manifest(folder / "vnf.toml"))
        elif os.sep in name:
            raise UsageError("there is no VNF: it has no file vnf.toml", where=name)
        else:
            found.append(Catalog.load([here])[name])
    return found


def _add_vnf(manifest: Manifest) -> str:
    """An example of the call that puts a VNF into a topology."""
    from emulator.catalog import AVAILABLE

    plane = next((name for name in manifest.dataplanes if name in AVAILABLE), None)
    words = [f'"{manifest.name}1"', f'"{manifest.name}"']
    if plane is not None:
        words.append(f'dataplane="{plane}"')
    for name, parameter in manifest.parameters.items():
        if parameter.default is None:
            words.append(f"{name}=…")
        elif len(words) == 3 and parameter.default != "":
            value = parameter.default
            words.append(f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}")
    return f"self.addVNF({', '.join(words)})"


def _fuzz(
    manifest: Manifest, columns: Mapping[str, object], seconds: float, *, quiet: bool
) -> dict[str, Fuzzed]:
    """What came of fuzzing the handlers in C, by data plane."""
    from emulator.trying.dut import USER_SPACE
    from emulator.trying.fuzzing import fuzz

    found = {}
    for plane in columns:
        if plane in USER_SPACE:
            found[plane] = fuzz(manifest, plane, seconds=seconds)
            if not quiet:
                print_fuzzed(manifest, found[plane])
    return found
