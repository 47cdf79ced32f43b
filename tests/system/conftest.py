"""What tests on a real kernel have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulator.experiment.measuring.limits import bench_limits, remember
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
    """What the bench itself can do is measured once for all tests of benches.

    A busy machine would spoil it, and the bench would measure it anew for every test; no test says
    what it should be.
    """
    found = bench_limits(BenchSpec("chain"), "64", lambda _: None)
    for core in (None, 0):
        remember(BenchSpec("chain", core=core), found.model_copy(update={"valid": True}))
