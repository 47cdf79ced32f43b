"""``vnf mn``: what Mininet's command ``mn`` does, by its options, on our engine.

Who types ``mn`` wants a network at once, and a whole small lab comes and goes in less time than the
framework of the other commands takes to be imported. So these options are read by argparse, and
nothing here or in what is imported here needs the framework.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from emulator.errors import UsageError
from emulator.names import choice_hint

DESCRIPTION = """\
Do what Mininet's mn does, by its options: a network, and tests or a shell
on it.

The exit code is 0; 1 when a test failed or lost packets, or a line of a
script was wrong; 2 when an option asks for what is not there, 3 when the
machine lacks something.

Examples:
  vnf mn
  vnf mn --topo tree,depth=2,fanout=3 --test pingall
  vnf mn --topo linear,3 --link tc,bw=10,delay=5ms --test iperf
  vnf mn --custom mytopo.py --topo mytopo --mac --arp
  vnf mn --switch ovs,protocols=OpenFlow13 --controller remote,ip=127.0.0.1,port=6653"""

_FLAG: dict[str, Any] = {"action": "store_true"}
_SEVERAL: dict[str, Any] = {"action": "append", "default": []}
_OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "Network": {
        "--topo": {
            "metavar": "NAME[,…]",
            "default": "minimal",
            "help": "minimal|single|reversed|linear|tree|torus, or one of --custom, with its "
            "arguments: tree,depth=2,fanout=3. [default: minimal]",
        },
        "--custom": {
            **_SEVERAL,
            "metavar": "FILE",
            "help": "A Python file with the dicts topos, switches, hosts, controllers, links or "
            "tests, which add to what can be chosen.",
        },
        "--switch": {
            "metavar": "NAME[,…]",
            "default": "default",
            "help": "default|bridge|lxbr|ovs|ovsk|ovsbr|user|xdp. The default is a Linux bridge, "
            "or with --controller Open vSwitch.",
        },
        "--controller": {
            **_SEVERAL,
            "metavar": "NAME[,…]",
            "help": "default|none|ref|ovsc|learning|remote|ryu: remote,ip=127.0.0.1,port=6653 or "
            "ryu,app.py. Several are allowed.",
        },
        "--link": {
            "metavar": "NAME[,…]",
            "default": "default",
            "help": "default|tc|tcu|ovs: tc,bw=10,delay=5ms.",
        },
        # As there: what follows is its value unless it looks like an option.
        "--nat": {
            "metavar": "PARAMETER=VALUE,…",
            "nargs": "?",
            "const": "",
            "help": "Lead the hosts to the outside through a router that hides them.",
        },
        "--listenport": {
            "metavar": "PORT",
            "type": int,
            "help": "Have Open vSwitch listen for ovs-ofctl at this port and those behind it, one "
            "for each switch, inside the lab.",
        },
        "--nolistenport": {**_FLAG, "help": "Have it not listen, which is the default."},
        "--innamespace": {**_FLAG, "help": "Not supported."},
        "--cluster": {"metavar": "SERVERS", "help": "Not supported."},
        "--placement": {"metavar": "block|random", "help": "Not supported."},
    },
    "Hosts": {
        "--host": {
            "metavar": "NAME[,…]",
            "default": "proc",
            "help": "proc|cfs|rt: cfs,cpu=0.2. [default: proc]",
        },
        "-i --ipbase": {
            "metavar": "NETWORK",
            "default": "10.0.0.0/8",
            "help": "The network that hosts get their addresses from. [default: 10.0.0.0/8]",
        },
        "--mac": {**_FLAG, "help": "Give hosts MACs like their numbers."},
        "--arp": {**_FLAG, "help": "Tell all hosts each other's MACs."},
        "--pin": {**_FLAG, "help": "Have each host keep to one CPU."},
    },
    "What to do": {
        "--test": {
            **_SEVERAL,
            "metavar": "TEST[,…]",
            "help": "pingall|pingpair|pingallfull|pingpairfull|iperf|iperfudp|all|none|build, or "
            "one of --custom, instead of the shell: iperf,seconds=2. Several are joined by + or "
            "a comma.",
        },
        "--pre": {
            "metavar": "FILE",
            "help": "Lines of the shell to carry out before the tests.",
        },
        "--post": {
            "metavar": "FILE",
            "help": "Lines of the shell to carry out after the tests.",
        },
        "-x --xterms": {**_FLAG, "help": "Open a terminal on every node."},
        "-w --wait": {
            **_FLAG,
            "help": "Wait until the switches have reached their controllers.",
        },
        "-t --twait": {
            "metavar": "SECONDS",
            "type": float,
            "help": "The same, but so long at most.",
        },
        "-c --clean": {
            **_FLAG,
            "help": "Remove what labs left that did not end well, as vnf clean does, and nothing "
            "else of the machine.",
        },
    },
    "Other": {
        "--on-failure": {
            "choices": ("stop", "keep"),
            "default": "stop",
            "help": "Whether a node that does not start, or a controller that is not reached, "
            "ends the lab (stop), or the others go on (keep). [default: stop]",
        },
        "-v --verbosity": {
            "metavar": "LEVEL",
            "default": "info",
            "help": "debug|info|output|warning|error|critical. [default: info]",
        },
        "--version": {**_FLAG, "help": "Print the version and exit."},
        "-h --help": {**_FLAG, "help": "Show this message and exit."},
    },
}
"""What can be asked for: group -> the option's names -> what argparse wants to know of it."""

HELP = {
    name: str(about["help"])
    for options in _OPTIONS.values()
    for names, about in options.items()
    for name in names.split()
}
"""What is said of each option, by each of its names."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint="vnf mn --help")


class _Layout(argparse.RawDescriptionHelpFormatter):
    """Help in the form that the other commands have."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=29)

    def add_usage(self, *_args: Any, **_named: Any) -> None:
        super().add_usage("%(prog)s [OPTIONS]", (), (), prefix="Usage: ")


def parser() -> argparse.ArgumentParser:
    """What reads the options and explains them."""
    made = _Parser(
        prog="vnf mn",
        description=DESCRIPTION,
        formatter_class=_Layout,
        add_help=False,
        allow_abbrev=False,
    )
    for group, options in _OPTIONS.items():
        section = made.add_argument_group(group)
        for names, about in options.items():
            section.add_argument(*names.split(), **about)
    return made


def read(words: Sequence[str]) -> argparse.Namespace:
    """The options that words ask for, by their long names.

    Raises:
        UsageError: there is no such option, or it does not take that value.
    """
    found, surplus = parser().parse_known_args(words)
    for word in surplus:
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            raise UsageError(f"no such option: {name}", hint=choice_hint(name, sorted(HELP)))
        raise UsageError(f"unexpected extra argument ({word})", hint="vnf mn --help")
    return found


def mn(asked: argparse.Namespace) -> int:
    """Does what options ask for; returns the exit code.

    Raises:
        BuildVnfError: what is asked for is not possible, or did not work.
    """
    if asked.help:
        parser().print_help()
        return 0
    if asked.version:
        _print_version()
        return 0
    if asked.clean:
        from emulator.cli.labs import clean as clean_labs

        print("*** Removing only what labs of dead owners left behind", file=sys.stderr)
        clean_labs()
        return 0
    if asked.wait and asked.twait is not None:
        raise UsageError("--wait and --twait are both given", hint="keep one of them")
    from emulator.compat.mn import Options, run_mn

    given = vars(asked)
    for name in ("help", "version", "clean"):
        given.pop(name)
    twait = given.pop("twait")
    if twait is not None:
        given["wait"] = twait
    return run_mn(Options(**given))


def _print_version() -> None:
    from emulator import __version__
    from emulator.compat.mininet.net import VERSION

    print(f"{VERSION} (Mininet's names; vnf {__version__})")
