"""What the tests of the distribution share: the SDK and the wheel under test, and new Python environments.

`cargo xtask test` names them in PLASMITE_SDK_DIR and PLASMITE_WHEEL, and runs this with a Python that has `build`,
`setuptools` and `uv`.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
REPOSITORY = PROJECT.parents[1]
SDK = Path(os.environ["PLASMITE_SDK_DIR"])
WHEEL = Path(os.environ["PLASMITE_WHEEL"])
UV = Path(sys.executable).with_name("uv")
#: Longer than anything here takes.
PATIENCE = 300

Result = subprocess.CompletedProcess[str]

sys.path.insert(0, str(PROJECT))


def clean_environment(**more: str | Path) -> dict[str, str]:
    """Ours, without what names a library, a command or an environment, and with `more`."""
    ours = ("PLASMITE_", "PYTHON", "VIRTUAL_", "LD_LIBRARY_PATH")
    keep = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    # Copies, so that a test may change what was installed without changing what uv keeps.
    uv = {"UV_PYTHON_DOWNLOADS": "never", "UV_LINK_MODE": "copy"}
    return {**keep, **uv, **{key: str(value) for key, value in more.items()}}


def run(*command: str | Path, cwd: str | Path | None = None, **environment: str | Path) -> Result:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(**environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def succeed(*command: str | Path, cwd: str | Path | None = None, **environment: str | Path) -> str:
    result = run(*command, cwd=cwd, **environment)
    if result.returncode != 0:
        raise AssertionError(f"{command} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout


def same(path: Path, other: Path) -> bool:
    """Byte for byte."""
    return filecmp.cmp(path, other, shallow=False)


class FolderTestCase(unittest.TestCase):
    """Each test has a folder of its own, with a name that has everything a path may have."""

    dir: Path

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="ein Ordner für alles 移動 ")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)


def new_environment(folder: Path) -> Path:
    """An empty one; returns its Python."""
    succeed(UV, "venv", "--quiet", "--python", sys.executable, folder)
    return folder / "bin" / "python3"


def install(python: Path, *what: str | Path, **environment: str | Path) -> None:
    succeed(UV, "pip", "install", "--quiet", "--python", python, *what, **environment)


def copy_of_project(folder: Path) -> Path:
    """The sources of the package alone, as someone has them who did not build anything."""
    target = folder / "the project"
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__", "build", "dist", ".venv")
    shutil.copytree(PROJECT, target, ignore=ignored)
    return target


def library_that_says(folder: Path, name: str, source: str, *options: str) -> Path:
    """A shared library made of C source."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    code = folder / f"{name}.c"
    code.write_text(source)
    succeed("cc", "-shared", "-fPIC", "-o", path, code, *options)
    return path
