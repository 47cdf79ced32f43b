"""Values of a container's options, read from any of the forms in which they are written.

Each reader takes what the user wrote and gives the value as a plan holds it, or raises
:class:`ValueMistake`. None of them is called for None, which asks for nothing.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from emulator.names import suggestion
from emulator.plan.model import HealthPlan

LEAST_MEMORY_BYTES = 6 << 20
"""Docker starts no container with less."""

# fmt: off
ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)
# fmt: on

_UNITS = {unit: 1 << (10 * power) for power, unit in enumerate(("", "k", "m", "g", "t", "p"))}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_LIMIT = 1 << 63
_RANGE = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_MOST_CPUS = 8192
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)")
# The Docker SDK writes durations in nanoseconds, and no engine takes one below a millisecond, so
# larger numbers are nanoseconds, and smaller ones can only be meant as seconds.
_LEAST_NS = 1_000_000
_HEALTH = ("test", "interval", "timeout", "start_period", "retries")
_IMAGE_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    # The registry, if there is one, may have a port; of names, the tag and the digest follow.
    r"(?:[A-Za-z0-9.-]+(?::\d+)?/|\[[0-9a-fA-F:]+\](?::\d+)?/)?"
    rf"{_IMAGE_PART}(?:/{_IMAGE_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]{32,})?"
)


class ValueMistake(ValueError):
    """A value that an option cannot have; ``hint`` says how to write one."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def check_texts(value: Any) -> None:
    """That no text in a value has what neither the kernel nor a plan's JSON can hold.

    Raises:
        ValueMistake: one has.
    """
    if isinstance(value, str):
        if "\0" in value or not _encodes(value):
            raise ValueMistake(f"{value!r} has a character that no program could be given")
    elif isinstance(value, Mapping):
        for name, content in value.items():
            check_texts(name)
            check_texts(content)
    elif isinstance(value, list | tuple | set | frozenset):
        for content in value:
            check_texts(content)


def read_text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueMistake(f"{value!r} is not a text")
    return value


def read_user(value: Any) -> str:
    """A user, as ``name``, ``uid`` or either with a group: ``1000:1000``."""
    if type(value) is int and value >= 0:
        return str(value)
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+(:[\w.-]+)?", value):
        raise ValueMistake(f"{value!r} is not a user", 'write "nobody", 1000 or "1000:1000"')
    return value


def read_hostname(value: Any) -> str:
    """A name as a host can have it."""
    if not isinstance(value, str) or not re.fullmatch(
        r"(?=.{1,64}\Z)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value
    ):
        raise ValueMistake(f"{value!r} is not a host's name", "letters, digits, '-' and '.'")
    return value


def read_bool(value: Any) -> bool:
    """True or False."""
    if type(value) is not bool:
        raise ValueMistake(f"{value!r} is not True or False")
    return value


def read_image(value: Any) -> str:
    """The name of an image: ``debian``, ``debian:12``, ``registry:5000/group/name@sha256:…``."""
    if isinstance(value, str) and _IMAGE.fullmatch(value):
        return value
    hint = 'write "name:tag", as for docker run'
    if isinstance(value, str) and _IMAGE.fullmatch(value.lower()):
        hint = f'in small letters: "{value.lower()}"'
    raise ValueMistake(f"{value!r} is not the name of an image", hint)


def read_words(value: Any) -> tuple[str, ...]:
    """A command: a text, split as a shell would, or a list of words."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError:
            raise ValueMistake(f"{value!r} has a quote that is never closed") from None
    if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise ValueMistake(f"{value!r} is not a command", 'write "sleep 60" or ["sleep", "60"]')


def read_list(value: Any) -> tuple[str, ...]:
    """Texts: one of them, or a list."""
    words = [value] if isinstance(value, str) else value
    if isinstance(words, list | tuple | set | frozenset) and all(
        isinstance(word, str) and word for word in words
    ):
        return tuple(words) if not isinstance(words, set | frozenset) else tuple(sorted(words))
    raise ValueMistake(f"{value!r} is not a list of texts")


def read_mapping(value: Any) -> dict[str, str]:
    """Names with their values: a dict, a list of ``"NAME=VALUE"``, or one of these."""
    hint = 'write {"NAME": "value"} or ["NAME=value"]'
    if isinstance(value, str):
        value = [value]
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list | tuple):
        words = [word.partition("=") if isinstance(word, str) else (word, "", "") for word in value]
        wrong = [name for name, equals, _ in words if not equals]
        if wrong:
            raise ValueMistake(f"{wrong[0]!r} is not NAME=VALUE", hint)
        pairs = [(name, text) for name, _, text in words]
    else:
        raise ValueMistake(f"{value!r} is neither a dict nor a list", hint)
    found = {}
    for name, content in pairs:
        if not isinstance(name, str) or not name or "=" in name:
            raise ValueMistake(f"{name!r} is not a name", hint)
        if type(content) not in (str, int, float):
            raise ValueMistake(f"the value of {name}, {content!r}, is not a text", hint)
        found[name] = str(content)
    return found


def read_cpus(value: Any) -> float | None:
    """How many CPUs' worth of time; 0 for no limit."""
    number = _number(value)
    if number is None or number < 0 or 0 < number < 0.01 or number > _MOST_CPUS:
        raise ValueMistake(
            f"{value!r} is not a number of CPUs", "write 0.5 for half of one; 0.01 is the least"
        )
    return float(number) or None


def read_cpu_shares(value: Any) -> int | None:
    """The weight among others that want the same CPU; 1024 is usual, 0 leaves it so."""
    if type(value) is not int or (value != 0 and not 2 <= value <= 262144):
        raise ValueMistake(f"{value!r} is not a weight", "write 2 to 262144; the usual one is 1024")
    return value or None


def read_cpuset(value: Any) -> tuple[int, ...]:
    """CPUs by number: ``"0-1"``, ``"0,2"``, ``[0, 1]`` or ``0``."""
    numbers: list[int] = []
    words = value
    if isinstance(value, str):
        words = [word.strip() for word in value.split(",")] if value.strip() else []
    elif type(value) is int:
        words = [value]
    mistake = ValueMistake(f"{value!r} is not a list of CPU numbers", 'write "0-1" or [0, 1]')
    if not isinstance(words, list | tuple | set | frozenset | range):
        raise mistake
    for word in words:
        match = _RANGE.fullmatch(word) if isinstance(word, str) else None
        if type(word) is int and 0 <= word < _MOST_CPUS:
            numbers.append(word)
        elif match is not None:
            first, last = int(match[1]), int(match[2] or match[1])
            if not first <= last < _MOST_CPUS:
                raise mistake
            numbers += range(first, last + 1)
        else:
            raise mistake
    return tuple(sorted(set(numbers)))


def read_bytes(value: Any) -> int | None:
    """An amount of memory: bytes, or a text with Docker's units, which are powers of 1024.

    0 is for no limit.
    """
    if type(value) is int and 0 <= value < _LIMIT:
        return value or None
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueMistake(
            f"{value!r} is not an amount of memory", 'write "256m", "1g", or a number of bytes'
        )
    size = float(match[1]) * _UNITS[match[2].lower()]
    if size >= _LIMIT:
        raise ValueMistake(f"{value!r} is more than any machine has", 'write "256m" or "1g"')
    return int(size) or None


def read_memory(value: Any) -> int | None:
    """An amount of memory that a container can be limited to."""
    size = read_bytes(value)
    if size is not None and size < LEAST_MEMORY_BYTES:
        raise ValueMistake(
            f"{value!r} is less than Docker takes", f'"{LEAST_MEMORY_BYTES >> 20}m" is the least'
        )
    return size


def read_memory_swap(value: Any) -> int | None:
    """Memory and swap together: an amount, or -1 for no limit."""
    return -1 if value in (-1, "-1") and type(value) is not bool else read_bytes(value)


def read_pids(value: Any) -> int | None:
    """How many processes and threads; 0 and -1 for no limit."""
    if type(value) is not int or not -1 <= value < _LIMIT:
        raise ValueMistake(f"{value!r} is not a number of processes", "write 100")
    return value if value > 0 else None


def read_duration_s(value: Any) -> float:
    """A time in seconds: a number of them, or a text such as ``"500ms"`` or ``"1m30s"``.

    Numbers from a million on are nanoseconds, as in the Docker SDK.
    """
    number = _number(value)
    if number is not None and number >= 0:
        return float(number / 1e9 if number >= _LEAST_NS else number)
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return sum(float(part) * _SECONDS[unit] for part, unit in _DURATION_PART.findall(value))
    raise ValueMistake(f"{value!r} is not a time", 'write "10s", "500ms", or a number of seconds')


def read_wait_s(value: Any) -> float:
    """A time in seconds above 0."""
    seconds = read_duration_s(value)
    if seconds <= 0:
        raise ValueMistake(f"{value!r} is no time at all", 'write "10s", or a number of seconds')
    return seconds


def read_health(value: Any) -> HealthPlan:
    """A health check: a command line, or a dict as in the Docker SDK or a Compose file."""
    given = {"test": value} if isinstance(value, str | list | tuple) else value
    if not isinstance(given, Mapping):
        raise ValueMistake(f"{value!r} is not a health check", 'write {"test": "command"}')
    given = {name: content for name, content in given.items() if content is not None}
    if given.pop("disable", False) is True:
        return HealthPlan(command=("NONE",))
    for name in given:
        if name not in _HEALTH:
            hint = suggestion(name, _HEALTH) or f"its keys: {', '.join(_HEALTH)}"
            raise ValueMistake(f"a health check has no key {name}", hint)
    test = given.get("test")
    if isinstance(test, str) and test.strip():
        command: tuple[str, ...] = ("CMD-SHELL", test)
    elif isinstance(test, list | tuple) and test and all(isinstance(word, str) for word in test):
        ready = test[0] in ("CMD", "CMD-SHELL", "NONE")
        command = tuple(test) if ready else ("CMD", *test)
    else:
        raise ValueMistake("it has no test", 'write {"test": "command", "interval": "1s"}')
    retries = given.get("retries")
    if retries is not None and (type(retries) is not int or not 0 <= retries < _LIMIT):
        raise ValueMistake(f"retries {retries!r} is not a whole number", "write 3")
    return HealthPlan(
        command=command,
        interval_s=_optional_s(given, "interval"),
        timeout_s=_optional_s(given, "timeout"),
        start_period_s=_optional_s(given, "start_period"),
        retries=retries,
    )


def read_ulimits(value: Any) -> dict[str, tuple[int, int]]:
    """Limits by name: a dict, a list of ``"nofile=1024:2048"``, or the Docker SDK's ``Ulimit``."""
    hint = 'write {"nofile": 1024} or {"nofile": (1024, 2048)}'
    entries: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        entries = list(value.items())
    elif isinstance(value, list | tuple):
        for entry in value:
            if isinstance(entry, Mapping):
                lowered = {str(key).lower(): content for key, content in entry.items()}
                soft = lowered.get("soft")
                entries.append((lowered.get("name"), (soft, lowered.get("hard") or soft)))
            elif isinstance(entry, str):
                name, _, text = entry.partition("=")
                entries.append((name, text))
            else:
                raise ValueMistake(f"{entry!r} is not a limit", hint)
    else:
        raise ValueMistake(f"{value!r} is neither a dict nor a list", hint)
    found = {}
    for name, content in entries:
        if name not in ULIMITS:
            known = suggestion(name, ULIMITS) or f"there are: {', '.join(ULIMITS)}"
            raise ValueMistake(f"there is no limit {name}", known)
        if isinstance(content, Mapping):
            content = (content.get("soft"), content.get("hard", content.get("soft")))
        elif isinstance(content, str):
            content = tuple(
                int(part) if re.fullmatch(r"-?\d+", part) else None for part in content.split(":")
            )
        pair = (content,) if type(content) is int else content
        if not isinstance(pair, list | tuple) or not 1 <= len(pair) <= 2:
            raise ValueMistake(f"the value of {name}, {content!r}, is not a limit", hint)
        if any(type(number) is not int or not -1 <= number < _LIMIT for number in pair):
            raise ValueMistake(f"the value of {name}, {content!r}, is not a limit", hint)
        soft, hard = pair[0], pair[-1]
        if hard != -1 and (soft == -1 or soft > hard):
            raise ValueMistake(f"{name} has a soft limit of {soft} above the hard one, {hard}")
        found[name] = (soft, hard)
    return found


def _optional_s(given: Mapping[str, Any], name: str) -> float | None:
    if name not in given:
        return None
    try:
        return read_duration_s(given[name])
    except ValueMistake as mistake:
        raise ValueMistake(f"{name} {mistake}", mistake.hint) from None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
