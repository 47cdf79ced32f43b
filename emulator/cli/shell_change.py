"""Commands that change a lab while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.cli.shell_links import LINK_WORDS, link_settings, schedules_text, wires_table
from emulator.cli.shell_registry import CHANGE, command, read_words
from emulator.cli.shell_vnf import run_for_vnf
from emulator.errors import LabError, UsageError
from emulator.names import kind_word, suggestion

if TYPE_CHECKING:
    from emulator.cli.shell import Shell

SERVICE_WORDS = ("start", "stop")
"""What can be asked of a switch."""


@command(
    "link", "NODE NODE up|down|show|set", "node", "neighbour", "link", "setting...", group=CHANGE
)
def _link(shell: Shell, text: str) -> None:
    """Take a link down or up, show or change it.

    link h1 s1 show prints what happens to frames in each direction, by what mechanism, and what
    became of them. link h1 s1 set delay=20ms loss=1% changes what is named, while frames pass, and
    keeps the rest; up.loss=1% and down.loss=1% are for one direction, delay=none takes the delay
    away. All links between the two nodes, where there are several.
    """
    words = read_words("link", text, *range(3, 100))
    first, second, what = words[:3]
    if what not in LINK_WORDS:
        hint = suggestion(what, LINK_WORDS) or f"one of {', '.join(LINK_WORDS)}"
        text = f"a link goes up or down, or is shown or set, not {what!r}"
        raise UsageError(text, where="link", hint=hint)
    if (what == "set") != (len(words) > 3):
        hint = "for example: link h1 s1 set delay=20ms loss=1%"
        text = "no setting is given" if what == "set" else f"{words[3]} means nothing here"
        raise UsageError(text, where="link", hint=hint)
    for name in (first, second):
        shell.node(name, "link")
    if what in ("up", "down"):
        shell.net.configLinkStatus(first, second, what)
        return
    links = shell.net.linksBetween(first, second)
    if what == "show":
        shell.print("\n\n".join(link.show() for link in links))
        return
    plain = [link for link in links if link.mechanism == "none"]
    shell.net.setLinks(links, **link_settings(words[3:]))
    for link in plain:
        shell.print(f"{link.id} was made anew, as a wire")


@command("wires", "[restart]", "wires", group=CHANGE)
def _wires(shell: Shell, text: str) -> None:
    """List impaired links, or start them anew.

    With what became of their frames. wires restart starts what impairs them anew, after it has
    died; what was under way is lost.
    """
    words = read_words("wires", text, 0, 1)
    if words and words[0] != "restart":
        hint = "usage: wires [restart]"
        raise UsageError(f"{words[0]} means nothing here", where="wires", hint=hint)
    if words:
        shell.net.restart_wires()
        return
    links = [shell.net.link(link.id) for link in shell.net.links if link.mechanism != "none"]
    if not links:
        shell.print("no link of this lab is impaired")
        return
    counters, failures = {}, {}
    for link in links:
        try:
            counters[link.id] = link.counters()
        except LabError as error:
            failures[error.message] = link.id
    shell.print(wires_table([link.plan for link in links], counters))
    for failure in failures:
        shell.print(f"no counters: {failure}")


@command("schedules", group=CHANGE)
def _schedules(shell: Shell, text: str) -> None:
    """Tell how far the schedules of links are.

    Those of the topology, and those begun by vnf run --schedule or net.run_schedule.
    """
    read_words("schedules", text, 0)
    shell.print(schedules_text(shell.net.schedules))


@command("switch", "SWITCH start|stop", "switch", "service", group=CHANGE)
def _switch(shell: Shell, text: str) -> None:
    """Take a switch out of service: switch s1 stop

    Or back: switch s1 start. Its links lose their carrier, as if it were switched off. Links that
    were down before stay down when it starts again.
    """
    name, what = read_words("switch", text, 2)
    if what not in SERVICE_WORDS:
        hint = suggestion(what, SERVICE_WORDS) or "switch s1 stop"
        raise UsageError(f"a switch starts or stops, not {what!r}", where="switch", hint=hint)
    shell.node(name, "switch")
    shell.net.set_switch(name, up=what == "start")


@command("set", "VNF NAME=VALUE...", "vnf", "parameter...", group=CHANGE)
def _set(shell: Shell, text: str) -> None:
    """Change a VNF's parameters: set fw every=3

    The same as VNF set, where the name comes first.
    """
    words = read_words("set", text, *range(1, 100))
    node = shell.node(words[0], "set")
    if node.kind != "vnf":
        raise UsageError(f"{node.name} is a {kind_word(node.kind)}, not a VNF", where="set")
    run_for_vnf(node, ["set", *words[1:]])
