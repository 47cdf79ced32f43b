"""Build the native parts, and put what a user needs beside the Python code of a wheel.

Everything that is only data about the package is in pyproject.toml.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.errors import ExecError

ROOT = Path(__file__).resolve().parent
NATIVE = Path("emulator", "native")
SHARE = Path("emulator", "share")
SHARED_FOLDERS = ("vnfs", "topologies", "labs", "docs")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*", "*.o", "*.d")
TOOLS = ("make", "cc", "clang")


class BuildWithNative(build_py):
    """Compiles ``emulator/native`` and, for a wheel, fills ``emulator/share``.

    An editable install needs no copies: the package reads both from the checkout.
    """

    def run(self) -> None:
        make_native()
        if self.editable_mode:
            super().run()
            return
        # What an earlier build left here would be shipped although its source is gone.
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        target = Path(self.build_lib)
        shutil.copytree(ROOT / NATIVE / "build", target / NATIVE / "build", ignore=_not_for_users)
        for folder in SHARED_FOLDERS:
            shutil.copytree(ROOT / folder, target / SHARE / folder, ignore=NOT_SHIPPED)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs: list[str] = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return outputs
        added = [Path(self.build_lib) / NATIVE / "build", Path(self.build_lib) / SHARE]
        return outputs + [str(file) for root in added for file in root.rglob("*") if file.is_file()]


class PlatformWheel(bdist_wheel):
    """Marks the wheel as bound to the platform but not to one version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


class NativeDistribution(Distribution):
    """Says that there are native parts although none of them is a Python extension module."""

    def has_ext_modules(self) -> bool:
        return True


def make_native() -> None:
    """Run the Makefile of the native parts; it compiles only what has changed."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise ExecError(
            f"building the native parts needs {', '.join(missing)} "
            "(apt-get install make gcc libc6-dev clang libbpf-dev, or run scripts/bootstrap)"
        )
    try:
        subprocess.run(["make", "--silent", "-C", str(ROOT / NATIVE)], check=True)
    except subprocess.CalledProcessError as error:
        raise ExecError(
            "the native parts in emulator/native did not compile; the compiler's message is above "
            "(a missing header: apt-get install libc6-dev libbpf-dev linux-libc-dev)"
        ) from error


def _not_for_users(folder: str, names: list[str]) -> set[str]:
    """Keep programs and BPF objects; leave the intermediate files of the compiler."""
    return {
        name
        for name in names
        if name == "sanitize"
        or name.endswith(".d")
        or (name.endswith(".o") and not name.endswith(".bpf.o"))
    }


setup(
    cmdclass={"build_py": BuildWithNative, "bdist_wheel": PlatformWheel},
    distclass=NativeDistribution,
)
