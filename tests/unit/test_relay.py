"""The way to a controller that listens on the machine."""

from __future__ import annotations

from typing import Any, cast

import pytest

from emulator import LabError
from emulator.switches.relay import Relay


@pytest.mark.parametrize("name", ["a..b", "x" * 70 + ".example"])
def test_what_can_be_nobodys_name_is_told_like_a_name_that_nobody_has(name: str) -> None:
    nowhere = cast(Any, None)  # it does not get as far
    with pytest.raises(LabError, match="nobody knows the name") as error:
        Relay(nowhere, 6653, (name, 6653))
    assert error.value.hint
