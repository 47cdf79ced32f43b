"""The slices, as an application written for Ryu: which port leads to which, at each switch."""

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3

WAYS = {
    1: {1: 3, 3: 1, 2: 4, 4: 2},
    2: {1: 2, 2: 1},
    3: {1: 2, 2: 1},
    4: {1: 3, 3: 1, 2: 4, 4: 2},
}


class TrafficSlicing(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]  # noqa: RUF012 - as all applications have it

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_features_handler(self, ev):
        datapath = ev.msg.datapath
        parser = datapath.ofproto_parser
        for port, out in WAYS[datapath.id].items():
            actions = [parser.OFPActionOutput(out)]
            todo = [parser.OFPInstructionActions(datapath.ofproto.OFPIT_APPLY_ACTIONS, actions)]
            flow = parser.OFPFlowMod(
                datapath=datapath,
                priority=1,
                match=parser.OFPMatch(in_port=port),
                instructions=todo,
            )
            datapath.send_msg(flow)
        self.logger.info("slices of switch %s are in place", datapath.id)
