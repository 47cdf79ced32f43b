"""Where our names of Mininet, Containernet and ComNetsEmu are better, or different, and why.

What stands in neither of these tables has to be there under the same name with the same
parameters: a test holds the tables, and the page that is made of them, to that. A parameter is
written ``function(parameter)``.
"""

from __future__ import annotations

from emulator.compat.unsupported import NAMES

_SHELL = "nodes' commands go by an interface, not by reading a terminal: cmd, sendCmd and monitor"
_CGROUPS = "limits are held by cgroups of the lab's own, of either version; none is mounted or left"
_MACHINE = "the machine's own settings are never changed"
_PAIRS = "interfaces are made by netlink, all of a lab at once; addLink makes a link"
_OVS = "Open vSwitch is told over its database, all bridges at once"
_TC = "links are impaired by netlink or by our own wire, not by lines for tc"
_MODULES = "kernel modules are the machine's own affair: vnf doctor says what is missing"
_LOGGING = "how the log is made, not what it says"
_PYTHON2 = "there is only Python 3"

BETTER: dict[str, str] = {
    "mininet.net.Mininet": "labs live in namespaces of their own, many of them side by side, and "
    "nothing is left even when the script is killed",
    "mininet.net.Mininet.addLink": "names of more than 15 characters are allowed",
    "mininet.net.Mininet.configLinkStatus": "both ends change together",
    "mininet.net.Mininet.iperf": "iperf3, which says when it could not measure; nothing hangs",
    "mininet.net.Mininet.ping": "all at once where no controller decides by the order",
    "mininet.net.Mininet.runCpuLimitTest": "CPU time is read from the kernel, not out of cpuacct",
    "mininet.net.Mininet.waitConnected": "waits for spanning trees as well",
    "mininet.node.CPULimitedHost": "works with either version of cgroups",
    "mininet.node.CPULimitedHost.cgroupSet": "says why, where the kernel takes another value; "
    "names of version 1 work with version 2, and one without a counterpart is an error",
    "mininet.node.CPULimitedHost.checkRtGroupSched": "asks the kernel, and raises an error that a "
    "script can catch",
    "mininet.node.CPULimitedHost.setCPUFrac(sched)": "what runs already is scheduled so too",
    "mininet.node.Node.cmd": "what a command prints is never taken for the shell's prompt",
    "mininet.node.Controller.__init__(command)": "waited for until its switches are connected; an "
    "error with its last lines when it ends before; c0 logs shows what it prints",
    "mininet.node.RemoteController": "says so when nothing answers, instead of going on without",
    "mininet.node.Ryu": "os-ken runs the applications, imports of ryu included; Ryu need not be "
    "installed",
    "mininet.link.TCIntf.config": "any rate; a jitter that keeps the order if asked; and an error "
    "where a delay cannot be had, instead of a line in the log",
    "mininet.link.TCLink": "what it promises holds for XDP, AF_XDP and DPDK too",
    "mininet.clean.cleanup": "removes what dead labs left and nothing else: no bridge, no process "
    "and no interface that is not ours",
    "mininet.clean.Cleanup.cleanup": "removes what dead labs left, and nothing else",
    "mininet.cli.CLI.do_pingall": "all at once where no controller decides by the order",
    "mininet.cli.CLI.do_xterm": "tmux where there is no display",
    "mininet.cli.CLI.do_py": "the lab goes on whatever the line raises, exit() included",
    "mn --clean": "removes what dead labs left, and nothing else",
    "mn --controller": "learning brings a controller that needs nothing installed beside os-ken",
    "mn --custom": "the dict links works as well",
    "mn --pin": "for hosts of every class",
    "mn --switch": "bridge and xdp as well",
    "mn --test": "the exit code is 1 when packets are lost; iperfudp works, and full pings",
    "mn --xterms": "windows of tmux where there is no display",
    "comnetsemu.net.Containernet.addDockerHost(docker_args)": "may be left out; the caller's dict "
    "is not changed",
    "comnetsemu.net.APPContainerManager.addContainer": "containers are not privileged",
    "comnetsemu.net.APPContainerManager.monResourceStats": "with either version of cgroups",
    "comnetsemu.net.APPContainerManager.runRESTServerThread": "asks for a token unless the script "
    "says otherwise",
    "containernet.net.Containernet.addDocker": "needs no ip, ifconfig or bash in the image, and "
    "honours its ENTRYPOINT",
}
"""Name -> what is better, although a script sees the same."""

DIFFERENT: dict[str, str] = {
    # Networks and nodes
    "mininet.net.Mininet.__init__(inNamespace)": "True is refused: the switches of a lab share a "
    "namespace of the lab's own",
    "mininet.net.Mininet.__init__(switch)": "the default is a Linux bridge, and Open vSwitch where "
    "a remote controller, an application or a call of ovs-ofctl needs it",
    "mininet.net.Mininet.configureControlNetwork": "controllers reach their switches without a "
    "network of their own",
    "mininet.net.Mininet.inited": "there is nothing to prepare on the machine",
    "mininet.net.Mininet.stopXterms": "terminals end with their lab",
    "mininet.net.Mininet.addNAT(inNamespace)": "the node is in the lab whatever is given, and "
    "leads out all the same",
    "mininet.net.Mininet.waitConnected(delay)": "accepted; what happens is noticed at once",
    "mininet.net.MininetWithControlNet": NAMES["mininet.net"]["MininetWithControlNet"],
    "mininet.node.Node.__init__(inNamespace)": "False is refused: the machine's network is never "
    "touched; addNAT leads to the outside",
    "mininet.node.Node.inToNode": _SHELL,
    "mininet.node.Node.outToNode": _SHELL,
    "mininet.node.Node.fdToNode": _SHELL,
    "mininet.node.Node.startShell": _SHELL,
    "mininet.node.Node.read": _SHELL,
    "mininet.node.Node.readline": _SHELL,
    "mininet.node.Node.write": _SHELL,
    "mininet.node.Node.isSetup": "there only once setup has been called",
    "mininet.node.Node.mountPrivateDirs": "private folders are mounted when the host comes to life",
    "mininet.node.Node.unmountPrivateDirs": "private folders end with the host's namespace",
    "mininet.node.CPULimitedHost.inited": _CGROUPS,
    # Switches and controllers
    "mininet.node.UserSwitch": "an Open vSwitch bridge in user space, not the reference switch",
    "mininet.node.UserSwitch.__init__(dpopts)": "only --no-slicing, which is the default",
    "mininet.node.UserSwitch.TCReapply": _TC,
    "mininet.node.OVSSwitch.TCReapply": _TC,
    "mininet.node.OVSSwitch.controllerUUIDs": _OVS + "; vsctl() lists them",
    "mininet.node.OVSSwitch.intfOpts": _OVS,
    "mininet.node.OVSSwitch.bridgeOpts": _OVS,
    "mininet.node.OVSSwitch.argmax": _OVS,
    "mininet.node.OVSSwitch.batchStartup": _OVS,
    "mininet.node.OVSSwitch.batchShutdown": _OVS,
    "mininet.node.Switch.__init__": "inNamespace=True is for classes with a start of their own: "
    "other switches share a namespace of the lab's own",
    "mininet.node.Switch.stop(deleteIntfs)": "interfaces stay with the switch, whatever is given",
    "mininet.node.Controller": "controls nothing over Linux bridges, which learn by themselves; "
    "without a command it is ovs-testcontroller or our own",
    "mininet.node.Controller.__init__(inNamespace)": "True is refused: controllers live beside the "
    "switches",
    "mininet.node.Controller.__init__(protocol)": "only tcp",
    "mininet.node.Controller.checkListening": "whether it is reached is found out when the lab "
    "starts",
    "mininet.node.IVSSwitch": NAMES["mininet.node"]["IVSSwitch"],
    "mininet.node.NOX": NAMES["mininet.node"]["NOX"],
    "mininet.nodelib.LinuxBridge.__init__(prio)": "refused; OVSSwitch has stp",
    "mininet.nodelib.LinuxBridge.nextPrio": "bridges choose their root by their addresses",
    "mininet.nodelib.NAT": "a router in the lab with one rule of nftables on the machine, taken "
    "back even after a kill; no file of the machine is changed",
    "mininet.nodelib.NAT.__init__(localIntf)": "accepted; all that is not the way out is local",
    # Links
    "mininet.link.Intf.setParam": "config takes all parameters at once",
    "mininet.link.Intf.config(up)": "False is refused before the interface lives: ifconfig('down') "
    "takes it down later",
    "mininet.link.TCIntf.bwParamMax": "any rate is allowed",
    "mininet.link.TCIntf.bwCmds": _TC,
    "mininet.link.TCIntf.delayCmds": _TC,
    "mininet.link.TCIntf.tc": _TC,
    "mininet.link.TCIntf.config(use_hfsc)": "accepted; how a rate is held does not hang on it",
    "mininet.link.TCIntf.config(use_tbf)": "accepted; how a rate is held does not hang on it",
    "mininet.link.TCIntf.config(gro)": "accepted; checksums and segments are right on wires",
    "mininet.link.TCIntf.config(txo)": "accepted; checksums and segments are right on wires",
    "mininet.link.TCIntf.config(rxo)": "accepted; checksums and segments are right on wires",
    "mininet.link.Link.makeIntfPair": _PAIRS,
    "mininet.link.OVSLink": "a pair of interfaces like any other, not a patch port",
    "mininet.link.OVSLink.makeIntfPair": _PAIRS,
    # Topologies
    "mininet.topo.MultiGraph": "Topo keeps its graph to itself; its methods read it",
    "mininet.topo.Topo.addPort": "addLink takes port1 and port2",
    "mininet.topolib.TreeTopo.addTree": "build does it",
    # Helpers
    "mininet.util.oldpexpect": _PYTHON2,
    "mininet.util.NullCodec": _PYTHON2,
    "mininet.util.checkRun": "errFail, or subprocess.check_call",
    "mininet.util.oldQuietRun": "quietRun",
    "mininet.util.isShellBuiltin": "popen takes no builtin; cmd takes all",
    "mininet.util.makeIntfPair": _PAIRS,
    "mininet.util.retry": "nothing has to be tried again",
    "mininet.util.moveIntfNoRetry": _PAIRS,
    "mininet.util.moveIntf": "Intf(name, node=host) lends an interface of the machine",
    "mininet.util.sysctlTestAndSet": _MACHINE,
    "mininet.util.rlimitTestAndSet": _MACHINE,
    "mininet.util.fixLimits": _MACHINE,
    "mininet.util.mountCgroups": _CGROUPS,
    "mininet.log.LOGMSGFORMAT": _LOGGING,
    "mininet.log.StreamHandlerNoNewline": _LOGGING,
    "mininet.log.Singleton": _LOGGING,
    "mininet.log.makeListCompatible": _LOGGING,
    "mininet.clean.killprocs": "no process is ended by its name",
    "mininet.term.tunnelX11": "the user's own display is used, or tmux",
    "mininet.term.makeTerm(title)": "accepted; a window is called after its node",
    "mininet.term.makeTerm(display)": "refused: set DISPLAY",
    "mininet.moduledeps.rmmod": _MODULES,
    "mininet.moduledeps.modprobe": _MODULES,
    "mininet.moduledeps.OF_KMOD": _MODULES,
    "mininet.moduledeps.moduleDeps": _MODULES,
    # The command line
    "mininet.cli.isReadable": "the shell reads lines by prompt_toolkit",
    "mininet.cli.CLI": "our shell, with all of Mininet's commands and more; no cmd.Cmd",
    "mininet.cli.CLI.readlineInited": "the shell keeps its history by itself",
    "mininet.cli.CLI.initReadline": "the shell keeps its history by itself",
    "mininet.cli.CLI.emptyline": "an empty line does nothing",
    "mininet.cli.CLI.helpStr": "the docstring of a command is its help",
    "mininet.cli.CLI.waitForNode": "a command on a node has the terminal for itself",
    "mininet.cli.CLI.precmd": "override onecmd or default, or write do_xxx",
    "mininet.cli.CLI.do_xterm(term)": "gterm is a command of its own",
    "mn --cluster": "refused: a lab lives on one machine",
    "mn --placement": "refused, as --cluster is",
    "mn --innamespace": "refused: switches and controllers share a namespace of the lab's own",
    "mn --link": "the default is the same for every switch: no link needs tcu",
    "mn --listenport": "only when given, for Open vSwitch, and inside the lab",
    "mn --nat": "never takes over traffic of the machine's own",
    "mn --verbosity": "output of the shell is shown at every level",
    # Containernet and ComNetsEmu
    "containernet.net.Containernet.addExtSAP": "refused: addNAT leads to the outside",
    "containernet.net.Containernet.removeExtSAP": "refused, as addExtSAP is",
    "containernet.net.Containernet.addLibvirthost": "refused: there are no virtual machines",
    "containernet.net.Containernet.removeLibvirthost": "refused, as addLibvirthost is",
    "containernet.node.LibvirtHost": NAMES["containernet.node"]["LibvirtHost"],
    "comnetsemu.net.Containernet.addP4Switch": "refused: " + NAMES["comnetsemu.node"]["P4Switch"],
    "comnetsemu.net.APPContainerManager.addContainer(wait)": "accepted; a container that is not "
    "waited for is started all the same",
    "comnetsemu.net.APPContainerManager.removeContainer(wait)": "accepted; it is gone on return",
    "comnetsemu.node.P4DockerHost": NAMES["comnetsemu.node"]["P4DockerHost"],
    "comnetsemu.node.P4Switch": NAMES["comnetsemu.node"]["P4Switch"],
    "comnetsemu.node.DockerHost.__init__(ishell)": "only bash, which the image need not have",
    "comnetsemu.clean.cleanup_netdevs": "does nothing: the kernel takes interfaces back by itself",
}
"""Name -> how a script notices, and what to do instead."""
