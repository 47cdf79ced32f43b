"""A link of a running network, to look at and to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.errors import LabError, UsageError
from emulator.names import suggestion
from emulator.plan.impairments import SETTINGS

if TYPE_CHECKING:
    from emulator.plan.model import EndPlan, ImpairmentPlan, LinkPlan
    from emulator.running_links import RunningLinks
    from emulator.wire.manager import LinkCounters

# Of Mininet's config, these choose how it would be done and ask for nothing by themselves.
SHAPERS = (
    "use_hfsc", "use_htb", "use_tbf", "gro", "disable_gro", "txo", "rxo", "fast",
)  # fmt: skip


class Link:
    """A link of a running network; made by ``Network.link``.

    Directions are those in which the link was added: ``up`` is from its first node to its second,
    ``down`` the way back.

    Attributes:
        id: ``h1-eth0<->s1-eth1``.
    """

    def __init__(self, links: RunningLinks, id: str) -> None:
        self.id = id
        self._links = links

    def __repr__(self) -> str:
        return f"<Link {self.id}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Link) and (self.id, self._links) == (other.id, other._links)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def plan(self) -> LinkPlan:
        """The link as it is now.

        Raises:
            UsageError: it has been removed.
        """
        return self._links.plan_of(self.id)

    @property
    def a(self) -> EndPlan:
        """The end at the link's first node."""
        return self.plan.a

    @property
    def b(self) -> EndPlan:
        """The end at the link's second node."""
        return self.plan.b

    @property
    def mechanism(self) -> str:
        """What impairs it: ``wire``, ``netem``, or ``none``."""
        return self.plan.mechanism

    @property
    def impairments(self) -> tuple[ImpairmentPlan | None, ImpairmentPlan | None]:
        """What happens to frames, up and down; None for a plain link."""
        plan = self.plan
        return plan.up, plan.down

    @property
    def failure(self) -> str | None:
        """Why it carries nothing although it should; None as long as it works."""
        return self._links.failure_of(self.plan)

    @property
    def intf1(self) -> LinkEnd:
        """Its end at the first node, by Mininet's name."""
        return LinkEnd(self, "up")

    @property
    def intf2(self) -> LinkEnd:
        """Its end at the second node, by Mininet's name."""
        return LinkEnd(self, "down")

    def set(self, **settings: Any) -> None:
        """Change some settings while frames pass; the others stay as they are.

        Frames that are under way arrive as they would have. A plain link is made anew, as a wire,
        when it is impaired for the first time; one that was impaired stays a wire until the lab
        ends, even if nothing happens in it any more.

        Args:
            settings: as of ``addLink``: ``delay="20ms"``, a pair ``(up, down)``, or
                ``up={"delay": "20ms"}``. None takes a setting away.

        Raises:
            UsageError: the link cannot have them; nothing has changed then.
            LabError: another process runs the lab, or what impairs links has died.
        """
        self._links.set([self.id], settings)

    def show(self) -> str:
        """What it does to frames, and what became of them, as the shell's ``link A B show``."""
        from emulator.wire.report import link_report

        plan, failure = self.plan, self.failure
        counters = None
        if plan.mechanism != "none" and failure is None:
            try:
                counters = self.counters()
            except LabError as error:
                failure = str(error)
        return link_report(plan, counters, failure)

    def counters(self) -> LinkCounters:
        """What became of the frames since the link was made, or its wires were started anew.

        Raises:
            UsageError: nothing impairs the link, so nothing counts.
            LabError: what impairs links has died.
        """
        return self._links.counters_of(self.plan)

    def up(self) -> None:
        """Take it up again; returns when it carries frames.

        Raises:
            LabError: it does not come up.
        """
        self._links.set_status([self.plan], up=True)

    def down(self) -> None:
        """Take it down, as if its cable were pulled."""
        self._links.set_status([self.plan], up=False)


class LinkEnd:
    """One end of a link, with what leaves it, as Mininet's ``link.intf1``."""

    def __init__(self, link: Link, direction: str) -> None:
        self.link = link
        self._direction = direction

    @property
    def name(self) -> str:
        """The interface's name."""
        return (self.link.a if self._direction == "up" else self.link.b).interface

    def config(self, **settings: Any) -> None:
        """Have what leaves this end meet these impairments only, as Mininet's ``config`` does.

        Raises:
            UsageError: there is no such setting, or the link cannot have it.
        """
        asked = {name: value for name, value in settings.items() if name not in SHAPERS}
        for name in asked:
            if name not in SETTINGS:
                hint = suggestion(name, SETTINGS) or f"there are: {', '.join(SETTINGS)}"
                raise UsageError(f"config has no option {name}", where=self.name, hint=hint)
        self.link.set(**{self._direction: {**dict.fromkeys(SETTINGS), **asked}})
