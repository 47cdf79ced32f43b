"""What is read from the outputs of tools; see adapter_outputs/README.md for where they are from."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emulator.errors import MeasurementError, UsageError
from emulator.measure.latency import summarise_latency
from emulator.traffic.adapters import (
    ToolLatency,
    ToolResult,
    iperf3,
    moongen,
    ping,
    pmd,
    sockperf,
    tcpreplay,
    trex,
)
from emulator.traffic.adapters.running import Arrived, Finished

OUTPUTS = Path(__file__).parent / "adapter_outputs"
A: Any = SimpleNamespace(name="a")
B: Any = SimpleNamespace(name="b")


def output(name: str) -> str:
    return (OUTPUTS / name).read_text()


def finished(name: str, status: int = 0) -> Finished:
    errors = OUTPUTS / f"{name}.err.txt"
    return Finished(status, output(f"{name}.txt"), errors.read_text() if errors.exists() else "")


def iperf3_result(name: str, **options: Any) -> ToolResult:
    spec = iperf3.Iperf3Spec(**options)
    report = iperf3.read_report(finished(name), A)
    return iperf3.result_of(report, spec, "a", "b", ["iperf3"])


def sockperf_result(name: str, **options: Any) -> ToolResult:
    return sockperf.result_of(finished(name), sockperf.SockperfSpec(**options), A, B, ["sockperf"])


def ping_result(done: Finished, **options: Any) -> ToolResult:
    return ping.result_of(done, ping.PingSpec(**options), A, B, ["ping"], "20221126")


# The result type.


@settings(deadline=None)
@given(arrays(np.int64, st.integers(0, 4000), elements=st.integers(1, 10**12)))
def test_latency_is_summarised_as_that_of_the_probe(samples_ns: Any) -> None:
    ours, found = summarise_latency(samples_ns), ToolLatency.of(samples_ns)

    if found is None:
        assert ours.count == 0
    else:
        told = dataclasses.asdict(found)
        assert told == {name: getattr(ours, name) for name in told}


def test_a_result_is_plain_data_for_a_bundle() -> None:
    result = sockperf_result("sockperf", rate_mps=50)

    told = json.loads(json.dumps(result.to_dict()))

    assert told["tool"] == "sockperf"
    assert told["latency"]["count"] == told["received_packets"]
    assert told["output"] == ["sockperf.csv", "sockperf.txt"]
    assert "samples_ns" not in told


def test_what_a_tool_does_not_tell_has_no_rate_and_no_loss() -> None:
    result = iperf3_result("iperf3-tcp", streams=2)

    assert (result.throughput_pps, result.loss_ratio) == (None, None)
    assert result.throughput_bps == pytest.approx(1e8, rel=0.05)


# iperf3.


def test_iperf3_tcp() -> None:
    result = iperf3_result("iperf3-tcp", streams=2)
    end = json.loads(output("iperf3-tcp.txt"))["end"]

    assert (result.tool, result.version, result.protocol) == ("iperf3", "3.12", "TCP")
    assert result.received_bytes == sum(each["receiver"]["bytes"] for each in end["streams"])
    assert result.facts["retransmits"] == end["sum_sent"]["retransmits"]
    assert len(result.facts["rtt_us"]) == 2
    assert json.loads(result.output["iperf3.json"])["end"] == end


def test_iperf3_udp_counts_datagrams_that_were_taken() -> None:
    result = iperf3_result("iperf3-udp", protocol="UDP", length_bytes=18)
    end = json.loads(output("iperf3-udp.txt"))["end"]

    assert result.sent_packets == end["sum_sent"]["packets"]
    assert result.received_bytes == 18 * (result.received_packets or 0)
    # Its own counts know nothing of what was lost at the very end.
    seen = end["sum_received"]["packets"] - end["sum_received"]["lost_packets"]
    assert result.received_packets == seen
    assert result.lost_packets == end["sum_sent"]["packets"] - seen


def test_iperf3_in_reverse_names_the_nodes_as_packets_went() -> None:
    result = iperf3_result("iperf3-udp-reverse", protocol="UDP", length_bytes=1000, reverse=True)

    assert (result.source, result.destination) == ("b", "a")
    assert result.received_bytes == 1000 * (result.received_packets or 0)


def test_iperf3_before_it_summed_up_both_ends() -> None:
    report = json.loads(output("iperf3-udp.txt"))
    both = report["end"]["sum_received"]
    report["end"] = {
        "sum": {**both, "packets": 100, "lost_packets": 4, "bytes": 1800, "seconds": 1.0}
    }

    result = iperf3.result_of(report, iperf3.Iperf3Spec(protocol="UDP"), "a", "b", [])

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (100, 96, 4)


def test_iperf3_that_is_refused_says_why() -> None:
    with pytest.raises(MeasurementError, match="Connection refused") as caught:
        iperf3_result("iperf3-refused")

    assert caught.value.where == "a"
    assert "pingpair" in caught.value.hint


def test_iperf3_without_a_report_is_quoted() -> None:
    with pytest.raises(MeasurementError, match="parameter error"):
        iperf3.read_report(Finished(1, "", "iperf3: parameter error - no such thing\n"), A)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "-t 5"),
        ({"rate_bps": 2e6}, "-t 5 -b 2000000"),
        ({"protocol": "UDP"}, "-t 5 -u -b 0"),
        ({"protocol": "UDP", "rate_bps": 8e6, "streams": 4}, "-t 5 -u -b 2000000 -P 4"),
        ({"length_bytes": 100, "reverse": True, "buffer_bytes": 65536}, "-t 5 -l 100 -R -w 65536"),
    ],
)
def test_iperf3_is_asked_for_what_is_wanted(options: dict[str, Any], words: str) -> None:
    command = iperf3.client_command(iperf3.Iperf3Spec(**options), "10.0.0.2")

    assert " ".join(command) == f"iperf3 --json -c 10.0.0.2 -p 5201 {words}"


class Receiver:
    """A path on which iperf3 offers so much at most and takes so much; every trial is noted."""

    def __init__(self, offers_pps: float, takes_pps: float) -> None:
        self.offers_pps, self.takes_pps = offers_pps, takes_pps
        self.asked: list[float | None] = []

    def __call__(self, rate_pps: float | None) -> ToolResult:
        self.asked.append(rate_pps)
        sent = self.offers_pps if rate_pps is None else min(rate_pps, self.offers_pps)
        # Beyond what it takes, it takes less: it has to throw away too.
        taken = sent if sent <= self.takes_pps else 0.8 * self.takes_pps
        return ToolResult(
            tool="iperf3",
            version="",
            source="a",
            destination="b",
            command=(),
            protocol="UDP",
            duration_s=1.0,
            sent_packets=round(sent),
            received_packets=round(taken),
            lost_packets=round(sent) - round(taken),
            sent_bytes=None,
            received_bytes=None,
            bytes_of="payload",
        )


@settings(deadline=None)
@given(st.floats(10_000, 1e6), st.floats(0.02, 0.98))
def test_iperf3s_limit_is_found(offers_pps: float, share: float) -> None:
    receiver = Receiver(offers_pps, offers_pps * share)

    best, failed_pps = iperf3.search_rate(receiver, loss_goal=0.001, width=0.02, most_trials=20)

    assert best is not None
    assert failed_pps is not None
    # Whole packets in and out, so the rate that was asked for may be half a packet off.
    assert (best.throughput_pps or 0) <= receiver.takes_pps + 1
    assert failed_pps >= receiver.takes_pps - 1
    assert failed_pps - (best.throughput_pps or 0) <= 0.02 * failed_pps + 2


def test_iperf3_that_takes_all_it_sends_is_tried_once() -> None:
    receiver = Receiver(50_000, 60_000)

    best, failed_pps = iperf3.search_rate(receiver, loss_goal=0.0, width=0.02, most_trials=9)

    assert best is not None
    assert (best.throughput_pps, failed_pps) == (50_000, None)
    assert receiver.asked == [None]


def test_a_search_ends_where_nothing_is_taken() -> None:
    receiver = Receiver(50_000, 0)

    best, failed_pps = iperf3.search_rate(receiver, loss_goal=0.0, width=0.001, most_trials=6)

    assert best is None
    assert len(receiver.asked) == 6
    assert failed_pps == min(rate for rate in receiver.asked if rate is not None)


# sockperf.


def test_sockperf_tells_every_message() -> None:
    result = sockperf_result("sockperf", rate_mps=50)
    log = output("sockperf.err.txt")

    assert result.version == "3.7-no.git"
    assert result.samples_ns is not None
    assert result.sent_ns is not None
    assert len(result.samples_ns) == len(result.sent_ns) == result.received_packets
    assert result.round_trip
    # As its own summary has them, in µs.
    assert result.latency is not None
    for name, value in (("MIN", result.latency.min_ns), ("MAX", result.latency.max_ns)):
        told = re.search(rf"<{name}> observation = +([\d.]+)", log)
        assert told is not None
        assert value == pytest.approx(float(told[1]) * 1e3, abs=2)
    told = re.search(r"avg-rtt=([\d.]+)", log)
    assert told is not None
    assert result.latency.mean_ns == pytest.approx(float(told[1]) * 1e3, abs=2)
    first = re.search(r"^0, ([\d.]+), ([\d.]+), ([\d.]+)$", log, re.MULTILINE)
    assert first is not None
    assert result.sent_ns[0] == round(float(first[1]) * 1e9)
    assert (np.diff(result.sent_ns) > 0).all()


def test_sockperf_counts_what_was_lost() -> None:
    result = sockperf_result("sockperf-lossy", mode="under-load", rate_mps=100)

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (55, 45, 10)
    assert result.loss_ratio == pytest.approx(10 / 55)
    assert result.latency is not None
    assert result.latency.count == 45
    # 45 messages support a median and a p90, and no p99.
    assert result.latency.p90_ns is not None
    assert result.latency.p99_ns is None


def test_sockperf_that_a_lost_message_has_stopped() -> None:
    with pytest.raises(MeasurementError, match="8 sent, 7 received") as caught:
        sockperf_result("sockperf-stopped", rate_mps=1000)

    assert "under-load" in caught.value.hint


def test_sockperf_that_was_stopped_on_the_way_is_told_of() -> None:
    text = re.sub(r"(Total Run. RunTime)=[\d.]+", r"\1=4.000", output("sockperf.err.txt"))
    done = Finished(0, output("sockperf.txt"), text)

    stopped = sockperf.result_of(done, sockperf.SockperfSpec(rate_mps=50), A, B, [])

    assert any("nothing came back in the last 3." in note for note in stopped.notes)
    whole = sockperf_result("sockperf", rate_mps=50)
    assert not any("nothing came back" in note for note in whole.notes)


def test_sockperf_without_a_server() -> None:
    with pytest.raises(MeasurementError, match="No messages were received") as caught:
        sockperf_result("sockperf-nobody")

    assert "pingpair" in caught.value.hint


def test_a_log_with_other_columns_is_refused() -> None:
    done = finished("sockperf")
    other = dataclasses.replace(done, errors=done.errors.replace("rtt(usec)", "rtt(sec)"))

    with pytest.raises(MeasurementError, match="other columns"):
        sockperf.result_of(other, sockperf.SockperfSpec(), A, B, [])


def test_sockperf_is_asked_for_what_is_wanted() -> None:
    spec = sockperf.SockperfSpec(mode="under-load", protocol="TCP", rate_mps=500, reply_every=3)

    assert " ".join(sockperf.client_command(spec, "10.0.0.2")) == (
        "sockperf under-load -i 10.0.0.2 -p 11111 -t 5 -m 14 --tcp --mps 500 --reply-every 3 "
        "--full-rtt --full-log /dev/stderr"
    )


# ping.


def test_ping_tells_every_reply() -> None:
    result = ping_result(finished("ping"), payload_bytes=18)
    summary = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", output("ping.txt"))

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (12, 12, 0)
    assert result.round_trip
    assert result.latency is not None
    assert summary is not None
    assert result.latency.count == 12
    assert result.latency.min_ns == float(summary[1]) * 1e6
    assert result.latency.mean_ns == pytest.approx(float(summary[2]) * 1e6, abs=1000)
    assert result.latency.max_ns == float(summary[3]) * 1e6
    assert result.sent_bytes == 12 * 26


def test_ping_over_a_path_that_loses() -> None:
    result = ping_result(finished("ping-lossy"), payload_bytes=18)

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (25, 21, 4)
    assert result.samples_ns is not None
    assert result.samples_ns[:2].tolist() == [45_000, 62_000]
    assert len(result.samples_ns) == 21


def test_ping_that_nobody_answers_is_an_answer_too() -> None:
    result = ping_result(finished("ping-nobody", status=1))

    assert (result.sent_packets, result.received_packets, result.loss_ratio) == (2, 0, 1.0)
    assert result.latency is None


def test_ping_leaves_copies_and_complaints_out() -> None:
    text = (
        "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n"
        "[1700000000.000001] 64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=12.3 ms\n"
        "[1700000000.000002] 64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=99.9 ms (DUP!)\n"
        "[1700000000.000003] From 10.0.0.9 icmp_seq=2 Destination Host Unreachable\n"
        "[1700000000.000004] 64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=1234 ms\n"
        "\n--- 10.0.0.2 ping statistics ---\n"
        "3 packets transmitted, 2 received, +1 duplicates, +1 errors, 33.3333% packet loss, "
        "time 2003ms\n"
        "rtt min/avg/max/mdev = 12.3/623.1/1234.0/610.8 ms\n"
    )

    result = ping_result(Finished(0, text, ""))

    assert result.samples_ns is not None
    assert result.samples_ns.tolist() == [12_300_000, 1_234_000_000]
    assert result.facts == {"duplicated": 1, "errors": 1, "corrupted": 0}
    assert result.duration_s == 2.003


def test_ping_without_a_summary_is_quoted() -> None:
    with pytest.raises(MeasurementError, match="Network is unreachable"):
        ping_result(Finished(2, "", "ping: connect: Network is unreachable\n"))


def test_ping_is_asked_for_what_is_wanted() -> None:
    spec = ping.PingSpec(count=3, interval_s=0.001, payload_bytes=18, wake_up=True)

    assert " ".join(ping.command_for(spec, "10.0.0.2")) == (
        "ping -n -D -c 3 -i 0.001 -s 18 -W 1 -U 10.0.0.2"
    )


# tcpreplay.


def replayed(
    arrived: int = 3000, text: str = "", capture: Path = OUTPUTS / "README.md"
) -> ToolResult:
    done = Finished(0, text or output("tcpreplay.txt"), "")
    spec = tcpreplay.TcpreplaySpec(capture=capture)
    return tcpreplay.result_of(done, Arrived(arrived, 60 * arrived, 0), spec, A, B, [], "4.4.3")


def test_tcpreplay_tells_what_was_sent_and_the_interface_what_arrived() -> None:
    result = replayed(2999)

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (3000, 2999, 1)
    assert (result.sent_bytes, result.bytes_of) == (180_000, "frame")
    assert result.facts["failed_packets"] == 0
    assert len(result.notes) == 1


def test_frames_of_others_are_no_gain() -> None:
    result = replayed(3004)

    assert result.lost_packets == 0
    assert "4 more frames" in result.notes[-1]


def test_frames_that_could_not_be_sent_are_told() -> None:
    text = re.sub(r"Failed packets: +0", "Failed packets:            7", output("tcpreplay.txt"))

    result = replayed(text=text)

    assert result.facts["failed_packets"] == 7
    assert "7 frames could not be sent" in result.notes[-1]


def test_tcpreplay_without_statistics_is_quoted() -> None:
    with pytest.raises(MeasurementError, match="nothing of the kind"):
        replayed(text="nothing of the kind")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--loop=1"),
        ({"rate_pps": 2000}, "--loop=1 --pps=2000.000"),
        ({"rate_bps": 1.5e6, "loops": 3}, "--loop=3 --mbps=1.500000"),
        ({"multiplier": 0.5, "most_packets": 10}, "--loop=1 --multiplier=0.5 --limit=10"),
        (
            {"topspeed": True, "preload": True, "duration_s": 2},
            "--loop=1 --topspeed --duration=2 --preload-pcap",
        ),
    ],
)
def test_tcpreplay_is_asked_for_what_is_wanted(options: dict[str, Any], words: str) -> None:
    spec = tcpreplay.TcpreplaySpec(capture=OUTPUTS / "README.md", **options)

    assert " ".join(tcpreplay.command_for(spec, "a-eth0")) == f"tcpreplay --intf1=a-eth0 {words}"


# testpmd.


def test_testpmd_tells_what_went_by() -> None:
    counters = json.loads(output("testpmd.json"))

    result = pmd.result_of("fwd", "DPDK 22.11.11", (), counters["before"], counters["after"], 2.0)

    assert (result.tool, result.version) == ("testpmd", "22.11.11")
    # Twelve pings came in by one port and twelve answers by the other.
    assert (result.received_packets, result.sent_packets, result.lost_packets) == (24, 24, 0)
    assert result.throughput_pps == 12
    assert [port["ipackets"] for port in result.facts["ports"]] == [12, 12]
    assert result.received_bytes == 24 * 60


def test_testpmd_tells_what_its_ports_lost() -> None:
    counters = json.loads(output("testpmd.json"))
    counters["after"][0]["imissed"] += 3
    counters["after"][1]["oerrors"] += 2

    result = pmd.result_of("fwd", "DPDK 22.11.11", (), counters["before"], counters["after"], 2.0)

    assert result.lost_packets == 5


# TRex and MoonGen: none was there to be asked.


def test_trex_statistics() -> None:
    report = json.loads(output("trex.json"))

    result = trex.result_of(report, trex.TrexSpec(), "gen", ["t-rex-64"], "3.06")

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (
        505_000,
        504_900,
        100,
    )
    assert result.throughput_pps == 504_900 / 5
    assert result.latency == ToolLatency(
        4998, 10_000.0, 18_400.0, None, None, None, None, 412_000.0
    )
    assert not result.round_trip
    assert result.facts["latency_errors"]["dropped"] == 2
    assert "not tried" in result.notes[0]


def test_trex_without_latency() -> None:
    report = json.loads(output("trex.json"))
    report["stats"]["latency"] = {"global": {"old_flow": 0, "bad_hdr": 0}}

    assert trex.result_of(report, trex.TrexSpec(), "gen", [], "3.06").latency is None


def test_trex_that_does_not_know_its_smallest_latency() -> None:
    report = json.loads(output("trex.json"))
    report["stats"]["latency"]["5"]["latency"].update(total_min=None, histogram={})

    latency = trex.result_of(report, trex.TrexSpec(), "gen", [], "3.06").latency

    assert latency is not None
    assert (latency.count, latency.min_ns, latency.max_ns) == (None, None, 412_000.0)


def interface(name: str, mac: str) -> Any:
    return SimpleNamespace(name=name, kernel_name=name, mac=mac)


PORTS = (interface("g-eth0", "02:00:00:00:00:01"), interface("g-eth1", "02:00:00:00:00:02"))


def test_trex_is_given_two_interfaces() -> None:
    import yaml

    (told,) = yaml.safe_load(trex.configuration_of(*PORTS, trex.TrexSpec()))

    assert told["interfaces"] == ["g-eth0", "g-eth1"]
    assert told["port_info"] == [
        {"src_mac": "02:00:00:00:00:01", "dest_mac": "02:00:00:00:00:02"},
        {"src_mac": "02:00:00:00:00:02", "dest_mac": "02:00:00:00:00:01"},
    ]


def test_trex_is_asked_for_frames_without_their_check_sequence() -> None:
    asked = json.loads(trex.request_of(trex.TrexSpec(rate_pps=1000, frame_size_bytes=128)))

    assert (asked["rate"], asked["frame_bytes"]) == ("1000.000pps", 124)
    assert json.loads(trex.request_of(trex.TrexSpec()))["rate"] == "100%"


def test_moongen_statistics() -> None:
    spec = moongen.MoongenSpec(duration_s=2.0)

    result = moongen.result_of(output("moongen.csv"), spec, "gen", ["MoonGen"])

    assert (result.sent_packets, result.received_packets, result.lost_packets) == (
        200_300,
        200_100,
        200,
    )
    assert result.sent_bytes == 200_300 * 60
    assert result.throughput_pps == 100_050


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "other columns"), ("Time,Device\n", "other columns"), (None, "lack a direction")],
)
def test_moongen_statistics_that_are_not(text: str | None, message: str) -> None:
    if text is None:
        text = "".join(
            line for line in output("moongen.csv").splitlines(True) if ",RX," not in line
        )

    with pytest.raises(MeasurementError, match=message):
        moongen.result_of(text, moongen.MoongenSpec(), "gen", [])


def test_a_histogram_of_moongen() -> None:
    latency = moongen.read_histogram(output("moongen-histogram.csv"))

    assert latency is not None
    assert (latency.count, latency.min_ns, latency.p50_ns, latency.max_ns) == (400, 320, 333, 1280)
    assert latency.p99_ns == 346
    assert moongen.read_histogram("") is None


def test_moongen_is_given_two_interfaces_and_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(moongen.FOLDER_VARIABLE, "/opt/moongen")
    spec = moongen.MoongenSpec(rate_pps=100_000, frame_size_bytes=128, duration_s=3)

    words = moongen.command_for(spec, *PORTS, Path("f.lua"), Path("d.lua"), Path("s.csv"))

    assert words == [
        "/opt/moongen/build/MoonGen",
        "f.lua",
        "--dpdk-config=d.lua",
        *("10000", "124", "3", "02:00:00:00:00:01", "02:00:00:00:00:02", "s.csv"),
    ]
    told = moongen.configuration_of(*PORTS)
    assert '"--vdev=net_af_packet0,iface=g-eth0"' in told
    assert '"--vdev=net_af_packet1,iface=g-eth1"' in told
    assert told.startswith("DPDKConfig { cli = { ")


# What makes no sense.


@pytest.mark.parametrize(
    ("spec", "options", "where"),
    [
        (iperf3.Iperf3Spec, {"protocol": "SCTP"}, "protocol"),
        (iperf3.Iperf3Spec, {"duration_s": 0.5}, "duration_s"),
        (iperf3.Iperf3Spec, {"rate_bps": 0}, "rate_bps"),
        (iperf3.Iperf3Spec, {"rate_bps": float("inf")}, "rate_bps"),
        (iperf3.Iperf3Spec, {"protocol": "UDP", "length_bytes": 15}, "length_bytes"),
        (iperf3.Iperf3Spec, {"length_bytes": 2 << 20}, "length_bytes"),
        (iperf3.Iperf3Spec, {"streams": 0}, "streams"),
        (iperf3.Iperf3Spec, {"buffer_bytes": 0}, "buffer_bytes"),
        (iperf3.Iperf3Spec, {"port": 70000}, "port"),
        (sockperf.SockperfSpec, {"mode": "playback"}, "mode"),
        (sockperf.SockperfSpec, {"protocol": "SCTP"}, "protocol"),
        (sockperf.SockperfSpec, {"duration_s": 0}, "duration_s"),
        (sockperf.SockperfSpec, {"message_bytes": 13}, "message_bytes"),
        (sockperf.SockperfSpec, {"rate_mps": 0.5}, "rate_mps"),
        (sockperf.SockperfSpec, {"reply_every": 2}, "reply_every"),
        (sockperf.SockperfSpec, {"mode": "under-load", "reply_every": 0}, "reply_every"),
        (sockperf.SockperfSpec, {"port": 0}, "port"),
        (ping.PingSpec, {"count": 0}, "count"),
        (ping.PingSpec, {"interval_s": 0}, "interval_s"),
        (ping.PingSpec, {"payload_bytes": 15}, "payload_bytes"),
        (ping.PingSpec, {"timeout_s": 0}, "timeout_s"),
        (tcpreplay.TcpreplaySpec, {}, "capture"),
        (tcpreplay.TcpreplaySpec, {"capture": "/no/such/file"}, "/no/such/file"),
        (tcpreplay.TcpreplaySpec, {"capture": __file__, "rate_pps": 0}, "rate_pps"),
        (tcpreplay.TcpreplaySpec, {"capture": __file__, "loops": 0}, "loops"),
        (tcpreplay.TcpreplaySpec, {"capture": __file__, "most_packets": 0}, "most_packets"),
        (tcpreplay.TcpreplaySpec, {"capture": __file__, "duration_s": 0.5}, "duration_s"),
        (tcpreplay.TcpreplaySpec, {"capture": __file__, "timeout_s": 0}, "timeout_s"),
        (
            tcpreplay.TcpreplaySpec,
            {"capture": __file__, "rate_pps": 1, "topspeed": True},
            "tcpreplay",
        ),
        (pmd.PmdSpec, {"duration_s": 0}, "duration_s"),
        (trex.TrexSpec, {"rate_pps": -1}, "rate_pps"),
        (trex.TrexSpec, {"latency_pps": -1}, "latency_pps"),
        (trex.TrexSpec, {"duration_s": 0}, "duration_s"),
        (trex.TrexSpec, {"frame_size_bytes": 60}, "frame_size_bytes"),
        (moongen.MoongenSpec, {"rate_pps": 0}, "rate_pps"),
        (moongen.MoongenSpec, {"duration_s": 0}, "duration_s"),
        (moongen.MoongenSpec, {"frame_size_bytes": 2000}, "frame_size_bytes"),
    ],
)
def test_what_makes_no_sense_is_named(spec: Any, options: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec(**options)

    assert where in caught.value.where
