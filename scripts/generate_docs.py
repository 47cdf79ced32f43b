"""Write the reference documents from the code, or check that they are what the code says.

Run it as ``scripts/docs [--check]``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import emulator
from emulator.catalog import Catalog, Manifest
from emulator.cli.app import app
from emulator.cli.shell_commands import COMMANDS
from emulator.cli.shell_vnf import SHADOWED, VNF_COMMANDS
from emulator.compat import parity
from emulator.experiment.scenario import schema

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
HELP_WIDTH = 90
SHELL = (
    "`vnf run` and `vnf attach` open it; `help` lists these commands, and `help COMMAND` explains "
    "one. A line that begins with a node's name is a command for that node."
)
SCENARIO = (
    "Written by `scripts/docs` from the model that `vnf bench FILE.yaml` is read by. "
    "[Write a scenario](../how-to/write-a-scenario.md) has examples. Editors check and complete "
    "such files by [scenario.schema.json](scenario.schema.json), which is made from the same.\n\n"
    "Everything is checked before anything starts, and every mistake is told with its line and "
    "column. An amount is a number, or a text with its unit: packets per second `10k` or `1.5M`, "
    "seconds `500ms` or `1min`. Where there may be a list, a single value needs no brackets."
)
SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail instead of writing")
    check = parser.parse_args().check
    stale = []
    for name, write in DOCUMENTS.items():
        path, text = REFERENCE / name, write()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(f"docs/reference/{name}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        print(f"not what the code says: {', '.join(stale)}; run scripts/docs", file=sys.stderr)
        return 1
    for name in stale:
        print(f"wrote {name}")
    return 0


def cli() -> str:
    """The help of each command, as the program prints it, and that of the shell's commands."""
    import typer.main

    parts = [
        "# The `vnf` command",
        "Written by `scripts/docs` from what `vnf --help` prints.",
        _code(_help()),
        *(
            f"## vnf {' '.join(words)}\n\n{_code(_help(*words))}"
            for words in _commands(typer.main.get_command(app))
        ),
        "# The shell",
        SHELL,
        *(
            f"## {command.name}\n\n{_code(f'{command.name} {command.usage}'.rstrip())}\n\n"
            f"{_prose(command.help)}"
            for command in sorted(COMMANDS.values(), key=lambda command: command.name)
        ),
        "# Words for VNFs and containers",
        "In the shell behind the name of a node, and by `vnf exec`; NODE is either.",
        _prose(SHADOWED),
        *(
            f"## {' '.join(command.full_usage.split()[:2])}\n\n{_code(command.full_usage)}\n\n"
            f"{_prose(command.help)}"
            for command in VNF_COMMANDS.values()
        ),
    ]
    return _document(parts)


def _commands(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """The words that name each command below a group, and each group below it."""
    for name, command in getattr(group, "commands", {}).items():
        yield (*before, name)
        yield from _commands(command, *before, name)


def _help(*command: str) -> str:
    """What ``vnf COMMAND --help`` prints, at a width that does not hang on the terminal."""
    output = io.StringIO()
    os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = str(HELP_WIDTH)
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        app([*command, "--help"], prog_name="vnf")
    return output.getvalue()


def api() -> str:
    """Every public name with its signature and docstring."""
    parts = [
        "# The Python API",
        "Written by `scripts/docs` from the code: everything that `from emulator import …` offers.",
    ]
    rows = ["| name | what it is |", "|---|---|"]
    for name in emulator.__all__:
        summary = _prose(_doc(getattr(emulator, name))).partition("\n\n")[0].replace("\n", " ")
        rows.append(f"| [`{name}`](#{name.lower()}) | {summary} |")
    parts.append("\n".join(rows))
    parts += [_describe(name, getattr(emulator, name)) for name in emulator.__all__]
    return _document(parts)


def vnfs() -> str:
    """Every VNF that comes with the product, from its manifest."""
    parts = [
        "# The VNFs",
        "Written by `scripts/docs` from the manifests under `vnfs/`; `vnf list` prints the same.",
    ]
    catalog = Catalog.load()
    parts += [_manifest(catalog[name]) for name in catalog.names()]
    return _document(parts)


def scenario() -> str:
    """Every key of a scenario's file, from the model that reads it."""
    whole = schema()
    parts = [
        "# Scenario files",
        SCENARIO,
        _keys(whole, whole),
    ]
    for name, value in whole["properties"].items():
        part = _referred(value)
        if part:
            found = whole["$defs"][part]
            parts += [f"## {name}", _sentence(found["description"]), _keys(found, whole)]
    return _document(parts)


def scenario_schema() -> str:
    """The JSON schema of scenarios."""
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**about, **schema()}, indent=2, ensure_ascii=False) + "\n"


def _keys(part: dict[str, Any], whole: dict[str, Any]) -> str:
    rows = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, value in part["properties"].items():
        default = "required"
        if name not in part.get("required", ()):
            default = _scenario_default(value.get("default"))
        rows.append(f"| `{name}` | {_takes(value)} | {default} | {value['description']} |")
    return "\n".join(rows)


def _takes(value: dict[str, Any]) -> str:
    """What may be written, in words."""
    if _referred(value):
        return "keys of its own"
    if "enum" in value:
        # Beside a word that YAML takes for something else stands what it makes of it.
        return ", ".join(f"`{each}`" for each in value["enum"] if isinstance(each, str))
    if "anyOf" in value:
        kinds = [each for each in value["anyOf"] if each.get("type") != "null"]
        return _takes(kinds[0]) + (", or a list of these" if len(kinds) > 1 else "")
    kind = value["type"]
    if kind == "object":
        return f"names, and for each {_takes(value['additionalProperties'])}"
    if kind == "array":
        return f"a list, and in it {_takes(value['items'])}"
    if kind == ["number", "string"]:
        return "an amount"
    if isinstance(kind, list):
        return "a text or number"
    return {
        "string": "a text",
        "integer": "a whole number",
        "boolean": "`true`, `false`",
    }[kind]


def _scenario_default(value: Any) -> str:
    if value in (None, [], {}) or isinstance(value, dict):
        return "–"
    values = value if isinstance(value, list) else [value]
    texts = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
    return ", ".join(f"`{text.lower() if text in ('True', 'False') else text}`" for text in texts)


def _referred(value: dict[str, Any]) -> str:
    """The name of the part that a key has, empty for a plain value."""
    for each in (value, *value.get("anyOf", ())):
        if "$ref" in each:
            return str(each["$ref"]).rpartition("/")[2]
    return ""


def _manifest(manifest: Manifest) -> str:
    lines = [f"## {manifest.name}", "", _sentence(manifest.summary), ""]
    lines += [f"Data planes: {', '.join(manifest.dataplanes)}.", ""]
    if manifest.parameters:
        lines += ["| parameter | takes | default | meaning |", "|---|---|---|---|"]
        for name, parameter in manifest.parameters.items():
            default = "required" if parameter.default is None else f"`{parameter.default}`"
            cells = (f"`{name}`", parameter.describe(), default, parameter.summary)
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    if manifest.counters:
        lines += ["| counter | counts |", "|---|---|"]
        lines += [f"| `{name}` | {summary} |" for name, summary in manifest.counters.items()]
    return "\n".join(lines).rstrip()


def _describe(name: str, thing: Any) -> str:
    if not inspect.isclass(thing):
        return f"## {name}\n\n{_code(_signature(name, thing), 'python')}\n\n{_prose(_doc(thing))}"
    parts = [f"## {name}"]
    fields = list(_fields(thing))
    if not fields:
        parts.append(_code(_signature(name, _constructor(thing)), "python"))
    parts.append(_prose(_doc(thing)))
    if fields:
        rows = ["| field | type | default |", "|---|---|---|"]
        rows += [f"| `{field}` | `{kind}` | {default} |" for field, kind, default in fields]
        parts.append("\n".join(rows))
    for label, member in _members(thing):
        parts.append(f"### {name}.{label}\n\n{member}")
    return "\n\n".join(part for part in parts if part)


def _constructor(thing: type) -> Callable[..., Any]:
    return thing.__init__ if "__init__" in vars(thing) else thing  # type: ignore[misc]


def _fields(thing: type) -> Iterator[tuple[str, str, str]]:
    """Name, type and default of each field of a class that is only data."""
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            if not field.name.startswith("_"):
                has_factory = field.default_factory is not dataclasses.MISSING
                default = "made new" if has_factory else _default(field.default)
                yield field.name, _cell(str(field.type)), default
    elif hasattr(thing, "model_fields"):
        written = inspect.get_annotations(thing)
        for name, info in thing.model_fields.items():
            default = "required" if info.is_required() else _default(info.default)
            yield name, _cell(str(written[name])), default


def _default(value: Any) -> str:
    return "required" if value is dataclasses.MISSING else f"`{_cell(_literal(value))}`"


def _literal(value: Any) -> str:
    return f"Path({str(value)!r})" if isinstance(value, Path) else repr(value)


def _members(thing: type) -> Iterator[tuple[str, str]]:
    """The public methods and properties that our own classes define, with their descriptions."""
    seen: set[str] = set()
    for owner in thing.__mro__:
        if not owner.__module__.startswith("emulator"):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or name in seen:
                continue
            text = _member(name, member)
            if text:
                seen.add(name)
                yield name, text


def _member(name: str, member: Any) -> str:
    if isinstance(member, property):
        kind = inspect.signature(member.fget).return_annotation if member.fget else ""
        # As our formatter has it: Python itself writes the text of an annotation in single quotes.
        kind = str(kind).replace("'", '"')
        return f"{_code(f'{name}: {kind}', 'python')}\n\n{_prose(_doc(member))}".rstrip()
    if isinstance(member, classmethod | staticmethod):
        member = member.__func__
    if not inspect.isfunction(member):
        return ""
    return f"{_code(_signature(name, member), 'python')}\n\n{_prose(_doc(member))}".rstrip()


def _signature(name: str, function: Callable[..., Any]) -> str:
    """The signature as it is written in the source, wrapped when it is long."""
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    words: list[str] = []
    for parameter in parameters:
        starred = any(word.startswith("*") for word in words)
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
        words.append(_parameter(parameter))
    result = signature.return_annotation
    arrow = "" if result in (inspect.Signature.empty, "None", None) else f" -> {result}"
    line = f"{name}({', '.join(words)}){arrow}"
    if len(line) <= HELP_WIDTH:
        return line
    inside = "".join(f"    {word},\n" for word in words)
    return f"{name}(\n{inside}){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
    text = f"{stars}{parameter.name}"
    typed = parameter.annotation is not parameter.empty
    if typed:
        text += f": {parameter.annotation}"
    if parameter.default is parameter.empty:
        return text
    return f"{text}{' = ' if typed else '='}{_literal(parameter.default)}"


def _doc(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def _prose(docstring: str) -> str:
    """A docstring as Markdown: sections become lists, roles and double backquotes plain ones."""
    lines: list[str] = []
    in_section = False
    for line in re.sub(r"(:\w+:)?`+", "`", docstring).splitlines():
        if line.strip() in SECTIONS:
            in_section = True
            lines += ["", f"**{line.strip()[:-1]}**", ""]
        elif in_section and line and not line.startswith(" "):
            in_section = False
            lines.append(line)
        elif in_section and (item := re.match(r"    (\S[^:]*): (.*)", line)):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif in_section and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str, language: str = "text") -> str:
    body = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"```{language}\n{body}\n```"


def _document(parts: list[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def parity_page() -> str:
    """The names of other emulators, and what a script finds under them here."""
    return parity.page(parity.table(parity.all_names()))


DOCUMENTS: dict[str, Callable[[], str]] = {
    "cli.md": cli,
    "api.md": api,
    "vnfs.md": vnfs,
    "parity.md": parity_page,
    "scenario.md": scenario,
    "scenario.schema.json": scenario_schema,
}

if __name__ == "__main__":
    sys.exit(main())
