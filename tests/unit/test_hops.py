"""What telemetry wrote into datagrams, read again."""

from __future__ import annotations

import struct

import pytest

from emulator.measure.hops import RECORD_BYTES, Hop, Leg, decode, legs


def record(number: int, ingress_ns: int, egress_ns: int, *, hop: int = 0, port: int = 0) -> bytes:
    return struct.pack(">4sBBHQQ", b"vhop", number, port, hop, ingress_ns, egress_ns)


def test_a_payload_is_told_from_what_hops_wrote() -> None:
    payload = b"hello" + record(1, 100, 130, hop=7) + record(2, 500, 520, hop=9, port=1)
    assert decode(payload) == (b"hello", [Hop(1, 7, 0, 100, 130), Hop(2, 9, 1, 500, 520)])
    assert [hop.vnf_ns for hop in decode(payload)[1]] == [30, 20]
    assert decode(record(1, 1, 2)) == (b"", [Hop(1, 0, 0, 1, 2)])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"short",
        bytes(RECORD_BYTES),
        b"other text of that length".ljust(40),
        record(2, 1, 2),
        record(1, 1, 2) + record(3, 1, 2),
        record(1, 1, 2)[:-1],
        b"vhoq" + record(1, 1, 2)[4:],
    ],
)
def test_what_is_no_record_is_payload(payload: bytes) -> None:
    assert decode(payload) == (payload, [])


def test_the_least_time_between_two_hops_is_the_wire_and_more_is_waiting() -> None:
    quick = b"a" + record(1, 1_000, 1_030) + record(2, 1_530, 1_560)
    slow = b"b" + record(1, 2_300, 2_340) + record(2, 2_940, 2_960)
    rows = legs([quick, slow], sent_ns=[900, 2_000])
    assert [(row.datagram, row.hop.number, row.wire_ns, row.queue_ns) for row in rows] == [
        (0, 1, 100, 0),
        (0, 2, 500, 0),
        (1, 1, 100, 200),
        (1, 2, 500, 100),
    ]
    assert [row.hop.vnf_ns for row in rows] == [30, 30, 40, 20]


def test_without_the_time_of_sending_the_first_leg_is_unknown() -> None:
    payload = record(1, 1_000, 1_030) + record(2, 1_530, 1_560)
    first, second = legs([payload])
    assert first == Leg(0, Hop(1, 0, 0, 1_000, 1_030), None, None)
    assert (second.wire_ns, second.queue_ns) == (500, 0)


def test_datagrams_that_no_hop_wrote_into_have_no_rows() -> None:
    assert legs([b"", b"plain"]) == []
