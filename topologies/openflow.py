r"""Switches that know nothing by themselves: Open vSwitch, and a controller that teaches them.

              c0
            .    .
           .      .
    h1 -- s1 ---- s2 -- h2

An OpenFlow switch has a table of flows: which frames, and what to do with them. What no flow
matches goes to the controller ``c0``, which learns from it who is where, and writes a flow for the
rest of the conversation:

    vnf run topologies/openflow.py
    > dpctl dump-flows                    one flow: ask the controller
    > h1 ping -c3 h2                      the first takes longer: it waits for c0
    > dpctl dump-flows                    now there are flows with addresses in them
    > c0 logs                             what the controller prints
    > dpctl del-flows                     the switches forget all of it, the question too
    > h1 ping -c1 -W1 h2                  and nobody knows what to do
    > c0 restart                          until the controller connects again
    > pingall

Another controller: an application of your own, written for Ryu or os-ken, or nobody, so that flows
come from ``dpctl`` only:

    vnf run topologies/openflow.py --set app="$PWD/hub.py"
    vnf run topologies/openflow.py --set controller=none

Open vSwitch and os-ken have to be there: ``scripts/bootstrap --with ovs``.
"""

from emulator import Topo


class OpenFlow(Topo):
    """Open vSwitch bridges in a row, each with a host, and one controller for all of them."""

    def build(self, switches: int = 2, controller: str = "learning", app: str = "") -> None:
        if app:
            self.addController("c0", app=app)
        else:
            self.addController("c0", kind=controller)
        for number in range(1, switches + 1):
            switch = self.addSwitch(f"s{number}", kind="ovs", protocols="OpenFlow13")
            self.addLink(self.addHost(f"h{number}"), switch)
            if number > 1:
                self.addLink(f"s{number - 1}", switch)


topos = {"openflow": OpenFlow}
