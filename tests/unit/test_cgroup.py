"""Reading control groups of version 1, 2 and both, from trees such as real machines show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from emulator.errors import LabError, MachineError
from emulator.kernel.cgroup import Cgroup, cpus_of

PID = 4711
STAT = "4711 (a) b) S 1 4711 4711 0 -1 4194560 183 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n"
ENDING_STAT = STAT.replace("4194560", "4194564").replace(" S ", " Z ")
V1_STAT = (
    "cache 4096\nrss 61440\ninactive_file 1\ntotal_cache 8192\ntotal_rss 61440\n"
    "total_inactive_file 204800\ntotal_active_file 0\n"
)
V1 = {
    "cpuacct/docker/5f0a/cpuacct.usage": "1079431984\n",
    "cpu/docker/5f0a/cpu.stat": "nr_periods 22\nnr_throttled 20\nthrottled_time 963532284\n",
    "cpu/docker/5f0a/cpu.cfs_quota_us": "50000\n",
    "cpu/docker/5f0a/cpu.cfs_period_us": "100000\n",
    "cpu/docker/cpu.cfs_quota_us": "-1\n",
    "cpu/docker/cpu.cfs_period_us": "100000\n",
    "memory/docker/5f0a/memory.usage_in_bytes": "565248\n",
    "memory/docker/5f0a/memory.max_usage_in_bytes": "3792896\n",
    "memory/docker/5f0a/memory.limit_in_bytes": "67108864\n",
    "memory/docker/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/docker/5f0a/memory.stat": V1_STAT,
    "memory/docker/5f0a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/docker/5f0a/pids.current": "3\n",
    "pids/docker/5f0a/pids.max": "20\n",
    "cpuset/docker/5f0a/cpuset.effective_cpus": "0-1,3\n",
}
V1_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "cpuset")
V2_SCOPE = "system.slice/docker-5f0a.scope"
V2 = {
    "cpu.stat": (
        "usage_usec 1086646\nuser_usec 1071051\nsystem_usec 15595\nnr_periods 22\n"
        "nr_throttled 20\nthrottled_usec 963532\nnr_bursts 0\nburst_usec 0\n"
    ),
    "cpu.max": "150000 100000\n",
    "memory.current": "565248\n",
    "memory.peak": "3792896\n",
    "memory.max": "67108864\n",
    "memory.stat": "anon 61440\nfile 8192\ninactive_anon 57344\ninactive_file 204800\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "cpuset.cpus.effective": "0-1\n",
}


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def machine(
    root: Path, memberships: list[str], mounts: list[tuple[str, str, str]], files: Mapping[str, str]
) -> Path:
    """A machine with one process; each mount is its folder, its kind and its options."""
    lines = [
        f"{40 + number} 31 0:{30 + number} / /sys/fs/cgroup{folder} rw,nosuid shared:{number}"
        f" - {kind} {kind} {options}"
        for number, (folder, kind, options) in enumerate(mounts)
    ]
    lines.insert(0, "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755")
    write(
        root,
        {
            "proc/self/mountinfo": "\n".join(lines) + "\n",
            f"proc/{PID}/cgroup": "\n".join(memberships) + "\n",
            f"proc/{PID}/stat": STAT,
            **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
        },
    )
    return root


def v1(root: Path, files: Mapping[str, str] = V1) -> Path:
    memberships = [f"{n}:{name}:/docker/5f0a" for n, name in enumerate(V1_CONTROLLERS, 1)]
    mounts = [(f"/{name}", "cgroup", f"rw,{name}") for name in V1_CONTROLLERS]
    return machine(root, memberships, mounts, files)


def v2(root: Path, files: Mapping[str, str] = V2, above: Mapping[str, str] | None = None) -> Path:
    tree = {f"{V2_SCOPE}/{name}": text for name, text in files.items()}
    tree |= {f"system.slice/{name}": text for name, text in (above or {}).items()}
    return machine(root, [f"0::/{V2_SCOPE}"], [("", "cgroup2", "rw,nsdelegate")], tree)


def test_version_1(tmp_path: Path) -> None:
    reading = Cgroup.of(PID, root=v1(tmp_path)).read()
    assert reading.cpu_ns == 1079431984
    assert reading.throttled_ns == 963532284
    assert reading.cpu_limit == 0.5
    assert reading.cpuset == (0, 1, 3)
    assert reading.memory_bytes == 565248 - 204800
    assert reading.memory_peak_bytes == 3792896
    assert reading.memory_limit_bytes == 64 << 20
    assert (reading.tasks, reading.tasks_limit) == (3, 20)
    assert reading.oom_kills == 2
    assert reading.unavailable == {}


def test_version_2(tmp_path: Path) -> None:
    reading = Cgroup.of(PID, root=v2(tmp_path)).read()
    assert reading.cpu_ns == 1086646000
    assert reading.throttled_ns == 963532000
    assert reading.cpu_limit == 1.5
    assert reading.cpuset == (0, 1)
    assert reading.memory_bytes == 565248 - 204800
    assert reading.memory_peak_bytes == 3792896
    assert reading.memory_limit_bytes == 64 << 20
    assert (reading.tasks, reading.tasks_limit) == (3, None)
    assert reading.oom_kills == 2
    assert reading.unavailable == {}


def test_controllers_of_version_1_that_are_mounted_together(tmp_path: Path) -> None:
    """Debian and Ubuntu mount cpu and cpuacct in one hierarchy, named in either order."""
    files = {
        name.replace("cpuacct/", "cpu,cpuacct/").replace("cpu/", "cpu,cpuacct/"): text
        for name, text in V1.items()
    }
    root = machine(
        tmp_path,
        ["7:cpu,cpuacct:/docker/5f0a", "3:memory:/docker/5f0a", "1:name=systemd:/docker/5f0a"],
        [
            ("/systemd", "cgroup", "rw,xattr,name=systemd"),
            ("/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            ("/memory", "cgroup", "rw,memory"),
        ],
        files,
    )
    reading = Cgroup.of(PID, root=root).read()
    assert (reading.cpu_ns, reading.cpu_limit) == (1079431984, 0.5)
    assert reading.memory_limit_bytes == 64 << 20
    assert reading.tasks is None
    assert reading.unavailable["tasks"] == "the pids controller does not count for this group"


def test_both_versions_at_once(tmp_path: Path) -> None:
    """A hierarchy of version 2 beside those of version 1 has the controllers they leave."""
    files = {name: text for name, text in V1.items() if not name.startswith("pids")}
    root = machine(
        tmp_path,
        [f"{n}:{name}:/docker/5f0a" for n, name in enumerate(V1_CONTROLLERS, 1) if name != "pids"]
        + ["0::/docker/5f0a"],
        [(f"/{name}", "cgroup", f"rw,{name}") for name in V1_CONTROLLERS]
        + [("/unified", "cgroup2", "rw")],
        {
            **files,
            "unified/docker/5f0a/cpu.stat": "usage_usec 5\n",
            "unified/docker/5f0a/pids.current": "8\n",
            "unified/docker/5f0a/pids.max": "9\n",
        },
    )
    reading = Cgroup.of(PID, root=root).read()
    assert reading.cpu_ns == 1079431984
    assert (reading.tasks, reading.tasks_limit) == (8, 9)
    assert reading.unavailable == {}


def test_without_limits(tmp_path: Path) -> None:
    files = {
        **V1,
        "cpu/docker/5f0a/cpu.cfs_quota_us": "-1\n",
        "memory/docker/5f0a/memory.limit_in_bytes": "9223372036854771712\n",
        "pids/docker/5f0a/pids.max": "max\n",
    }
    first = Cgroup.of(PID, root=v1(tmp_path / "1", files)).read()
    files = {**V2, "cpu.max": "max 100000\n", "memory.max": "max\n"}
    second = Cgroup.of(PID, root=v2(tmp_path / "2", files)).read()
    for reading in (first, second):
        limits = (reading.cpu_limit, reading.memory_limit_bytes, reading.tasks_limit)
        assert limits == (None, None, None)
        assert reading.unavailable == {}


def test_a_limit_of_a_group_above_holds(tmp_path: Path) -> None:
    above = {"cpu.max": "40000 100000\n", "memory.max": "134217728\n", "pids.max": "12\n"}
    reading = Cgroup.of(PID, root=v2(tmp_path, above=above)).read()
    assert reading.cpu_limit == 0.4
    assert reading.memory_limit_bytes == 64 << 20
    assert reading.tasks_limit == 12


def test_a_controller_that_is_off_gives_no_number(tmp_path: Path) -> None:
    files = {name: text for name, text in V2.items() if name.startswith(("pids", "cpuset"))}
    files["cpu.stat"] = "usage_usec 1086646\nuser_usec 1071051\nsystem_usec 15595\n"
    reading = Cgroup.of(PID, root=v2(tmp_path, files)).read()
    assert reading.cpu_ns == 1086646000
    assert reading.throttled_ns is None
    assert reading.memory_bytes is None
    assert reading.oom_kills is None
    cpu, memory = (
        f"the {name} controller is not on for its control group" for name in ("cpu", "memory")
    )
    assert reading.unavailable == {
        "throttled_ns": cpu,
        "cpu_limit": cpu,
        "memory_bytes": memory,
        "memory_peak_bytes": memory,
        "memory_limit_bytes": memory,
        "oom_kills": memory,
    }


def test_an_older_kernel_does_not_know_the_peak(tmp_path: Path) -> None:
    files = {name: text for name, text in V2.items() if name != "memory.peak"}
    reading = Cgroup.of(PID, root=v2(tmp_path, files)).read()
    assert reading.memory_peak_bytes is None
    assert reading.unavailable == {"memory_peak_bytes": "memory.peak came with Linux 5.19"}


def test_an_older_kernel_does_not_count_kills(tmp_path: Path) -> None:
    files = {**V1, "memory/docker/5f0a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n"}
    reading = Cgroup.of(PID, root=v1(tmp_path, files)).read()
    assert reading.oom_kills is None
    assert "4.13" in reading.unavailable["oom_kills"]


def test_a_file_cache_that_seems_larger_than_the_whole(tmp_path: Path) -> None:
    reading = Cgroup.of(PID, root=v2(tmp_path, {**V2, "memory.current": "1000\n"})).read()
    assert reading.memory_bytes == 1000


def test_a_mount_that_shows_a_part_of_the_hierarchy(tmp_path: Path) -> None:
    """What an emulator sees that runs in a container itself, without a name space for groups."""
    write(
        tmp_path,
        {
            f"proc/{PID}/cgroup": "0::/system.slice/outer.scope/docker/in ner\n",
            f"proc/{PID}/stat": STAT,
            "proc/self/mountinfo": (
                "40 31 0:30 /system.slice/other.scope /elsewhere rw - cgroup2 cgroup rw\n"
                "41 31 0:30 /system.slice/outer.scope /my\\040groups rw - cgroup2 cgroup rw\n"
            ),
            **{f"my groups/docker/in ner/{name}": text for name, text in V2.items()},
        },
    )
    assert Cgroup.of(PID, root=tmp_path).read().cpu_ns == 1086646000


@pytest.mark.parametrize("path", ["/../other.scope", "/elsewhere"])
def test_a_group_that_cannot_be_seen(tmp_path: Path, path: str) -> None:
    root = machine(tmp_path, [f"0::{path}"], [("", "cgroup2", "rw")], {"here/cpu.stat": ""})
    with pytest.raises(MachineError, match="no control group of the process can be seen"):
        Cgroup.of(PID, root=root)


def test_no_such_process(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no process 4712"):
        Cgroup.of(4712, root=v2(tmp_path))


def test_a_process_that_is_ending_is_in_no_group_any_more(tmp_path: Path) -> None:
    """Version 1 says the topmost group, whose numbers are those of the whole machine."""
    root = v1(tmp_path)
    write(root, {f"proc/{PID}/cgroup": "4:memory:/\n", f"proc/{PID}/stat": ENDING_STAT})
    with pytest.raises(LabError, match="process 4711 has ended"):
        Cgroup.of(PID, root=root)


def test_a_group_that_has_gone(tmp_path: Path) -> None:
    root = v2(tmp_path)
    group = Cgroup.of(PID, root=root)
    (root / "sys/fs/cgroup" / V2_SCOPE).rename(root / "gone")
    with pytest.raises(LabError, match="gone"):
        group.read()


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-2,5\n", (0, 1, 2, 5)), ("7", (7,)), ("\n", ()), ("0,2-3", (0, 2, 3))]
)
def test_lists_of_cpus(text: str, cpus: tuple[int, ...]) -> None:
    assert cpus_of(text) == cpus
