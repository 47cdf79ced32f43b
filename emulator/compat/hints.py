"""Hints in the words that the reader has at hand: Mininet's classes, or the options of ``vnf mn``.

What finds a mistake in a topology knows our own names only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from emulator.errors import BuildVnfError, TopologyError

_SWITCHES = {"bridge": "LinuxBridge", "ovs": "OVSSwitch", "xdp": "XdpSwitch"}
_CONTROLLERS = {"learning": "LearningController", "ovs": "OVSController", "app": "Ryu"}
_CONTROLLERS["remote"] = "RemoteController"
_OPTIONS = {
    "LinuxBridge": "--switch lxbr",
    "OVSSwitch": "--switch ovs",
    "XdpSwitch": "--switch xdp",
    "LearningController": "--controller learning",
    "OVSController": "--controller ovsc",
    "RemoteController": "--controller remote",
    "Ryu": "--controller ryu",
}
"""Classes -> what chooses them in ``vnf mn``."""

_OTHER_OPTIONS = {
    "--switch lxbr, stp=True": "--switch lxbr,stp=1",
    "with stp=True": "with --switch lxbr,stp=1",
    'sched="rt", cpu=': "--host rt,cpu=",
    "a longer wait_s": "a longer time: --controller remote,wait_s=60",
    'on_failure="keep" (--on-failure keep)': "--on-failure keep",
}


@contextmanager
def hints_in_classes() -> Iterator[None]:
    """Errors of this block name Mininet's classes where ours name kinds."""
    try:
        yield
    except BuildVnfError as error:
        _reword(error, _in_classes)
        raise


def put_in_options(error: BuildVnfError) -> None:
    """Have an error name options of ``vnf mn`` where it names classes of Mininet's."""
    _reword(error, lambda hint, where: _in_options(hint))


def _reword(error: BuildVnfError, words: Callable[[str, str], str]) -> None:
    error.hint = words(error.hint, error.where)
    if isinstance(error, TopologyError):
        error.problems = tuple(
            replace(problem, hint=words(problem.hint, problem.where)) for problem in error.problems
        )


def _in_classes(hint: str, where: str) -> str:
    classes = _CONTROLLERS if "controller " in where else _SWITCHES
    return re.sub(
        r'\bkind="(\w+)"',
        lambda found: f"cls={classes[found[1]]}" if found[1] in classes else found[0],
        hint,
    )


def _in_options(hint: str) -> str:
    hint = re.sub(r"\bcls=(\w+)", lambda found: _OPTIONS.get(found[1], found[0]), hint)
    for ours, option in _OTHER_OPTIONS.items():
        hint = hint.replace(ours, option)
    return hint
