"""Compile C to BPF objects with clang, keeping what was compiled in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from emulator.errors import MachineError, UsageError
from emulator.paths import cache_dir

_INSTALL_HINT = "apt-get install clang libbpf-dev linux-libc-dev"
# Instruction set 3 has 32-bit registers and atomic additions that return the sum; every kernel that
# has what we need besides has it too, and compilers differ in what they take by default.
_TARGET = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-std=gnu11")
# A handler that needs neither its context nor its port is a good handler.
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
_DIAGNOSTIC = re.compile(r"^(?P<place>[^:\n]+:\d+):\d+: (?:fatal )?error: (?P<text>.*)$", re.M)
_MISSING_HEADER = re.compile(r"'((?:bpf|linux|asm)/[^']+)' file not found")
_EXCERPT_LINES = 12


def find_clang() -> Path:
    """The clang to compile with: ``$CLANG``, else ``clang``, else the newest ``clang-N``.

    Raises:
        MachineError: there is none.
    """
    chosen = os.environ.get("CLANG")
    if chosen:
        found = shutil.which(chosen)
        if not found:
            raise MachineError(f"$CLANG names {chosen}, which is not there", hint=_INSTALL_HINT)
        return Path(found)
    for name in ("clang", *(f"clang-{version}" for version in range(30, 10, -1))):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise MachineError("clang is not installed", where="clang", hint=_INSTALL_HINT)


def compile_bpf(
    source: Path,
    *,
    includes: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    output: Path | None = None,
    name: str | None = None,
) -> Path:
    """Compile a C file to a BPF object and return the object's path.

    What was compiled before from the same source, headers, flags and compiler is not compiled
    again. The object lies in the cache, under ``name`` (the source's name by default), unless
    ``output`` says where to put it.

    Raises:
        UsageError: the source is missing or does not compile; the message quotes the compiler.
        MachineError: clang or the headers it needs are not installed.
    """
    if not source.is_file():
        raise UsageError("there is no such source file", where=str(source))
    command = _command(find_clang(), source.absolute(), includes, defines or {})
    store = cache_dir() / "bpf"
    recipe = store / f"{name or source.name.split('.')[0]}-{_recipe_key(command)}.json"
    cached = _cached(recipe)
    if cached is None:
        cached = _compile(command, source, store, recipe)
    if output is None:
        return cached
    put_file(output, cached.read_bytes())
    return output


def explain(source: Path, diagnostics: str) -> UsageError | MachineError:
    """The error for a failed compilation, from what clang wrote on its standard error."""
    missing = _MISSING_HEADER.search(diagnostics)
    if missing:
        return MachineError(
            f"the C header {missing[1]} is not installed", where=str(source), hint=_INSTALL_HINT
        )
    first = _DIAGNOSTIC.search(diagnostics)
    if first is None:
        return UsageError(f"clang fails: {diagnostics.strip()}", where=str(source))
    excerpt = diagnostics[first.start() :].splitlines()[1:_EXCERPT_LINES]
    quoted = "\n".join(f"    {line}" for line in excerpt if line.strip())
    return UsageError(f"{first['text']}\n{quoted}", where=first["place"])


def _command(
    clang: Path, source: Path, includes: Sequence[Path], defines: Mapping[str, str]
) -> list[str]:
    # The BPF target has no system folder of its own for <asm/types.h>: lend it the host's.
    multiarch = Path("/usr/include") / f"{platform.machine()}-linux-gnu"
    lent = ["-idirafter", str(multiarch)] if multiarch.is_dir() else []
    return [
        str(clang),
        *_TARGET,
        *_WARNINGS,
        *(f"-D{name}={value}" for name, value in sorted(defines.items())),
        *(f"-I{folder}" for folder in includes),
        *lent,
        "-c",
        str(source),
    ]


def _recipe_key(command: Sequence[str]) -> str:
    # Asking clang for its version takes longer than everything else on a hit; an upgrade of the
    # compiler replaces its file, so the file's identity serves as well.
    binary = Path(command[0]).resolve()
    status = binary.stat()
    identity = [str(binary), str(status.st_size), str(status.st_mtime_ns), *command]
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:16]


def _cached(recipe: Path) -> Path | None:
    """The object compiled by this recipe, if no file that went into it has changed since."""
    try:
        dependencies = [Path(entry) for entry in json.loads(recipe.read_text())]
        path = _object_path(recipe, dependencies)
    except (FileNotFoundError, ValueError):
        return None
    return path if path.is_file() else None


def _object_path(recipe: Path, dependencies: Sequence[Path]) -> Path:
    digest = hashlib.sha256(recipe.stem.encode())
    for path in dependencies:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    name = recipe.stem.rpartition("-")[0]
    return recipe.with_name(f"{name}-{digest.hexdigest()[:16]}.bpf.o")


def _compile(command: Sequence[str], source: Path, store: Path, recipe: Path) -> Path:
    with _writing(store), tempfile.TemporaryDirectory(dir=store, prefix="compiling-") as folder:
        compiled, listing = Path(folder, "out.bpf.o"), Path(folder, "out.d")
        done = subprocess.run(
            [*command, "-o", str(compiled), "-MD", "-MF", str(listing)],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        if done.returncode:
            raise explain(source, done.stderr)
        dependencies = parse_dependencies(listing.read_text())
        path = _object_path(recipe, dependencies)
        os.replace(compiled, path)
    put_file(recipe, json.dumps([str(entry) for entry in dependencies]).encode())
    return path


def parse_dependencies(rule: str) -> list[Path]:
    """The files named by a make rule ``target: file file …``, as clang -MD writes it."""
    _, _, listed = rule.replace("\\\n", " ").partition(": ")
    words = re.findall(r"(?:\\.|[^\s\\])+", listed)
    return [Path(re.sub(r"\\(.)", r"\1", word)) for word in words]


def put_file(path: Path, content: bytes) -> None:
    """Put a file in place in one step: readers see the old one or the new one, never a part.

    Raises:
        MachineError: the place cannot be written.
    """
    with _writing(path.parent):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise MachineError(
            f"compiled VNFs cannot be kept here: {error.strerror}",
            where=str(folder),
            hint="make room, or name another folder in $XDG_CACHE_HOME",
        ) from error
