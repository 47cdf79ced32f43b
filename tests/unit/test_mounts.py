"""The kernel's table of mounts, and what of it lies on ``/sys``."""

from __future__ import annotations

from emulator.kernel.mounts import read_mounts
from emulator.kernel.sysfs import points_below

PLAIN = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
23 27 0:22 / /sys rw,nosuid shared:2 - sysfs sysfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime shared:3 master:4 - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
44 23 0:22 /fs/bpf /sys/fs/bpf rw,relatime - sysfs sysfs rw
45 44 0:40 / /sys/fs/bpf rw,relatime - bpf bpf rw,mode=700
46 27 0:41 / /system rw,relatime - tmpfs tmpfs rw
47 23 0:42 / /sys/fs/fuse/my\040\134disk rw,relatime - fuse fuse rw
"""


def below(table: bytes) -> list[bytes]:
    return points_below(list(read_mounts(table)))


def test_a_path_is_read_as_it_is_spelt() -> None:
    assert next(read_mounts(PLAIN)).point == b"/proc"
    assert list(read_mounts(PLAIN))[-1].point == b"/sys/fs/fuse/my \\disk"


def test_what_lies_on_sys_is_taken_along_once_and_what_lies_on_that_goes_with_it() -> None:
    assert below(PLAIN) == [b"/sys/fs/cgroup", b"/sys/fs/bpf", b"/sys/fs/fuse/my \\disk"]


def test_what_a_later_sys_hides_stays_hidden() -> None:
    later = b"60 23 0:50 / /sys rw - sysfs sysfs rw\n61 60 0:51 / /sys/fs/pstore rw - pstore p rw\n"

    assert below(PLAIN + later) == [b"/sys/fs/pstore"]


def test_without_a_mount_at_sys_its_folders_may_have_some() -> None:
    table = PLAIN.replace(b"23 27 0:22 / /sys ", b"23 27 0:22 / /old ").replace(b" 23 ", b" 27 ")

    assert below(table)[:2] == [b"/sys/fs/cgroup", b"/sys/fs/bpf"]
    assert b"/sys/fs/cgroup/cpu" not in below(table)
