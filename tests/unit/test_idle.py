"""The idle policy of data planes that poll."""

from __future__ import annotations

import pytest

from emulator.idle import DEFAULT, IdleMistake, IdlePolicy, parse_idle


@pytest.mark.parametrize(
    ("text", "policy", "option"),
    [
        ("poll", IdlePolicy("poll"), "poll"),
        ("yield", IdlePolicy("yield"), "yield"),
        ("wait", IdlePolicy("wait"), "wait"),
        ("sleep:50us", IdlePolicy("sleep", 0, 50_000), "sleep=50000"),
        ("spin:20us,wait", IdlePolicy("wait", 20_000), "spin=20000,wait"),
        ("spin:1.5ms,yield", IdlePolicy("yield", 1_500_000), "spin=1500000,yield"),
        ("spin:1us,sleep:2ms", IdlePolicy("sleep", 1_000, 2_000_000), "spin=1000,sleep=2000000"),
    ],
)
def test_what_a_policy_means(text: str, policy: IdlePolicy, option: str) -> None:
    assert parse_idle(text) == policy
    assert policy.option == option
    assert parse_idle(str(policy)) == policy


def test_the_default_is_one_of_them() -> None:
    assert str(parse_idle(DEFAULT)) == DEFAULT


# fmt: off
NO_POLICIES = (
    "", "spin", "spin:20us", "spin:20us,", "spin:20us,poll", "poll,wait", "sleep", "sleep:0us",
    "sleep:2s", "spin:20,wait", "spin:20us,spin:1us,wait", "burn", None, 5,
)
# fmt: on


@pytest.mark.parametrize("text", NO_POLICIES)
def test_what_is_no_policy_is_refused_with_what_would_be(text: object) -> None:
    with pytest.raises(IdleMistake) as caught:
        parse_idle(text)
    assert "spin:20us,wait" in caught.value.hint
