"""Room for open files."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from emulator import MachineError
from emulator.kernel.limits import allow_open_files


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield 256, before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_limit_that_suffices_is_left_alone(limits: tuple[int, int]) -> None:
    allow_open_files(200)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_a_limit_that_does_not_is_raised(limits: tuple[int, int]) -> None:
    allow_open_files(300)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, limits[1])


def test_what_the_hard_limit_forbids_is_said(limits: tuple[int, int]) -> None:
    if limits[1] == resource.RLIM_INFINITY:
        pytest.skip("this machine has no hard limit on open files")
    with pytest.raises(MachineError, match=f"the limit is {limits[1]}"):
        allow_open_files(limits[1] + 1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
