"""Changing what a running container may use: what Docker is told, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.errors import UsageError
from emulator.plan.model import ContainerPlan
from emulator.runtime.limits import update_arguments

MIB = 1 << 20
PLAN = ContainerPlan(image="debian", cpus=0.5, memory_bytes=256 * MIB, cpuset=(0,), pids=100)
FREE = ContainerPlan(image="debian")


@pytest.mark.parametrize(
    ("changes", "arguments", "fields"),
    [
        ({"cpus": 0.25}, {"cpu_period": 100_000, "cpu_quota": 25_000}, {"cpus": 0.25}),
        ({"cpus": 2}, {"cpu_period": 100_000, "cpu_quota": 200_000}, {"cpus": 2.0}),
        ({"cpus": None}, {"cpu_period": 100_000, "cpu_quota": -1}, {"cpus": None}),
        ({"cpuset": "0-1"}, {"cpuset_cpus": "0,1"}, {"cpuset": (0, 1)}),
        ({"cpu_shares": 512}, {"cpu_shares": 512}, {"cpu_shares": 512}),
        ({"cpu_shares": None}, {"cpu_shares": 1024}, {"cpu_shares": None}),
        ({"pids": 20}, {"pids_limit": 20}, {"pids": 20}),
        ({"pids": None}, {"pids_limit": -1}, {"pids": None}),
        # Docker keeps the limit of memory and swap otherwise, and refuses memory above it.
        (
            {"memory": "1g"},
            {"mem_limit": 1024 * MIB, "memswap_limit": 2048 * MIB},
            {"memory_bytes": 1024 * MIB, "memory_swap_bytes": None},
        ),
        (
            {"memory": "64m", "memory_swap": "64m"},
            {"mem_limit": 64 * MIB, "memswap_limit": 64 * MIB},
            {"memory_bytes": 64 * MIB, "memory_swap_bytes": 64 * MIB},
        ),
        (
            {"memory_swap": -1},
            {"mem_limit": 256 * MIB, "memswap_limit": -1},
            {"memory_bytes": 256 * MIB, "memory_swap_bytes": -1},
        ),
    ],
)
def test_our_words(changes: dict[str, Any], arguments: dict[str, Any], fields: dict[str, Any]):
    assert update_arguments(changes, PLAN, where="d1") == (
        arguments,
        PLAN.model_copy(update=fields),
    )


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        # updateCpuLimit
        (
            {"cpu_quota": 50_000, "cpu_period": 200_000, "cpu_shares": -1, "cores": None},
            {"cpu_period": 100_000, "cpu_quota": 25_000},
        ),
        (
            {"cpu_quota": -1, "cpu_period": -1, "cpu_shares": 64, "cores": "0"},
            {"cpu_period": 100_000, "cpu_quota": -1, "cpu_shares": 64, "cpuset_cpus": "0"},
        ),
        # updateMemoryLimit
        ({"mem_limit": 64 * MIB}, {"mem_limit": 64 * MIB, "memswap_limit": 128 * MIB}),
        ({"mem_limit": -1, "cpus": 1}, {"cpu_period": 100_000, "cpu_quota": 100_000}),
        # The Docker SDK's
        (
            {"cpuset_cpus": "1", "nano_cpus": 500_000_000, "pids_limit": 7},
            {
                "cpu_period": 100_000, "cpu_quota": 50_000, "cpuset_cpus": "1", "pids_limit": 7,
            },
        ),
    ],
)  # fmt: skip
def test_words_of_others(changes: dict[str, Any], arguments: dict[str, Any]):
    assert update_arguments(changes, FREE, where="d1")[0] == arguments


def test_the_limit_of_memory_and_swap_that_is_in_force_stays():
    plan = PLAN.model_copy(update={"memory_swap_bytes": 512 * MIB})
    arguments, after = update_arguments({"memory": "300m"}, plan, where="d1")
    assert arguments == {"mem_limit": 300 * MIB, "memswap_limit": 512 * MIB}
    assert after.memory_swap_bytes == 512 * MIB


def test_cores_of_none_stay_as_they_are():
    arguments, after = update_arguments({"cpu_quota": -1, "cores": None}, PLAN, where="d1")
    assert arguments == {"cpu_period": 100_000, "cpu_quota": -1}
    assert after.cpuset == (0,)


def test_taking_away_what_there_is_not_changes_nothing():
    changes = {"memory": None, "cpuset": None}
    assert update_arguments(changes, FREE, where="d1") == ({}, FREE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "d1: nothing is given that is to change"),
        ({"memry": "1g"}, "d1: there is no limit memry (did you mean memory?)"),
        ({"image": "x"}, "d1: image cannot be changed while the container runs"),
        ({"cpus": "many"}, "d1: cpus: 'many' is not a number of CPUs"),
        ({"cpus": 0.5, "cpu_quota": 10_000}, "d1: cpu_quota and cpus say different things"),
        ({"memory": "1m"}, "d1: memory: '1m' is less than Docker takes"),
        ({"memory": "1g", "memory_swap": "1m"}, "is less than memory, 1073741824 bytes"),
        ({"memory": None}, "Docker cannot take the memory limit of a running container away"),
        ({"cpuset": None}, "Docker cannot take back which CPUs"),
        ({"cpuset": "x"}, "d1: cpuset: 'x' is not a list of CPU numbers"),
        ({"cpu_period": 5000}, "cpu_period=5000 without cpu_quota limits nothing"),
        ({"pids": -7}, "d1: pids: -7 is not a number of processes"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str):
    with pytest.raises(UsageError) as caught:
        update_arguments(changes, PLAN, where="d1")
    assert message in str(caught.value)


def test_a_limit_of_swap_needs_one_of_memory():
    with pytest.raises(UsageError, match="memory_swap without memory limits nothing"):
        update_arguments({"memory_swap": "1g"}, FREE, where="d1")
