"""Hypothesis strategies: topologies without mistakes, and topologies with any.

A topology is drawn as a :class:`Recipe`, a list of calls, so that one drawing can be built with
our ``Topo`` and with Mininet's.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from emulator.plan.container_spellings import NAMES
from emulator.plan.impairments import IMPAIRMENT_OPTIONS
from emulator.topo import Topo

# A shared machine is slow at times, which is not the code's fault, and nothing is left behind.
settings.register_profile(
    "here", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("here")

_TAIL = string.ascii_letters + string.digits + "_.-"

names = st.one_of(
    st.from_regex(r"[hsrv][0-9]{1,3}", fullmatch=True),
    st.builds(
        "{}{}".format,
        st.sampled_from(["a", "measurement-client-", "aggregation-switch-number-", "h1-eth"]),
        st.text(_TAIL, max_size=20),
    ),
)


@dataclass
class Recipe:
    """The calls that make a topology, in order."""

    nodes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    links: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def build(self, topo: Any) -> Any:
        """Make the calls on a topology, ours or Mininet's."""
        for method, name, options in self.nodes:
            getattr(topo, method)(name, **options)
        for node1, node2, options in self.links:
            topo.addLink(node1, node2, **options)
        return topo

    def topo(self) -> Topo:
        """The topology as ours."""
        topo: Topo = self.build(Topo())
        return topo


_container_options = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["debian:12", "registry:5000/group/tool@sha256:" + "0" * 64]),
        "command": st.sampled_from(["sleep 60", ["sh", "-c", "exit 1"]]),
        "environment": st.dictionaries(st.sampled_from(["A", "PATH"]), st.text("a=\n \"'é")),
        "cpus": st.floats(0.01, 64),
        "cpuset": st.sets(st.integers(0, 63), min_size=1),
        "memory": st.integers(6 << 20, 1 << 40),
        "ports": st.lists(st.integers(1, 65535), max_size=3),
        "cap_add": st.lists(st.sampled_from(["SYS_PTRACE", "cap_sys_nice"]), max_size=2),
        "cap_drop": st.lists(st.sampled_from(["ALL", "KILL"]), max_size=2),
        "healthcheck": st.just({"test": "true", "interval": "1s"}),
    },
)


_delays = st.integers(1, 10**6).map(lambda number: f"{number}us")
_percents = st.floats(0, 100).map(lambda number: f"{number}%")
impairments = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.one_of(_delays, st.tuples(_delays, _delays)),
        "loss": st.one_of(st.integers(0, 100), _percents),
        "drop": st.lists(st.integers(0, 1 << 40), max_size=5),
        "duplicate": _percents,
        "corrupt": _percents,
        "bw": st.floats(0.01, 100_000),
        "seed": st.integers(0, 1 << 40),
        "keep_order": st.booleans(),
        "distribution": st.sampled_from(["uniform", "normal", "pareto", "paretonormal"]),
        "up": st.fixed_dictionaries(
            {"loss_model": st.just("gemodel(p=1%, r=20%)"), "loss": st.none()}
        ),
        "down": st.just({"rate": None, "bw": 5, "queue": "50KB,20ms", "aqm": "codel", "ecn": True}),
    },
)
"""Options of impaired links, without mistakes."""


@st.composite
def recipes(draw: st.DrawFn, *, vnfs: bool = True, options: bool = True) -> Recipe:
    """Topologies without mistakes.

    Args:
        vnfs: whether VNFs, routers and containers, which Mininet does not have, are among the
            nodes.
        options: whether addresses, names and ports are written by hand here and there.
    """
    pool = draw(st.lists(names, min_size=1, max_size=14, unique=True))
    recipe = Recipe()
    kinds = ["addHost", "addHost", "addSwitch"] + (["addRouter", "addDocker"] if vnfs else [])
    ends: list[str] = []
    functions: list[str] = []
    apps: list[tuple[str, str, dict[str, Any]]] = []
    for number, name in enumerate(pool):
        method = draw(st.sampled_from(kinds + (["addVNF"] if vnfs and len(ends) > 1 else [])))
        dockers = [other for kind, other, _ in recipe.nodes if kind == "addDocker"]
        if dockers and draw(st.integers(0, 3)) == 0:
            apps.append(("addAppContainer", name, {"host": draw(st.sampled_from(dockers))}))
            continue
        chosen: dict[str, Any] = {}
        if method == "addVNF":
            functions.append(name)
            continue
        if method == "addSwitch":
            # Any graph of switches will do when all of them keep loops open.
            chosen["stp"] = True
        elif options and draw(st.integers(0, 3)) == 0:
            chosen = draw(
                st.sampled_from(
                    [
                        {"ip": f"192.168.{number}.1/24"},
                        {"ip": f"10.0.0.{number + 1}"},
                        {"ip": None},
                        {"mac": f"06:00:00:00:00:{number:02x}"},
                    ]
                )
            )
        if method == "addDocker":
            chosen |= draw(_container_options)
        recipe.nodes.append((method, name, chosen))
        ends.append(name)
    pairs = st.tuples(st.sampled_from(ends), st.sampled_from(ends)).filter(lambda p: p[0] != p[1])
    wanted = draw(st.lists(pairs, max_size=20)) if len(ends) > 1 else []
    for name in functions:
        # A VNF is put into the middle of a link, and takes both halves.
        chosen = {"vnf": "forward", "dataplane": draw(st.sampled_from(["kernel", "xdp"]))}
        if draw(st.booleans()):
            chosen |= {"runtime": "docker", "memory": "64m"}
        recipe.nodes.append(("addVNF", name, chosen))
        a, b = draw(pairs) if not wanted else wanted.pop()
        wanted = [(a, name), (name, b), *wanted]
    for number, (a, b) in enumerate(wanted):
        chosen = {}
        if options and draw(st.integers(0, 4)) == 0:
            chosen = draw(
                st.sampled_from(
                    [
                        {"port1": 100 + number, "port2": 200 + number},
                        {"intfName1": f"the-link-with-number-{number}"},
                        {"intfName2": "up"} if number == 0 else {"mtu": 9000},
                        {"addr1": f"0a:00:00:00:00:{number:02x}"},
                        {"params2": {"ip": f"172.16.{number}.1/30"}},
                    ]
                )
            )
        if options and draw(st.integers(0, 4)) == 0:
            chosen = {**chosen, **draw(impairments)}
        recipe.links.append((a, b, chosen))
    recipe.nodes += apps
    return _without_conflicts(recipe)


def _without_conflicts(recipe: Recipe) -> Recipe:
    """An address for a node's first interface is written on the node or on the link, not both."""
    fixed = {name for _, name, options in recipe.nodes if "ip" in options}
    for _, node2, options in recipe.links:
        if node2 in fixed:
            options.pop("params2", None)
    return recipe


scraps = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**33),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["10.0.0.1/8", "via 10.0.0.1", "fd00::1/64", "02:00:00:00:00:01", "xdp", "forward", "5ms"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["ip", "mac", "bw", "x"]), st.text(max_size=5), max_size=2),
)
"""Values that a user could write by mistake."""

_METHODS = ("addHost", "addSwitch", "addRouter", "addVNF", "addDocker", "addAppContainer")
_NODE_KEYS = (
    "ip", "ipv6", "mac", "defaultRoute", "cls", "stp", "dpid", "cpu", "failMode", "runtime",
    "cores", "idle", "inNamespace", "every", "nonsense", "host", *sorted(NAMES),
)  # fmt: skip
_LINK_KEYS = (
    "port1", "port2", "key", "params1", "params2", "intfName1", "intfName2", "addr1", "addr2",
    "mtu", "cls", "use_htb", "nonsense", *IMPAIRMENT_OPTIONS,
)  # fmt: skip


@st.composite
def careless_recipes(draw: st.DrawFn) -> Recipe:
    """Topologies with any mistakes at all, also in the types of values."""
    any_name = st.one_of(names, st.sampled_from(["h1", "s1", "", "é", "2", "a b"]))
    pool = draw(st.lists(any_name, min_size=1, max_size=6))
    recipe = Recipe()
    for name in pool:
        method = draw(st.sampled_from(_METHODS))
        options = draw(st.dictionaries(st.sampled_from(_NODE_KEYS), scraps, max_size=3))
        if method == "addVNF":
            options["vnf"] = draw(st.one_of(st.just("drop"), st.just("forward"), scraps))
            options["dataplane"] = draw(st.one_of(st.sampled_from(["kernel", "xdp"]), scraps))
        if method == "addAppContainer":
            options["host"] = draw(st.one_of(st.sampled_from(pool), scraps))
        elif draw(st.booleans()):
            options["runtime"] = "docker"
        recipe.nodes.append((method, name, options))
    for _ in range(draw(st.integers(0, 6))):
        options = draw(st.dictionaries(st.sampled_from(_LINK_KEYS), scraps, max_size=3))
        ends = st.sampled_from([*pool, "nobody"])
        recipe.links.append((draw(ends), draw(ends), options))
    return recipe
