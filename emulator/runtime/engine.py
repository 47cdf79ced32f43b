"""The Docker engine as the emulator speaks to it: the docker SDK, with errors in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, MachineError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient

LAB_LABEL = "build-vnf.lab"
"""On each container: the id of its lab."""
NODE_LABEL = "build-vnf.node"
"""On each container: the name of its node."""
OWNER_LABEL = "build-vnf.owner"
"""On each container: the process that owns its lab; see ``containers.owner_of``."""

_AT_ONCE = 32
"""Connections to the engine that are kept open: containers start at the same time."""
_TIMEOUT_S = 120.0


def connect(*, timeout_s: float = _TIMEOUT_S) -> DockerClient:
    """A client of the engine that ``emulator.runtime.daemon`` finds; close it.

    Raises:
        MachineError: no engine answers, or the docker SDK is missing; the hint says what to do.
    """
    from emulator.runtime.daemon import find_daemon

    return client_of(find_daemon().url, timeout_s=timeout_s)


def client_of(url: str, *, timeout_s: float = _TIMEOUT_S) -> DockerClient:
    """A client of the engine at a ``unix://`` address, which answers."""
    from docker import DockerClient

    with told(url):
        return DockerClient(
            base_url=url, version="auto", timeout=int(timeout_s), max_pool_size=_AT_ONCE
        )


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turns what the SDK raises into errors of ours that happen at ``where``.

    Raises:
        UsageError: what was asked for is not there or cannot be had so (HTTP 400, 404, 409).
        MachineError: the engine does not answer.
        LabError: anything else that it refuses.
    """
    from docker.errors import APIError, DockerException
    from requests.exceptions import ConnectionError, ReadTimeout

    try:
        yield
    except APIError as error:
        kind = UsageError if error.status_code in (400, 404, 409) else LabError
        raise kind(f"Docker says: {_explanation(error)}", where=where) from error
    except (ConnectionError, ReadTimeout) as error:
        raise MachineError(
            "the Docker engine does not answer any more",
            where=where,
            hint="vnf docker status tells more",
        ) from error
    except DockerException as error:
        raise MachineError(
            f"the Docker engine cannot be used: {error}",
            where=where,
            hint="vnf docker status tells more",
        ) from error


def _explanation(error: Any) -> str:
    text = str(error.explanation or error).strip().rstrip(".")
    return text.splitlines()[-1] if text else f"HTTP status {error.status_code}"
