"""Schedules as users write them: what is to change of which links, and when.

An entry is a dict. ``at`` is the time from the start and ``links`` names links; the rest is what
happens to them: settings of ``addLink``, ``state: up|down``, or ``flap``. ``over`` has settings
change gradually. A schedule comes from the topology (``Topo.at``) or from a YAML file; what is
wrong in it is found when the topology is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import UsageError

if TYPE_CHECKING:
    import yaml

_HINT = "write entries such as: {at: 10s, links: h1-s1, loss: 5%}"
_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class ScheduleEntry:
    """One entry as it was written; ``place`` and ``folder`` are as those of a node."""

    values: Mapping[str, Any]
    place: str = ""
    folder: str = ""


@dataclass(frozen=True)
class LinkSet:
    """A name for several links; ``place`` is as that of a node."""

    links: Any
    place: str = ""


@dataclass(frozen=True)
class ScheduleFile:
    """What a file says.

    Attributes:
        entries: in the order of the file.
        sets: name -> links.
    """

    entries: tuple[ScheduleEntry, ...]
    sets: Mapping[str, LinkSet]


def read_schedule(path: str | Path) -> ScheduleFile:
    """The schedule in a YAML file: a list of entries, or ``schedule`` and ``sets`` of links.

    Raises:
        UsageError: the file cannot be read, or is not made like that.
    """
    import yaml  # takes a moment, which most commands do not need

    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"is larger than {_MOST_BYTES >> 20} MiB", where=str(path))
        loader = yaml.SafeLoader(path.read_text())
        root = loader.get_single_node()
        return _read(path, loader, root)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("is not text", where=str(path)) from error
    except RecursionError:
        raise UsageError("is nested too deeply", where=str(path), hint=_HINT) from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        text = f"is not YAML: {error.problem}"
        raise UsageError(text, where=f"{path}{line}", hint=_HINT) from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: of what YAML takes for a date, 2024-13-40.
        text = f"is not YAML: {str(error).partition(chr(10))[0]}"
        raise UsageError(text, where=str(path), hint=_HINT) from error


def _read(path: Path, loader: yaml.SafeLoader, root: yaml.Node | None) -> ScheduleFile:
    import yaml

    sets: dict[str, LinkSet] = {}
    entries: yaml.Node | None = root
    if isinstance(root, yaml.MappingNode):
        entries = None
        for key, value in root.value:
            where = f"{path}:{key.start_mark.line + 1}"
            if key.value == "schedule":
                entries = value
            elif key.value == "sets" and isinstance(value, yaml.MappingNode):
                for name, links in value.value:
                    place = f"{path.name}:{name.start_mark.line + 1}"
                    content = loader.construct_object(links, deep=True)
                    sets[str(name.value)] = LinkSet(content, place)
            elif key.value == "sets":
                hint = "write sets: {uplinks: [h1-s1, h2-s1]}"
                raise UsageError("sets is not a mapping", where=where, hint=hint)
            else:
                text = f"there is no key {key.value}"
                raise UsageError(text, where=where, hint="its keys: schedule, sets")
    if not isinstance(entries, yaml.SequenceNode) or not entries.value:
        raise UsageError("there is no list of entries", where=str(path), hint=_HINT)
    read = []
    for node in entries.value:
        line = node.start_mark.line + 1
        values = loader.construct_object(node, deep=True)
        if not isinstance(values, Mapping):
            raise UsageError("this is no entry", where=f"{path}:{line}", hint=_HINT)
        texts = {str(key): value for key, value in values.items()}
        read.append(ScheduleEntry(texts, f"{path.name}:{line}", str(path.parent)))
    return ScheduleFile(tuple(read), sets)
