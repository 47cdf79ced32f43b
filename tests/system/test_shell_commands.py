"""What commands of the shell do to a live lab: switches, captures, pings, pictures, benches."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.utils import rdpcap

from emulator.cli.shell import Shell
from emulator.errors import LabError, UsageError
from emulator.experiment.bench import bench_running, running_target
from emulator.experiment.bundle import load_bundle
from emulator.experiment.replay import prepare_replay
from emulator.experiment.spec import BenchSpec
from emulator.network import Network
from emulator.topo import Topo
from emulator.traffic.sniffer import Frame
from tests.system.terminal import ROOT, VNF, Terminal
from tests.system.waiting import until

pytestmark = pytest.mark.xdp


class Mixed(Topo):
    """Switches of two kinds, VNFs on two data planes, and a link with a delay."""

    def build(self, **_params: object) -> None:
        self.addSwitch("s1")
        self.addSwitch("s2", kind="xdp")
        for name in ("h1", "h2", "h3", "h4", "h5"):
            self.addHost(name)
        self.addVNF("fast", "forward", dataplane="xdp")
        self.addVNF("sock", "forward", dataplane="packet", idle="wait")
        self.addLink("h1", "s1")
        self.addLink("h2", "s1", delay="2ms")
        self.addLink("s1", "s2")
        self.addLink("h3", "s2")
        self.addLink("s1", "fast")
        self.addLink("fast", "h4")
        self.addLink("s1", "sock")
        self.addLink("sock", "h5")


@pytest.fixture(autouse=True)
def in_service(net: Network) -> Iterator[None]:
    """Whatever a test does, the next one finds both switches at work."""
    yield
    for switch in ("s1", "s2"):
        net.set_switch(switch, up=True)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with Network(Mixed()) as net:
        yield net


@pytest.fixture
def run(net: Network, capfd: pytest.CaptureFixture[str]) -> Run:
    """Carry out lines of the shell on the lab; the exit code, the output, the complaints."""

    def run(*lines: str, on: Network = net) -> tuple[int, str, str]:
        shell = Shell(on, interactive=False)
        code = shell.run(lines)
        shell.flush()
        return (code, *capfd.readouterr())

    return run


def reaches(net: Network, *names: str) -> bool:
    return net.ping(names, timeout_s=5.0).lost_percent == 0


@pytest.mark.parametrize(("switch", "host"), [("s1", "h1"), ("s2", "h3")])
def test_a_switch_goes_out_of_service_and_comes_back(
    net: Network, run: Run, switch: str, host: str
):
    assert reaches(net, "h1", "h3")
    code, out, err = run(f"switch {switch} stop", "links", f"link {host} {switch} down")
    assert code == 1
    (line,) = (line for line in out.splitlines() if line.startswith(f"{host}-eth0<->{switch}"))
    assert line.endswith("(DOWN DOWN)")
    assert "its switch is out of service" in err
    assert net.ping(["h1", "h3"], timeout_s=0.2).replies == 0
    assert run(f"switch {switch} stop", f"switch {switch} start")[0] == 0
    assert reaches(net, "h1", "h3")


def test_a_link_that_was_down_before_the_switch_is_down_after_it(net: Network):
    net.configLinkStatus("h1", "s1", "down")
    try:
        net.set_switch("s1", up=False)
        net.set_switch("s1", up=True)
        assert net["h1"].cmd("cat /sys/class/net/h1-eth0/operstate").strip() != "up"
    finally:
        net.configLinkStatus("h1", "s1", "up")
    assert reaches(net, "h1", "h3")


def test_what_is_no_switch_cannot_be_taken_out_of_service(net: Network):
    with pytest.raises(UsageError, match="h1 is a host, not a switch"):
        net.set_switch("h1", up=False)


@pytest.mark.parametrize(
    ("target", "interface", "host"),
    [
        ("h1", "h1-eth0", "h3"),
        ("h2", "h2-eth0", "h2"),  # behind a wire
        ("s1-eth1", "s1-eth1", "h2"),
        ("s2-eth2", "s2-eth2", "h3"),  # of a switch in BPF
        ("fast", "fast-eth0", "h4"),
        ("fast-eth1", "fast-eth1", "h4"),
        ("sock", "sock-eth0", "h5"),
    ],
)
def test_a_capture_sees_both_directions(net: Network, target: str, interface: str, host: str):
    seen: list[Frame] = []
    with net.capture(target, filter="icmp", on_frame=seen.append) as capture:
        assert reaches(net, "h1", host)
    assert (capture.error, capture.dropped, capture.unseen) == (None, 0, ())
    found = [frame.outgoing for frame in seen if frame.interface == interface]
    # Two requests and two replies, half of them each way.
    assert sorted(found) == [False, False, True, True]
    assert [frame.time_ns for frame in seen] == sorted(frame.time_ns for frame in seen)


def test_what_a_capture_cannot_see_is_told(net: Network):
    with net.capture("s2-eth1", on_frame=lambda _: None) as capture:
        # The one end is of a bridge, so that what the other sends and receives shows there.
        assert capture.unseen == ()
    with pytest.raises(UsageError, match="there is no node and no interface h9"):
        net.capture("h9", file="/nowhere")
    with pytest.raises(UsageError, match="a capture for nobody"):
        net.capture("h1")


def test_captures_run_behind_other_commands(run: Run, tmp_path: Path):
    file = tmp_path / "h1.pcapng"
    file.write_bytes(b"of the day before")
    code, out, err = run(
        f"capture h1 {file} icmp and host h3 &",
        "capture",
        "h1 ping -c2 -i 0.01 h3 >/dev/null",
        "h1 ping -c1 h4 >/dev/null",
        "capture stop",
        "capture",
    )
    assert (code, err) == (0, "")
    assert f"*** {file} was there before" in out
    assert f"h1 to {file}: 0 frames captured\n" in out
    assert out.endswith(f"h1 to {file}: 4 frames captured\nno capture runs in the background\n")
    packets = rdpcap(str(file))
    assert {(packet[IP].src, packet[ICMP].type) for packet in packets} == {
        ("10.0.0.1", 8),
        ("10.0.0.3", 0),
    }


def test_a_capture_outlives_its_link_going_down_and_ends_with_the_lab(tmp_path: Path):
    seen: list[Frame] = []
    with Network() as lab:
        lab.addSwitch("s1")
        for name in ("h1", "h2"):
            lab.addHost(name)
            lab.addLink(name, "s1")
        capture = lab.capture("h1", file=tmp_path / "x.pcap", filter="icmp", on_frame=seen.append)
        lab.configLinkStatus("h1", "s1", "down")
        lab.configLinkStatus("h1", "s1", "up")
        assert reaches(lab, "h1", "h2")
        with pytest.raises(LabError, match="running"):
            Network().capture("h1", file=tmp_path / "y.pcap")
        lab["h2"].cmd("ip link set h2-eth0 down; ip link set h2-eth0 name elsewhere")
        (tmp_path / "z.pcap").write_text("kept")
        for name in ("y.pcap", "z.pcap"):
            with pytest.raises(LabError, match="the interface is not there"):
                lab.capture("h2", file=tmp_path / name)
    assert {each.name for each in tmp_path.iterdir()} == {"x.pcap", "z.pcap"}
    assert (tmp_path / "z.pcap").read_text() == "kept"
    assert capture.closed
    assert len(rdpcap(str(tmp_path / "x.pcap"))) == len(seen) == 4


def test_full_pings_measure_round_trips(net: Network, run: Run):
    code, out, _ = run("pingpairfull 4", "pingallfull 1")
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith(" h1->h2: 4/4, rtt min/avg/max")]
    shortest_ms, mean_ms, longest_ms, _ = map(float, lines[0].split()[-2].split("/"))
    # Two milliseconds there and two back.
    assert 4.0 <= shortest_ms <= mean_ms <= longest_ms
    assert " h5->h4: 1/1, rtt" in out
    assert "0% dropped (20/20 received)" in out


def test_the_lab_is_drawn(run: Run, tmp_path: Path):
    code, out, _ = run(f"graph {tmp_path}/lab.svg", f"graph {tmp_path}/lab.txt")
    assert code == 1
    assert out == f"{tmp_path}/lab.svg\n"
    assert "<!-- forward, xdp" in (tmp_path / "lab.svg").read_text()


@pytest.mark.usefixtures("known_limits")
def test_the_lab_is_measured_as_it_runs(net: Network, run: Run, tmp_path: Path):
    command = f"bench latency --rate 1k --duration 100ms --certify no --output {tmp_path}"
    code, out, err = run(f"{command} --from h1 --to h4", "bench --help", "top once 200ms")
    assert code == 0, err
    assert "Bundle" in out
    assert "vnf bench topologies/chain.py" in out
    assert "fast  " in out
    (folder,) = tmp_path.iterdir()
    bundle = load_bundle(folder)
    (case,) = bundle.summary.cases
    assert (case.source, case.destination, case.status) == ("h1", "h4", "finished")
    assert bundle.run.spec["target"] == running_target(net)
    with pytest.raises(UsageError, match="measured in a lab that ran already"):
        prepare_replay(bundle)
    assert reaches(net, "h1", "h4")
    with pytest.raises(UsageError, match="measured as it is"):
        bench_running(net, BenchSpec(running_target(net), {"length": "2"}))


def test_another_terminal_has_the_same_commands(net: Network, run: Run, tmp_path: Path):
    with Network.attach(net.id) as attached:
        code, out, err = run(
            f"capture fast-eth1 {tmp_path}/x.pcap icmp &",
            "pingpairfull 1",
            "h1 ping -c1 h4 >/dev/null",
            "capture stop",
            "switch s2 stop",
            f"graph {tmp_path}/lab.png",
            "vnfs",
            on=attached,
        )
        assert (code, err) == (0, "")
        assert "x.pcap: 2 frames captured" in out
        assert net.ping(["h1", "h3"], timeout_s=0.2).replies == 0
        assert run("switch s2 start", on=attached)[0] == 0
    assert reaches(net, "h1", "h3")


def test_ctrl_c_ends_a_capture_and_what_is_typed_need_not_show(tmp_path: Path):
    command = [*VNF, "run", "--topo", "minimal", "--name", f"shown-{os.getpid()}"]
    with Terminal(command, {"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        terminal.wait_for("vnf>")
        terminal.type("capture h1 icmp\r")
        terminal.wait_for("Ctrl-C ends it")
        # Until a frame shows: the program that decodes them may still be beginning.
        ping = [*VNF, "exec", command[-1], "h2", "ping", "-c1", "h1"]
        subprocess.run(ping, cwd=ROOT, check=True, timeout=60, stdout=subprocess.DEVNULL)
        terminal.wait_for(r"10\.0\.0\.2.* echo|Echo")
        terminal.type("\x03")
        terminal.wait_for("2 frames captured")
        terminal.wait_for("vnf>")
        terminal.type("noecho h1 echo begun; read -r word; echo $((6*7)) ${#word}\r")
        terminal.wait_for("^begun")
        terminal.type("hidden\r")
        terminal.wait_for("^42 6")
        terminal.wait_for("vnf>")
        assert "hidden" not in terminal.text
        terminal.type("\x04")
        assert terminal.wait_exit() == 0


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_without_a_display_windows_are_those_of_a_tmux_that_ends_with_the_lab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    with Network(name=f"windows-{os.getpid()}") as lab:
        lab.addHost("h1")
        mark = tmp_path / "mark"
        window = lab.open_window("h1", ["sh", "-c", f"hostname -I > {mark}; exec sleep 600"])
        lab.open_window("h1")
        tmux = window.attach.removesuffix(" attach").split()
        until(mark.exists)
        listed = subprocess.run(
            [*tmux, "list-windows", "-F", "#{window_name}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert listed.stdout.split() == ["h1", "h1"]
        server = subprocess.run(
            [*tmux, "display-message", "-p", "#{pid}"], capture_output=True, text=True, check=True
        )
    until(lambda: not Path(f"/proc/{server.stdout.strip()}").exists())
