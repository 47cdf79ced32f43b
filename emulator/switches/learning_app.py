"""A learning switch for OpenFlow 1.3: the controller of the kind ``learning``.

It learns behind which port of each switch an address is, and gives the switch a flow for every
pair of addresses that talk, so that only their first frames come here. A host that moves is learnt
anew with its first frame; what led to a port that has gone is forgotten.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_3

_IDLE_S = 60
_FLOW_PRIORITY = 1
_LINK_LOCAL = "01:80:c2:00:00:0"
"""Addresses of protocols between neighbours, which no switch passes on."""
_GROUP_BIT = 1
_COOKIE = 0x1EA12
"""Of flows for pairs of addresses; what tells them from those that others have added."""
_ALL_BITS = (1 << 64) - 1


class LearningSwitch(OSKenApp):
    """All switches that connect, each with a table of its own."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]  # noqa: RUF012 - os-ken's spelling

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ports: dict[int, dict[str, int]] = {}
        folder = os.environ.get("VNF_READY_FOLDER")
        self._ready_folder = Path(folder) if folder else None

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def on_switch(self, event: Any) -> None:
        """A switch has connected: frames that no flow matches are to come here."""
        datapath = event.msg.datapath
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        self._ports[datapath.id] = {}
        to_here = parser.OFPActionOutput(proto.OFPP_CONTROLLER, proto.OFPCML_NO_BUFFER)
        self._add_flow(datapath, 0, parser.OFPMatch(), [to_here])
        datapath.send_msg(parser.OFPBarrierRequest(datapath))

    @set_ev_cls(ofp_event.EventOFPBarrierReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_barrier(self, event: Any) -> None:
        """The switch has done all that it was told: whoever waits for it may go on."""
        if self._ready_folder is not None:
            (self._ready_folder / f"{event.msg.datapath.id:016x}").touch()

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def on_frame(self, event: Any) -> None:
        """A frame that no flow matched."""
        message = event.msg
        datapath = message.datapath
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        port = message.match["in_port"]
        header = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        if header is None or header.dst.lower().startswith(_LINK_LOCAL):
            return
        table = self._ports.setdefault(datapath.id, {})
        if not _is_group(header.src) and table.get(header.src) != port:
            if header.src in table:
                self._forget(datapath, parser.OFPMatch(eth_dst=header.src))
            table[header.src] = port
        out = table.get(header.dst, proto.OFPP_FLOOD)
        if out == port:
            return  # the far side knows better
        actions = [parser.OFPActionOutput(out)]
        if out != proto.OFPP_FLOOD:
            match = parser.OFPMatch(in_port=port, eth_dst=header.dst, eth_src=header.src)
            self._add_flow(
                datapath, _FLOW_PRIORITY, match, actions, idle_timeout=_IDLE_S, cookie=_COOKIE
            )
        known = message.buffer_id != proto.OFP_NO_BUFFER
        datapath.send_msg(
            parser.OFPPacketOut(
                datapath=datapath,
                buffer_id=message.buffer_id,
                in_port=port,
                actions=actions,
                data=None if known else message.data,
            )
        )

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def on_port(self, event: Any) -> None:
        """A port has come, gone or changed: what is behind it may be elsewhere by now."""
        message = event.msg
        datapath, port = message.datapath, message.desc.port_no
        table = self._ports.setdefault(datapath.id, {})
        for address in [address for address, where in table.items() if where == port]:
            del table[address]
        parser = datapath.ofproto_parser
        self._forget(datapath, parser.OFPMatch(), out_port=port)
        self._forget(datapath, parser.OFPMatch(in_port=port))

    def _add_flow(
        self, datapath: Any, priority: int, match: Any, actions: list[Any], **more: int
    ) -> None:
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        apply = parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath, priority=priority, match=match, instructions=[apply], **more
            )
        )

    def _forget(self, datapath: Any, match: Any, out_port: int | None = None) -> None:
        """Take away our own flows for some frames, and leave those that others have added."""
        proto, parser = datapath.ofproto, datapath.ofproto_parser
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath=datapath,
                command=proto.OFPFC_DELETE,
                out_port=proto.OFPP_ANY if out_port is None else out_port,
                out_group=proto.OFPG_ANY,
                match=match,
                cookie=_COOKIE,
                cookie_mask=_ALL_BITS,
            )
        )


def _is_group(address: str) -> bool:
    return bool(int(address[:2], 16) & _GROUP_BIT)
