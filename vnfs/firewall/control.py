"""The firewall's rules: text in, entries of the setting ``rules`` out."""

from __future__ import annotations

import struct

from emulator.control import ParameterError, PortInfo, TableContent
from emulator.match import EXAMPLES, Match, parse_match, parse_matches, split_items

_MOST = 64
_DENIES, _ALLOWS, _IS_POLICY = 0, 1, 2
_VERDICTS = {"allow": _ALLOWS, "deny": _DENIES}
_HINT = f"begin a rule with allow or deny: allow {EXAMPLES.split(';')[0]}; deny icmp"


def control(parameters: dict[str, str], ports: tuple[PortInfo, ...]) -> TableContent:
    """First ``rules`` as they stand, then ``deny``, then ``allow``, then the policy."""
    rules = [_rule(item) for item in split_items(parameters["rules"])]
    for name, says in (("deny", _DENIES), ("allow", _ALLOWS)):
        rules += [(match, says) for match in parse_matches(parameters[name], parameter=name)]
    if len(rules) > _MOST:
        longest = max(("rules", "deny", "allow"), key=lambda name: len(parameters[name]))
        raise ParameterError(
            longest,
            f"{len(rules)} rules and matches are more than there is room for, {_MOST}",
            "write networks and ranges in place of single addresses and ports",
        )
    rules.append((Match(), _IS_POLICY | _VERDICTS[parameters["policy"]]))
    return TableContent(
        settings={"rules": [match.pack() + struct.pack("=Q", says) for match, says in rules]}
    )


def _rule(text: str) -> tuple[Match, int]:
    verdict, _, match = text.partition(" ")
    if verdict not in _VERDICTS:
        raise ParameterError("rules", f"in {text!r}: {verdict} is no verdict", _HINT)
    return parse_match(match, parameter="rules"), _VERDICTS[verdict]
