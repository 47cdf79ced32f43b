"""What tests of VNFs on real ports have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.vnf_lab import VnfLab


@pytest.fixture
def lab() -> Iterator[VnfLab]:
    with VnfLab() as lab:
        yield lab
