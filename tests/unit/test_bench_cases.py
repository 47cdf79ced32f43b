"""The cases of an experiment: which there are, what they are called, in which order they run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.experiment.cases import (
    Case,
    baseline_for,
    expand_cases,
    parse_vary,
    random_order,
)

WORDS = st.text("abcdefghij0123456789", min_size=1, max_size=6)
VARY = st.dictionaries(WORDS, st.lists(WORDS, min_size=1, max_size=4, unique=True), max_size=3)


def test_every_combination_is_a_case() -> None:
    cases = expand_cases({"vnf": "drop"}, {"dataplane": ["kernel", "xdp"], "length": ["1", "2"]})

    assert [case.name for case in cases] == [
        "dataplane=kernel,length=1",
        "dataplane=kernel,length=2",
        "dataplane=xdp,length=1",
        "dataplane=xdp,length=2",
    ]
    assert cases[3].settings == {"vnf": "drop", "dataplane": "xdp", "length": "2"}


@pytest.mark.parametrize(
    ("settings", "name"), [({}, "default"), ({"dataplane": "xdp"}, "dataplane=xdp")]
)
def test_nothing_to_vary_is_one_case(settings: dict[str, str], name: str) -> None:
    assert expand_cases(settings, {}) == [Case(name, settings)]


@given(VARY)
def test_as_many_cases_as_combinations_and_all_different(vary: dict[str, list[str]]) -> None:
    cases = expand_cases({}, vary)
    expected = 1
    for values in vary.values():
        expected *= len(values)
    assert len({case.name for case in cases}) == len(cases) == expected


@given(VARY, st.integers())
def test_the_order_loses_no_case_and_hangs_on_the_seed_alone(
    vary: dict[str, list[str]], seed: int
) -> None:
    cases = expand_cases({}, vary)
    order = random_order(cases, seed)
    assert sorted(case.name for case in order) == sorted(case.name for case in cases)
    assert order == random_order(cases, seed)


def test_some_seeds_give_different_orders() -> None:
    cases = expand_cases({}, {"dataplane": ["none", "kernel", "xdp"]})
    orders = {tuple(case.name for case in random_order(cases, seed)) for seed in range(50)}
    assert len(orders) == 6


def test_vary_options_are_read_in_the_order_written() -> None:
    vary = parse_vary(["dataplane=none, kernel,xdp", "length=1"])
    assert list(vary.items()) == [("dataplane", ["none", "kernel", "xdp"]), ("length", ["1"])]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["dataplane"], "KEY=VALUE"),
        (["=xdp"], "KEY=VALUE"),
        (["dataplane="], "a value is missing"),
        (["dataplane=xdp,"], "a value is missing"),
        (["dataplane=xdp,xdp"], "'xdp' is given more than once"),
        (["dataplane=xdp", "dataplane=kernel"], "'dataplane' is varied twice"),
    ],
)
def test_wrong_vary_options_are_explained(options: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_vary(options)
    assert caught.value.where.startswith("--vary")
    assert caught.value.hint


def test_a_setting_cannot_be_fixed_and_varied() -> None:
    with pytest.raises(UsageError, match="both fixed and varied"):
        expand_cases({"length": "3"}, {"length": ["1", "2"]})


def test_the_baseline_differs_only_in_having_no_vnf() -> None:
    cases = expand_cases({}, {"dataplane": ["none", "xdp"], "length": ["1", "2"]})
    by_name = {case.name: case for case in cases}

    baseline = baseline_for(by_name["dataplane=xdp,length=2"], cases)

    assert baseline is by_name["dataplane=none,length=2"]
    assert baseline_for(baseline, cases) is None
    assert baseline_for(Case("dataplane=xdp", {"dataplane": "xdp"}), cases) is None
