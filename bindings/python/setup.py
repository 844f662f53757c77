"""Builds wheels that carry the native library and command. Everything else is in pyproject.toml."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

LIBRARY = "libplasmite.dylib" if sys.platform == "darwin" else "libplasmite.so"
COMMAND = "plasmite"
BUNDLED = Path(__file__).resolve().parent / "src" / "plasmite" / "_native"


def native_files() -> list[Path]:
    """The library and the command: of PLASMITE_SDK_DIR if that is set, else those already in the package."""
    sdk = os.environ.get("PLASMITE_SDK_DIR")
    folders = [Path(sdk, sub) for sub in ("lib", "bin", ".")] if sdk else [BUNDLED]
    found = []
    for name in (LIBRARY, COMMAND):
        paths = [folder / name for folder in folders if (folder / name).is_file()]
        if not paths:
            looked = ", ".join(str(folder) for folder in folders)
            raise SystemExit(
                f"plasmite: {name} is missing, looked in {looked}. "
                "Set PLASMITE_SDK_DIR to the absolute path of a folder with lib/ and bin/."
            )
        found.append(paths[0])
    return found


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "plasmite", "_native")
        target.mkdir(parents=True, exist_ok=True)
        for path in native_files():
            shutil.copyfile(path, target / path.name)
            (target / path.name).chmod(0o755)


class BdistWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        # ctypes asks nothing of the interpreter: one wheel is for all of them.
        return "py3", "none", platform_tag()


def platform_tag() -> str:
    machine = platform.machine()
    if sys.platform != "linux":
        import sysconfig

        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
    try:
        files = native_files()
    except SystemExit:
        # An editable install without bundled files; a real build has failed before.
        return f"linux_{machine}"
    return f"manylinux_2_{max(map(newest_glibc, files))}_{machine}"


def newest_glibc(path: Path) -> int:
    """The newest glibc 2.x whose symbols the file needs: their names stand in its string table."""
    versions = re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())
    return max((int(version) for version in versions), default=17)


class NativeDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(
    cmdclass={"build_py": BuildPy, "bdist_wheel": BdistWheel},
    distclass=NativeDistribution,
)
