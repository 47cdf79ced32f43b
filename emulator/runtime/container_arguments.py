"""What Docker is asked for when a node's container is made; pure, but for where our files lie."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.paths import native_dir
from emulator.runtime.engine import LAB_LABEL, NODE_LABEL, OWNER_LABEL

if TYPE_CHECKING:
    from emulator.images import ImageInfo
    from emulator.plan.model import ContainerPlan, NodePlan

SOCKET, RESOLVER = "init.sock", "resolv.conf"
_OURS = Path("/.build-vnf")
_INIT, _BASH = _OURS / "init", _OURS / "bash"
_STATIC_BASH = Path("/bin/bash-static")
_CPU_PERIOD_US = 100_000
_LONGEST_HOSTNAME = 63


@dataclass(frozen=True)
class Place:
    """Where a lab keeps what its containers need.

    Attributes:
        lab: the lab's id.
        folder: the lab's own.
        hosts_file: shown to each container as ``/etc/hosts``.
        meeting_place: the folder in which DPDK programs of all nodes find each other.
        owner: what tells the process that owns the lab from others, for the label.
    """

    lab: str
    folder: Path
    hosts_file: Path
    meeting_place: Path
    owner: str

    def of_node(self, name: str) -> Path:
        """The folder that a container shares with the emulator, at the same path in both."""
        # By number: names of nodes may be longer than the path of a socket can be.
        return self.folder / f"c-{sha256(name.encode()).hexdigest()[:8]}"

    def log_of_node(self, name: str) -> Path:
        """The file of what a container's program prints; not where the container could write."""
        return self.of_node(name).with_suffix(".log")


def bash_of_container() -> str:
    """The shell for commands in a container: ours works in any image, else the image's own."""
    return str(_BASH) if _STATIC_BASH.is_file() else "bash"


def program_of(plan: ContainerPlan, image: ImageInfo) -> list[str]:
    """The command line of a container's program, by Docker's rules.

    An entrypoint given in place of the image's leaves out the image's command too.
    """
    if plan.entrypoint is not None:
        return [*plan.entrypoint, *(plan.command or ())]
    command = plan.command if plan.command is not None else image.command
    return [*image.entrypoint, *command]


def create_arguments(
    node: NodePlan,
    image: ImageInfo,
    place: Place,
    *,
    host: str | None = None,
    host_cgroup: str | None = None,
) -> dict[str, Any]:
    """The arguments of the docker SDK's ``containers.create`` for a node's container.

    Args:
        host: the id of the container whose network namespace an app container shares.
        host_cgroup: the path of that one's control group, below which the app's is to be.
    """
    from docker.types import Ulimit

    plan = node.container
    assert plan is not None
    folder = place.of_node(node.name)
    labels = {LAB_LABEL: place.lab, NODE_LABEL: node.name, OWNER_LABEL: place.owner}
    arguments: dict[str, Any] = {
        "image": image.id,
        "name": f"{place.lab}.{node.name:.200}",
        "entrypoint": [str(_INIT), str(folder / SOCKET)],
        "command": [],
        "auto_remove": True,
        "cap_drop": ["ALL"],
        "cap_add": list(plan.capabilities),
        "security_opt": ["no-new-privileges"],
        "read_only": plan.read_only,
        "labels": {**plan.labels, **labels},
        "volumes": [
            *_own_volumes(node, place),
            *(f"{v.source}:{v.target}:{'ro' if v.read_only else 'rw'}" for v in plan.volumes),
        ],
        "tmpfs": dict(plan.tmpfs),
        "environment": dict(plan.environment),
        "devices": list(plan.devices),
        "sysctls": dict(plan.sysctls),
        "ulimits": [
            Ulimit(name=name, soft=soft, hard=hard) for name, (soft, hard) in plan.ulimits.items()
        ],
        # Ours are made from here, and sooner.
        "healthcheck": {"test": ["NONE"]},
    }
    if host is None:
        # It gets an empty network namespace all the same. What Docker would do to that takes more
        # time than all the rest, for it runs its daemon's program once more in each of them.
        arguments["network_disabled"] = True
        arguments["network_mode"] = "none"
        arguments["hostname"] = plan.hostname or node.name[:_LONGEST_HOSTNAME]
    else:
        arguments["network_mode"] = f"container:{host}"
        if host_cgroup is not None:
            arguments["cgroup_parent"] = host_cgroup
    if plan.cpus is not None:
        # Not as nano CPUs: Docker would not let them be changed by an update.
        arguments["cpu_period"] = _CPU_PERIOD_US
        arguments["cpu_quota"] = max(1000, round(plan.cpus * _CPU_PERIOD_US))
    optional = {
        "user": plan.user,
        "working_dir": plan.workdir,
        "cpu_shares": plan.cpu_shares,
        "cpuset_cpus": ",".join(map(str, plan.cpuset)) or None,
        "mem_limit": plan.memory_bytes,
        "memswap_limit": plan.memory_swap_bytes,
        "shm_size": plan.shm_bytes,
        "pids_limit": plan.pids,
    }
    arguments.update((name, value) for name, value in optional.items() if value is not None)
    return arguments


def _own_volumes(node: NodePlan, place: Place) -> list[str]:
    folder = place.of_node(node.name)
    volumes = [
        f"{folder}:{folder}:rw",
        f"{native_dir() / 'vnf-container'}:{_INIT}:ro",
        f"{place.hosts_file}:/etc/hosts:ro",
        f"{place.of_node(node.host or node.name) / RESOLVER}:/etc/resolv.conf:rw",
    ]
    if _STATIC_BASH.is_file():
        volumes.append(f"{_STATIC_BASH}:{_BASH}:ro")
    if any(interface.memif is not None for interface in node.interfaces):
        volumes.append(f"{place.meeting_place}:{place.meeting_place}:rw")
    return volumes
