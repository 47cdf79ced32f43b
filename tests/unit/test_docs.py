"""The documents: their links lead somewhere, their commands parse, their files can be read."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from typer import TyperException

from emulator.cli.app import app
from emulator.experiment.measuring import faults
from emulator.experiment.scenario import load_scenario
from emulator.measure import honesty
from emulator.measure.goals import GOALS, SearchGoal
from emulator.measure.sla_profiles import PROFILES, read_profiles

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "topologies/**/*.md", "vnfs/**/*.md", "labs/**/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(r"^(?:# | {4,})?(vnf (?![A-Z ]).+)$", re.MULTILINE)
"""As a line of shell, behind the prompt of root, or among the examples of a command's help."""


@dataclass(frozen=True)
class Block:
    """A block of code in a document."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    return [block for block in all_blocks() if block.language in languages]


@cache
def all_blocks() -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(document, line, match[1], match[2]))
    return found


@cache
def generator() -> ModuleType:
    """``scripts/generate_docs.py``, which is no module of a package."""
    spec = importlib.util.spec_from_file_location(
        "generate_docs", ROOT / "scripts" / "generate_docs.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["scenario.md", "scenario.schema.json", "vnfs.md", "api.md", "parity.md"]
)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    # That of the command hangs on the version of typer, which scripts/lint holds to one series.
    written = (REFERENCE / name).read_text()
    assert written == generator().DOCUMENTS[name](), "run scripts/docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(document: Path) -> set[str]:
    """What a heading can be linked by: in lower case, without punctuation, joined by dashes."""
    headings = HEADING.findall(FENCE.sub("", document.read_text()))
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {each.replace(" ", "-") for each in plain}


def commands() -> Iterator[tuple[str, str]]:
    """Every vnf command in a block of code, with its place."""
    for block in blocks("sh", "console", "text"):
        shown = block.text
        if block.language == "text":
            if block.document.name != "cli.md":
                continue
            shown = shown.partition("Example")[2].partition("\n\n")[0]
        for match in COMMAND.finditer(shown.replace("\\\n", " ")):
            command = match[1]
            # Only the first of several: what follows may be any program.
            parts = shlex.split(command, comments=True)
            ends = [parts.index(each) for each in ("|", "&&", "&", ";") if each in parts]
            words = parts[1 : min(ends, default=len(parts))]
            words = [word.rstrip(";") for word in words if not re.match(r"\d?>", word)]
            yield str(block), shlex.join(words)


@cache
def whole_command() -> Any:
    return typer.main.get_command(app)


@pytest.mark.parametrize(("place", "line"), sorted(set(commands())))
def test_every_command_parses(place: str, line: str) -> None:
    command = whole_command()
    words, name = shlex.split(line), "vnf"
    try:
        while True:
            context = command.make_context(name, list(words))
            if not hasattr(command, "commands"):
                break
            words = [*context._protected_args, *context.args]
            if not words:
                break
            name, command, words = command.resolve_command(context, words)
    except TyperException as error:
        pytest.fail(f"{place}: vnf {line}: {error.format_message()}")


def test_the_commands_are_found() -> None:
    told = {line.split()[0] for _, line in commands()}
    assert {"bench", "report", "compare", "results", "replay", "top", "run", "plan"} <= told


@pytest.mark.parametrize(
    "block", [each for each in blocks("python") if each.document.name != "api.md"], ids=str
)
def test_python_is_python(block: Block) -> None:
    compile(textwrap.dedent(block.text), str(block), "exec")


@pytest.mark.parametrize(
    "block", [each for each in blocks("yaml") if "topology:" in each.text], ids=str
)
def test_scenarios_can_be_read(block: Block, tmp_path: Path) -> None:
    shutil.copy(ROOT / "topologies" / "chain.py", tmp_path)
    (tmp_path / "press.toml").write_text('[press]\ndeadline = "1ms"\nkind = "rtt"\n')
    (tmp_path / "evening.yaml").touch()
    (tmp_path / "night.yaml").write_text(block.text)
    load_scenario(tmp_path / "night.yaml")


@pytest.mark.parametrize(
    "block", [each for each in blocks("toml") if "deadline" in each.text], ids=str
)
def test_profiles_can_be_read(block: Block, tmp_path: Path) -> None:
    (tmp_path / "press.toml").write_text(block.text)
    assert read_profiles(tmp_path / "press.toml")


def cells_of(document: str, name: str) -> list[str]:
    """The cells of the one row of a table that begins with this name."""
    text = (ROOT / "docs" / "how-to" / document).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
    return [cell.strip() for cell in row.strip("|").split(" | ")]


@pytest.mark.parametrize("goal", GOALS.values(), ids=lambda goal: goal.name)
def test_every_goal_is_told_with_its_numbers(goal: SearchGoal) -> None:
    cells = cells_of("measure-throughput.md", goal.name)
    loss, exceed, width = (
        "0" if not ratio else f"{100 * ratio:g} %"
        for ratio in (goal.loss_ratio, goal.exceed_ratio, goal.width)
    )
    times = f"{goal.final_trial_s:g} s", f"{goal.duration_sum_s:g} s"
    assert cells[1:6] == [*times, loss, exceed, width]


def test_every_rule_of_the_gate_is_explained() -> None:
    source = inspect.getsource(honesty) + inspect.getsource(faults)
    names = set(re.findall(r'Finding(?:Record)?\(\s*(?:rule=)?"([\w-]+)"', source))
    assert names >= honesty.HINDRANCES
    text = (ROOT / "docs" / "how-to" / "believe-a-result.md").read_text()
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_every_built_in_profile_is_explained() -> None:
    for profile in PROFILES.values():
        source = cells_of("judge-service-levels.md", profile.name)[-1]
        assert profile.source.split(",")[0] in source
        assert ("secondary" in source) == profile.secondary


@pytest.mark.parametrize(
    "path", sorted((ROOT / "topologies").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_shipped_scenarios_can_be_read(path: Path) -> None:
    spec = load_scenario(path)
    assert Path(spec.target.partition(":")[0]).is_file()
    assert path.read_text().startswith("# yaml-language-server: $schema=../docs/reference/")
