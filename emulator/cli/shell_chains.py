"""The command about chains: which traffic passes which VNFs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emulator.cli import shell_format
from emulator.cli.shell_registry import CHANGE, command, read_words
from emulator.errors import UsageError
from emulator.names import choice_hint
from emulator.written_chains import CHANGEABLE

if TYPE_CHECKING:
    from emulator.chains.chain import Chain
    from emulator.cli.shell import Shell
    from emulator.plan.model import Plan

CHAIN_WORDS = ("add", "set", "remove")
"""What can be done to a chain."""
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_USAGE = "[add|set|remove] [NAME] [SRC DST] [SETTING=VALUE...]"


@command("chain", _USAGE, "chain", "chained", "chaining...", group=CHANGE)
def _chain(shell: Shell, text: str) -> None:
    """Steer traffic through VNFs: chain add c1 h1 h2 via=fw,nc match="udp dport 9999"

    Alone it lists the chains; chain c1 shows what each leg of one has steered. chain set c1
    via=nc changes what is named while frames pass, and keeps the rest; via= with nothing behind
    it lets the traffic take its usual way. Settings are via, match, both_ways=yes|no, src and dst.
    chain remove c1 takes it away.
    """
    words = read_words("chain", text, *range(100))
    if not words:
        shell.print(chains_table(shell.net.chains))
    elif words[0] not in CHAIN_WORDS:
        _show(shell, words)
    elif words[0] == "add":
        _add(shell, words[1:])
    elif words[0] == "set":
        _need(words[1:], 2, "chain set c1 via=fw,nc")
        shell.net.setChain(words[1], **chain_settings(words[2:]))
    else:
        _need(words[1:], 1, "chain remove c1")
        _need_no_more(words[2:])
        shell.net.removeChain(words[1])


def _show(shell: Shell, words: Sequence[str]) -> None:
    known = [chain.name for chain in shell.net.chains]
    if words[0] not in known:
        hint = choice_hint(words[0], known) if known else "chain add makes one"
        raise UsageError(f"there is no chain {words[0]}", where="chain", hint=hint)
    _need_no_more(words[1:])
    chain = shell.net.chain(words[0])
    shell.print(chains_table([chain]))
    if chain.plan.forward:
        shell.print(counters_table(chain))


def _add(shell: Shell, words: Sequence[str]) -> None:
    ends = [word for word in words[:3] if "=" not in word]
    example = 'chain add c1 h1 h2 via=fw,nc match="udp dport 9999"'
    _need(ends, 3, example)
    settings = chain_settings(words[3:])
    for name in ("src", "dst"):
        if name in settings:
            raise UsageError(f"{name} is given twice", where="chain add", hint=example)
    name, src, dst = ends
    shell.net.addChain(name, src, dst, **settings)


def _need(words: Sequence[str], count: int, example: str) -> None:
    if len(words) < count:
        raise UsageError("arguments are missing", where="chain", hint=f"for example: {example}")


def _need_no_more(words: Sequence[str]) -> None:
    if words:
        raise UsageError(f"{words[0]} means nothing here", where="chain", hint="see help chain")


def chain_settings(words: Iterable[str]) -> dict[str, Any]:
    """Settings of a chain as they are written: ``via=fw,nc``, ``match=udp dport 9999``.

    Raises:
        UsageError: a word is no setting, or says what another one has said.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            hint = 'write NAME=VALUE: via=fw,nc match="udp dport 9999"'
            raise UsageError(f"{word!r} is no setting", where="chain", hint=hint)
        if name not in CHANGEABLE:
            hint = choice_hint(name, CHANGEABLE)
            raise UsageError(f"a chain has no {name}", where="chain", hint=hint)
        if name in found:
            raise UsageError(f"{name} is given twice", where="chain")
        found[name] = _read(name, value)
    return found


def _read(name: str, value: str) -> Any:
    if name == "via":
        return [each for each in value.split(",") if each]
    if name != "both_ways":
        return value
    if value not in (*_YES, *_NO):
        raise UsageError(f"both_ways is yes or no, not {value!r}", where="chain")
    return value in _YES


def chains_table(chains: Sequence[Chain]) -> str:
    """A line for each chain."""
    if not chains:
        return "this lab has no chains"
    rows: list[Sequence[object]] = [("chain", "way", "match", "both ways")]
    for chain in chains:
        way = " - ".join((chain.src, *chain.via, chain.dst))
        rows.append((chain.name, way, chain.match, "yes" if chain.plan.both_ways else "no"))
    return shell_format.aligned(rows)


def counters_table(chain: Chain) -> str:
    """A line for each leg of a chain, with what it has steered."""
    rows: list[Sequence[object]] = [("leg", "direction", "packets", "bytes")]
    for leg in chain.counters():
        counted = [("-" if each is None else each) for each in (leg.packets, leg.bytes)]
        rows.append((f"{leg.start} - {leg.end}", leg.direction, *counted))
    return shell_format.aligned(rows)


def chain_options(kind: str, words: Sequence[str], plan: Plan) -> list[str]:
    """What could stand where the cursor is.

    Args:
        kind: that of the argument, as the command gives it.
        words: those before it, the command included.
        plan: that of the lab.
    """
    chains = [chain.name for chain in plan.chains]
    if kind == "chain":
        return [*CHAIN_WORDS, *chains]
    if kind == "chained":
        return chains if words[1] in ("set", "remove") else []
    if words[1] == "add" and len(words) < 5:
        return [node.name for node in plan.nodes if node.kind in ("host", "router", "vnf")]
    given = {word.partition("=")[0] for word in words}
    names = CHANGEABLE if words[1] == "set" else ("via", "match", "both_ways")
    return [f"{name}=" for name in names if words[1] != "remove" and name not in given]
