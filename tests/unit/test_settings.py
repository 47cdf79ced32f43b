"""Settings as text become arguments."""

from __future__ import annotations

from typing import Any, Literal, Optional

import pytest

from emulator.settings import SettingsError, arguments_for
from emulator.topo import Topo


def build(
    k: int = 2,
    rate: float = 0.5,
    fast: bool = False,
    name: str = "x",
    plane: Literal["kernel", "xdp"] = "xdp",
    limit: int | None = None,
    other: Optional[str] = None,  # noqa: UP045 - as users still write it
    mixed: int | str = 1,
    free=None,
) -> None: ...


def by_default(k=2, rate=0.5, fast=False, name="x") -> None: ...


def read(function: Any = build, **settings: str) -> dict[str, Any]:
    return arguments_for(function, (), settings)


@pytest.mark.parametrize("function", [build, by_default])
def test_values_are_read_as_the_types_of_their_parameters(function: Any) -> None:
    arguments = read(function, k="7", rate="2", fast="yes", name="3")
    assert arguments == {"k": 7, "rate": 2.0, "fast": True, "name": "3"}
    assert type(arguments["rate"]) is float


def test_optional_and_mixed_types() -> None:
    assert read(limit="3", other="3", plane="kernel") == {
        "limit": 3,
        "other": "3",
        "plane": "kernel",
    }
    assert read(limit="none", other="None") == {"limit": None, "other": None}
    assert read(mixed="7") == {"mixed": 7}
    assert read(mixed="seven") == {"mixed": "seven"}


def test_without_a_type_numbers_and_booleans_are_recognised() -> None:
    for text, value in (("7", 7), ("0.5", 0.5), ("true", True), ("False", False), ("5ms", "5ms")):
        assert read(free=text) == {"free": value}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": "x"}, "'x' is not a whole number"),
        ({"k": "1.5"}, "'1.5' is not a whole number"),
        ({"rate": "fast"}, "'fast' is not a number"),
        ({"fast": "maybe"}, "'maybe' is not true or false"),
        ({"plane": "xpd"}, "'xpd' is not possible"),
        ({"limit": "x"}, "'x' is not a whole number"),
        ({"nmae": "x"}, "there is no parameter nmae"),
    ],
)
def test_a_setting_that_does_not_fit(settings: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(**settings)
    assert error.value.message == message
    assert error.value.key == next(iter(settings))
    assert error.value.hint


def test_an_unknown_parameter_gets_the_closest_or_all() -> None:
    with pytest.raises(SettingsError) as close:
        read(nmae="x")
    assert close.value.hint == "did you mean name?"
    with pytest.raises(SettingsError) as far:
        read(by_default, colour="x")
    assert far.value.hint == "it takes: k=2, rate=0.5, fast=False, name=x"


def test_values_by_position() -> None:
    assert arguments_for(build, ("3", "0.25"), {"name": "a"}) == {"k": 3, "rate": 0.25, "name": "a"}
    with pytest.raises(SettingsError, match="k is given twice"):
        arguments_for(build, ("3",), {"k": "4"})
    with pytest.raises(SettingsError, match="'9' is one argument too many"):
        arguments_for(by_default, ("1", "2", "true", "x", "9"), {})


def test_a_parameter_without_a_default_must_be_given() -> None:
    with pytest.raises(SettingsError) as error:
        arguments_for(lambda x, y=1: None, (), {})
    assert error.value.message == "x must be given"
    assert error.value.hint == "--set x=VALUE; it takes: x, y=1"


def test_a_catch_all_takes_other_keys_unless_it_says_that_it_ignores_them() -> None:
    assert read(lambda **parameters: None, every="3") == {"every": 3}
    with pytest.raises(SettingsError):
        read(lambda **_opts: None, every="3")


def test_a_class_takes_what_its_build_or_its_own_constructor_takes() -> None:
    class WithBuild(Topo):
        def build(self, k: int = 1) -> None: ...

    class WithConstructor(Topo):
        def __init__(self, n: int = 1) -> None: ...

    class PassingOn(Topo):
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        def build(self, k: int = 1) -> None: ...

    class Inheriting(WithBuild):
        pass

    for factory, key in (
        (WithBuild, "k"),
        (WithConstructor, "n"),
        (PassingOn, "k"),
        (Inheriting, "k"),
    ):
        assert read(factory, **{key: "3"}) == {key: 3}
        with pytest.raises(SettingsError):
            read(factory, other="3")


def test_annotations_that_cannot_be_looked_up_leave_the_default_to_tell() -> None:
    def build(k: "Missing" = 3) -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037

    assert read(build, k="4") == {"k": 4}
