"""Each handler of the catalogue under libFuzzer and the sanitisers, for a moment."""

from __future__ import annotations

import pytest

from emulator.catalog import Catalog
from emulator.errors import MachineError
from emulator.trying.dut import USER_SPACE, planes_to_try
from emulator.trying.fuzzing import fuzz, require_libfuzzer

CATALOG = Catalog.load()
HANDLERS = [
    (name, plane)
    for name in CATALOG
    for plane in planes_to_try(CATALOG[name])
    if plane in USER_SPACE
]
INPUTS = 8000
SECONDS = 10


def why_not() -> str:
    try:
        require_libfuzzer()
    except MachineError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@pytest.mark.parametrize(("name", "plane"), HANDLERS)
def test_no_frame_breaks_a_handler(name: str, plane: str) -> None:
    fuzzed = fuzz(CATALOG[name], plane, inputs=INPUTS, seconds=SECONDS)

    assert fuzzed.breakage is None
    assert fuzzed.inputs > 100
    assert fuzzed.reached > 10
