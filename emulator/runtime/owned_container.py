"""A container that we have started: its first process is ours, whatever its image holds.

What the image itself would run is started when the node's links are there. See
``container_processes`` for how.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self

from emulator.errors import LabError, MachineError, UsageError
from emulator.kernel.cgroup import path_of
from emulator.kernel.netns import Netns
from emulator.runtime.container import Container
from emulator.runtime.container_arguments import (
    RESOLVER,
    SOCKET,
    Place,
    bash_of_container,
    create_arguments,
    program_of,
)
from emulator.runtime.container_processes import ContainerPopen, Lifeline, wait_for_socket
from emulator.runtime.ending import end_process, last_words
from emulator.runtime.engine import told
from emulator.runtime.limits import apply_limits
from emulator.runtime.settling import wait_settled

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container as Handle

    from emulator.images import ImageInfo
    from emulator.plan.model import ContainerPlan, HealthPlan, NodePlan

_START_DEADLINE_S = 30.0
_REMOVE_DEADLINE_S = 30.0
_REMOVE_LOOK_S = 1.0
_END_GRACE_S = 3.0
_HEALTH_TIMEOUT_S = 30.0
_HEALTH_POLL_S = 0.25
_AT_ONCE_S = 0.1
_CONFLICT = 409
_RESOLVER_OF_MACHINE = Path("/etc/resolv.conf")


class OwnedContainer(Container):
    """A container that lives and dies with this process.

    Attributes:
        plan: the node's.
        folder: shared with it, at the same path in both.
        entrypoint: what its image says is the program.
        netns: its network namespace.
    """

    def __init__(
        self,
        handle: Handle,
        plan: NodePlan,
        image: ImageInfo,
        place: Place,
        pid: int,
        lifeline: Lifeline,
    ) -> None:
        folder = place.of_node(plan.name)
        super().__init__(
            plan.name,
            {
                "id": str(handle.id),
                "pid": pid,
                "image": image.name,
                "image_id": image.id,
                "image_digest": image.digest,
                "bash": bash_of_container(),
                "socket": str(folder / SOCKET),
                "log": str(place.log_of_node(plan.name)),
            },
        )
        self.plan = plan
        self.folder = folder
        self.entrypoint = tuple(image.entrypoint)
        self.netns = Netns.from_path(f"/proc/{pid}/ns/net")
        self._handle = handle
        self._image = image
        self._lifeline = lifeline
        self._program: subprocess.Popen[Any] | None = None
        self._begun_s = 0.0
        self._is_over = False

    @classmethod
    def start(
        cls,
        client: DockerClient,
        plan: NodePlan,
        image: ImageInfo,
        place: Place,
        *,
        host: Container | None = None,
        nested: bool = False,
    ) -> Self:
        """Create and start a node's container; nothing of the image runs in it yet.

        Args:
            host: whose network namespace an app container shares.
            nested: whether its control group is to lie below the host's, so that the host's limits
                are for both of them together.

        Raises:
            UsageError: Docker cannot give it what its plan asks for.
            LabError: it has ended at once, or Docker refuses it.
            MachineError: the engine does not answer, or its containers are not on this machine.
        """
        _check_volumes(plan)
        folder = place.of_node(plan.name)
        with ExitStack() as undo:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            place.log_of_node(plan.name).unlink(missing_ok=True)
            # Its first process makes a socket here, as whatever user the image asks for. The lab's
            # own folder lies in one that is root's alone.
            folder.chmod(0o777)
            if host is None:
                (folder / RESOLVER).write_text(_name_servers(plan))
                (folder / RESOLVER).chmod(0o644)
            arguments = create_arguments(
                plan,
                image,
                place,
                host=None if host is None else host.id,
                host_cgroup=path_of(host.pid) if host is not None and nested else None,
            )
            with told(plan.name):
                handle = _create(client, arguments, plan.name)
                undo.callback(discard, handle)
                handle.start()
                handle.reload()
            pid = int(handle.attrs["State"]["Pid"])
            if not pid:
                raise LabError(f"its container has ended at once{_said(handle)}", where=plan.name)
            path = folder / SOCKET
            alive = Path(f"/proc/{pid}").exists
            try:
                lifeline = wait_for_socket(path, alive, _START_DEADLINE_S)
            except LabError as error:
                raise LabError(f"{error.message}{_said(handle)}", where=plan.name) from error
            undo.callback(lifeline.close)
            if lifeline.pid != pid:
                raise MachineError(
                    "the Docker daemon numbers processes differently: it is in a container, or we "
                    "are",
                    where=plan.name,
                    hint="vnf docker start runs one where we are",
                )
            try:
                container = cls(handle, plan, image, place, pid, lifeline)
            except FileNotFoundError as error:
                raise LabError(
                    f"the container has ended{_said(handle)}", where=plan.name
                ) from error
            undo.pop_all()
            return container

    @property
    def handle(self) -> Handle:
        """The docker SDK's object of it, whose client lasts as long as the lab."""
        return self._handle

    @property
    def alive(self) -> bool:
        return not self._is_over and self._lifeline.alive

    @property
    def program_status(self) -> int | None:
        return None if self._program is None else self._program.poll()

    def run_program(self) -> None:
        """Start what the image, or the plan in its place, says that a container runs, if anything.

        Raises:
            LabError: it cannot be started.
        """
        command = program_of(self._options, self._image)
        if not command:
            return
        with self.log.open("ab") as output:
            try:
                self._program = self.processes.popen_logged(
                    self.netns, command, output.fileno(), stdin=subprocess.PIPE
                )
            except OSError as error:
                what = error.filename or command[0]
                raise LabError(
                    f"its program cannot be started: {what}: {error.strerror}",
                    where=self.plan.name,
                    hint=f"it is to run: {' '.join(command)}",
                ) from error
        self._described["program"] = self._program.pid
        self._begun_s = time.monotonic()

    def wait_healthy(self, interrupted: Event) -> None:
        """Return when the health check that the plan or the image names succeeds, if any does.

        It is made from here, at once and then every quarter of a second: Docker would make the
        first one only after an interval, 30 s by default.

        Args:
            interrupted: ends the wait when it is set.

        Raises:
            LabError: it does not succeed in time, or the program has ended.
        """
        health = self._options.health or _health_of(self._image)
        if health is None or not health.command or health.command[0] == "NONE":
            if self._program is not None:
                # One that fails at once is told at once.
                wait_settled(self._program, self._begun_s + _AT_ONCE_S)
            return
        within_s = self._options.healthy_within_s
        deadline = time.monotonic() + within_s
        answers: list[str] = []
        while (said := self._try_health(health, deadline, interrupted)) is not None:
            if time.monotonic() < deadline or not answers:
                answers = [said]
            failure = self.failure()
            if failure is not None:
                raise LabError(failure, where=self.plan.name)
            if time.monotonic() > deadline:
                answer = f"; its health check says: {answers[0]}" if answers[0] else ""
                raise LabError(
                    f"its program is not healthy within {within_s:g} s"
                    f"{answer}{last_words(self.log)}",
                    where=self.plan.name,
                    hint="healthy_within= gives it more time",
                )
            if interrupted.wait(_HEALTH_POLL_S):
                raise LabError("its start was interrupted", where=self.plan.name)

    def update(self, arguments: Mapping[str, Any], plan: NodePlan) -> None:
        """Change its limits while it runs.

        Args:
            arguments: of :func:`emulator.runtime.limits.apply_limits`.
            plan: the node's from now on.

        Raises:
            UsageError: Docker does not have them so.
        """
        with told(self.plan.name):
            apply_limits(self._handle, arguments)
        self.plan = plan

    def close(self) -> None:
        """End it and wait until Docker has forgotten it; closing twice is allowed."""
        if self._is_over:
            return
        self._is_over = True
        if self._program is not None:
            if self._program.stdin is not None:
                with suppress(BrokenPipeError):
                    self._program.stdin.close()
            with suppress(LabError):
                end_process(self._program)
        self._lifeline.end()
        ended = self._lifeline.wait(_END_GRACE_S)
        self._lifeline.close()
        self.netns.close()
        discard(self._handle, ended=ended)
        shutil.rmtree(self.folder, ignore_errors=True)

    def let_go(self) -> None:
        self._is_over = True
        self._lifeline.close()
        self.netns.close()
        if isinstance(self._program, ContainerPopen):
            self._program.let_go()

    @property
    def _options(self) -> ContainerPlan:
        assert self.plan.container is not None
        return self.plan.container

    def _try_health(self, health: HealthPlan, deadline: float, interrupted: Event) -> str | None:
        """None when it is well, otherwise what the check said."""
        kind, *words = health.command
        command = words if kind == "CMD" else ["/bin/sh", "-c", *words]
        until = min(deadline, time.monotonic() + (health.timeout_s or _HEALTH_TIMEOUT_S))
        # Not a pipe, which whatever the check leaves running would keep open.
        with tempfile.TemporaryFile() as output:
            try:
                check = self.processes.popen(
                    self.netns,
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                return f"{error.filename}: {error.strerror}"
            while check.poll() is None and time.monotonic() < until and not interrupted.is_set():
                with suppress(subprocess.TimeoutExpired):
                    check.wait(_HEALTH_POLL_S)
            status = check.poll()
            if status is None:
                with suppress(ProcessLookupError):
                    os.killpg(check.pid, signal.SIGKILL)
                check.wait()
                return "no answer in time"
            output.seek(0)
            return None if status == 0 else output.read().decode(errors="replace").strip()


def _create(client: DockerClient, arguments: Mapping[str, Any], where: str) -> Handle:
    from docker.errors import APIError

    try:
        return client.containers.create(**arguments)
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise
        name = arguments["name"]
        raise UsageError(
            f"a container named {name} is there already",
            where=where,
            hint=f"docker rm -f {name} removes it; or give the lab another name",
        ) from error


def _check_volumes(plan: NodePlan) -> None:
    """Docker would make an empty folder of the machine's for a source that is not there."""
    assert plan.container is not None
    for volume in plan.container.volumes:
        if volume.source.startswith("/") and not Path(volume.source).exists():
            raise UsageError(
                f"there is no {volume.source} on this machine",
                where=plan.name,
                hint="volumes= names it: make it first",
            )


def _name_servers(plan: NodePlan) -> str:
    """Its ``/etc/resolv.conf``: what the plan says, else the machine's, as any other node has."""
    assert plan.container is not None
    if plan.container.dns:
        return "".join(f"nameserver {address}\n" for address in plan.container.dns)
    try:
        return _RESOLVER_OF_MACHINE.read_text()
    except FileNotFoundError:
        return ""


def _health_of(image: ImageInfo) -> HealthPlan | None:
    from emulator.plan.model import HealthPlan

    check = image.healthcheck
    if check is None or not check.get("Test"):
        return None
    timeout_ns = check.get("Timeout") or 0
    return HealthPlan(command=check["Test"], timeout_s=timeout_ns / 1e9 or None)


def discard(handle: Handle, *, ended: bool = False) -> None:
    """Have Docker remove a container, and wait for it; one that it has forgotten is no mistake.

    Args:
        ended: it has ended, so that Docker is removing it on its own account.
    """
    from docker.errors import APIError, DockerException
    from requests.exceptions import ConnectionError, ReadTimeout, RequestException

    deadline = time.monotonic() + _REMOVE_DEADLINE_S
    # An engine that has died cannot be told; it removes the container when it comes back.
    with suppress(DockerException, RequestException):
        while time.monotonic() < deadline:
            if not ended:
                with suppress(APIError):
                    handle.remove(force=True)
            # Whoever begins to wait just as a container goes may wait for ever, so we ask again:
            # one that has gone is not found, and one that Docker could not remove is to be.
            ended = False
            with suppress(ConnectionError, ReadTimeout):
                handle.wait(condition="removed", timeout=_REMOVE_LOOK_S)
                return


def _said(handle: Handle) -> str:
    """What Docker knows of a container that has ended, and the last it printed."""
    from docker.errors import DockerException

    said = ""
    with suppress(DockerException):
        handle.reload()
        state = handle.attrs["State"]
        said = f": {state['Error']}" if state["Error"] else f" with exit code {state['ExitCode']}"
        lines = handle.logs(tail=10).decode(errors="replace").splitlines()
        if lines:
            said += "; its last lines:" + "".join(f"\n    {line}" for line in lines)
    return said
