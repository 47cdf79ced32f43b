"""How the options of a container are spelled: our words, and those of others for the same things.

Containernet's, ComNetsEmu's and the Docker SDK's are taken as they are, so that a script written
for one of them reads the same here. Two spellings that say different things are a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.errors import Problem
from emulator.names import suggestion
from emulator.plan.capabilities import read_added, read_dropped
from emulator.plan.container_places import (
    read_devices,
    read_dns,
    read_exposed,
    read_ports,
    read_tmpfs,
    read_volumes,
)
from emulator.plan.container_values import (
    ValueMistake,
    check_texts,
    read_bool,
    read_bytes,
    read_cpu_shares,
    read_cpus,
    read_cpuset,
    read_health,
    read_hostname,
    read_image,
    read_mapping,
    read_memory,
    read_memory_swap,
    read_pids,
    read_text,
    read_ulimits,
    read_user,
    read_wait_s,
    read_words,
)

READERS: Mapping[str, Callable[[Any], Any]] = {
    "image": read_image,
    "build": read_text,
    "build_arguments": read_mapping,
    "pull": read_text,
    "entrypoint": read_words,
    "command": read_words,
    "environment": read_mapping,
    "user": read_user,
    "workdir": read_text,
    "volumes": read_volumes,
    "tmpfs": read_tmpfs,
    "ports": read_ports,
    "cpus": read_cpus,
    "cpu_shares": read_cpu_shares,
    "cpuset": read_cpuset,
    "memory": read_memory,
    "memory_swap": read_memory_swap,
    "shm_size": read_bytes,
    "pids": read_pids,
    "cap_add": read_added,
    "cap_drop": read_dropped,
    "devices": read_devices,
    "sysctls": read_mapping,
    "ulimits": read_ulimits,
    "dns": read_dns,
    "hostname": read_hostname,
    "labels": read_mapping,
    "read_only": read_bool,
    "healthcheck": read_health,
    "healthy_within": read_wait_s,
}
"""Each option in our spelling -> what reads its value."""

ALIASES: Mapping[str, str] = {
    "dimage": "image",
    "dcmd": "command",
    "buildargs": "build_arguments",
    "env": "environment",
    "working_dir": "workdir",
    "cpuset_cpus": "cpuset",
    "mem_limit": "memory",
    "memswap_limit": "memory_swap",
    "pids_limit": "pids",
}
"""Spellings of others -> ours."""

REFUSED: Mapping[str, tuple[str, str]] = {
    "privileged": (
        "a privileged container is root on the machine itself",
        'give it what it needs: cap_add=["…"], devices=["…"]',
    ),
    "publish_all_ports": (
        "which ports an image exposes is not known before it runs",
        'name them: ports=[80, "8080:80"]',
    ),
    "storage_opt": (
        "most storage drivers of Docker cannot limit a container's disk",
        'use tmpfs={"/path": "size=64m"}, or a volume',
    ),
    "network_mode": (
        "the network of a node is that of the topology",
        "leave it out; links give the node its interfaces",
    ),
    "security_opt": (
        "no-new-privileges and Docker's own seccomp profile hold for every node",
        "leave it out",
    ),
}
"""Options that cannot be had -> why, and what to do instead."""

_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "privileged": (False,),
    "publish_all_ports": (False,),
    "storage_opt": ({},),
    "network_mode": ("none",),
    "security_opt": ([], ["no-new-privileges"], ["no-new-privileges:true"]),
}
"""Values of theirs that ask for what is the case anyway."""

_CALCULATED = ("cpu_quota", "cpu_period", "nano_cpus", "port_bindings", "build_params")
_BUILD_KEYS = {
    "path": "build",
    "context": "build",
    "tag": "image",
    "buildargs": "build_arguments",
    "args": "build_arguments",
}
_SDK_ONLY = {"cmd": "command", "network": "network_mode", "name": "name"}
# What the lab does with every container anyhow, whichever it was told.
_DECIDED = frozenset(("detach", "tty", "stdin_open", "init", "remove", "auto_remove"))

NAMES = frozenset((*READERS, *ALIASES, *REFUSED, *_CALCULATED, "docker_args"))
"""Every word that is an option of a node in a container."""


@dataclass(frozen=True)
class Spelled:
    """An option as it was written: ``docker_args["mem_limit"]``."""

    option: str
    """In our spelling."""
    written: str
    value: Any


def asks_for_nothing(name: str, value: Any) -> bool:
    """Whether a value leaves its option as it is without it."""
    if isinstance(value, list | tuple | dict | set | frozenset | str):
        return not value
    if ALIASES.get(name, name) == "cpuset":
        return value is None
    return value is None or (isinstance(value, int | float) and value == 0)


def read_values(where: str, options: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The values of a container's options, by our spelling; those that ask for nothing are not in.

    Args:
        where: the place that the problems name.
        options: as the user wrote them; every name is one of ``NAMES``. They are not changed.
        problems: what is wrong with them is added here.
    """
    values: dict[str, Any] = {}
    first: dict[str, Spelled] = {}
    for spelled in _spelled(where, options, problems):
        option = spelled.option
        if option in REFUSED:
            if spelled.value not in _HARMLESS[option]:
                reason, hint = REFUSED[option]
                text = f"{spelled.written}={spelled.value!r}: {reason}"
                problems.append(Problem(where, text, hint))
            continue
        try:
            check_texts(spelled.value)
            value = READERS[option](spelled.value)
        except ValueMistake as mistake:
            problems.append(Problem(where, f"{spelled.written}: {mistake}", mistake.hint))
            continue
        if value is None:
            continue
        if option in values and values[option] != value:
            text = f"{first[option].written} and {spelled.written} say different things"
            problems.append(Problem(where, text, f"keep one of them; ours is {option}"))
            continue
        first.setdefault(option, spelled)
        values[option] = value
    return values


def _spelled(where: str, options: Mapping[str, Any], problems: list[Problem]) -> Iterator[Spelled]:
    """Each option with its spelling, those that are calculated from others last."""
    given = {name: (name, value) for name, value in options.items() if value is not None}
    inner = given.pop("docker_args", ("", {}))[1]
    yield from _without_spellings(where, given, problems)
    if not isinstance(inner, Mapping):
        hint = 'write docker_args={"mem_limit": "256m"}'
        problems.append(Problem(where, f"docker_args: {inner!r} is not a dict", hint))
        return
    sdk = {}
    for key, value in inner.items():
        name = _SDK_ONLY.get(key, key)
        if value is None or key in _DECIDED:
            continue
        if name == "name":
            text = f'docker_args["name"]: {value!r}: a container is called after its node and lab'
            problems.append(Problem(where, text, "leave it out"))
        elif name == "docker_args" or name not in NAMES:
            hint = suggestion(key, sorted(NAMES)) or "docs/reference/containers.md lists them"
            text = f"docker_args: a node in a container has no option {key}"
            problems.append(Problem(where, text, hint))
        else:
            sdk[name] = (f'docker_args["{key}"]', value)
    yield from _without_spellings(where, sdk, problems)


def _without_spellings(
    where: str, given: dict[str, tuple[str, Any]], problems: list[Problem]
) -> Iterator[Spelled]:
    """One set of options, each under the name it was given, as ``(how it was written, value)``."""
    yield from _cpu_time(where, given, problems)
    yield from _ports(where, given, problems)
    yield from _build(where, given, problems)
    for name, (written, value) in given.items():
        if name not in _CALCULATED:
            yield Spelled(ALIASES.get(name, name), written, value)


def _cpu_time(
    where: str, given: Mapping[str, tuple[str, Any]], problems: list[Problem]
) -> Iterator[Spelled]:
    if "nano_cpus" in given:
        written, nano = given["nano_cpus"]
        # What is no number is left for the reader of cpus to refuse.
        yield Spelled("cpus", written, nano / 1e9 if type(nano) is int else nano)
    written, quota_us = given.get("cpu_quota", ("", None))
    period_written, period_us = given.get("cpu_period", ("", None))
    if quota_us in (None, 0, -1) and type(quota_us) is not bool:
        if period_us not in (None, 0):
            text = f"{period_written}={period_us!r} without cpu_quota limits nothing"
            problems.append(Problem(where, text, "write cpus=0.5 for half a CPU"))
        return
    period_us = 100_000 if period_us in (None, 0) else period_us
    if type(quota_us) is not int or quota_us < 1000:
        text = f"{written}: {quota_us!r} is not a time in microseconds"
        problems.append(Problem(where, text, "1000 is the least; or write cpus=0.5"))
    elif type(period_us) is not int or not 1000 <= period_us <= 1_000_000:
        text = f"{period_written}: {period_us!r} is not a time in microseconds"
        problems.append(Problem(where, text, "write 1000 to 1000000; 100000 is usual"))
    else:
        yield Spelled("cpus", written, quota_us / period_us)


def _ports(
    where: str, given: dict[str, tuple[str, Any]], problems: list[Problem]
) -> Iterator[Spelled]:
    """``ports`` beside ``port_bindings`` only names them, as it does in Containernet."""
    if asks_for_nothing("port_bindings", given.get("port_bindings", ("", None))[1]):
        return
    written, bindings = given["port_bindings"]
    beside = given.pop("ports", None)
    if not isinstance(bindings, Mapping):
        text = f"{written}: {bindings!r} is not a dict"
        problems.append(Problem(where, text, "write port_bindings={80: 8080}"))
        return
    yield Spelled("ports", written, bindings)
    if beside is not None:
        try:
            read_exposed(beside[1])
        except ValueMistake as mistake:
            problems.append(Problem(where, f"{beside[0]}: {mistake}", mistake.hint))


def _build(
    where: str, given: dict[str, tuple[str, Any]], problems: list[Problem]
) -> Iterator[Spelled]:
    for name in ("build_params", "build"):
        written, content = given.get(name, ("", None))
        if not isinstance(content, Mapping):
            if name == "build_params" and content is not None:
                text = f"{written}: {content!r} is not a dict"
                problems.append(Problem(where, text, 'write build="folder"'))
            continue
        del given[name]
        for key, value in content.items():
            option = _BUILD_KEYS.get(key)
            if option is None:
                hint = suggestion(key, _BUILD_KEYS) or f"its keys: {', '.join(_BUILD_KEYS)}"
                problems.append(Problem(where, f"{written} has no key {key}", hint))
            elif value is not None:
                yield Spelled(option, f'{written}["{key}"]', value)
