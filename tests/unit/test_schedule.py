"""Schedules: how links change while a lab runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import TopologyError, UsageError
from emulator.plan.compile import compile_plan
from emulator.plan.model import Plan, StepPlan
from emulator.plan.schedules import LinkNames
from emulator.schedule import read_schedule
from emulator.topo import Topo
from tests.strategies import impairments, scraps

H1, H2 = "h1-eth0<->s1-eth1", "h2-eth0<->s1-eth2"


def topo_of(**options: Any) -> Topo:
    topo = Topo()
    topo.addSwitch("s1")
    for name in ("h1", "h2"):
        topo.addLink(topo.addHost(name), "s1", **options)
    topo.addLinkSet("both", ["h1-s1", "h2-s1"])
    return topo


def plan_of(*entries: tuple[str, Any, dict[str, Any]], **options: Any) -> Plan:
    topo = topo_of(**options)
    for time, links, change in entries:
        topo.at(time, links, **change)
    return compile_plan(topo)


def mistakes(*entries: tuple[str, Any, dict[str, Any]], **options: Any) -> list[str]:
    with pytest.raises(TopologyError) as error:
        plan_of(*entries, **options)
    return [problem.message for problem in error.value.problems]


def shown(steps: tuple[StepPlan, ...]) -> list[tuple[float, dict[str, Any]]]:
    """Time in seconds, and by link its state, or what it does to frames on the way up."""
    return [
        (
            step.at_ns / 1e9,
            {
                change.link: change.state
                or (change.up and change.up.model_dump(exclude_defaults=True, exclude={"seed"}))
                for change in step.changes
            },
        )
        for step in plan_steps(steps)
    ]


def plan_steps(steps: tuple[StepPlan, ...]) -> tuple[StepPlan, ...]:
    assert [step.at_ns for step in steps] == sorted({step.at_ns for step in steps})
    return steps


def test_settings_change_at_their_time_and_the_others_stay() -> None:
    plan = plan_of(
        ("20s", "h1-s1", {"loss": None}),
        ("10s", "h1-s1", {"loss": "5%"}),
        delay="10ms",
    )
    assert shown(plan.schedule) == [
        (10, {H1: {"delay_ns": 10_000_000, "loss": 0.05}}),
        (20, {H1: {"delay_ns": 10_000_000}}),
    ]


def test_the_links_of_a_set_change_in_step() -> None:
    plan = plan_of(("10s", "both", {"delay": "5ms"}), ("10s", "h2-s1", {"state": "down"}))
    (step,) = plan.schedule
    assert [change.link for change in step.changes] == [H1, H2]
    assert [change.state for change in step.changes] == [None, "down"]
    assert all(change.up is not None for change in step.changes)


def test_a_link_that_is_impaired_later_is_a_wire_from_the_start() -> None:
    plan = plan_of(("10s", "h1-s1", {"loss": 5}), ("10s", "h2-s1", {"state": "down"}))
    assert [link.mechanism for link in plan.links] == ["wire", "none"]
    assert [link.up is not None and link.up.impairs for link in plan.links] == [False, False]
    assert not plan.interface(plan.links[0].a).segment_offload
    # It is what it would have been had it been written with the link.
    assert plan.schedule[0].changes[0].up == plan_of(loss=5).links[0].up


def test_a_ramp_goes_from_one_value_to_the_other_in_even_steps() -> None:
    entry = ("10s", "h1-s1", {"delay": "20ms", "rate": "2mbit", "over": "2s", "steps": 4})
    plan = plan_of(entry, delay="10ms", rate="1mbit")
    ups = [(step.at_ns, step.changes[0].up) for step in plan.schedule]
    assert [(at_ns / 1e9, up and (up.delay_ns, up.rate_bps)) for at_ns, up in ups] == [
        (10.5, (12_500_000, 1_250_000)),
        (11, (15_000_000, 1_500_000)),
        (11.5, (17_500_000, 1_750_000)),
        (12, (20_000_000, 2_000_000)),
    ]
    # Without a number of steps it takes one every 100 ms.
    smooth = plan_of(("0s", "h1-s1", {"delay": "20ms", "over": "1s"}))
    assert len(smooth.schedule) == 10


def test_a_link_that_flaps() -> None:
    plan = plan_of(("1s", "h1-s1", {"flap": {"down": "200ms", "every": "1s", "times": 2}}))
    assert shown(plan.schedule) == [
        (1, {H1: "down"}),
        (1.2, {H1: "up"}),
        (2, {H1: "down"}),
        (2.2, {H1: "up"}),
    ]
    assert len(plan_of(("1s", "h1-s1", {"flap": {"down": "1s"}})).schedule) == 2


def test_directions_change_each_for_itself() -> None:
    plan = plan_of(("1s", "h1-s1", {"up": {"loss": "5%"}}), loss=1)
    (change,) = plan.schedule[0].changes
    assert change.up is not None
    assert change.up.loss == 0.05
    assert change.down is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("10", "h1-s1", {"loss": 5}), "at: 10 has no unit"),
        (("-1s", "h1-s1", {"loss": 5}), "at: -1s is negative"),
        (("1s", "h3-s1", {"loss": 5}), "there is no link h3-s1"),
        (("1s", "h1-h2", {"loss": 5}), "there is no link h1-h2"),
        (("1s", 5, {"loss": 5}), "5 is not the name of a link"),
        (("1s", None, {"loss": 5}), "it names no links"),
        (("1s", "h1-s1", {}), "it changes nothing"),
        (("1s", "h1-s1", {"loss": 5, "state": "down"}), "it changes more than one thing"),
        (("1s", "h1-s1", {"state": "broken"}), "state: broken is not up or down"),
        (("1s", "h1-s1", {"loss": 500}), "loss: 500 is more than 100 %"),
        (("1s", "h1-s1", {"jitter": "5ms"}), "a jitter of 5 ms is more than the delay of 0 ms"),
        (("1s", "h1-s1", {"state": "up", "over": "1s"}), "only settings can change gradually"),
        (("1s", "h1-s1", {"loss": 5, "steps": 3}), "steps does nothing without over"),
        (
            ("1s", "h1-s1", {"rate": "1mbit", "over": "1s"}),
            "there is no rate to begin with",
        ),
        (("1s", "h1-s1", {"drop": [5], "over": "1s"}), "drop cannot change gradually"),
        (
            ("1s", "h1-s1", {"flap": {"down": "2s", "every": "1s", "times": 2}}),
            "flap: the link has to be up again before it goes down once more",
        ),
        (
            ("1s", "both", {"loss": 5, "over": "1s", "steps": 60_000}),
            "120000 changes of links are more than the 100000 there can be",
        ),
    ],
)
def test_what_is_refused(entry: tuple[str, Any, dict[str, Any]], message: str) -> None:
    assert message in mistakes(entry)


def test_what_changes_a_link_is_over_before_the_next_begins() -> None:
    (message,) = mistakes(
        ("1s", "h1-s1", {"delay": "5ms", "over": "5s"}), ("2s", "both", {"loss": 1})
    )
    assert message.endswith(f"still changes {H1} at 2s")
    # One that takes it down does not change the same.
    assert plan_of(
        ("1s", "h1-s1", {"delay": "5ms", "over": "5s"}), ("2s", "both", {"state": "down"})
    ).schedule


def test_links_are_found_by_their_nodes_whatever_these_are_called() -> None:
    names = LinkNames([("one", "a-b", "c"), ("two", "a", "d"), ("three", "d", "a")])
    assert names.find("a-b-c") == names.find("c-a-b") == names.find(("c", "a-b")) == ["one"]
    assert names.find("a-d") == ["two", "three"]
    assert names.find("two") == ["two"]
    both = LinkNames([("one", "a-b", "c"), ("two", "a", "b-c")])
    with pytest.raises(ValueError, match="may be more than one link"):
        both.find("a-b-c")


def test_a_link_that_was_taken_from_a_running_lab_is_forgotten() -> None:
    topo = topo_of()
    topo.at("10s", "both", loss=5)
    before = compile_plan(topo)
    topo.removeNode("h2")
    after = compile_plan(topo, previous=before)
    assert [change.link for change in after.schedule[0].changes] == [H1]
    with pytest.raises(TopologyError, match="there is no link h2-s1"):
        compile_plan(topo)


@given(st.lists(st.tuples(st.integers(0, 100), impairments), max_size=5))
def test_a_schedule_goes_to_json_and_back(changes: list[tuple[int, dict[str, Any]]]) -> None:
    topo = topo_of()
    for at_s, change in changes:
        topo.at(f"{at_s}s", "h1-s1", **change)
    try:
        plan = compile_plan(topo)
    except TopologyError:
        return
    assert Plan.from_json(plan.to_json()) == plan
    plan_steps(plan.schedule)


@given(
    st.dictionaries(
        st.sampled_from(["at", "links", "over", "steps", "state", "flap", "loss", "x", "up"]),
        st.one_of(scraps, st.sampled_from(["1s", "h1-s1", "down", "both"])),
    )
)
def test_whatever_is_written_gives_a_plan_or_its_mistakes(values: dict[str, Any]) -> None:
    topo = topo_of()
    topo.at(values.pop("at", "1s"), values.pop("links", "h1-s1"), **values)
    try:
        plan = compile_plan(topo)
    except TopologyError:
        return
    assert plan.schedule or not values.get("links")


# -- files ---------------------------------------------------------------------------------------

GOOD = """\
sets:
  uplinks: [h1-s1, h2-s1]
schedule:
  - {at: 1s, links: uplinks, delay: 20ms, up: {loss: 5%}}
  - at: 2s
    links: [h1-s1]
    state: down
"""


def test_a_schedule_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "storm.yaml"
    path.write_text(GOOD)
    topo = topo_of()
    topo.addSchedule(path)
    plan = compile_plan(topo)
    assert shown(plan.schedule) == [
        (
            1,
            {
                H1: {"delay_ns": 20_000_000, "loss": 0.05},
                H2: {"delay_ns": 20_000_000, "loss": 0.05},
            },
        ),
        (2, {H1: "down"}),
    ]


def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "storm.yaml"
    path.write_text("- {at: 1s, links: both, loss: 5%}\n\n- {at: 2s, links: both, loss: 500%}\n")
    topo = topo_of()
    topo.addSchedule(path)
    with pytest.raises(TopologyError) as error:
        compile_plan(topo)
    assert {problem.where for problem in error.value.problems} == {
        f"storm.yaml:3: schedule entry 2: link {name} - s1" for name in ("h1", "h2")
    }


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "storm.yaml"
    path.write_text(GOOD.replace("uplinks", "both"))
    topo = topo_of()
    topo.addSchedule(path)
    topo.addLinkSet("a b", [])
    with pytest.raises(TopologyError) as error:
        compile_plan(topo)
    assert {problem.message for problem in error.value.problems} == {
        "that is no usable name",
        "the name is already that of another set",
    }


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        (None, "x.yaml", "cannot be read: No such file or directory"),
        ("", "x.yaml", "there is no list of entries"),
        ("a: [", "x.yaml:1", "is not YAML"),
        ("\n\tx", "x.yaml:2", "is not YAML"),
        ("- 3", "x.yaml:1", "this is no entry"),
        ("entries: []", "x.yaml:1", "there is no key entries"),
        ("sets: 3", "x.yaml:1", "sets is not a mapping"),
        ("- {at: 2024-13-40, links: h1-s1}", "x.yaml", "is not YAML: month must be in 1..12"),
        ("- !!python/object:os.system {}", "x.yaml:1", "is not YAML: could not determine"),
        ("[" * 5000, "x.yaml", "is nested too deeply"),
        ("\0", "x.yaml", "is not YAML"),
    ],
)
def test_what_is_no_schedule(tmp_path: Path, text: str | None, where: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_schedule(path)
    assert error.value.where == str(tmp_path / where)
    assert error.value.message.startswith(message)
