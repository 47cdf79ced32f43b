"""What is used while something runs, on live processes, labs and trials."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from emulator import Network, Topo
from emulator.kernel.bpf import all_ids
from emulator.kernel.perf import PerfCounters
from emulator.kernel.proc import process_table, read_process
from emulator.kernel.run_time import bpf_statistics, run_time_between, run_times
from emulator.measure.honesty import check_trial
from emulator.measure.meter import WIRES, MeterTargets, ResourceMeter
from emulator.measure.resources import NodeUse, ProcessUse, ResourceReading, TotalUse
from emulator.measure.sensors import Sensors
from emulator.traffic.probe import ProbeSpec, run_probe
from emulator.unavailable import Unavailable
from tests.system.docker_images import BUSYBOX, import_busybox
from tests.system.waiting import until

pytestmark = pytest.mark.root

BUSY = "while True: pass"
IDLE = "import time\ntime.sleep(1000)"
RESTLESS = "import time\nwhile True: time.sleep(0.001)"


class Chain(Topo):
    """A VNF between two hosts."""

    def build(self, dataplane: str = "xdp", delay: str | None = None) -> None:
        a, b = self.addHost("a"), self.addHost("b")
        fw = self.addVNF("fw", "forward", dataplane=dataplane)
        self.addLink(a, fw, **({} if delay is None else {"delay": delay}))
        self.addLink(fw, b)


@contextlib.contextmanager
def python(code: str) -> Iterator[int]:
    """A process that has begun to do what it is for."""
    started = f"print(flush=True)\n{code}"
    process = subprocess.Popen([sys.executable, "-c", started], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def cpu_ns(pid: int) -> int:
    reading = read_process(pid)
    assert reading is not None
    (thread,) = reading.threads.values()
    assert not isinstance(thread.cpu_ns, Unavailable)
    return thread.cpu_ns


def total(node: NodeUse) -> TotalUse:
    assert isinstance(node.total, TotalUse), node.total
    return node.total


def number(value: float | Unavailable) -> float:
    assert not isinstance(value, Unavailable), value
    return value


def test_a_busy_process_burns_cpu_and_a_sleeping_one_does_not() -> None:
    with python(BUSY) as busy, python(IDLE) as idle:
        began_ns = time.monotonic_ns()
        with ResourceMeter({"busy": [busy], "idle": [idle], "none": []}) as meter:
            start_ns = cpu_ns(busy)
            until(lambda: cpu_ns(busy) - start_ns > 300_000_000)
        lasted_ns = time.monotonic_ns() - began_ns
        reading = meter.reading()
    busy_use, idle_use = total(reading.nodes["busy"]), total(reading.nodes["idle"])
    assert number(busy_use.cpu_ns) >= 300_000_000
    assert number(busy_use.cpu_ns) <= lasted_ns + 20_000_000
    assert number(idle_use.cpu_ns) < 50_000_000
    assert busy_use.rss_bytes > 1 << 20
    assert isinstance(reading.nodes["none"].total, Unavailable)
    assert reading.machine.busy_ns >= 250_000_000
    assert busy not in [other.pid for other in reading.others]


def test_context_switches_are_counted_by_their_kind() -> None:
    with python(RESTLESS) as restless:
        with ResourceMeter({"restless": [restless]}) as meter:
            begin = read_process(restless)
            assert begin is not None

            def switched() -> bool:
                now = read_process(restless)
                assert now is not None
                before = begin.threads[restless].voluntary_switches
                return now.threads[restless].voluntary_switches - before > 100

            until(switched)
        use = total(meter.reading().nodes["restless"])
    assert use.voluntary_switches > 100


def test_waiting_for_a_cpu_is_counted_when_two_want_the_same_one() -> None:
    cpu = min(os.sched_getaffinity(0))
    with python(BUSY) as one, python(BUSY) as two:
        for pid in (one, two):
            os.sched_setaffinity(pid, {cpu})
        with ResourceMeter({"one": [one]}, generator=two) as meter:
            start_ns = cpu_ns(one)
            until(lambda: cpu_ns(one) - start_ns > 200_000_000)
        reading = meter.reading()
    use = total(reading.nodes["one"])
    # Both have the CPU in turns, so each waits for about as long as it runs, or longer.
    assert number(use.wait_ns) > 50_000_000
    assert use.involuntary_switches > 0
    assert reading.nodes["one"].processes[0].cpus == (cpu,)
    assert isinstance(reading.generator, ProcessUse)
    assert number(reading.generator.wait_ns) > 0


def test_a_program_that_began_and_ended_meanwhile_is_told_by_its_cpu_time() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    with ResourceMeter() as meter:
        subprocess.run([sys.executable, "-c", burn], check=True)
    assert meter.reading().children.cpu_ns >= 300_000_000


def test_samples_show_when_a_process_was_busy() -> None:
    code = "import time\nend = time.process_time() + 0.5\n"
    code += "while time.process_time() < end: pass\ntime.sleep(1000)"
    with python(code) as pid:
        with ResourceMeter({"node": [pid]}, sample_s=0.1) as meter:
            until(lambda: cpu_ns(pid) >= 500_000_000)
            settled_ns = time.monotonic_ns()
            until(lambda: time.monotonic_ns() - settled_ns > 1_500_000_000)
        series = meter.reading().series
    assert len(series) >= 3
    assert [sample.at_ns for sample in series] == sorted({sample.at_ns for sample in series})
    burnt = [sample.cpu_percent["node"] for sample in series]
    assert max(burnt) > 5
    assert burnt[-1] < max(burnt)
    assert all(sample.rss_bytes["node"] > 0 for sample in series[1:])


def test_events_of_threads_are_counted_or_said_not_to_be_had() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    with python(IDLE) as pid:
        with PerfCounters.of_processes([pid]) as counters:
            for turn in range(20):
                os.sched_setaffinity(pid, {cpus[turn % len(cpus)]})
            counts = counters.read()
        assert counts.keys() == {"cycles", "instructions", "llc_misses", "migrations"}
        for event, count in counts.items():
            if isinstance(count, Unavailable):
                assert "PMU" in count.because or "perf" in count.because
            elif event != "migrations":
                # A process that sleeps through it all may count nothing at all.
                assert count >= 0
        with PerfCounters.of_processes([2**22 + 1]) as counters:
            assert all("no thread" in str(count) for count in counters.read().values())


def test_events_of_a_busy_process_are_not_0() -> None:
    with python(BUSY) as pid:
        with PerfCounters.of_processes([pid], ["cycles", "migrations"]) as counters:
            start_ns = cpu_ns(pid)
            until(lambda: cpu_ns(pid) - start_ns > 50_000_000)
            cycles = counters.read()["cycles"]
        if isinstance(cycles, Unavailable):
            assert cycles.because
        else:
            assert cycles > 1_000_000


@pytest.mark.xdp
def test_a_trial_through_a_process_tells_its_cost_per_packet_and_where_the_time_went() -> None:
    with Network(Chain(dataplane="packet", delay="1ms")) as net:
        targets = MeterTargets.of_network(net)
        vnf = net["fw"].vnf
        assert vnf is not None
        assert vnf.pid in targets.processes["fw"]
        assert targets.processes["a"] == ()
        assert len(targets.processes[WIRES]) == 1
        with ResourceMeter(targets=targets) as meter:
            result = run_probe(net["a"], net["b"], ProbeSpec(2000, 0.5))
        reading = meter.reading()
    fw = reading.nodes["fw"]
    assert number(fw.packets) >= result.received
    assert number(total(fw).cpu_ns_per_packet) > 0
    assert total(fw).voluntary_switches + total(fw).involuntary_switches > 0
    assert number(total(reading.nodes[WIRES]).cpu_ns) > 0
    assert reading.children.cpu_ns > 0


@pytest.mark.xdp
def test_a_planted_hog_is_found_and_named() -> None:
    with Network(Chain()) as net, python(BUSY) as hog:
        core = min(os.sched_getaffinity(0))
        os.sched_setaffinity(hog, {core})
        # So that it takes its share on a machine with much else to do, too.
        os.setpriority(os.PRIO_PROCESS, hog, -5)
        targets = MeterTargets.of_network(net)

        def trial() -> tuple[ResourceReading, Sensors]:
            with ResourceMeter(targets=targets) as meter:
                result = run_probe(net["a"], net["b"], ProbeSpec(10_000, 1.0, core=core))
            vnf = net["fw"].vnf
            assert vnf is not None
            reading = meter.reading()
            return reading, Sensors.of_probe(result, reading, modes={"fw": vnf.mode})

        reading, sensors = trial()
        named = {other.pid: other for other in reading.others}
        assert hog in named
        assert not named[hog].in_lab
        assert named[hog].command.startswith("python")
        (finding,) = [
            each for each in check_trial(sensors) if each.rule == "hog" and str(hog) in each.text
        ]
        # It shares the generator's only CPU, so the trial cannot count.
        assert finding.severity == "invalid"
        assert "the probe" in finding.text


@pytest.mark.xdp
def test_the_run_time_of_xdp_is_counted_only_while_it_is_asked_for() -> None:
    with Network(Chain()) as net:
        vnf = net["fw"].vnf
        assert vnf is not None
        programs = [each.id for each in vnf.bpf_ids() if each.kind == "program"]
        spec = ProbeSpec(1000, 0.2, record=False)
        assert set(run_times(programs)) == set(programs)
        with bpf_statistics():
            before = run_times(programs)
            result = run_probe(net["a"], net["b"], spec)
            spent = run_time_between(before, run_times(programs))
        runs = sum(each.runs for each in spent.values())
        assert runs >= result.received > 0
        for each in spent.values():
            if each.runs:
                mean_ns = each.ns_per_run
                assert mean_ns is not None
                assert 0 < mean_ns < 1e6
                assert each.name.startswith("port")
        before = run_times(programs)
        run_probe(net["a"], net["b"], spec)
        after = run_time_between(before, run_times(programs))
        assert all(each.runs == 0 for each in after.values())
    gone = max(all_ids("program"), default=0) + 100_000
    assert run_times([gone]) == {}


@pytest.mark.docker
def test_of_a_container_the_control_group_tells_memory(docker_daemon: str) -> None:
    import_busybox(docker_daemon)
    topo = Topo()
    topo.addLink(topo.addDocker("d", BUSYBOX), topo.addHost("h"))
    with Network(topo) as net:
        targets = MeterTargets.of_network(net)
        container = net["d"].container
        assert container is not None
        assert container.pid in targets.processes["d"]
        with ResourceMeter(targets=targets) as meter:
            net["h"].cmd(f"ping -c 3 -i 0.05 {net['d'].IP()}")
        node = meter.reading().nodes["d"]
    assert number(node.memory_bytes) > 0
    assert number(node.packets) >= 3


def test_the_table_of_processes_has_ourselves_in_it() -> None:
    table = process_table()
    assert table[os.getpid()].parent == os.getppid()
    assert table[os.getpid()].cpu_ns > 0
    assert not table[os.getpid()].is_kernel
