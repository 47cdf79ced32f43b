"""What a container shares with the machine: folders, devices and ports."""

from __future__ import annotations

import ipaddress
import os.path
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from emulator.plan.container_values import ValueMistake, read_list
from emulator.plan.model import PublishedPortPlan, VolumePlan

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_VOLUME_HINT = 'write "/on/the/machine:/in/the/node" or "./data:/data:ro"'
_PORT_HINT = 'write 80, "8080:80" or "127.0.0.1:8080:80/tcp"'
_BINDING_HINT = "write {80: 8080}: the port in the node, and the one on the machine"


def read_volumes(value: Any) -> tuple[VolumePlan, ...]:
    """Folders, files and named volumes, as for ``docker run -v`` or in the Docker SDK.

    Sources are as they were written: see :func:`on_machine`.
    """
    found: list[VolumePlan] = []
    if isinstance(value, Mapping):
        for source, place in value.items():
            if isinstance(place, str):
                found.append(_volume(source, *_target_and_mode(place)))
            elif isinstance(place, Mapping) and set(place) <= {"bind", "mode"}:
                found.append(_volume(source, place.get("bind"), place.get("mode") or "rw"))
            else:
                hint = 'write {"/on/the/machine": {"bind": "/in/the/node", "mode": "ro"}}'
                raise ValueMistake(f"{place!r} is not a place in the node", hint)
    elif isinstance(value, str | list | tuple):
        for word in read_list(value):
            source, colon, rest = word.partition(":")
            if not colon:
                raise ValueMistake(f"{word!r} has no place in the node", _VOLUME_HINT)
            found.append(_volume(source, *_target_and_mode(rest)))
    else:
        raise ValueMistake(f"{value!r} is neither a list nor a dict", _VOLUME_HINT)
    targets = [volume.target for volume in found]
    for target in targets:
        if targets.count(target) > 1:
            raise ValueMistake(f"two of them are for {target} in the node", "keep one of them")
    return tuple(found)


def on_machine(source: str, folder: str) -> str:
    """Where a path is that was written in a file of ``folder``; without one, in the current one."""
    return os.path.abspath(os.path.join(folder, os.path.expanduser(source)))


def is_path(source: str) -> bool:
    """Whether the source of a volume is a path of the machine, and not a volume's name."""
    return "/" in source or source in (".", "..", "~")


def read_tmpfs(value: Any) -> dict[str, str]:
    """File systems in memory: a path, a list of them, or path -> options such as ``"size=64m"``."""
    if isinstance(value, Mapping):
        entries = {path: options or "" for path, options in value.items()}
    else:
        words = [word.partition(":") for word in read_list(value)]
        entries = {path: options for path, _, options in words}
    for path, options in entries.items():
        if not isinstance(path, str) or not path.startswith("/") or not isinstance(options, str):
            raise ValueMistake(f"{path!r} is not a path in the node", 'write {"/tmp": "size=64m"}')
    return entries


def read_devices(value: Any) -> tuple[str, ...]:
    """Devices, as for ``docker run --device``."""
    devices = read_list(value)
    for device in devices:
        if not re.fullmatch(r"/[^:]+(:/[^:]+)?(:[rwm]{1,3})?", device):
            hint = 'write "/dev/net/tun" or "/dev/sda:/dev/disk:r"'
            raise ValueMistake(f"{device!r} is not a device", hint)
    return devices


def read_dns(value: Any) -> tuple[str, ...]:
    """Addresses of name servers."""
    servers = read_list(value)
    for server in servers:
        if _address(server) is None:
            raise ValueMistake(f"{server!r} is not an IP address", 'write "10.0.0.53"')
    return servers


def read_ports(value: Any) -> tuple[PublishedPortPlan, ...]:
    """Ports of a node that the machine's programs reach, as for ``docker run -p`` or in the SDK."""
    if isinstance(value, Mapping):
        found = [plan for port, host in value.items() for plan in _bindings(port, host)]
    else:
        words = [value] if isinstance(value, int | str) else value
        if not isinstance(words, list | tuple):
            raise ValueMistake(f"{value!r} is neither a list nor a dict", _PORT_HINT)
        found = [_published(word) for word in words]
    return tuple(dict.fromkeys(found))


def read_exposed(value: Any) -> None:
    """Checks the ports that Containernet lists beside ``port_bindings``: they say nothing more."""
    words = [value] if isinstance(value, int | str) else value
    if not isinstance(words, list | tuple):
        raise ValueMistake(f"{value!r} is not a list of ports", "write [80], or leave ports out")
    for word in words:
        if isinstance(word, tuple | list):
            word = "/".join(str(part) for part in word)
        _port_and_protocol(word, _PORT_HINT)


def _target_and_mode(text: str) -> tuple[str, str]:
    target, _, mode = text.partition(":")
    return target, mode or "rw"


def _volume(source: Any, target: Any, mode: Any) -> VolumePlan:
    if not isinstance(source, str) or not (is_path(source) or _VOLUME.fullmatch(source)):
        raise ValueMistake(f"{source!r} is neither a path nor the name of a volume", _VOLUME_HINT)
    if not isinstance(target, str) or not target.startswith("/"):
        raise ValueMistake(f"{target!r} is not an absolute path in the node", _VOLUME_HINT)
    if os.path.normpath(target) == "/":
        raise ValueMistake("a volume cannot be the whole file system of the node", _VOLUME_HINT)
    # The letters z and Z are for SELinux, and an engine without it leaves them alone.
    words = {word for word in str(mode).split(",") if word not in ("z", "Z")}
    if not words <= {"ro", "rw"} or len(words) > 1:
        raise ValueMistake(f"{mode!r} is not a mode of a volume", "ro or rw")
    return VolumePlan(source=source, target=os.path.normpath(target), read_only="ro" in words)


def _published(word: Any) -> PublishedPortPlan:
    if type(word) is int:
        return _plan(word, 0)
    if not isinstance(word, str):
        raise ValueMistake(f"{word!r} is not a port", _PORT_HINT)
    host, _, port = word.rpartition(":")
    return _plan(port, *_host_of(host, word) if host else (0,))


def _bindings(port: Any, host: Any) -> Iterator[PublishedPortPlan]:
    if isinstance(host, list):
        for one in host:
            yield from _bindings(port, one)
    elif host is None or type(host) is int:
        yield _plan(port, host or 0)
    elif isinstance(host, str) and host:
        yield _plan(port, *_host_of(host, host))
    elif isinstance(host, tuple) and len(host) == 2:
        yield _plan(port, host[1] or 0, host[0])
    elif isinstance(host, tuple) and len(host) == 1:
        yield _plan(port, 0, host[0])
    else:
        raise ValueMistake(f"{host!r} is not a port of the machine", _BINDING_HINT)


def _host_of(text: str, written: str) -> tuple[Any, ...]:
    """The machine's side: ``8080``, ``127.0.0.1:8080``, ``127.0.0.1:`` or ``[::1]:8080``."""
    address, colon, port = text.rpartition(":")
    if not colon:
        return (text,)
    address = address.removeprefix("[").removesuffix("]")
    if _address(address) is None:
        raise ValueMistake(f"{written!r} has no address that the machine could have", _PORT_HINT)
    return port or 0, address


def _plan(port: Any, host_port: Any, address: Any = "127.0.0.1") -> PublishedPortPlan:
    number, protocol = _port_and_protocol(port, _PORT_HINT)
    if host_port == 0 and type(host_port) is int:
        outside = 0
    else:
        outside, other = _port_and_protocol(host_port, _BINDING_HINT)
        if other != "tcp" and other != protocol:
            raise ValueMistake(f"{host_port!r} and {port!r} are not of one protocol", _PORT_HINT)
    if _address(address) is None:
        raise ValueMistake(f"{address!r} is not an address that the machine could have", _PORT_HINT)
    return PublishedPortPlan(
        port=number, host_port=outside, host_address=str(address), protocol=protocol
    )


def _port_and_protocol(word: Any, hint: str) -> tuple[int, Literal["tcp", "udp"]]:
    text, _, protocol = str(word).partition("/")
    if type(word) not in (int, str) or not re.fullmatch(r"\d{1,5}", text):
        raise ValueMistake(f"{word!r} is not a port", hint)
    if not 1 <= int(text) <= 65535:
        raise ValueMistake(f"{word!r} is not a port", "ports are 1 to 65535")
    if protocol in ("", "tcp"):
        return int(text), "tcp"
    if protocol == "udp":
        return int(text), "udp"
    raise ValueMistake(f"{word!r}: ports of {protocol} cannot be published", "tcp and udp can")


def _address(text: Any) -> str | None:
    try:
        return str(ipaddress.ip_address(text)) if isinstance(text, str) else None
    except ValueError:
        return None
