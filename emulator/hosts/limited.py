"""Looking at and setting single parameters of a node's control group, by Mininet's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import LabError, UsageError
from emulator.hosts.groups import find_group
from emulator.hosts.parameters import controller_of, read_parameter
from emulator.kernel.cgroup import hierarchies

if TYPE_CHECKING:
    from emulator.kernel.netns import Netns
    from emulator.lab import Lab
    from emulator.plan.model import NodePlan


class LimitedNode:
    """The part of a node that is about its control group."""

    plan: NodePlan
    netns: Netns
    _lab: Lab

    def cgroupGet(self, param: str, resource: str = "cpu") -> int | str:
        """What a parameter of the node's control group is: a number, or the kernel's text.

        The names are those of version 1 (``cfs_quota_us``), whichever version the machine has; -1
        stands for no limit. A node that has no group yet gets one, which limits nothing.

        Args:
            resource: the controller: ``cpu``, ``cpuacct``, ``cpuset``, ``memory``, ``pids`` …

        Raises:
            UsageError: there is no such parameter, or no such group.
            MachineError: the machine has no such controller.
        """
        self._ensure_own_group()
        group = find_group(self._lab.record.id, self.plan.name)
        if group is None or controller_of(resource, hierarchies()) not in group.folders:
            with self._lab.lock:
                group = self._lab.limited_nodes.open_group(self.plan, self.netns, resource)
        try:
            return read_parameter(group, resource, param)
        except OSError as error:
            raise LabError(
                f"{resource}.{param} cannot be read: {error.strerror}", where=self.plan.name
            ) from error
        except UsageError as error:
            error.where = self.plan.name
            raise

    def cgroupSet(self, param: str, value: object, resource: str = "cpu") -> int | str:
        """Sets a parameter of the node's control group; what it is then, as :meth:`cgroupGet`.

        What has a word among the limits of a topology, as a quota has, counts as such a limit.

        Raises:
            UsageError: there is no such parameter, or it cannot be set.
            LabError: the kernel does not take the value.
        """
        self._ensure_own_group()
        with self._lab.lock:
            try:
                changed = self._lab.limited_nodes.set_parameter(
                    self.plan, self.netns, resource, param, value
                )
            except UsageError as error:
                error.where = self.plan.name
                raise
            self._lab.note_node(changed)
        return self.cgroupGet(param, resource)

    def cgroupDel(self) -> bool:
        """Takes the node's control group away, and all its limits with it; whether it is gone."""
        self._ensure_own_group()
        with self._lab.lock:
            gone = self._lab.limited_nodes.dissolve_group(self.plan)
            self._lab.note_node(self.plan.model_copy(update={"limits": None}))
        return gone

    def _ensure_own_group(self) -> None:
        if self.plan.container is not None:
            raise UsageError(
                "its control group is its container's",
                where=self.plan.name,
                hint="update changes its limits",
            )
        if self.plan.kind == "switch":
            raise UsageError(
                "a switch is the kernel's own work, which no limit holds for", where=self.plan.name
            )
