"""What users write about impaired links, and what a plan makes of it."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.catalog import Catalog
from emulator.errors import TopologyError, UsageError
from emulator.plan.compile import compile_plan
from emulator.plan.difference import Difference
from emulator.plan.impairment_files import TABLE_ENTRIES, read_distribution
from emulator.plan.impairments import changed_link
from emulator.plan.model import ImpairmentPlan, LinkPlan, Plan
from emulator.plan.quantities import QuantityMistake
from emulator.topo import Topo
from tests.strategies import impairments, scraps


def topo_of(**options: Any) -> Topo:
    topo = Topo()
    topo.addHost("h1")
    topo.addSwitch("s1")
    topo.addLink("h1", "s1", **options)
    return topo


def plan_of(**options: Any) -> Plan:
    return compile_plan(topo_of(**options))


def link_of(**options: Any) -> LinkPlan:
    return plan_of(**options).links[0]


def up_of(**options: Any) -> ImpairmentPlan:
    plan = link_of(**options).up
    assert plan is not None
    return plan


def mistakes(**options: Any) -> list[str]:
    with pytest.raises(TopologyError) as error:
        plan_of(**options)
    assert all("link h1 - s1" in problem.where for problem in error.value.problems)
    return [problem.message for problem in error.value.problems]


def without_seed(plan: ImpairmentPlan | None) -> dict[str, Any]:
    assert plan is not None
    return plan.model_dump(exclude_defaults=True, exclude={"seed"})


# -- what is nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delay": "0ms", "loss": 0, "bw": None, "jitter": None, "use_htb": True},
        {"mechanism": "none"},
        {"mechanism": "auto", "seed": 7, "distribution": "normal"},
        {"drop": [], "duplicate": "0%", "enable_ecn": False, "latency_ms": None},
        {"up": {}, "down": None},
    ],
)
def test_a_link_of_which_nothing_is_asked_is_plain(options: dict[str, Any]) -> None:
    link = link_of(**options)
    assert (link.mechanism, link.up, link.down) == ("none", None, None)


def test_a_wire_that_does_nothing_yet_can_be_asked_for() -> None:
    link = link_of(mechanism="wire")
    assert link.mechanism == "wire"
    assert without_seed(link.up) == without_seed(link.down) == {}


# -- what options mean ---------------------------------------------------------------------------


def test_everything_is_read_into_si_units() -> None:
    assert without_seed(
        up_of(
            delay="5ms",
            jitter="1ms",
            distribution="normal",
            keep_order=False,
            loss="1%",
            drop=[12, 5, 9, 5],
            duplicate="0.1%",
            reorder="2%",
            corrupt="0.01%",
            rate="100mbit",
            burst="15KB",
            queue="100p, 50KB, 20ms",
            aqm="codel(target=2ms)",
            ecn=True,
        )
    ) == {
        "delay_ns": 5_000_000,
        "jitter_ns": 1_000_000,
        "distribution": "normal",
        "keep_order": False,
        "loss": 0.01,
        "drop": (5, 9, 12),
        "duplicate": 0.001,
        "reorder": 0.02,
        "corrupt": 0.0001,
        "rate_bps": 100_000_000,
        "burst_bytes": 15_000,
        "queue_packets": 100,
        "queue_bytes": 50_000,
        "queue_ns": 20_000_000,
        "aqm": "codel",
        "codel_target_ns": 2_000_000,
        "ecn": True,
    }


def test_mininet_s_spellings_mean_what_they_mean_there() -> None:
    link = link_of(bw=10, delay="5ms", jitter="1ms", loss=2, max_queue_size=100, use_htb=True)
    both = {
        "delay_ns": 5_000_000,
        "jitter_ns": 1_000_000,
        "loss": 0.02,
        "rate_bps": 10_000_000,
        "overhead_bytes": 0,
        "queue_packets": 100,
    }
    assert without_seed(link.up) == without_seed(link.down) == both
    assert up_of(bw=4000).rate_bps == 4_000_000_000
    assert up_of(bw=10, use_tbf=True, latency_ms=20).queue_ns == 20_000_000
    for options, ecn in (({"enable_red": True}, False), ({"enable_ecn": True}, True)):
        red = up_of(bw=10, **options)
        assert (red.aqm, red.ecn, red.red_min_bytes, red.red_max_bytes) == (
            "red",
            ecn,
            30_000,
            35_000,
        )
    # What a switch sends, which there is one whose name begins with s.
    link = link_of(bw=10, speedup=100)
    assert link.up is not None
    assert link.down is not None
    assert (link.up.rate_bps, link.down.rate_bps) == (10_000_000, 100_000_000)


def test_in_mininet_s_params_of_an_end_is_what_leaves_it() -> None:
    link = link_of(delay="5ms", params1={"bw": 5}, params2={"loss": 1, "ip": None})
    assert without_seed(link.up) == {
        "delay_ns": 5_000_000,
        "rate_bps": 5_000_000,
        "overhead_bytes": 0,
        "queue_packets": 1000,
    }
    assert without_seed(link.down) == {"delay_ns": 5_000_000, "loss": 0.01}
    assert mistakes(bw=10, params1={"bw": 5}) == [
        "bw is given for the link and for what leaves one end"
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"delay": ("5ms", "10ms"), "loss": (None, "1%"), "drop": ([1], [2, 3])},
        {
            "up": {"delay": "5ms", "drop": [1]},
            "down": {"delay": "10ms", "loss": "1%", "drop": [2, 3]},
        },
        {
            "delay": "5ms",
            "loss": "1%",
            "up": {"loss": None},
            "down": {"delay": "10ms"},
            "drop": [[1], [2, 3]],
        },
    ],
)
def test_each_direction_can_have_its_own(options: dict[str, Any]) -> None:
    link = link_of(**options)
    assert without_seed(link.up) == {"delay_ns": 5_000_000, "drop": (1,)}
    assert without_seed(link.down) == {"delay_ns": 10_000_000, "loss": 0.01, "drop": (2, 3)}


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("gemodel(p=1%, r=25%)", (0.01, 0.25, 1.0, 0.0)),
        ("gemodel(p=1%)", (0.01, 0.99, 1.0, 0.0)),
        ("GEModel( p = 1% , r=25%,h=10%, k=99%)", (0.01, 0.25, 0.9, pytest.approx(0.01))),
        ("gemodel(p=1%, r=25%, 1-h=90%, 1-k=1%)", (0.01, 0.25, 0.9, 0.01)),
    ],
)
def test_bursts_of_loss_in_netem_s_letters(text: str, model: tuple[float, ...]) -> None:
    assert up_of(loss_model=text, loss=0).gemodel == model


def test_a_rate_has_a_queue_that_ends() -> None:
    assert up_of(rate="1mbit").queue_packets == 1000
    limited = up_of(rate="1mbit", queue="20ms")
    assert (limited.queue_packets, limited.queue_ns) == (None, 20_000_000)
    # As on a line of Ethernet; Mininet's bw counts what the kernel counts.
    assert (up_of(rate="1mbit").overhead_bytes, up_of(bw=1).overhead_bytes) == (24, 0)
    assert up_of(bw=1, overhead=38).overhead_bytes == 38


# -- randomness ----------------------------------------------------------------------------------


def seeds(topo: Topo) -> list[int]:
    plans = [plan for link in compile_plan(topo).links for plan in (link.up, link.down)]
    return [plan.seed for plan in plans if plan is not None]


def test_directions_and_links_differ_and_are_the_same_each_time() -> None:
    def topo(**options: Any) -> Topo:
        topo = topo_of(loss=1, **options)
        topo.addLink("h1", "s1", loss=1, **options)
        return topo

    assert len(set(seeds(topo()))) == 4
    assert seeds(topo()) == seeds(topo())
    # One seed for all: the same on every link, but not in both directions.
    first, second, *others = seeds(topo(seed=7))
    assert first != second
    assert [first, second] == others
    assert seeds(topo(seed=8)) != seeds(topo(seed=7))
    assert seeds(topo(up={"seed": 7}, down={"seed": 7})) == seeds(topo(seed=7))


def test_a_link_that_is_added_changes_no_other_s_randomness() -> None:
    topo = topo_of(loss=1)
    before = seeds(topo)
    topo.addLink(topo.addHost("a0"), "s1", loss=1)
    assert seeds(topo)[:2] == before


# -- what cannot be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delay": "-5ms"}, "delay: -5ms is negative"),
        ({"loss": "101%"}, "loss: 101% is more than 100 %"),
        ({"rate": 0}, "rate: a rate of 0 lets nothing through"),
        ({"bw": 0}, "bw: a rate of 0 lets nothing through"),
        (
            {"rate": "1mbit", "burst": 1500},
            "a burst of 1500 bytes is less than the longest frame of 1538",
        ),
        (
            {"bw": 1, "burst": 2000, "mtu": 9000},
            "a burst of 2000 bytes is less than the longest frame of 9014",
        ),
        ({"delay": "1ms", "jitter": "2ms"}, "a jitter of 2 ms is more than the delay of 1 ms"),
        (
            {"delay": "1ms", "down": {"jitter": "2ms"}},
            "down: a jitter of 2 ms is more than the delay of 1 ms",
        ),
        ({"queue": "10p"}, "a queue does nothing without a rate, because nothing waits"),
        ({"rate": "1mbit", "queue": "0p"}, "queue: 0 is not a number of packets"),
        ({"rate": "1mbit", "queue": "10p,20p"}, "queue: 10p,20p gives the same limit twice"),
        ({"aqm": "red"}, "aqm=red does nothing without a rate, because nothing waits"),
        ({"rate": "1mbit", "bw": 1}, "rate and bw say the same"),
        (
            {"loss": 1, "loss_model": "gemodel(p=1%)"},
            "loss and loss_model both say what is lost",
        ),
        ({"loss_model": "gemodel(p=1%, q=3%)"}, "loss_model: gemodel has no q"),
        ({"drop": range(5000)}, "drop: 5000 frames to drop are too many"),
        ({"drop": [-1]}, "drop: -1 is not the number of a frame"),
        ({"delay": ["1ms"]}, "delay=['1ms'] has 1 values"),
        ({"up": "5ms"}, "up is 5ms"),
        ({"up": {"mechanism": "wire"}}, "a link has no setting mechanism"),
        ({"mechanism": "none", "loss": 1}, 'mechanism="none" and impairments exclude each other'),
        ({"seed": "x"}, "x is not a seed"),
        ({"delay": "5ms", "floor": "1ms"}, "floor: 1ms is no floor there is"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    assert mistakes(**options) == [message]


def test_a_floor_allows_more_jitter_than_delay() -> None:
    plan = up_of(delay="1ms", jitter="2ms", floor="0ms")
    assert (plan.jitter_ns, plan.floor_ns) == (2_000_000, 0)


def test_a_seed_cannot_be_had_of_netem_and_the_rest_can() -> None:
    link = link_of(mechanism="netem", delay="5ms", loss=1)
    assert link.mechanism == "netem"
    assert mistakes(mechanism="netem", delay="5ms", seed=7, drop=[3], jitter="1ms") == [
        "netem cannot drop frames by their number",
        "netem cannot keep the order of frames with jitter",
        "netem cannot repeat what it did by a seed",
    ]


@given(st.dictionaries(st.sampled_from(["up", "down", "delay", "drop", "aqm", "seed"]), scraps))
def test_whatever_is_written_gives_a_plan_or_its_mistakes(options: dict[str, Any]) -> None:
    try:
        plan = plan_of(**options)
    except TopologyError:
        return
    assert Plan.from_json(plan.to_json()) == plan


@given(impairments)
def test_what_is_right_gives_a_wire(options: dict[str, Any]) -> None:
    plan = plan_of(**options)
    assert Plan.from_json(plan.to_json()) == plan
    for direction in (plan.links[0].up, plan.links[0].down):
        assert direction is None or direction.jitter_ns <= direction.delay_ns


# -- files ---------------------------------------------------------------------------------------


def moments(quantiles: tuple[float, ...]) -> tuple[float, float]:
    """Mean and standard deviation of what is even between quantiles, by many small steps."""
    points = [a + (b - a) * (k + 0.5) / 20 for a, b in pairwise(quantiles) for k in range(20)]
    mean = math.fsum(points) / len(points)
    return mean, math.sqrt(math.fsum((point - mean) ** 2 for point in points) / len(points))


@pytest.mark.parametrize("count", [2, 3, 100, TABLE_ENTRIES, 3 * TABLE_ENTRIES + 1])
def test_samples_become_quantiles_around_0(tmp_path: Path, count: int) -> None:
    path = tmp_path / "delays.txt"
    numbers = [3 + (k * 7919 % count) ** 2 / count for k in range(count)]
    path.write_text("# in ms\n" + "\n".join(map(str, numbers)) + " # the last\n")
    quantiles = read_distribution(path, "delays.txt")
    assert len(quantiles) == min(count, TABLE_ENTRIES)
    assert list(quantiles) == sorted(quantiles)
    mean, deviation = moments(quantiles)
    assert mean == pytest.approx(0, abs=1e-6)
    assert deviation == pytest.approx(1, rel=2e-3)


def test_a_table_of_netem_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "two.dist"
    path.write_text("# this is netem's\n -8192 0 4096\n 16384\n")
    assert read_distribution(path, "two.dist") == (-1.0, 0.0, 0.5, 2.0)


def test_files_are_looked_for_beside_the_topology(tmp_path: Path) -> None:
    (tmp_path / "mine.dist").write_text("-8192 8192")
    (tmp_path / "mine.trace").write_text("1\n2\n5\n")
    script = tmp_path / "topo.py"
    script.write_text(
        "from emulator import Topo\n"
        "class T(Topo):\n"
        "    def build(self, **options):\n"
        "        self.addHost('h1'), self.addHost('h2')\n"
        "        self.addLink('h1', 'h2', delay='5ms', jitter='1ms', distribution='mine.dist',\n"
        "                     trace='mine.trace', queue='50p', **options)\n"
    )
    from emulator.topofile import load_topology

    up = compile_plan(load_topology(str(script), {})).links[0].up
    assert up is not None
    assert up.table == (-1.0, 1.0)
    assert up.trace == str(tmp_path / "mine.trace")
    assert up.trace_sets == ("rate",)
    with pytest.raises(TopologyError, match="rate is given, and the trace says it as well"):
        compile_plan(load_topology(str(script), {"rate": "1mbit"}))
    (tmp_path / "mine.trace").write_text("5\n2\n")
    with pytest.raises(TopologyError, match=r"mine.trace:2: the trace goes back from 5 to 2 ms"):
        compile_plan(load_topology(str(script), {}))


def test_a_trace_says_what_nothing_else_may_say(tmp_path: Path) -> None:
    path = tmp_path / "ride.csv"
    path.write_text("time,rate,delay,loss\n0s,10mbit,40ms,1%\n5s,20mbit,30ms,2%\n10s,,,\n")
    plan = up_of(trace=str(path))
    assert plan.trace_sets == ("rate", "delay", "loss")
    assert plan.queue_packets == 1000
    given = {"rate": "1mbit", "delay": "1ms", "loss": 1, "burst": "15KB"}
    assert mistakes(trace=str(path), **given) == [
        "rate is given, and the trace says it as well",
        "delay is given, and the trace says it as well",
        "loss is given, and the trace says it as well",
        "a trace that says the rate has no burst",
    ]
    assert changed(plan_of(trace=str(path)), trace="none").trace_sets == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.dist", None, "cannot be read: No such file"),
        ("x.dist", "", "has no number"),
        ("x.dist", "5", "has 1 number"),
        ("x.dist", "5 six", "has 'six' in line 1"),
        ("x.txt", "1 nan", "has 'nan' in line 1"),
        ("x.txt", "3 3 3", "has no spread"),
        ("x\0", None, "no path of a file"),
    ],
)
def test_what_is_no_distribution(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(QuantityMistake) as mistake:
        read_distribution(tmp_path / name, name)
    assert message in str(mistake.value)


# -- the rest of the plan ------------------------------------------------------------------------


def test_at_an_impaired_link_each_frame_is_one_of_its_own() -> None:
    topo = topo_of(delay="1ms")
    topo.addLink(topo.addHost("h2"), "s1")
    plan = compile_plan(topo)
    impaired, plain = ([plan.interface(end) for end in (link.a, link.b)] for link in plan.links)
    assert [interface.segment_offload for interface in impaired] == [False, False]
    assert [interface.segment_offload for interface in plain] == [True, True]
    assert all(interface.frame_offload for interface in (*impaired, *plain))


def test_the_far_end_of_an_impaired_link_runs_no_xdp() -> None:
    def ends(**options: Any) -> list[tuple[bool, bool, bool]]:
        topo = Topo()
        topo.addVNF("fw", "forward", dataplane="xdp")
        for name in ("h1", "h2"):
            topo.addLink(topo.addHost(name), "fw", **options)
        plan = compile_plan(topo, catalog=Catalog.load())
        return [
            (interface.receive_napi, interface.frame_offload, interface.segment_offload)
            for interface in (plan.interface(plan.links[0].a), plan.interface(plan.links[0].b))
        ]

    assert ends() == [(True, False, False), (False, True, True)]
    assert ends(delay="1ms") == [(False, False, False), (False, True, False)]


def test_a_change_of_impairments_moves_no_link() -> None:
    before, after = plan_of(delay="1ms"), plan_of(delay="2ms", loss=1)
    change = Difference.between(before, after)
    assert change.links_changed == after.links
    assert (change.links_gone, change.links_new, change.nodes_changed) == ((), (), ())
    assert Difference.between(before, plan_of(delay="1ms")).links_changed == ()
    moved = Difference.between(before, plan_of())
    assert (moved.links_gone, len(moved.links_new), moved.links_changed) == (before.links, 1, ())


# -- a running link ------------------------------------------------------------------------------


def changed(plan: Plan, **settings: Any) -> ImpairmentPlan:
    link = changed_link(plan, plan.links[0], settings)
    assert link.mechanism == "wire"
    assert link.up is not None
    return link.up


def test_a_change_leaves_the_other_settings_as_they_are() -> None:
    plan = plan_of(delay="10ms", loss=1, bw=10, seed=7)
    before = plan.links[0].up
    assert before is not None
    assert changed(plan, delay="20ms") == before.model_copy(update={"delay_ns": 20_000_000})
    assert changed(plan, loss="none").loss == 0
    assert changed(plan, bw="20", queue="20ms").rate_bps == 20_000_000
    # Without a rate nothing is left that hangs on it.
    assert without_seed(changed(plan, bw=None)) == {"delay_ns": 10_000_000, "loss": 0.01}
    bursts = changed(plan, loss_model="gemodel(p=1%)")
    assert (bursts.loss, bursts.gemodel) == (0, (0.01, 0.99, 1.0, 0.0))
    link = changed_link(plan, plan.links[0], {"down": {"delay": "1ms"}})
    assert link.up == before


def test_a_plain_link_that_is_changed_is_what_it_would_have_been() -> None:
    assert changed(plan_of(), delay="5ms", loss="1%") == up_of(delay="5ms", loss="1%")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"delay": "-1ms"}, "link h1 - s1: delay: -1ms is negative"),
        (
            {"jitter": "11ms"},
            "link h1 - s1: a jitter of 11 ms is more than the delay of 10 ms",
        ),
        ({"queue": "10p"}, "link h1 - s1: a queue does nothing without a rate"),
        ({"dely": "1ms"}, "link h1 - s1: a link has no setting dely (did you mean delay?)"),
        ({"delay": "x", "loss": "y"}, "link h1 - s1: delay: x is not a duration; loss: y is"),
    ],
)
def test_a_change_that_cannot_be(settings: dict[str, Any], text: str) -> None:
    plan = plan_of(delay="10ms")
    with pytest.raises(UsageError) as error:
        changed_link(plan, plan.links[0], settings)
    assert str(error.value).startswith(text)
