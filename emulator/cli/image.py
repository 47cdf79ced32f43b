"""``vnf image``: the Docker images that nodes are made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator.cli.groups import command_group
from emulator.cli.options import JsonOption
from emulator.cli.outcome import say
from emulator.cli.output import StepProgress, print_json, print_table
from emulator.cli.tried import explain
from emulator.cli.vnfs import NamesArgument, PlanesOption, find_vnfs
from emulator.errors import BuildVnfError, MachineError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient

    from emulator.catalog import Manifest
    from emulator.images import ImageInfo

image_app = command_group("Make, get and list the images that nodes in containers run.")

_COLUMNS = ("image", "data plane", "size", "version", "revision", "created", "state")


@image_app.command(short_help="Make the images of VNFs.")
def build(
    names: NamesArgument = None,
    planes: PlanesOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make also those anew that are up to date.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make an image for each data plane of VNFs; a lab does so by itself when it needs one.

    An image has one program in it and nothing else, so no registry is asked. A VNF that has a
    Dockerfile is built by that. The exit code is 1 when a VNF has a mistake, and 3 when the machine
    lacks what an image takes.

    \b
    Examples:
      vnf image build
      vnf image build firewall --dataplane dpdk
    """
    from emulator.images import build_image, ensure_image
    from emulator.images.content import check_plane

    wanted: list[tuple[Manifest, str]] = []
    for manifest in find_vnfs(names):
        for plane in planes or (each for each in manifest.dataplanes if each != "python"):
            check_plane(manifest, plane)
            wanted.append((manifest, plane))
    made: list[ImageInfo] = []
    failed: list[BuildVnfError] = []
    with _engine() as client, StepProgress() as progress:
        for number, (manifest, plane) in enumerate(wanted):
            progress("building images", number, len(wanted))
            make = build_image if rebuild else ensure_image
            try:
                made.append(make(client, manifest, plane, progress=progress))
            except (UsageError, MachineError) as error:
                failed.append(error)
        progress("building images", len(wanted), len(wanted))
    if json:
        print_json([image.to_json() for image in made])
    elif made:
        print_table(_COLUMNS[:-1], [_row(image) for image in made], right=("size",))
    mistakes = [error for error in failed if isinstance(error, UsageError)]
    explain(mistakes)
    if mistakes:
        raise typer.Exit(1)
    if failed:
        explain(failed[1:])
        raise failed[0]


@image_app.command("list", short_help="List the images of VNFs.")
def list_(json: JsonOption = False) -> None:
    """List the images of VNFs that the Docker engine has, and whether they are up to date.

    One is stale when its VNF, the run loop, the compiler or a library has changed since; a lab
    makes it anew when it needs it.

    \b
    Examples:
      vnf image list
      vnf image list --json
    """
    from emulator.images.store import list_images

    with _engine() as client:
        images = list_images(client)
    states = [_state(image) for image in images]
    if json:
        rows = zip(images, states, strict=True)
        print_json([{**image.to_json(), "state": state} for image, state in rows])
        return
    if not images:
        say("there are no images of VNFs", hint="vnf image build makes them, and so does a lab")
        return
    print_table(
        _COLUMNS,
        [(*_row(image), state) for image, state in zip(images, states, strict=True)],
        right=("size",),
        styles={"current": "green", "stale": "yellow"},
    )


@image_app.command(short_help="Make a small Debian image, without a registry.")
def base(
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            metavar="SUITE",
            show_default=False,
            help="The release of Debian or Ubuntu. [default: the machine's own, or bookworm]",
        ),
    ] = None,
    packages: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="PACKAGE",
            show_default=False,
            help="A Debian package that it is to have besides; repeat for more.",
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it anew, with the newest packages.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make build-vnf/base, which hosts in containers run unless they name an image.

    It is a small Debian with ip, ping, iperf3 and tcpdump, made from the mirror that this machine
    gets its own packages from: no registry is asked. This takes root and about a minute. One that
    is there and made of the same is kept.

    \b
    Examples:
      vnf image base
      vnf image base --with python3 --with curl
    """
    from emulator.images.base import make_base

    with _engine() as client, StepProgress() as progress:
        made = make_base(
            client, suite=suite, packages=packages or (), rebuild=rebuild, progress=progress
        )
    _tell(made, json=json)


@image_app.command(short_help="Get an image from a registry.")
def pull(
    name: Annotated[str, typer.Argument(metavar="IMAGE", help="Such as debian:12-slim.")],
    json: JsonOption = False,
) -> None:
    """Get an image from a registry; a lab does so by itself with those that are not there.

    The exit code is 2 when there is no such image, and 3 when no registry answers.

    \b
    Examples:
      vnf image pull debian:12-slim
    """
    from emulator.images import pull_image

    with _engine() as client, StepProgress() as progress:
        pulled = pull_image(client, name, progress=progress, where="pull")
    _tell(pulled, json=json)


@image_app.command(short_help="Remove images of VNFs.")
def rm(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE]...",
            show_default=False,
            help="Images of VNFs, such as build-vnf/firewall:dpdk; see vnf image list.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All images of VNFs.")] = False,
) -> None:
    """Remove images of VNFs; those of anything else are left alone, and so is build-vnf/base.

    The exit code is 2 when there is no such image or a container uses it.

    \b
    Examples:
      vnf image rm build-vnf/firewall:dpdk
      vnf image rm --all
    """
    from emulator.images.store import list_images, remove_image

    if bool(names) == every:
        raise UsageError("name images, or give --all", where="vnf image rm")
    with _engine() as client:
        known = list_images(client)
        for name in names or ():
            if all(name not in (image.name, image.id) for image in known):
                raise UsageError(
                    "there is no such image of a VNF", where=name, hint="vnf image list names all"
                )
        for image in known:
            if every or image.name in (names or ()) or image.id in (names or ()):
                remove_image(client, image.name or image.id)


@contextmanager
def _engine() -> Iterator[DockerClient]:
    from emulator.runtime.engine import connect

    client = connect()
    try:
        yield client
    finally:
        client.close()


def _state(image: ImageInfo) -> str:
    """``current`` or ``stale``, or why that cannot be said."""
    from emulator.images.store import is_current

    if not image.name:
        return "replaced"
    try:
        manifest = find_vnfs([image.vnf or ""])[0]
    except UsageError:
        return "VNF not found"
    try:
        return "current" if is_current(manifest, image) else "stale"
    except BuildVnfError as error:
        return error.message


def _row(image: ImageInfo) -> tuple[Any, ...]:
    revision = image.revision
    if revision is not None:
        number, plus, rest = revision.partition("+")
        revision = f"{number[:8]}{plus}{rest}"
    return (
        image.name or image.id.removeprefix("sha256:")[:12],
        image.plane,
        _size(image.size_bytes),
        image.version,
        revision,
        image.created[:19].replace("T", " "),
    )


def _tell(image: ImageInfo, *, json: bool) -> None:
    if json:
        print_json(image.to_json())
    else:
        typer.echo(f"{image.name}: {_size(image.size_bytes)}")


def _size(size_bytes: int) -> str:
    if size_bytes >= 1e5:
        return f"{size_bytes / 1e6:.1f} MB"
    return f"{size_bytes / 1e3:.1f} kB" if size_bytes >= 1e3 else f"{size_bytes} B"
