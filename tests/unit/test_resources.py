"""What was used between two readings of the kernel's counters."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from emulator.errors import LabError, ResultsError, UsageError
from emulator.kernel.proc import CpuTimes, SoftnetCounters
from emulator.kernel.rapl import EnergyReading
from emulator.kernel.run_time import RunTime, run_time_between
from emulator.measure.meter import LEAST_INTERVAL_S, ResourceMeter
from emulator.measure.resource_difference import (
    LEAST_NAMED_SHARE,
    TOP_CONSUMERS,
    process_use,
    reading_between,
)
from emulator.measure.resources import ChildrenUse, ProcessUse, ResourceReading, TotalUse
from emulator.measure.resources_csv import resource_rows, resources_csv
from emulator.unavailable import Unavailable
from tests.unit.readings import NONE, S, process, row, snapshot, thread

counts = st.integers(0, 2**50)
threads = st.builds(thread, counts, counts, counts, counts)


def use_of(reading: ResourceReading, node: str) -> TotalUse:
    total = reading.nodes[node].total
    assert isinstance(total, TotalUse)
    return total


def test_a_node_uses_what_its_processes_use() -> None:
    before = snapshot(
        0,
        process(10, thread(100, 20, 3, 1), thread(50, 5, 1, 1)),
        process(20, thread(7, 0, 0, 0)),
        received={"fw": 500},
        perf={"fw": {"cycles": 1000, "llc_misses": NONE}},
    )
    after = snapshot(
        2 * S,
        process(10, thread(S, 40, 13, 2), thread(60, 6, 2, 4), rss=8192),
        process(20, thread(8, 1, 1, 1)),
        received={"fw": 2500},
        perf={"fw": {"cycles": 9000, "llc_misses": NONE}},
    )
    reading = reading_between(before, after, processes={"fw": [10, 20]})
    use = use_of(reading, "fw")
    assert use.cpu_ns == S - 100 + 10 + 1
    assert use.cpu_percent == pytest.approx(50, abs=0.001)
    assert use.cpu_ns_per_packet == pytest.approx(S / 2000, rel=1e-6)
    assert (use.wait_ns, use.voluntary_switches, use.involuntary_switches) == (22, 12, 5)
    assert use.rss_bytes == 8192 + 4096
    assert reading.nodes["fw"].perf == {"cycles": 8000, "llc_misses": NONE}
    assert reading.elapsed_ns == 2 * S


@given(st.lists(st.tuples(threads, threads), min_size=1, max_size=5))
def test_the_use_of_a_process_is_that_of_its_threads(pairs: list[tuple[Any, Any]]) -> None:
    later = [
        thread(
            first.cpu_ns + more.cpu_ns,
            first.wait_ns + more.wait_ns,
            first.voluntary_switches + more.voluntary_switches,
            first.involuntary_switches + more.involuntary_switches,
        )
        for first, more in pairs
    ]
    use = process_use(process(5, *(first for first, _ in pairs)), process(5, *later))
    assert use.cpu_ns == sum(more.cpu_ns for _, more in pairs)
    assert use.wait_ns == sum(more.wait_ns for _, more in pairs)
    assert use.voluntary_switches == sum(more.voluntary_switches for _, more in pairs)
    assert use.involuntary_switches == sum(more.involuntary_switches for _, more in pairs)
    assert (use.threads, use.threads_ended) == (len(pairs), 0)


@given(begin=st.lists(threads, max_size=4), end=st.lists(threads, max_size=4))
def test_threads_that_come_count_whole_and_those_that_go_are_told(
    begin: list[Any], end: list[Any]
) -> None:
    before = process(5, *begin)
    # Other threads altogether, with numbers that were free.
    after = process(5)
    after.threads.update({100 + number: each for number, each in enumerate(end)})
    use = process_use(before, after)
    assert use.cpu_ns == sum(each.cpu_ns for each in end)
    assert (use.threads, use.threads_ended) == (len(end), len(begin))


def test_a_node_without_processes_has_a_reason_and_no_0() -> None:
    reading = reading_between(snapshot(0), snapshot(S), processes={"fw": []})
    assert "no process of its own" in str(reading.nodes["fw"].total)


@pytest.mark.parametrize("end", [None, process(10, thread(9), started=2)])
def test_a_process_that_ended_is_told_also_when_another_has_its_number(end: Any) -> None:
    before = snapshot(0, process(10, thread(5)), process(20, thread(5)))
    after = snapshot(S, *([] if end is None else [end]), process(20, thread(6)))
    node = reading_between(before, after, processes={"fw": [10, 20]}).nodes["fw"]
    assert node.ended == (10,)
    assert [use.pid for use in node.processes] == [20]
    assert "10 ended" in str(node.total)


def test_one_value_that_is_not_known_makes_the_sum_unknown_and_nothing_else() -> None:
    blind = process(10, thread(), thread())
    blind.threads[11] = type(blind.threads[10])(5, NONE, 1, 1)
    reading = reading_between(snapshot(0, blind), snapshot(S, blind), processes={"fw": [10]})
    assert use_of(reading, "fw").wait_ns == NONE
    assert use_of(reading, "fw").cpu_ns == 0


@pytest.mark.parametrize(
    ("begin", "end", "reason"), [({}, {}, "not read"), ({"fw": 7}, {"fw": 7}, "no packet")]
)
def test_without_packets_there_is_no_cost_of_one(
    begin: dict[str, int], end: dict[str, int], reason: str
) -> None:
    reading = reading_between(
        snapshot(0, process(10, thread()), received=begin),
        snapshot(S, process(10, thread(5)), received=end),
        processes={"fw": [10]},
    )
    assert reason in str(use_of(reading, "fw").cpu_ns_per_packet)


def test_the_generator_is_told_apart() -> None:
    before, after = snapshot(0, process(9, thread(1, 2))), snapshot(S, process(9, thread(11, 5)))
    reading = reading_between(before, after, processes={}, generator=9)
    assert isinstance(reading.generator, ProcessUse)
    assert (reading.generator.cpu_ns, reading.generator.wait_ns) == (10, 3)
    assert "named" in str(reading_between(before, after, processes={}).generator)
    gone = reading_between(before, snapshot(S), processes={}, generator=9)
    assert "did not live" in str(gone.generator)


def test_programs_that_ended_meanwhile_are_told_together() -> None:
    before = snapshot(0, children=ChildrenUse(100, 5, 6))
    after = snapshot(S, children=ChildrenUse(350, 7, 9))
    assert reading_between(before, after, processes={}).children == ChildrenUse(250, 2, 3)


def test_the_machine_is_told_by_cpu() -> None:
    before = snapshot(
        0,
        cpus={0: CpuTimes(100, 1, 2, 3, 50)},
        softnet={0: SoftnetCounters(5, 2**32 - 2, 1)},
        frequency_hz={0: 2_000_000_000},
        throttled={0: 4},
        energy={"zone": EnergyReading("package-0", 10_000_000, 10**9)},
        machine_perf={"cycles": 7, "instructions": NONE},
    )
    after = snapshot(
        S,
        cpus={0: CpuTimes(400, 11, 22, 33, 49)},
        softnet={0: SoftnetCounters(6, 3, 4)},
        frequency_hz={0: 3_000_000_000},
        throttled={0: 5},
        energy={"zone": EnergyReading("package-0", 12_500_000, 10**9)},
        machine_perf={"cycles": 10, "instructions": NONE},
    )
    machine = reading_between(before, after, processes={}).machine
    (cpu,) = machine.cpus
    assert (cpu.busy_ns, cpu.irq_ns, cpu.softirq_ns, cpu.steal_ns) == (300, 10, 20, 30)
    assert cpu.idle_ns == 0, "a counter that runs back by a tick is no time"
    assert cpu.dropped == 5, "a counter of 32 bits starts over"
    assert cpu.squeezed == 3
    assert (cpu.begin_hz, cpu.end_hz, cpu.throttled) == (2_000_000_000, 3_000_000_000, 1)
    assert machine.joules == 2.5
    assert machine.perf == {"cycles": 3, "instructions": NONE}


def test_what_a_machine_does_not_tell_stays_unavailable() -> None:
    without = snapshot(0, softnet=NONE), snapshot(S, softnet=NONE)
    machine = reading_between(*without, processes={}).machine
    for value in (machine.joules, machine.dropped, machine.squeezed, machine.cpus[0].begin_hz):
        assert value == NONE
    half = reading_between(snapshot(0, softnet={}), snapshot(S), processes={}).machine
    assert isinstance(half.dropped, Unavailable)


def test_whoever_took_cpu_outside_is_named_busiest_first() -> None:
    before = {pid: row(pid, S) for pid in range(10, 20)}
    used = {10: S, 11: 3 * S // 10, 12: S // 2, 13: S // 5, 14: S // 1000}
    after = {pid: row(pid, S + used.get(pid, 0)) for pid in range(10, 20)}
    after[15] = row(15, S // 4, started_ticks=2)
    reading = reading_between(
        snapshot(0, table=before),
        snapshot(S, table=after),
        processes={"fw": [12]},
        generator=13,
        own=10,
        commands=lambda pid, name: f"{name}!",
    )
    assert [(each.pid, each.share) for each in reading.others] == [(11, 0.3), (15, 0.25)]
    assert reading.others[0].command == "process-11!"


def test_only_a_few_are_named_and_threads_that_carry_packets_are_no_hogs() -> None:
    after = {pid: row(pid, S // 10 + pid) for pid in range(1, 20)}
    after[50] = row(50, S, name="ksoftirqd/0", is_kernel=True)
    reading = reading_between(snapshot(0), snapshot(S, table=after), processes={})
    assert [each.pid for each in reading.others] == [19, 18, 17, 16, 15]
    assert len(reading.others) == TOP_CONSUMERS
    assert reading.machine.carriers_cpu_ns == S


@given(st.dictionaries(st.integers(2, 60), st.integers(0, S), max_size=12))
def test_no_process_is_named_that_used_nearly_nothing(used: dict[int, int]) -> None:
    table = {pid: row(pid, cpu_ns) for pid, cpu_ns in used.items()}
    reading = reading_between(snapshot(0), snapshot(S, table=table), processes={})
    named = [each.cpu_ns for each in reading.others]
    assert named == sorted(used.values(), reverse=True)[: len(named)]
    assert all(cpu_ns >= LEAST_NAMED_SHARE * S for cpu_ns in named)
    assert len(named) == min(
        TOP_CONSUMERS, sum(cpu_ns >= LEAST_NAMED_SHARE * S for cpu_ns in used.values())
    )


def test_a_process_of_the_lab_is_told_from_one_outside() -> None:
    table = {
        5: row(5, 0),
        6: row(6, 0, parent=5),
        7: row(7, S, parent=6),
        8: row(8, S, parent=1),
        # A parent that is its own child is nobody's descendant.
        9: row(9, S, parent=9),
    }
    reading = reading_between(snapshot(0), snapshot(S, table=table), processes={}, roots=[5])
    assert {each.pid: each.in_lab for each in reading.others} == {7: True, 8: False, 9: False}


def test_cpu_time_of_nobody_who_is_still_there_is_unexplained() -> None:
    cpus = {0: CpuTimes(S, 0, 0, 0, 0), 1: CpuTimes(S, 0, 0, 0, 0)}
    after = snapshot(S, cpus=cpus, table={7: row(7, S // 2)}, children=ChildrenUse(S // 4, 0, 0))
    machine = reading_between(snapshot(0), after, processes={}).machine
    assert machine.unexplained_cpu_ns == 2 * S - S // 2 - S // 4


def full_reading() -> ResourceReading:
    before = snapshot(0, process(10, thread()), process(9, thread()))
    after = snapshot(
        S,
        process(10, thread(S // 2, 5)),
        process(9, thread(7)),
        table={77: row(77, S // 5)},
        perf={"fw": {"cycles": NONE, "migrations": 3}},
        received={},
    )
    return reading_between(before, after, processes={"fw": [10], "br": []}, generator=9)


def test_a_reading_is_plain_data_and_pydantic_reads_it_back() -> None:
    reading = full_reading()
    document = json.loads(json.dumps(reading.to_json()))
    assert document["nodes"]["fw"]["total"]["cpu_ns"] == S // 2
    assert document["nodes"]["br"]["total"].keys() == {"unavailable"}
    assert document["machine"]["energy_joules"] == {"unavailable": NONE.because}
    adapter = TypeAdapter(ResourceReading)
    assert adapter.validate_json(adapter.dump_json(reading)) == reading


def test_a_csv_file_has_units_in_its_header_and_reasons_where_numbers_are_missing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "resources.csv"
    resources_csv(path, resource_rows(full_reading(), case="xdp, 64", trial=2))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["case", "trial", "what", "name"]
    assert {"cpu_ns", "rss_bytes", "cpu_percent", "energy_joules"} <= set(rows[0])
    nodes = {each["name"]: each for each in rows if each["what"] == "node"}
    assert nodes["fw"]["case"] == "xdp, 64"
    assert (nodes["fw"]["cpu_ns"], nodes["fw"]["migrations"]) == (str(S // 2), "3")
    assert nodes["fw"]["cycles"] == ""
    assert f"cycles: {NONE.because}" in nodes["fw"]["unavailable"]
    assert nodes["br"]["cpu_ns"] == ""
    assert "no process of its own" in nodes["br"]["unavailable"]
    kinds = [each["what"] for each in rows]
    assert kinds.count("cpu") == 2
    assert {"generator", "machine", "other process", "ended programs"} <= set(kinds)


def test_a_csv_file_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nowhere/resources.csv"):
        resources_csv(tmp_path / "nowhere/resources.csv", [])


def test_samples_that_would_disturb_are_refused() -> None:
    with pytest.raises(UsageError, match=f"{LEAST_INTERVAL_S:g} s or more"):
        ResourceMeter(sample_s=0.01)


def test_a_meter_has_nothing_to_say_before_its_block_is_over() -> None:
    with pytest.raises(UsageError, match="after its with block"):
        ResourceMeter().reading()


def test_run_time_lies_between_two_readings() -> None:
    before = {1: RunTime(1, "port0", 100, 10), 2: RunTime(2, "port1", 5, 1)}
    after = {1: RunTime(1, "port0", 700, 30), 3: RunTime(3, "port2", 9, 9)}
    spent = run_time_between(before, after)
    assert spent == {1: RunTime(1, "port0", 600, 20)}
    assert spent[1].ns_per_run == 30
    assert RunTime(1, "port0", 0, 0).ns_per_run is None
    with pytest.raises(LabError, match="wrong order"):
        run_time_between(after, before)
