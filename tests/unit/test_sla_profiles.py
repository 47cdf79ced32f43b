"""Profiles: those that come with the product, and those of users' files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.errors import UsageError
from emulator.measure.sla import SlaProfile
from emulator.measure.sla_profiles import PROFILES, profile_named, read_profiles

US, MS = 1_000, 1_000_000


@pytest.mark.parametrize(
    ("name", "cycle_ns", "deadline_ns", "kind", "allowed", "quantile", "payload", "secondary"),
    [
        ("calvin-mec", 5 * MS, 350 * US, "rtt", None, None, (256, 1400), False),
        ("franka-fci", MS, MS, "rtt", 19, None, (370, 2373), False),
        ("detnet-m2m", MS, MS, "one-way", 1, None, (100, 700), False),
        ("tsn-isochronous", 500 * US, 500 * US, "one-way", 0, None, (30, 100), True),
        ("profinet-rt", MS, 3 * MS, "one-way", 2, None, (40, 250), True),
        ("urllc", None, MS, "one-way", None, 0.99999, (32,), True),
    ],
)
def test_the_built_in_profiles_are_those_of_the_method(
    name: str,
    cycle_ns: int | None,
    deadline_ns: int,
    kind: str,
    allowed: int | None,
    quantile: float | None,
    payload: tuple[int, ...],
    secondary: bool,
) -> None:
    profile = profile_named(name)
    assert profile.name == name
    assert (profile.cycle_ns, profile.deadline_ns, profile.kind) == (cycle_ns, deadline_ns, kind)
    assert (profile.consecutive_misses_allowed, profile.quantile) == (allowed, quantile)
    assert (profile.payload_bytes, profile.secondary) == (payload, secondary)
    assert profile.source
    assert profile.judges == (name != "calvin-mec")


def test_there_are_no_others() -> None:
    assert list(PROFILES) == [
        "calvin-mec",
        "franka-fci",
        "detnet-m2m",
        "tsn-isochronous",
        "profinet-rt",
        "urllc",
    ]


TOML = """
[press]
cycle = "2ms"
deadline = "0.5ms"
kind = "rtt"
consecutive_misses_allowed = 3
percentile = 99.999
payload_bytes = [64, 256]
source = "page 12"
caveats = ["of the old line"]

[franka-strict]
base = "franka-fci"
consecutive_misses_allowed = 9
"""

YAML = """
press:
  cycle: 2ms
  deadline: 0.5ms
  kind: rtt
  consecutive_misses_allowed: 3
  percentile: 99.999
  payload_bytes: [64, 256]
  source: page 12
  caveats: [of the old line]
franka-strict:
  base: franka-fci
  consecutive_misses_allowed: 9
"""


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("text", "name"), [(TOML, "mine.toml"), (YAML, "mine.yaml")])
def test_a_file_is_read_whichever_way_it_is_written(tmp_path: Path, text: str, name: str) -> None:
    path = written(tmp_path, text, name)
    press = profile_named(f"{path}:press")
    assert press == SlaProfile(
        name="press",
        deadline_ns=500 * US,
        kind="rtt",
        cycle_ns=2 * MS,
        consecutive_misses_allowed=3,
        quantile=0.99999,
        payload_bytes=(64, 256),
        source="page 12",
        caveats=("of the old line",),
    )
    strict, base = profile_named(f"{path}:franka-strict"), PROFILES["franka-fci"]
    assert strict.consecutive_misses_allowed == 9
    assert (strict.cycle_ns, strict.deadline_ns, strict.caveats) == (MS, MS, base.caveats)
    assert strict.source == f"{base.source}; changed here: consecutive_misses_allowed"


def test_the_only_profile_of_a_file_needs_no_name(tmp_path: Path) -> None:
    path = written(tmp_path, '[one]\ndeadline = "1ms"\nkind = "one-way"\npayload_bytes = 64\n')
    found = profile_named(str(path))
    assert found == SlaProfile(name="one", deadline_ns=MS, kind="one-way", payload_bytes=(64,))
    both = written(tmp_path, TOML)
    with pytest.raises(UsageError, match=r"has 2 profiles: press, franka-strict"):
        profile_named(str(both))
    with pytest.raises(UsageError, match=r"has no profile pres.*did you mean press"):
        profile_named(f"{both}:pres")


@given(st.decimals("0.001", "99.99999", places=5))
def test_percentiles_are_read_in_decimal(percentile: object) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(
            Path(folder), f'[p]\ndeadline = "1ms"\nkind = "rtt"\npercentile = {percentile}\n'
        )
        quantile = profile_named(str(path)).quantile
    assert quantile is not None
    assert f"{quantile:.7f}" == f"{float(str(percentile)) / 100:.7f}"
    assert float(f"{quantile:.9g}") == quantile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no profiles"),
        ("press = 5", "press: is not a table"),
        ("[press]\n", r"press\.deadline: must be given; press\.kind: must be given"),
        (
            '[press]\ndeadline = "1ms"\nkind = "rtt"\ncycel = "1ms"\n',
            r"press\.cycel: there is no such key \(did you mean cycle\?\)",
        ),
        ('[press]\ndeadline = 1\nkind = "rtt"\n', r"press\.deadline: 1 has no unit \(write it"),
        ('[press]\ndeadline = "0ms"\nkind = "rtt"\n', r"press\.deadline: .* greater than 0"),
        ('[press]\ndeadline = "1 week"\nkind = "rtt"\n', r"press\.deadline: .*unknown unit week"),
        ('[press]\ndeadline = "1ms"\nkind = "both"\n', r"press\.kind: .*'one-way' or 'rtt'"),
        (
            '[press]\ndeadline = "1ms"\nkind = "rtt"\nconsecutive_misses_allowed = true\n',
            r"press\.consecutive_misses_allowed",
        ),
        ('[press]\ndeadline = "1ms"\nkind = "rtt"\npercentile = 100\n', r"press\.percentile"),
        ('[press]\ndeadline = "1ms"\nkind = "rtt"\npayload_bytes = [0]\n', r"payload_bytes\.0"),
        ('[press]\nbase = "franka"\n', r"press\.base: .*did you mean franka-fci"),
        ('[urllc]\nbase = "urllc"\n', "urllc is a built-in profile"),
        ('["5 ms"]\ndeadline = "1ms"\n', "'5 ms' is not a usable name"),
        ("[press\n", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_file_profile_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(UsageError, match=rf"mine\.toml: .*{message}"):
        read_profiles(written(tmp_path, text))


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = '[a]\nkind = "rtt"\n[b]\ndeadline = "1ms"\n[c]\ndeadline = "1ms"\nkind = "rtt"\n'
    with pytest.raises(UsageError, match=r"a\.deadline: must be given; b\.kind: must be given"):
        read_profiles(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("press: [1, 2", r"mine\.yaml:1: is not YAML"),
        ("press:\n  deadline: 1ms\n kind: rtt\n", r"mine\.yaml:3: is not YAML"),
        ("- press\n", "has no profiles"),
        ("press: 2024-13-40\n", "cannot be read"),
        ("[" * 1500, "mine.yaml"),
    ],
)
def test_what_is_no_yaml_is_refused_at_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_profiles(written(tmp_path, text, "mine.yaml"))


def test_files_that_cannot_be_profiles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither TOML nor YAML"):
        read_profiles(written(tmp_path, TOML, "mine.txt"))
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not text"):
        read_profiles(tmp_path / "mine.toml")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_profiles(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        read_profiles(written(tmp_path, "#" * (1 << 20) + "\n", "large.toml"))


def test_an_unknown_name_has_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"no profile franka-fcl \(did you mean franka-fci\?"):
        profile_named("franka-fcl")
    with pytest.raises(UsageError, match="there are: calvin-mec, franka-fci"):
        profile_named("robot")
    for target in ("mine.toml:press", "mine.toml"):
        with pytest.raises(UsageError, match=r"^mine\.toml: no such file"):
            profile_named(target)
