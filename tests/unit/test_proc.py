"""What /proc and /sys tell, from contents as different machines have them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.kernel import proc
from emulator.kernel.cpufreq import frequencies_hz, throttle_counts
from emulator.kernel.proc import (
    NS_PER_TICK,
    CpuTimes,
    SoftnetCounters,
    ThreadReading,
    cpu_times,
    pids_by_namespace,
    process_table,
    read_process,
    read_processes,
    recognisable,
    softnet_counters,
)
from emulator.kernel.rapl import EnergyReading, joules_between, read_energy, total_joules
from emulator.unavailable import Unavailable, derived, known

TICK_KERNEL = 0x00200040
"""The flags of a thread of the kernel: PF_KTHREAD and PF_NOFREEZE among them."""

STATUS = """Name:\tvnf
VmRSS:\t    9840 kB
Cpus_allowed_list:\t0,2-3
voluntary_ctxt_switches:\t{voluntary}
nonvoluntary_ctxt_switches:\t{involuntary}
"""


def stat(pid: int, name: str, *, ticks: tuple[int, int], flags: int = 0, cpu: int = 1) -> str:
    head = f"{pid} ({name}) S 1 {pid} {pid} 0 -1 {flags} 0 0 0 0 {ticks[0]} {ticks[1]} 0 0 20 0 2 0"
    # From the start in ticks to the CPU that it last ran on.
    return f"{head} 777 1000 2460 {' '.join(['0'] * 13)} 17 {cpu} 0 0\n"


def add(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def add_process(root: Path, pid: int, name: str, *, flags: int = 0) -> Path:
    threads = {pid: "5000 300 9\n", pid + 1: "70 4 2\n"}
    files = {
        f"{pid}/stat": stat(pid, name, ticks=(3, 4), flags=flags),
        f"{pid}/status": STATUS.format(voluntary=99, involuntary=99),
    }
    for number, (tid, schedstat) in enumerate(threads.items()):
        files[f"{pid}/task/{tid}/schedstat"] = schedstat
        files[f"{pid}/task/{tid}/status"] = STATUS.format(
            voluntary=10 + number, involuntary=20 + number
        )
    return add(root, files)


def test_a_process_is_read_with_each_of_its_threads(tmp_path: Path) -> None:
    reading = read_process(40, proc=add_process(tmp_path, 40, "vnf"))
    assert reading is not None
    assert reading.threads == {
        40: ThreadReading(5000, 300, 10, 20),
        41: ThreadReading(70, 4, 11, 21),
    }
    assert reading.rss_bytes == 9840 * 1024
    assert reading.cpus == {0, 2, 3}
    assert reading.started_ticks == 777


@pytest.mark.parametrize("name", ["vnf", "a b", "a) S (b", "((", "1 2 3"])
def test_whatever_a_process_is_called_its_numbers_are_found(tmp_path: Path, name: str) -> None:
    row = process_table(proc=add_process(tmp_path, 40, name))[40]
    assert row.name == name
    assert (row.parent, row.started_ticks, row.last_cpu) == (1, 777, 1)
    assert row.cpu_ns == 7 * NS_PER_TICK
    assert not row.is_kernel


def test_threads_that_carry_packets_are_told_from_others_of_the_kernel_and_from_namesakes(
    tmp_path: Path,
) -> None:
    add_process(tmp_path, 10, "ksoftirqd/0", flags=TICK_KERNEL)
    add_process(tmp_path, 20, "napi/eth0-3", flags=TICK_KERNEL)
    add_process(tmp_path, 30, "kworker/0:1", flags=TICK_KERNEL)
    add_process(tmp_path, 40, "ksoftirqd/0")
    table = process_table(proc=tmp_path)
    assert [pid for pid, row in sorted(table.items()) if row.carries_packets] == [10, 20]
    assert [pid for pid, row in sorted(table.items()) if row.is_kernel] == [10, 20, 30]


def test_a_process_that_has_ended_is_left_out(tmp_path: Path) -> None:
    add_process(tmp_path, 40, "vnf")
    assert list(read_processes([40, 41], proc=tmp_path)) == [40]
    (tmp_path / "40/stat").unlink()
    assert read_process(40, proc=tmp_path) is None
    assert process_table(proc=tmp_path) == {}


def test_a_kernel_that_does_not_tell_of_waiting_says_so_and_not_0(tmp_path: Path) -> None:
    add_process(tmp_path, 40, "vnf")
    for thread in (40, 41):
        (tmp_path / f"40/task/{thread}/schedstat").unlink()
    reading = read_process(40, proc=tmp_path)
    assert reading is not None
    for thread_reading in reading.threads.values():
        assert isinstance(thread_reading.cpu_ns, Unavailable)
        assert isinstance(thread_reading.wait_ns, Unavailable)
        assert "CONFIG_SCHED_INFO" in str(thread_reading.wait_ns)


def test_processes_are_found_by_their_namespace(tmp_path: Path) -> None:
    for pid, inode in ((10, 4026531840), (20, 4026532001), (30, 4026532001)):
        (tmp_path / f"{pid}/ns").mkdir(parents=True)
        (tmp_path / f"{pid}/ns/net").symlink_to(f"net:[{inode}]")
    found = pids_by_namespace("net", proc=tmp_path)
    assert {inode: sorted(pids) for inode, pids in found.items()} == {
        4026531840: [10],
        4026532001: [20, 30],
    }


def test_the_time_of_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    lines = [
        "cpu  3 0 0 0 0 0 0 0 0 0",
        "cpu0 100 20 30 400 50 6 7 8 0 0",
        "cpu1 1 0 0 2 0 0 0 0 0 0",
    ]
    add(tmp_path, {"stat": "\n".join([*lines, "intr 1 2 3", "ctxt 5\n"])})
    s = NS_PER_TICK
    assert cpu_times() == {
        0: CpuTimes(163 * s, 6 * s, 7 * s, 8 * s, 450 * s),
        1: CpuTimes(s, 0, 0, 0, 2 * s),
    }


def test_queues_of_received_frames_by_the_cpu_they_name(tmp_path: Path) -> None:
    zeros = " ".join(["00000000"] * 9)
    add(
        tmp_path,
        {
            "net/softnet_stat": f"264ee5cd 0000000a 00000003 {zeros} 00000002 00000000 00000000\n"
            f"00000001 00000000 00000000 {zeros} 00000000 00000000 00000000\n"
        },
    )
    assert softnet_counters(proc=tmp_path) == {
        2: SoftnetCounters(0x264EE5CD, 10, 3),
        0: SoftnetCounters(1, 0, 0),
    }


def test_queues_of_received_frames_of_an_older_kernel_are_in_the_order_of_cpus(
    tmp_path: Path,
) -> None:
    zeros = " ".join(["00000000"] * 8)
    add(tmp_path, {"net/softnet_stat": f"00000005 00000001 00000002 {zeros}\n" * 2})
    assert softnet_counters(proc=tmp_path) == {
        0: SoftnetCounters(5, 1, 2),
        1: SoftnetCounters(5, 1, 2),
    }


def test_without_the_queues_counters_there_is_a_reason(tmp_path: Path) -> None:
    assert "softnet_stat" in str(softnet_counters(proc=tmp_path))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["/usr/bin/python3.11", "/home/me/hog.py", "--token", "secret"], "python3.11 hog.py"),
        (["python3", "-c", "while True: pass"], "python3"),
        (["python3", "-m", "pytest", "tests"], "python3 -m pytest"),
        (["/usr/bin/mysql", "-psecret"], "mysql"),
        (["bash"], "bash"),
        (["", ""], "kernel's name"),
        ([], "kernel's name"),
    ],
)
def test_a_process_is_recognisable_and_its_arguments_stay_private(
    command: list[str], shown: str
) -> None:
    assert recognisable(command, "kernel's name") == shown


def test_the_name_of_a_process_that_has_ended_is_what_the_kernel_called_it() -> None:
    nobody = 2**22 + 1
    assert proc.command_of(nobody, "hog") == "hog"


def test_frequencies_of_a_laptop_and_of_a_virtual_machine(tmp_path: Path) -> None:
    assert "virtual" in str(frequencies_hz(cpus=tmp_path))
    assert isinstance(throttle_counts(cpus=tmp_path), Unavailable)
    add(
        tmp_path,
        {
            "cpu10/cpufreq/scaling_cur_freq": "800000\n",
            "cpu2/cpufreq/scaling_cur_freq": "3400000\n",
            "cpu2/thermal_throttle/core_throttle_count": "4\n",
            "cpu3/cpufreq/scaling_cur_freq": "\n",
            "cpufreq/policy0": "",
        },
    )
    assert frequencies_hz(cpus=tmp_path) == {2: 3_400_000_000, 10: 800_000_000}
    assert throttle_counts(cpus=tmp_path) == {2: 4}


ZONES = {
    "intel-rapl:0/name": "package-0\n",
    "intel-rapl:0/energy_uj": "5000000\n",
    "intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "intel-rapl:0:0/name": "core\n",
    "intel-rapl:0:0/energy_uj": "2000000\n",
    "intel-rapl:0:0/max_energy_range_uj": "262143328850\n",
    "intel-rapl:0:1/name": "dram\n",
    "intel-rapl:0:1/energy_uj": "1000000\n",
    "intel-rapl:0:1/max_energy_range_uj": "65712999613\n",
    "intel-rapl:1/name": "psys\n",
    "intel-rapl:1/energy_uj": "9000000\n",
    "intel-rapl:1/max_energy_range_uj": "262143328850\n",
}


def test_energy_of_packages_and_memory_is_counted_once(tmp_path: Path) -> None:
    assert "virtual" in str(read_energy(powercap=tmp_path))
    before = read_energy(powercap=add(tmp_path, ZONES))
    assert not isinstance(before, Unavailable)
    add(
        tmp_path,
        {
            "intel-rapl:0/energy_uj": "15000000",
            "intel-rapl:0:0/energy_uj": "9000000",
            "intel-rapl:0:1/energy_uj": "3500000",
            "intel-rapl:1/energy_uj": "39000000",
        },
    )
    after = read_energy(powercap=tmp_path)
    assert not isinstance(after, Unavailable)
    zones = joules_between(before, after)
    assert zones == {"package-0": 10.0, "package-0/core": 7.0, "package-0/dram": 2.5, "psys": 30.0}
    assert total_joules(zones) == 12.5


@given(start=st.integers(0, 2**40), spent=st.integers(0, 2**40), above=st.integers(0, 2**40))
def test_a_counter_of_energy_that_starts_over_loses_nothing(
    start: int, spent: int, above: int
) -> None:
    # One round of the counter is longer than what is spent.
    limit = max(start, spent) + above
    before = {"z": EnergyReading("package-0", start, limit)}
    after = {"z": EnergyReading("package-0", (start + spent) % (limit + 1), limit)}
    assert joules_between(before, after) == {"package-0": spent / 1e6}


def test_what_is_not_known_is_never_a_number() -> None:
    reason = Unavailable("there is no PMU")
    assert str(reason) == "unavailable, because there is no PMU"
    assert known(reason) is None
    assert known(0) == 0
    assert derived(reason, lambda _: 0) is reason
    assert derived(3, lambda three: three * 2) == 6
