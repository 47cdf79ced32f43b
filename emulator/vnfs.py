"""The VNFs of a lab we own: started at the same time, stopped, and started anew."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import as_completed
from typing import TYPE_CHECKING, Any

from emulator.at_once import AtOnce
from emulator.closing import close_at_once
from emulator.errors import BuildVnfError
from emulator.plan.model import NodePlan, VnfPlan

if TYPE_CHECKING:
    from emulator.catalog import Catalog
    from emulator.dataplane import RunningVnf, Site
    from emulator.fabric import Progress
    from emulator.node import Node

_AT_ONCE = 8
"""Starting a VNF is mostly waiting for the kernel and for its process."""


class Vnfs:
    """Starts and stops the VNFs of a lab, and remembers what was changed while they ran.

    Args:
        catalog: the VNFs to choose from; those that ship with the product when None.
        site_of: where the process of a node's VNF lives, if it is one.
        progress: told of each VNF that has started.
        failed: told of each that does not start; raises unless the lab is to go on without it.
    """

    def __init__(
        self,
        catalog: Catalog | None,
        site_of: Callable[[Node], Site],
        progress: Progress | None,
        failed: Callable[[str, BuildVnfError], None],
    ) -> None:
        self._catalog = catalog
        self._site_of = site_of
        self._failed = failed
        self._progress = progress or (lambda stage, done, total: None)
        self._in_force: dict[str, tuple[VnfPlan, dict[str, Any]]] = {}

    def start(self, nodes: Sequence[Node], *, needed: bool = False) -> None:
        """Start the VNFs of these nodes; returns when all of them handle frames.

        Args:
            needed: whether the lab is not to go on without them in any case.

        Those that run when one cannot be started are left to whoever closes their nodes.

        Raises:
            BuildVnfError: the first that could not be started; the message is its own.
        """
        if not nodes:
            return
        if self._catalog is None:
            from emulator.catalog import Catalog

            self._catalog = Catalog.load()
        self._progress("VNFs", 0, len(nodes))
        # Also a single one: a Ctrl-C strikes this thread, and so never in the middle of a start.
        with AtOnce(self._start, min(_AT_ONCE, len(nodes))) as calls:
            started = {calls.submit(node): node for node in nodes}
            for done, each in enumerate(as_completed(started), 1):
                try:
                    each.result()
                except BuildVnfError as error:
                    if needed:
                        raise
                    node = started[each]
                    self._failed(node.name, error)
                    node.running_vnf = self.in_place_of(node.plan, error)
                self._progress("VNFs", done, len(nodes))

    def stop(self, nodes: Iterable[Node], *, for_good: bool = False) -> None:
        """Stop the VNFs of these nodes, all of them whatever happens at one.

        Args:
            for_good: forget what was changed while they ran; otherwise it holds for the next start.
        """
        running = [node for node in nodes if node.running_vnf is not None]
        if not for_good:
            for node in running:
                self._remember(node)
        # A process that has sockets takes a while to go: the kernel waits for readers of its lists.
        close_at_once([node.stop_vnf for node in running], _AT_ONCE)

    def restart(self, node: Node) -> None:
        """Stop a node's VNF, dead or alive, and start it anew with the parameters in force.

        Raises:
            BuildVnfError: it cannot be started; the node then has a VNF that does not run.
        """
        self.stop([node])
        try:
            self.start([node], needed=True)
        except BaseException as error:
            if node.running_vnf is None:
                node.running_vnf = self.in_place_of(node.plan, error)
            raise

    def forget_all_but(self, names: Container[str]) -> None:
        """Forget what was changed at nodes that have gone."""
        self._in_force = {name: memory for name, memory in self._in_force.items() if name in names}

    def _start(self, node: Node) -> None:
        from emulator.dataplane import start_vnf

        assert self._catalog is not None
        assert node.plan.vnf is not None
        values = self._parameters(node.name, node.plan.vnf)
        vnf = node.plan.vnf.model_copy(update={"parameters": values})
        plan = node.plan.model_copy(update={"vnf": vnf})
        site = self._site_of(node)
        try:
            node.running_vnf = start_vnf(plan, node.netns, self._catalog[vnf.vnf], site)
        except BuildVnfError as error:
            # What the machine lacks has no place of its own: say which VNF asks for it.
            error.where = error.where or node.name
            raise

    def _remember(self, node: Node) -> None:
        assert node.plan.vnf is not None
        assert node.running_vnf is not None
        self._in_force[node.name] = (node.plan.vnf, node.running_vnf.parameters())

    def _parameters(self, name: str, planned: VnfPlan) -> dict[str, Any]:
        """Those last in force, unless the topology asks for others by now."""
        before, values = self._in_force.get(name, (planned, {}))
        same = (before.vnf, before.parameters) == (planned.vnf, planned.parameters)
        return {**planned.parameters, **(values if same else {})}

    def in_place_of(self, plan: NodePlan, error: BaseException) -> RunningVnf:
        """What stands for a VNF that could not be started."""
        from emulator.dataplane.failed import FailedVnf

        assert plan.vnf is not None
        reason = "its restart was interrupted"
        if isinstance(error, BuildVnfError):
            place = f"{error.where}: " if error.where not in ("", plan.name) else ""
            reason = f"it does not start: {place}{error.message}"
        values = self._parameters(plan.name, plan.vnf)
        return FailedVnf(plan.vnf.dataplane, values, reason)
