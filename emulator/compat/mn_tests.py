"""The tests of ``mn --test``: by name, with arguments, and with a verdict."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.compat.mininet.net import Mininet
from emulator.compat.mininet.util import splitArgs
from emulator.compat.traffic import Lost
from emulator.errors import UsageError
from emulator.names import choice_hint


@dataclass(frozen=True)
class Test:
    """One test with its arguments.

    Attributes:
        name: as the user called it.
        idle: whether it only builds the network.
    """

    name: str
    function: Callable[..., object]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    idle: bool = False

    def run(self, net: Mininet) -> bool:
        """Carries it out; whether it is good."""
        return _is_good(self.function(net, *self.arguments, **self.named))


def read_tests(texts: Sequence[str], own: Mapping[str, Callable[..., Any]]) -> list[Test]:
    """The tests that options name.

    Args:
        texts: each a test with its arguments, or several joined by ``+``: ``iperf,seconds=2``.
            Names of tests may be joined by commas as well.
        own: tests of the user's own, by name.

    Raises:
        UsageError: there is no such test, or it does not take the arguments.
    """
    return [
        _read(words, own)
        for text in texts
        for part in text.split("+")
        for words in _apart(part.split(","), own)
    ]


def _apart(words: list[str], own: Mapping[str, Any]) -> Iterator[str]:
    """``pingall,iperf,seconds=2`` in its tests."""
    begun = words[:1]
    for word in words[1:]:
        if word in own or word.lower() in TESTS:
            yield ",".join(begun)
            begun = []
        begun.append(word)
    yield ",".join(begun)


def _read(text: str, own: Mapping[str, Callable[..., Any]]) -> Test:
    name, arguments, named = splitArgs(text)
    function = own.get(name) or TESTS.get(name.lower()) or _method(name)
    if function is None:
        known = sorted({*own, *TESTS})
        raise UsageError(f"there is no test {name}", where="--test", hint=choice_hint(name, known))
    try:
        inspect.signature(function).bind(None, *arguments, **named)
    except TypeError as error:
        raise UsageError(f"{name}: {error}", where=f"--test {text}") from error
    return Test(name, function, tuple(arguments), named, idle=function is _nothing)


def _method(name: str) -> Callable[..., object] | None:
    """What Mininet's network does under that name; any of its methods is a test."""
    method = None if name.startswith("_") else getattr(Mininet, name, None)
    return method if inspect.isfunction(method) else None


def _is_good(result: object) -> bool:
    """Whether what a test returned says that all is well.

    A test that says nothing is good unless it raises an error. A number is what it has measured,
    and bad only if it is how many pings of ours were lost.
    """
    if isinstance(result, Lost):
        return not result
    return result is not False


def _full_pings(method: Callable[..., list[Any]]) -> Callable[..., object]:
    def test(net: Mininet, *args: Any, **kwargs: Any) -> bool:
        found = method(net, *args, **kwargs)
        return all(received == sent for _, _, (sent, received, *_) in found)

    test.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return test


def _nothing(net: Mininet) -> None:
    """Nothing: the network comes and goes."""


def _iperf_udp(net: Mininet, hosts: Any = None, **options: Any) -> object:
    return net.iperf(hosts, l4Type="UDP", **options)


def _all(net: Mininet) -> object:
    lost = net.ping()
    net.iperf()
    return lost


TESTS: dict[str, Callable[..., object]] = {
    "pingall": Mininet.pingAll,
    "pingpair": Mininet.pingPair,
    "ping": Mininet.ping,
    "pingallfull": _full_pings(Mininet.pingAllFull),
    "pingpairfull": _full_pings(Mininet.pingPairFull),
    "pingfull": _full_pings(Mininet.pingFull),
    "iperf": Mininet.iperf,
    "iperfudp": _iperf_udp,
    "all": _all,
    "none": _nothing,
    "build": _nothing,
}
"""The tests by name, in lower case."""
