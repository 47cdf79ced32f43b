import struct

from vnf import FORWARD, peer

UDP = 17


def handle(ctx, packet, port):
    """Called once for every frame.

    ``packet`` can be read and written like a bytearray, and ``port`` is the number of the port it
    came in by. The verdict says where it goes: FORWARD(port), BACK, FLOOD, TO_HOST or DROP.
    """
    if destination_port(packet) == ctx.parameters.watched_port:
        ctx.counters.watched += 1
    # The other port of two.
    return FORWARD(peer(port))


def destination_port(packet):
    """The UDP port that an IPv4 frame goes to; None when it carries no whole UDP header."""
    if len(packet) < 34 or packet[12:14] != b"\x08\x00" or packet[23] != UDP:
        return None
    flags_and_offset = struct.unpack_from("!H", packet.data, 20)[0]
    at = 14 + 4 * (packet[14] & 15)
    # Of a packet's fragments, only the first has the UDP header.
    if flags_and_offset & 0x1FFF or at + 8 > len(packet):
        return None
    return struct.unpack_from("!H", packet.data, at + 2)[0]
