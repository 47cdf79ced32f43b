"""``vnf mn``: what Mininet's command ``mn`` does, by its options, on our engine."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from emulator.cli.run import OnFailure
from emulator.errors import UsageError

_NETWORK, _HOSTS, _DOING, _OTHER = "Network", "Hosts", "What to do", "Other"


class MnCommand(TyperCommand):
    """A command whose option ``--nat`` may stand alone, and whose help is in groups."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words: list[str] = []
        for place, word in enumerate(args):
            following = args[place + 1 : place + 2]
            # As there: what follows is its value unless it looks like an option.
            alone = word == "--nat" and (not following or following[0].startswith("-"))
            words.append("--nat=" if alone else word)
        return list(super().parse_args(ctx, words))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                group = getattr(parameter, "rich_help_panel", None) or _OTHER
                groups.setdefault(group, []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def mn(
    topo: Annotated[
        str,
        typer.Option(
            "--topo",
            metavar="NAME[,…]",
            rich_help_panel=_NETWORK,
            help="minimal|single|reversed|linear|tree|torus, or one of --custom, with its "
            "arguments: tree,depth=2,fanout=3.",
        ),
    ] = "minimal",
    custom: Annotated[
        list[str] | None,
        typer.Option(
            "--custom",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_NETWORK,
            help="A Python file with the dicts topos, switches, hosts, controllers, links or "
            "tests, which add to what can be chosen.",
        ),
    ] = None,
    switch: Annotated[
        str,
        typer.Option(
            "--switch",
            metavar="NAME[,…]",
            rich_help_panel=_NETWORK,
            help="default|bridge|lxbr|ovs|ovsk|ovsbr|user|xdp. The default is a Linux bridge, or "
            "with --controller Open vSwitch.",
        ),
    ] = "default",
    controller: Annotated[
        list[str] | None,
        typer.Option(
            "--controller",
            metavar="NAME[,…]",
            show_default=False,
            rich_help_panel=_NETWORK,
            help="default|none|ref|ovsc|learning|remote|ryu: remote,ip=127.0.0.1,port=6653 or "
            "ryu,app.py. Several are allowed.",
        ),
    ] = None,
    link: Annotated[
        str,
        typer.Option(
            "--link",
            metavar="NAME[,…]",
            rich_help_panel=_NETWORK,
            help="default|tc|tcu|ovs: tc,bw=10,delay=5ms.",
        ),
    ] = "default",
    nat: Annotated[
        str | None,
        typer.Option(
            "--nat",
            metavar="[PARAMETER=VALUE,…]",
            show_default=False,
            rich_help_panel=_NETWORK,
            help="Lead the hosts to the outside through a router that hides them.",
        ),
    ] = None,
    listenport: Annotated[
        int | None,
        typer.Option(
            "--listenport",
            metavar="PORT",
            show_default=False,
            rich_help_panel=_NETWORK,
            help="Have Open vSwitch listen for ovs-ofctl at this port and those behind it, one "
            "for each switch, inside the lab.",
        ),
    ] = None,
    nolistenport: Annotated[
        bool,
        typer.Option(
            "--nolistenport",
            rich_help_panel=_NETWORK,
            help="Have it not listen, which is the default.",
        ),
    ] = False,
    innamespace: Annotated[
        bool,
        typer.Option("--innamespace", rich_help_panel=_NETWORK, help="Not supported."),
    ] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="SERVERS",
            show_default=False,
            rich_help_panel=_NETWORK,
            help="Not supported.",
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            "--placement",
            metavar="block|random",
            show_default=False,
            rich_help_panel=_NETWORK,
            help="Not supported.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="NAME[,…]",
            rich_help_panel=_HOSTS,
            help="proc|cfs|rt: cfs,cpu=0.2.",
        ),
    ] = "proc",
    ipbase: Annotated[
        str,
        typer.Option(
            "--ipbase",
            "-i",
            metavar="NETWORK",
            rich_help_panel=_HOSTS,
            help="The network that hosts get their addresses from.",
        ),
    ] = "10.0.0.0/8",
    mac: Annotated[
        bool,
        typer.Option("--mac", rich_help_panel=_HOSTS, help="Give hosts MACs like their numbers."),
    ] = False,
    arp: Annotated[
        bool,
        typer.Option("--arp", rich_help_panel=_HOSTS, help="Tell all hosts each other's MACs."),
    ] = False,
    pin: Annotated[
        bool,
        typer.Option("--pin", rich_help_panel=_HOSTS, help="Have each host keep to one CPU."),
    ] = False,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="TEST[,…]",
            show_default=False,
            rich_help_panel=_DOING,
            help="pingall|pingpair|pingallfull|pingpairfull|iperf|iperfudp|all|none|build, or one "
            "of --custom, instead of the shell: iperf,seconds=2. Several are joined by + or a "
            "comma.",
        ),
    ] = None,
    pre: Annotated[
        str | None,
        typer.Option(
            "--pre",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_DOING,
            help="Lines of the shell to carry out before the tests.",
        ),
    ] = None,
    post: Annotated[
        str | None,
        typer.Option(
            "--post",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_DOING,
            help="Lines of the shell to carry out after the tests.",
        ),
    ] = None,
    xterms: Annotated[
        bool,
        typer.Option(
            "--xterms", "-x", rich_help_panel=_DOING, help="Open a terminal on every node."
        ),
    ] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            "-w",
            rich_help_panel=_DOING,
            help="Wait until the switches have reached their controllers.",
        ),
    ] = False,
    twait: Annotated[
        float | None,
        typer.Option(
            "--twait",
            "-t",
            metavar="SECONDS",
            show_default=False,
            rich_help_panel=_DOING,
            help="The same, but so long at most.",
        ),
    ] = None,
    clean: Annotated[
        bool,
        typer.Option(
            "--clean",
            "-c",
            rich_help_panel=_DOING,
            help="Remove what labs left that did not end well, as vnf clean does, and nothing "
            "else of the machine.",
        ),
    ] = False,
    on_failure: Annotated[
        OnFailure,
        typer.Option(
            "--on-failure",
            rich_help_panel=_OTHER,
            help="Whether a node that does not start, or a controller that is not reached, ends "
            "the lab (stop), or the others go on (keep).",
        ),
    ] = OnFailure.stop,
    verbosity: Annotated[
        str,
        typer.Option(
            "--verbosity",
            "-v",
            metavar="LEVEL",
            rich_help_panel=_OTHER,
            help="debug|info|output|warning|error|critical.",
        ),
    ] = "info",
    version: Annotated[
        bool, typer.Option("--version", rich_help_panel=_OTHER, help="Print the version and exit.")
    ] = False,
) -> None:
    """Do what Mininet's mn does, by its options: a network, and tests or a shell on it.

    The exit code is 0; 1 when a test failed or lost packets, or a line of a script was wrong; 2
    when an option asks for what is not there, 3 when the machine lacks something.

    \b
    Examples:
      vnf mn
      vnf mn --topo tree,depth=2,fanout=3 --test pingall
      vnf mn --topo linear,3 --link tc,bw=10,delay=5ms --test iperf
      vnf mn --custom mytopo.py --topo mytopo --mac --arp
      vnf mn --switch ovs,protocols=OpenFlow13 --controller remote,ip=127.0.0.1,port=6653
    """
    if version:
        _print_version()
        return
    if clean:
        from emulator.cli.labs import clean as clean_labs

        typer.echo("*** Removing only what labs of dead owners left behind", err=True)
        clean_labs()
        return
    if wait and twait is not None:
        raise UsageError("--wait and --twait are both given", hint="keep one of them")
    from emulator.compat.mn import Options, run_mn

    code = run_mn(
        Options(
            topo=topo,
            custom=custom or (),
            switch=switch,
            controller=controller or (),
            link=link,
            nat=nat,
            listenport=listenport,
            nolistenport=nolistenport,
            innamespace=innamespace,
            cluster=cluster,
            placement=placement,
            host=host,
            ipbase=ipbase,
            mac=mac,
            arp=arp,
            pin=pin,
            test=test or (),
            pre=pre,
            post=post,
            xterms=xterms,
            wait=wait if twait is None else twait,
            on_failure=on_failure.value,
            verbosity=verbosity,
        )
    )
    if code:
        raise typer.Exit(code)


def _print_version() -> None:
    from emulator import __version__
    from emulator.compat.mininet.net import VERSION

    typer.echo(f"{VERSION} (Mininet's names; vnf {__version__})")
