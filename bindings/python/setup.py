"""Builds wheels that carry the native library and command. Everything else is in pyproject.toml."""

from __future__ import annotations

import shutil
import sys
from functools import cache
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.install_scripts import install_scripts

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import native  # noqa: E402

#: The `plasmite` script of an editable installation. A wheel has the command itself in its place: an interpreter takes
#: ten times as long to start.
LAUNCHER = """\
#!python
from plasmite._cli import main

main()
"""

find_native = cache(native.find)


class PlasmiteDistribution(Distribution):
    # Both are asked before anything is built: the wheel is for one kind of machine, and has a script.
    def has_ext_modules(self) -> bool:
        return True

    def has_scripts(self) -> bool:
        return True

    @property
    def is_editable(self) -> bool:
        return "editable_wheel" in self.commands

    def native(self) -> native.Native:
        return find_native(self.get_version())


class BuildPy(build_py):
    distribution: PlasmiteDistribution

    def run(self) -> None:
        if self.distribution.is_editable:
            return super().run()
        # Before anything else, so that what is missing is told at once.
        files = self.distribution.native()
        super().run()
        target = Path(self.build_lib, "plasmite", "_native")
        target.mkdir(parents=True, exist_ok=True)
        install(files.library, target / "libplasmite.so")
        install(files.command, target / "plasmite")


class InstallScripts(install_scripts):
    distribution: PlasmiteDistribution

    def run(self) -> None:
        script = Path(self.install_dir, "plasmite")
        script.parent.mkdir(parents=True, exist_ok=True)
        if self.distribution.is_editable:
            script.write_text(LAUNCHER)
            script.chmod(0o755)
        else:
            install(self.distribution.native().command, script)
        self.outfiles = [str(script)]


class BdistWheel(bdist_wheel):
    distribution: PlasmiteDistribution

    def get_tag(self) -> tuple[str, str, str]:
        # ctypes asks nothing of the interpreter: one wheel is for all of them.
        platform = "any" if self.distribution.is_editable else self.distribution.native().platform
        return "py3", "none", platform

    def write_wheelfile(self, wheelfile_base: str, *arguments: str) -> None:
        super().write_wheelfile(wheelfile_base, *arguments)
        if not self.distribution.is_editable:
            add_licenses(Path(wheelfile_base), self.distribution.native().notices)


def install(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)


def add_licenses(dist_info: Path, notices: tuple[Path, ...]) -> None:
    """Adds the licences of what is linked in to those of the package."""
    metadata = dist_info / "METADATA"
    head, line, rest = metadata.read_text().partition("License-File: LICENSE\n")
    if not line:
        raise SystemExit(f"plasmite: the package's own licence is not in {metadata}")
    lines = "".join(f"License-File: {notice.name}\n" for notice in notices)
    metadata.write_text(head + line + lines + rest)
    for notice in notices:
        shutil.copyfile(notice, dist_info / "licenses" / notice.name)


setup(
    cmdclass={"build_py": BuildPy, "bdist_wheel": BdistWheel, "install_scripts": InstallScripts},
    distclass=PlasmiteDistribution,
    # Those in the source that setuptools would look through; ours is InstallScripts'.
    scripts=[],
)
