"""What ``count`` counts each frame as."""

from scapy.all import (
    ARP,
    GRE,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1AD,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    Raw,
)
from scapy.layers.inet import IPOption_NOP

from emulator.trying.cases import Case, Step

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
IP4 = IP(src="10.0.0.1", dst="10.0.0.2")
IP6 = IPv6(src="fd00::1", dst="fd00::2")
NAMES = (
    *("vlan", "broadcast", "multicast", "arp", "ipv4", "ipv6", "other", "udp", "tcp", "icmp"),
    *("other_ip", "fragments", "malformed", "ip_bytes"),
)


def counted(name: str, frame: object, **counts: int) -> Case:
    """A case of one frame, which passes and raises only these counters."""
    frame = bytes(frame)
    counts = dict.fromkeys(NAMES, 0) | counts
    return Case(name, [Step(frame, out={1: frame}, counts=counts)])


def cut(frame: object, length: int) -> bytes:
    return bytes(frame)[:length]


UDP4 = ETHER / IP4 / UDP() / Raw(bytes(10))
TCP4 = ETHER / IP4 / TCP() / Raw(bytes(10))
OPTIONS = IP(src="10.0.0.1", dst="10.0.0.2", options=[IPOption_NOP()] * 8)
FIRST = IP(src="10.0.0.1", dst="10.0.0.2", flags="MF", frag=0, proto=17)
LATER = IP(src="10.0.0.1", dst="10.0.0.2", frag=1, proto=17)

CASES = [
    counted("UDP on IPv4", UDP4, ipv4=1, udp=1, ip_bytes=38),
    counted(
        "padding is no part of the packet", bytes(UDP4).ljust(60, b"\0"), ipv4=1, udp=1, ip_bytes=38
    ),
    counted("UDP behind IPv4 options", ETHER / OPTIONS / UDP(), ipv4=1, udp=1, ip_bytes=36),
    counted("TCP on IPv4", TCP4, ipv4=1, tcp=1, ip_bytes=50),
    counted("ping", ETHER / IP4 / ICMP(), ipv4=1, icmp=1, ip_bytes=28),
    counted("another protocol", ETHER / IP4 / GRE(), ipv4=1, other_ip=1, ip_bytes=24),
    counted("UDP on IPv6", ETHER / IP6 / UDP(), ipv6=1, udp=1, ip_bytes=48),
    counted("IPv6 ping", ETHER / IP6 / ICMPv6EchoRequest(), ipv6=1, icmp=1, ip_bytes=48),
    counted(
        "TCP behind an IPv6 extension",
        ETHER / IP6 / IPv6ExtHdrDestOpt() / TCP(),
        ipv6=1,
        tcp=1,
        ip_bytes=68,
    ),
    counted("ARP to all", Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(), arp=1, broadcast=1),
    counted(
        "a group's frame",
        Ether(dst="33:33:00:00:00:01") / IP6 / UDP(),
        ipv6=1,
        udp=1,
        multicast=1,
        ip_bytes=48,
    ),
    counted(
        "behind a VLAN tag", ETHER / Dot1Q(vlan=7) / IP4 / UDP(), ipv4=1, udp=1, vlan=1, ip_bytes=28
    ),
    counted(
        "behind two VLAN tags",
        ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IP4 / UDP(),
        ipv4=1,
        udp=1,
        vlan=1,
        ip_bytes=28,
    ),
    counted(
        "a third tag is not looked behind",
        ETHER / Dot1Q() / Dot1Q() / Dot1Q() / IP4 / UDP(),
        other=1,
        vlan=1,
    ),
    counted("a first fragment", ETHER / FIRST / UDP(), ipv4=1, udp=1, fragments=1, ip_bytes=28),
    counted("a later fragment", ETHER / LATER / Raw(bytes(16)), ipv4=1, fragments=1, ip_bytes=36),
    counted(
        "a first fragment of IPv6",
        ETHER / IP6 / IPv6ExtHdrFragment(m=1) / UDP(),
        ipv6=1,
        udp=1,
        fragments=1,
        ip_bytes=56,
    ),
    counted(
        "a later fragment of IPv6",
        ETHER / IP6 / IPv6ExtHdrFragment(offset=1, nh=17) / Raw(bytes(8)),
        ipv6=1,
        fragments=1,
        ip_bytes=56,
    ),
    counted(
        "a whole packet with a fragment header (RFC 6946)",
        ETHER / IP6 / IPv6ExtHdrFragment() / UDP(),
        ipv6=1,
        udp=1,
        ip_bytes=56,
    ),
    counted(
        "an unknown type", Ether(dst="02:00:00:00:00:02", type=0x88B5) / Raw(bytes(46)), other=1
    ),
    counted("nothing but an Ethernet header", cut(UDP4, 14), malformed=1),
    counted("a cut IPv4 header", cut(UDP4, 33), malformed=1),
    counted("a cut UDP header", cut(UDP4, 41), ipv4=1, malformed=1, ip_bytes=38),
    counted("a cut TCP header", cut(TCP4, 53), ipv4=1, malformed=1, ip_bytes=50),
    counted(
        "TCP options that are cut off",
        ETHER / IP4 / TCP(dataofs=15),
        ipv4=1,
        malformed=1,
        tcp=0,
        ip_bytes=40,
    ),
    counted("IPv4 options that are cut off", ETHER / IP(ihl=15, proto=17) / UDP(), malformed=1),
    counted("an IPv4 header too short to be one", ETHER / IP(ihl=4, proto=17) / UDP(), malformed=1),
    counted("version 6 under the type of IPv4", ETHER / IP(version=6) / UDP(), malformed=1),
    counted("a cut IPv6 header", cut(ETHER / IP6 / UDP(), 53), malformed=1),
    counted("a cut ARP message", cut(ETHER / ARP(), 41), malformed=1),
    counted("a cut VLAN tag", cut(ETHER / Dot1Q(), 17), other=1),
    counted("a jumbo frame", ETHER / IP4 / UDP() / Raw(bytes(8972)), ipv4=1, udp=1, ip_bytes=9000),
    Case(
        "each port counts what comes in by it",
        [
            Step(bytes(UDP4), out={1: bytes(UDP4)}, counts={"udp": 1, "tcp": 0}),
            Step(bytes(TCP4), port=1, out={0: bytes(TCP4)}, counts={"udp": 0, "tcp": 1}),
            Step(bytes(UDP4), out={1: bytes(UDP4)}, counts={"udp": 2, "ipv4": 2, "ip_bytes": 76}),
        ],
    ),
]
