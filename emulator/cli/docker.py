"""``vnf docker``: a Docker daemon for the nodes of labs, private to build-vnf."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from emulator.cli.groups import command_group
from emulator.cli.options import JsonOption
from emulator.cli.outcome import say
from emulator.cli.output import StepProgress, print_json, print_table

if TYPE_CHECKING:
    from emulator.runtime.daemon import DaemonStatus

docker_app = command_group("Run a Docker daemon for labs, and say which one they use.")


@docker_app.command(short_help="Start the private daemon.")
def start(json: JsonOption = False) -> None:
    """Start a private Docker daemon, which labs then use; it outlives the terminal.

    It shares nothing with a daemon of the machine and leaves the machine's network alone. One that
    runs is left as it is, one that died is started again.

    \b
    Examples:
      vnf docker start
      BUILD_VNF_DOCKER_DIR=/srv/docker vnf docker start
    """
    from emulator.runtime.daemon import daemon_status, start_daemon

    before = daemon_status().private
    with StepProgress() as progress:
        daemon = start_daemon(progress)
    given = os.environ.get("DOCKER_HOST")
    if json:
        print_json({"url": daemon.url, "started": before != "runs"})
    else:
        done = {"runs": "runs already", "died": "had died, and is started again"}
        print(f"the private Docker daemon {done.get(before, 'is started')}: {daemon.url}")
    if given and given != daemon.url:
        say(f"labs use another one as long as DOCKER_HOST={given} is set")


@docker_app.command(short_help="End the private daemon.")
def stop(
    force: Annotated[
        bool, typer.Option("--force", help="End the containers that run in it, too.")
    ] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Remove its images as well.")] = False,
    json: JsonOption = False,
) -> None:
    """End the private Docker daemon; its images are kept for the next start.

    While labs use it, it goes on and they are named; the exit code is 1 then.

    \b
    Examples:
      vnf docker stop
      vnf docker stop --force --purge
    """
    from emulator.runtime.daemon import stop_daemon

    with StepProgress() as progress:
        ended = stop_daemon(force=force, purge=purge, progress=progress)
    if json:
        print_json({"stopped": ended, "purged": purge})
    else:
        print(f"the private Docker daemon {'is stopped' if ended else 'does not run'}")
        if purge:
            print("its images are removed")


@docker_app.command(short_help="Say which daemon labs use.")
def status(json: JsonOption = False) -> None:
    """Say which Docker daemon labs use, what it is like, and whether the private one runs.

    The exit code is 3 when there is none that they could use.

    \b
    Examples:
      vnf docker status
      vnf docker status --json
    """
    from emulator.runtime.daemon import daemon_status

    found = daemon_status()
    if json:
        print_json(found.to_dict())
    else:
        print_table(("what", "is"), _rows(found))
    if found.problem is not None:
        raise found.problem


def _rows(found: DaemonStatus) -> list[tuple[str, object]]:
    private: list[tuple[str, object]] = [
        ("private daemon", found.private),
        ("its images", found.private_data),
        ("its log", found.private_log),
    ]
    if found.daemon is None:
        return [("labs use", None), *private]
    return [
        ("labs use", found.daemon.url),
        ("which is", _SOURCES[found.daemon.source]),
        ("version", f"{found.daemon.version}, API {found.api_version}"),
        ("storage driver", found.storage_driver),
        ("control groups", f"version {found.cgroup_version}, made by {found.cgroup_driver}"),
        ("confined by", ", ".join(found.security) or None),
        ("nodes that run", found.containers),
        ("images of VNFs", found.images),
        *private,
    ]


_SOURCES = {
    "$DOCKER_HOST": "the one that $DOCKER_HOST names",
    "private": "the private one of vnf docker start",
    "machine": "the machine's own",
}
