"""Mininet's clean-up: what labs left that did not end well, and nothing else of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from emulator import labs
from emulator.compat.mininet.log import info
from emulator.compat.mininet.util import quietRun
from emulator.compat.unsupported import refuse_names


class Cleanup:
    """Removes what dead labs left behind; labs that run are left alone."""

    callbacks: ClassVar[list[Callable[[], object]]] = []

    @classmethod
    def cleanup(cls) -> None:
        """Does it, and calls what a script has added."""
        info("*** Removing what dead labs left\n")
        labs.clean()
        for callback in cls.callbacks:
            callback()
        info("*** Cleanup complete.\n")

    @classmethod
    def addCleanupCallback(cls, callback: Callable[[], object]) -> None:
        """Has something called at each clean-up."""
        if callback not in cls.callbacks:
            cls.callbacks.append(callback)


cleanup = Cleanup.cleanup
addCleanupCallback = Cleanup.addCleanupCallback


def sh(cmd: str) -> str:
    """What a command line on the machine prints."""
    return quietRun(cmd, shell=True)


__getattr__ = refuse_names("mininet.clean")
