"""Compile C, to BPF objects and to programs, keeping what was compiled in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.errors import LabError, MachineError, UsageError
from emulator.paths import cache_dir

if TYPE_CHECKING:
    from emulator.kernel.archives import Archives

_INSTALL_HINT = "apt-get install clang libbpf-dev linux-libc-dev"
_PROGRAM_HINT = "apt-get install gcc libc6-dev linux-libc-dev pkg-config"
# Instruction set 3 has 32-bit registers and atomic additions that return the sum; every kernel that
# has what we need besides has it too, and compilers differ in what they take by default.
_TARGET = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-std=gnu11")
# A handler that needs neither its context nor its port is a good handler.
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")
# The functions of the library that one VNF or one data plane does not need are not a mistake.
_PROGRAM_FLAGS = ("-std=gnu11", *_WARNINGS, "-Wno-unused-function", "-fno-strict-aliasing", "-g")
# What nobody calls is left out, and so is what only a debugger reads: images stay small.
_STATIC_FLAGS = ("-static", "-s", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
_DIAGNOSTIC = re.compile(
    r"^(?P<place>[^:\n]+:\d+)(?::\d+)?: (?:fatal )?error: (?P<text>.*)$", re.MULTILINE
)
_NEXT_DIAGNOSTIC = re.compile(
    r": (?:fatal )?(?:error|warning|note): |^\d+ (?:error|warning)|^cc1: |^In file included from "
)
_NOTE = re.compile(r"(?P<place>[^:\n]+:\d+)(?::\d+)?: note: ")
_TAKEN = re.compile(
    r"(?:conflicting types|redefin|redeclar)\D*?['\"](?:struct )?(\w+?)(?:_settings)?['\"]"
)
_REDEFINED = re.compile(r"['\"](\w+)['\"] (?:macro )?redefined")
_MISSING_HEADER = re.compile(
    r"'((?:bpf|linux|asm)/[^']+)' file not found|((?:bpf|linux|asm)/\S+): No such file"
)
_STACK = re.compile(r"BPF stack limit of (\d+) bytes is exceeded")
_UNDEFINED = re.compile(r"undefined reference to [`'](\w+)'")
_NO_HANDLER = re.compile(r"(?:declaration of|call to undeclared) function '(handle(?:_burst)?)'")
_EXCERPT_LINES = 12
_LIBRARY_PACKAGES = {"libdpdk": "libdpdk-dev", "libxdp": "libxdp-dev", "libbpf": "libbpf-dev"}


class NotCompiledError(LabError):
    """Something was only looked up in the cache, and is not there or no longer fits its source."""


_one_at_a_time = threading.Lock()
_compiling: dict[Path, threading.Lock] = {}


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
    subject: Path | None = None,
    cached_only: bool = False,
) -> Path:
    """Compile a C file to a BPF object and return the object's path.

    What was compiled before from the same source, headers, flags and compiler is not compiled
    again. The object lies in the cache, under ``name`` (the source's name by default), unless
    ``output`` says where to put it.

    Args:
        subject: the file that a message names when the compiler tells no place; the source by
            default.
        cached_only: look it up, and do not compile.

    Raises:
        UsageError: the source is missing or does not compile; the message quotes the compiler.
        MachineError: clang or the headers it needs are not installed.
        NotCompiledError: ``cached_only``, and it would have to be compiled.
    """
    if not source.is_file():
        raise UsageError("there is no such source file", where=str(source))
    command = _command(find_clang(), source.absolute(), includes, defines or {})
    recipe = _Recipe(command, "bpf", name or source.name.split(".")[0], ".bpf.o")
    cached = _build(recipe, subject or source, cached_only=cached_only)
    if output is None:
        return cached
    put_file(output, cached.read_bytes())
    return output


def find_cc() -> Path:
    """The compiler for programs: ``$CC``, else ``cc``, else ``gcc``, else clang.

    Raises:
        MachineError: there is none.
    """
    chosen = os.environ.get("CC")
    for name in (chosen,) if chosen else ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found:
            return Path(found)
    if chosen:
        raise MachineError(f"$CC names {chosen}, which is not there", hint=_PROGRAM_HINT)
    raise MachineError("no C compiler is installed", where="cc", hint=_PROGRAM_HINT)


def compile_program(
    source: Path,
    *,
    includes: Sequence[Path] = (),
    defines: Mapping[str, str] | None = None,
    flags: Sequence[str] = ("-O3", "-march=native"),
    libraries: Sequence[str] = (),
    archives: Archives | None = None,
    compiler: Path | None = None,
    name: str | None = None,
    subject: Path | None = None,
    cached_only: bool = False,
) -> Path:
    """Compile a C file to a program, or with ``-shared`` to a library, and return its path.

    What was compiled before from the same is not compiled again.

    Args:
        libraries: what pkg-config calls the libraries it needs.
        archives: given, the program is linked with these and needs no library where it runs.
        compiler: ``find_cc()`` by default.
        subject: as for ``compile_bpf``.
        cached_only: as for ``compile_bpf``.

    Raises:
        UsageError: the source is missing or does not compile; the message quotes the compiler.
        MachineError: the compiler or a library is not installed.
        NotCompiledError: ``cached_only``, and it would have to be compiled.
    """
    if not source.is_file():
        raise UsageError("there is no such source file", where=str(source))
    library_flags = library_words("--cflags", *(() if archives else ("--libs",)), names=libraries)
    command = [
        str(compiler or find_cc()),
        *_PROGRAM_FLAGS,
        *(f"-D{key}={value}" for key, value in sorted((defines or {}).items())),
        *(f"-I{folder}" for folder in includes),
        str(source.absolute()),
        *library_flags,
        # Behind those of the libraries: DPDK's would have it compiled for the oldest processor.
        *flags,
    ]
    if archives is not None:
        command += [*_STATIC_FLAGS, *archives.link_words()]
    identity = archives.identity() if archives is not None else ()
    recipe = _Recipe(command, "programs", name or source.name.split(".")[0], "", tuple(identity))
    return _build(recipe, subject or source, cached_only=cached_only)


def library_words(*options: str, names: Sequence[str]) -> list[str]:
    """What pkg-config says of libraries, in words.

    Raises:
        MachineError: it is not installed, or a library's development files are not.
    """
    return list(_library_flags(options, tuple(names))) if names else []


@cache
def _library_flags(options: tuple[str, ...], libraries: tuple[str, ...]) -> list[str]:
    packages = " ".join(_LIBRARY_PACKAGES.get(library, library) for library in libraries)
    hint = f"apt-get install pkg-config {packages}"
    try:
        done = subprocess.run(
            ["pkg-config", *options, *libraries],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise MachineError("pkg-config is not installed", hint=hint) from error
    if done.returncode:
        missing = ", ".join(libraries)
        raise MachineError(f"the development files of {missing} are not installed", hint=hint)
    return done.stdout.split()


@dataclass(frozen=True)
class _Recipe:
    """What is compiled, how, and what it is called in the cache."""

    command: list[str]
    folder: str
    name: str
    suffix: str
    identity: tuple[str, ...] = ()
    """Of the files that go into it and that the compiler does not name."""

    @property
    def path(self) -> Path:
        key = _recipe_key([*self.command, *self.identity])
        return cache_dir() / self.folder / f"{self.name}-{key}.json"


def _build(recipe: _Recipe, subject: Path, *, cached_only: bool) -> Path:
    path = recipe.path
    with _one_at_a_time:
        alone = _compiling.setdefault(path, threading.Lock())
    # Several VNFs of a lab start at once, often from the same source.
    with alone:
        known = _cached(path, recipe.suffix)
        if known is None and cached_only:
            raise NotCompiledError("it has not been compiled since it changed", where=str(subject))
        return known or _compile(recipe.command, subject, path, recipe.suffix)


def explain(source: Path, diagnostics: str) -> UsageError | MachineError:
    """The error for a failed compilation, from what the compiler wrote on its standard error."""
    missing = _MISSING_HEADER.search(diagnostics)
    if missing:
        return MachineError(
            f"the C header {missing[1] or missing[2]} is not installed",
            where=str(source),
            hint=_INSTALL_HINT,
        )
    stack = _STACK.search(diagnostics)
    if stack:
        return UsageError(
            f"it needs more stack than the {stack[1]} bytes that the kernel gives it",
            where=str(source),
            hint="keep what is large in ctx->state or in a table",
        )
    first = _DIAGNOSTIC.search(diagnostics)
    undefined = _UNDEFINED.search(diagnostics)
    if first is None and undefined:
        return UsageError(
            f"the linker finds no {undefined[1]}",
            where=str(source),
            hint="a name may be misspelt, or a static library of this machine incomplete",
        )
    if first is None:
        return UsageError(f"the compiler fails: {diagnostics.strip()}", where=str(source))
    following = diagnostics[first.start() :].splitlines()[1:_EXCERPT_LINES]
    excerpt = takewhile(lambda line: not _NEXT_DIAGNOSTIC.search(line), following)
    quoted = "\n".join(f"    {line}" for line in excerpt if line.strip())
    text = f"{first['text']}\n{quoted}"
    handler = _NO_HANDLER.search(first["text"])
    if handler and not first["place"].startswith(f"{source}:"):
        return UsageError(
            f"it has no function {handler[1]}, which is called for what comes in",
            where=str(source),
            hint="vnfs/README.md has how it begins; vnf new writes one that works",
        )
    if "'gnu/stubs-32.h' file not found" in first["text"]:
        return UsageError(
            "it includes a header of the C library, which a BPF program cannot have",
            where=str(source),
            hint="leave it out: what a VNF may call is in vnf.h",
        )
    involved = _place_in(source, first, diagnostics)
    taken = _TAKEN.search(first["text"]) or _REDEFINED.search(first["text"])
    if involved and taken and not first["place"].startswith(f"{source}:"):
        return UsageError(
            f"the name {taken[1]} is taken by what runs the VNF",
            where=involved,
            hint="give it another name",
        )
    return UsageError(text, where=involved or first["place"])


def _place_in(source: Path, error: re.Match[str], diagnostics: str) -> str:
    """The place in a VNF's source that an error is about, if any: it may use a macro of ours."""
    if error["place"].startswith(f"{source}:"):
        return error["place"]
    for line in diagnostics[error.end() :].splitlines():
        if _DIAGNOSTIC.match(line):
            break
        note = _NOTE.match(line)
        if note and note["place"].startswith(f"{source}:"):
            return note["place"]
    return ""


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


def _cached(recipe: Path, suffix: str) -> Path | None:
    """The file compiled by this recipe, if no file that went into it has changed since."""
    try:
        dependencies = [Path(entry) for entry in json.loads(recipe.read_text())]
        path = _compiled_path(recipe, dependencies, suffix)
    except (FileNotFoundError, ValueError):
        return None
    return path if path.is_file() else None


def _compiled_path(recipe: Path, dependencies: Sequence[Path], suffix: str) -> Path:
    digest = hashlib.sha256(recipe.stem.encode())
    for path in dependencies:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    name = recipe.stem.rpartition("-")[0]
    return recipe.with_name(f"{name}-{digest.hexdigest()[:16]}{suffix}")


def _compile(command: Sequence[str], subject: Path, recipe: Path, suffix: str) -> Path:
    store = recipe.parent
    with _writing(store), tempfile.TemporaryDirectory(dir=store, prefix="compiling-") as folder:
        compiled, listing = Path(folder, f"out{suffix}"), Path(folder, "out.d")
        done = subprocess.run(
            [*command, "-o", str(compiled), "-MD", "-MF", str(listing)],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        if done.returncode:
            raise explain(subject, done.stderr)
        dependencies = parse_dependencies(listing.read_text())
        path = _compiled_path(recipe, dependencies, suffix)
        os.replace(compiled, path)
    put_file(recipe, json.dumps([str(entry) for entry in dependencies]).encode())
    return path


def parse_dependencies(rule: str) -> list[Path]:
    """The files named by a make rule ``target: file file …``, as clang -MD writes it."""
    _, _, listed = rule.replace("\\\n", " ").partition(": ")
    # Only these are written with something before them; any other backslash is the name's own.
    words = re.findall(r"(?:\\[ #]|\S)+", listed)
    return [Path(re.sub(r"\\([ #])", r"\1", word).replace("$$", "$")) for word in words]


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
