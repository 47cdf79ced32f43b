"""The reference of the options of containers says all that there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from emulator.plan.capabilities import DOCKER_DEFAULT
from emulator.plan.container_spellings import ALIASES, NAMES, READERS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "containers.md"
WORD = re.compile(r"`(\w+)`")


def test_every_option_and_every_spelling_is_in_the_reference() -> None:
    text = REFERENCE.read_text()
    table = text[text.index("| option |") : text.index("## What cannot")]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:] if line.startswith("|")]
    words = [(WORD.findall(ours), WORD.findall(others)) for ours, others in rows]
    assert sorted(word for ours, _ in words for word in ours) == sorted(READERS)
    for ours, others in words:
        assert {alias for alias, name in ALIASES.items() if name in ours} <= set(others)
    assert set(WORD.findall(text)) >= NAMES


def test_the_reference_counts_docker_s_own_capabilities() -> None:
    assert f"and {len(DOCKER_DEFAULT) - 3} more" in REFERENCE.read_text()
