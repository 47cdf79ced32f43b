"""The options of a node in a container, and what they make of its plan."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from emulator.errors import Problem
from emulator.multigraph import NodeEntry
from emulator.names import suggestion
from emulator.plan.capabilities import HOST_DEFAULT, changed, vnf_capabilities
from emulator.plan.container_places import is_path, on_machine
from emulator.plan.container_spellings import NAMES, asks_for_nothing, read_values
from emulator.plan.image_names import BASE_IMAGE, image_name
from emulator.plan.model import ContainerPlan, VnfPlan

_PULLS = ("missing", "always", "never")
# fmt: off
_OF_THE_PROGRAM = (
    "entrypoint", "command", "user", "workdir", "healthcheck", "healthy_within",
)
_OF_THE_NAMESPACE = ("hostname", "dns")
# fmt: on
_LABEL_PREFIX = "build-vnf."

_SYSCTLS = re.compile(
    r"net\..+|fs\.mqueue\..+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni"
    r"|shm_rmid_forced)"
)
# fmt: off
_MACHINE_SYSCTLS = frozenset((
    "net.core.rmem_max", "net.core.wmem_max", "net.core.rmem_default", "net.core.wmem_default",
    "net.core.netdev_max_backlog", "net.core.netdev_budget", "net.core.netdev_budget_usecs",
    "net.core.dev_weight", "net.core.bpf_jit_enable", "net.core.bpf_jit_harden",
    "net.ipv4.tcp_mem", "net.ipv4.udp_mem",
))
# fmt: on
_OF_AN_INTERFACE = re.compile(r"net\.ipv[46]\.(?:conf|neigh)\.([^.]+)\.")


@dataclass(frozen=True)
class ContainerWish:
    """What a node's options ask of its container, before its ports are known."""

    plan: ContainerPlan
    """All of it but the capabilities."""
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def finished(self, vnf: VnfPlan | None, *, memory_only: bool) -> ContainerPlan:
        """The plan with the capabilities that the node has.

        Args:
            vnf: what it runs, if it is a VNF.
            memory_only: whether all its ports are memory that it shares with other VNFs.
        """
        base = HOST_DEFAULT
        if vnf is not None:
            base = vnf_capabilities(vnf, memory_only=memory_only)
        return self.plan.model_copy(
            update={"capabilities": changed(base, self.added, self.dropped)}
        )


def pop_container_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a container out of those of a node."""
    return {name: options.pop(name) for name in list(options) if name in NAMES}


def refuse_container_options(
    where: str, kind: str, given: Mapping[str, Any], problems: list[Problem]
) -> None:
    """Tell of options that only a node in a container has; those that ask for nothing are none."""
    meant = [
        f"{name}={value!r}" for name, value in given.items() if not asks_for_nothing(name, value)
    ]
    if not meant:
        return
    verb = "is" if len(meant) == 1 else "are"
    hint = 'add runtime="docker"'
    if kind == "switch":
        hint = 'hosts, routers and VNFs can have runtime="docker"'
    problems.append(Problem(where, f"{', '.join(meant)} {verb} for a node in a container", hint))


def read_container(
    where: str,
    entry: NodeEntry,
    given: Mapping[str, Any],
    vnf: VnfPlan | None,
    problems: list[Problem],
) -> ContainerWish | None:
    """What a node's options ask of its container; what they cannot have is added to ``problems``.

    Args:
        where: the place that the problems name.
        entry: the node.
        given: its options that are about the container.
        vnf: what it runs, if it is a VNF; None too if that cannot be known.
        problems: a list that grows.
    """
    values = read_values(where, given, problems)
    _refuse_for_kind(where, entry, values, problems)
    known = len(problems)
    fields: dict[str, Any] = {
        name: values[name]
        for name in (
            "build_arguments", "environment", "user", "tmpfs", "ports", "cpus", "cpu_shares",
            "cpuset", "pids", "devices", "ulimits", "dns", "hostname", "read_only", "entrypoint",
        )
        if name in values
    }  # fmt: skip
    fields["command"] = values.get("command") or None
    fields["read_only"] = values.get("read_only", entry.kind == "vnf")
    _read_image(where, entry, values, vnf, fields, problems)
    _read_memory(where, values, fields, problems)
    _read_files(where, entry, values, fields, problems)
    _read_sysctls(where, entry, values, fields, problems)
    _read_labels(where, values, fields, problems)
    if "healthcheck" in values:
        fields["health"] = values["healthcheck"]
    if "healthy_within" in values:
        fields["healthy_within_s"] = values["healthy_within"]
    added, dropped = values.get("cap_add", ()), values.get("cap_drop", ())
    both = sorted(set(added) & set(dropped))
    if both:
        text = f"cap_add and cap_drop both name {', '.join(both)}"
        problems.append(Problem(where, text, "keep one of them"))
    if len(problems) > known:
        return None
    return ContainerWish(ContainerPlan(**fields), added, dropped)


def _refuse_for_kind(
    where: str, entry: NodeEntry, values: dict[str, Any], problems: list[Problem]
) -> None:
    """Some options mean nothing to a VNF, which runs its own program, and some to an app."""
    if entry.kind == "vnf":
        for name in _OF_THE_PROGRAM:
            if values.pop(name, None) is not None:
                text = f"{name} is for a host in a container: a VNF runs its own program"
                problems.append(Problem(where, text, "leave it out"))
    elif entry.kind == "app":
        host = entry.options.get("host")
        for name in _OF_THE_NAMESPACE:
            if values.pop(name, None) is not None:
                text = f"{name} is for {host}, whose network namespace the app container lives in"
                problems.append(Problem(where, text, f"give it to {host}"))


def _read_image(
    where: str,
    entry: NodeEntry,
    values: Mapping[str, Any],
    vnf: VnfPlan | None,
    fields: dict[str, Any],
    problems: list[Problem],
) -> None:
    image, build = values.get("image"), values.get("build")
    if build is not None:
        fields["build"] = on_machine(build, entry.folder)
        image = image or _built_name(fields["build"], values.get("build_arguments", {}))
    elif "build_arguments" in values:
        text = "build_arguments without build change nothing"
        problems.append(Problem(where, text, 'write build="the Dockerfile\'s folder"'))
    if image is None and vnf is not None and vnf.dataplane == "python":
        text = "there is no image for the data plane python"
        problems.append(Problem(where, text, 'leave runtime="docker" out, or give an image'))
    if image is None:
        image = image_name(vnf.vnf, vnf.dataplane) if vnf is not None else BASE_IMAGE
    fields["image"] = image
    pull = values.get("pull", "missing")
    if pull not in _PULLS:
        hint = suggestion(pull, _PULLS) or f"one of {', '.join(_PULLS)}"
        problems.append(Problem(where, f"pull: {pull!r} is not possible", hint))
    elif build is not None and pull == "always":
        text = 'pull="always" asks a registry for the image, and build makes it here'
        problems.append(Problem(where, text, "keep one of them"))
    else:
        fields["pull"] = pull


def _built_name(folder: str, arguments: Mapping[str, str]) -> str:
    """A name for an image that is built from a folder, the same whenever it is."""
    digest = blake2b(repr((folder, sorted(arguments.items()))).encode(), digest_size=4).hexdigest()
    stem = re.sub(r"[^a-z0-9]+", "-", posixpath.basename(folder).lower()).strip("-")
    return f"build-vnf-built/{stem or 'image'}:{digest}"


def _read_memory(
    where: str, values: Mapping[str, Any], fields: dict[str, Any], problems: list[Problem]
) -> None:
    memory, swap = values.get("memory"), values.get("memory_swap")
    if swap is not None and memory is None:
        text = "memory_swap without memory limits nothing"
        problems.append(Problem(where, text, "give memory as well"))
    elif swap is not None and memory is not None and -1 < swap < memory:
        text = "memory_swap is less than memory, which it includes"
        problems.append(Problem(where, text, "give memory and swap together, or -1 for no limit"))
    fields["memory_bytes"] = memory
    fields["memory_swap_bytes"] = swap
    fields["shm_bytes"] = values.get("shm_size")


def _read_files(
    where: str,
    entry: NodeEntry,
    values: Mapping[str, Any],
    fields: dict[str, Any],
    problems: list[Problem],
) -> None:
    workdir = values.get("workdir")
    if workdir is not None and not workdir.startswith("/"):
        text = f"workdir: {workdir!r} is not an absolute path in the node"
        problems.append(Problem(where, text, f'write "/{workdir}"'))
    fields["workdir"] = workdir
    fields["volumes"] = tuple(
        volume.model_copy(update={"source": on_machine(volume.source, entry.folder)})
        if is_path(volume.source)
        else volume
        for volume in values.get("volumes", ())
    )
    for target in [volume.target for volume in fields["volumes"]]:
        if target in values.get("tmpfs", {}):
            text = f"volumes and tmpfs both say what is at {target}"
            problems.append(Problem(where, text, "keep one of them"))


def _read_sysctls(
    where: str,
    entry: NodeEntry,
    values: Mapping[str, Any],
    fields: dict[str, Any],
    problems: list[Problem],
) -> None:
    sysctls = values.get("sysctls", {})
    for name in sysctls:
        interface = _OF_AN_INTERFACE.match(name)
        if not _SYSCTLS.fullmatch(name) or name in _MACHINE_SYSCTLS:
            text = f"sysctl {name} belongs to the whole machine, not to a node"
            problems.append(Problem(where, text, "leave it out, or set it on the machine yourself"))
        elif entry.kind == "app" and name.startswith("net."):
            host = entry.options.get("host")
            text = f"sysctl {name} belongs to {host}, whose network namespace it lives in"
            problems.append(Problem(where, text, f"give it to {host}"))
        elif interface and interface[1] not in ("all", "default", "lo"):
            text = f"sysctl {name} is of an interface that comes after the container has started"
            hint = f'use "default" for {interface[1]}, or node.cmd("sysctl -w …") once it runs'
            problems.append(Problem(where, text, hint))
    fields["sysctls"] = sysctls


def _read_labels(
    where: str, values: Mapping[str, Any], fields: dict[str, Any], problems: list[Problem]
) -> None:
    labels = values.get("labels", {})
    problems += [
        Problem(where, f"label {name}: those with {_LABEL_PREFIX} are the lab's own", "rename it")
        for name in labels
        if name.startswith(_LABEL_PREFIX)
    ]
    fields["labels"] = labels


def option_hint(name: str, others: tuple[str, ...]) -> str:
    """What somebody could have meant by an option that a node in a container does not have."""
    return (
        suggestion(name, (*others, *sorted(NAMES)))
        or "docs/reference/containers.md lists its options"
    )
