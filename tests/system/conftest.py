"""What tests on a real kernel have in common."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from emulator.experiment.measured_throughput import BenchLimitsRecord
from emulator.experiment.measuring.limits import remember
from emulator.experiment.spec import BenchSpec
from tests.system.vnf_lab import VnfLab


@pytest.fixture
def lab() -> Iterator[VnfLab]:
    with VnfLab() as lab:
        yield lab


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered from one use to the next is this run's own, and ends with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def known_limits(own_cache: None) -> None:
    """What the bench itself can do is known to all tests of benches but those that measure it.

    It would be measured anew for each of them on a machine that is too busy for it to count, and no
    test says what it should be.
    """
    for mechanism in ("kernel", "app"):
        for frames in ("64", "imix"):
            made_up = BenchLimitsRecord(
                mechanism=mechanism,
                frames=frames,
                ceiling_pps=5e6,
                floor_p50_ns=500,
                floor_p99_ns=1500,
                measured_at=datetime.now(UTC),
            )
            for core in (None, 0):
                remember(BenchSpec("chain", mechanism=mechanism, core=core), made_up)
