"""What ``mn`` does: a network from options, tests or a command line on it, and the way back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.compat import aliases, growth
from emulator.compat.hints import put_in_options
from emulator.compat.mininet.log import LEVELS, info, lg
from emulator.compat.mininet.net import Mininet
from emulator.compat.mininet.util import splitArgs
from emulator.compat.mn_choices import Choices
from emulator.compat.mn_tests import Test, read_tests
from emulator.compat.running import end_labs, print_traceback, say_where
from emulator.compat.unsupported import UnsupportedError
from emulator.errors import BuildVnfError, UsageError
from emulator.kernel.netns import ensure_root
from emulator.names import choice_hint
from emulator.owned_lab import OnFailure

_CONNECT_S = 30.0
"""How long to wait, before tests, for switches to reach their controllers."""


@dataclass
class Options:
    """The options of one call, by the names that ``mn`` gives them.

    Attributes:
        nat: the arguments of ``addNAT``; None without a NAT.
        wait: True: until the switches are connected; or that many seconds at most.
    """

    switch: str = "default"
    host: str = "proc"
    controller: Sequence[str] = ()
    link: str = "default"
    topo: str = "minimal"
    custom: Sequence[str] = ()
    test: Sequence[str] = ()
    xterms: bool = False
    ipbase: str = "10.0.0.0/8"
    mac: bool = False
    arp: bool = False
    verbosity: str = "info"
    innamespace: bool = False
    listenport: int | None = None
    nolistenport: bool = False
    pre: str | None = None
    post: str | None = None
    pin: bool = False
    nat: str | None = None
    wait: bool | float = False
    cluster: str | None = None
    placement: str | None = None
    on_failure: OnFailure = field(default="stop")


def run_mn(options: Options) -> int:
    """Builds the network that the options ask for, tests it or opens its shell, and ends it.

    Returns:
        The exit code: 0, or 1 when a test failed or lost packets, when a line of a script was not
        understood, or when code of the user's raised something.

    Raises:
        UsageError: the options ask for something that is not there; nothing has been started.
        BuildVnfError: the lab could not be brought to life.
    """
    _refuse(options)
    ensure_root("a lab")
    level = lg.level
    lg.setLogLevel(options.verbosity)
    growth.ON_FAILURE = options.on_failure
    choices, path = Choices(), list(sys.path)
    try:
        with aliases.install():
            choices.read_custom(options.custom)
            try:
                return _run(options, choices)
            except BuildVnfError as error:
                put_in_options(error)
                if choices.files:
                    say_where(error, choices.files[0])
                raise
            except Exception as error:  # raised by classes and tests of the user's own
                if not choices.files:
                    raise
                print_traceback(error, choices.files[0])
                return 1
            finally:
                end_labs()
    finally:
        lg.setLevel(level)
        sys.path[:] = path


def _run(options: Options, choices: Choices) -> int:
    began = time.monotonic()
    if options.nolistenport:
        options.listenport = None
    tests = read_tests(options.test, choices.tests)
    scripts = [_script(options.pre, "--pre"), _script(options.post, "--post")]
    nat_arguments = None if options.nat is None else _nat_arguments(options.nat)
    if choices.validate is not None:
        choices.validate(options)
    net = Mininet(
        topo=choices.topology(options.topo),
        switch=choices.switch(options.switch, controlled=bool(options.controller)),
        host=choices.host(options.host),
        controller=choices.controllers(options.controller),
        link=choices.link(options.link),
        ipBase=options.ipbase,
        xterms=options.xterms,
        autoSetMacs=options.mac,
        autoStaticArp=options.arp,
        autoPinCpus=options.pin,
        waitConnected=_wait(options, tests),
        listenPort=options.listenport,
    )
    if nat_arguments is not None:
        arguments, named = nat_arguments
        net.addNAT(*arguments, **named).configDefault()
    good = True
    try:
        if scripts[0]:
            good &= not _shell(choices)(net, script=scripts[0]).failed
        net.start()
        if tests:
            good &= _run_tests(net, tests)
        else:
            good &= not _shell(choices)(net).failed
        if scripts[1]:
            good &= not _shell(choices)(net, script=scripts[1]).failed
    finally:
        net.stop()
    info(f"completed in {time.monotonic() - began:.3f} seconds\n")
    return 0 if good else 1


def _shell(choices: Choices) -> Callable[..., Any]:
    if choices.shell is not None:
        return choices.shell
    from emulator.compat.mininet.cli import CLI

    return CLI


def _run_tests(net: Mininet, tests: Sequence[Test]) -> bool:
    """Runs all tests, also behind one that has failed; whether all are good."""
    failed = [test.name for test in tests if not test.run(net)]
    if failed:
        lg.error(f"*** Failed: {', '.join(failed)}\n")
    return not failed


def _refuse(options: Options) -> None:
    """Raises an error for what cannot be had, before anything is done."""
    if options.verbosity not in LEVELS:
        raise UsageError(
            f"there is no level {options.verbosity}",
            where="--verbosity",
            hint=choice_hint(options.verbosity, LEVELS),
        )
    if options.cluster is not None or options.placement is not None:
        raise UnsupportedError(
            "--cluster and --placement are not supported: a lab lives on one machine",
            hint="leave them out",
        )
    if options.innamespace:
        raise UnsupportedError(
            "--innamespace is not supported",
            hint="leave it out: switches and controllers are in a namespace of the lab's own "
            "already, all of them in one",
        )


def _wait(options: Options, tests: Sequence[Test]) -> bool | float:
    # As mn does: who tests a network wants its switches to have found their controllers.
    if options.wait is False and any(not test.idle for test in tests):
        return _CONNECT_S
    return options.wait


def _script(file: str | None, option: str) -> str | None:
    if file is not None and not Path(file).is_file():
        raise UsageError("there is no such file", where=f"{option} {file}")
    return file


def _nat_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    if not text:
        return [], {}
    _, arguments, named = splitArgs(f"nat,{text}")
    return arguments, named
