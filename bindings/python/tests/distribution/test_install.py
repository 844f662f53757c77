"""Wheels in empty environments, by each installer, and libraries that don't fit."""

from __future__ import annotations

import os
import shutil
import sys
import unittest
from pathlib import Path

from environments import (
    SDK,
    UV,
    WHEEL,
    FolderTestCase,
    install,
    library_that_says,
    new_environment,
    run,
    same,
    succeed,
)

USE = """
import sys
from plasmite import Client
with Client(sys.argv[1]) as client, client.pool("docs") as pool:
    pool.append({"text": "hi"}, ["note"])
    print([message.data["text"] for message in pool.tail(timeout_ms=0)])
"""
#: As from an index, and not from what uv remembers of a wheel of this name.
FROM_FOLDER = ("--no-index", "--find-links", WHEEL.parent, "--refresh-package", "plasmite")
WHICH = "import plasmite._native as native; print(native._lib._name)"


def pythons_here() -> dict[str, Path]:
    """One of each version from 3.10 on: ours, the system's, and what pyenv keeps."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = [*pyenv.glob("versions/3.*/bin/python3"), *Path("/usr/bin").glob("python3.??"), Path(sys.executable)]
    asks = "import sys; print(sys.version_info >= (3, 10), '%d.%d' % sys.version_info[:2])"
    answers = {path: succeed(path, "-c", asks).split() for path in paths}
    return {version: path for path, (usable, version) in answers.items() if usable == "True"}


class InstallTest(FolderTestCase):
    def test_pip_and_the_wheel_are_enough(self) -> None:
        venv = self.dir / "venv"
        succeed(sys.executable, "-m", "venv", venv)
        python = venv / "bin" / "python3"
        succeed(python, "-m", "pip", "install", "--no-index", WHEEL)
        self.assertEqual(succeed(python, "-c", USE, self.dir / "pools"), "['hi']\n")
        self.assertEqual(Path(succeed(python, "-c", WHICH).strip()).parent.name, "_native")
        succeed(venv / "bin" / "plasmite", "--dir", self.dir / "pools", "fetch", "docs", "1")
        succeed(python, "-m", "pip", "uninstall", "--yes", "plasmite")
        self.assertFalse((venv / "bin" / "plasmite").exists())
        self.assertEqual(list(venv.glob("lib/*/site-packages/plasmite*")), [])

    def test_uv_installs_it_as_a_tool(self) -> None:
        bin_dir = self.dir / "bin"
        folders = {"UV_TOOL_DIR": self.dir / "tools", "UV_TOOL_BIN_DIR": bin_dir}
        succeed(UV, "tool", "install", *FROM_FOLDER, "plasmite", **folders)
        self.assertTrue(same(bin_dir / "plasmite", SDK / "bin" / "plasmite"))
        path = f"{bin_dir}:{os.environ['PATH']}"
        succeed("plasmite", "--dir", self.dir / "pools", "pool", "create", "docs", PATH=path)
        self.assertEqual([file.name for file in (self.dir / "pools").iterdir()], ["docs.plasmite"])

    def test_uv_adds_it_to_a_project(self) -> None:
        project = self.dir / "app"
        succeed(UV, "init", "--quiet", "--bare", "--python", sys.executable, project)
        succeed(UV, "add", "--quiet", *FROM_FOLDER, "plasmite", cwd=project)
        told = succeed(UV, "run", "--no-sync", "python", "-c", USE, "pools", cwd=project)
        self.assertEqual(told, "['hi']\n")
        succeed(UV, "run", "--no-sync", "plasmite", "--dir", "pools", "pool", "info", "docs", cwd=project)

    def test_a_folder_of_packages_will_do(self) -> None:
        target = self.dir / "packages"
        install(Path(sys.executable), "--target", target, WHEEL)
        self.assertEqual(succeed(sys.executable, "-c", USE, self.dir / "pools", PYTHONPATH=target), "['hi']\n")
        succeed(target / "bin" / "plasmite", "--dir", self.dir / "pools", "fetch", "docs", "1")

    def test_every_python_on_this_machine_takes_the_same_wheel(self) -> None:
        for version, path in pythons_here().items():
            with self.subTest(version):
                folder = self.dir / version
                succeed(UV, "venv", "--quiet", "--python", path, folder)
                python = folder / "bin" / "python3"
                install(python, WHEEL)
                self.assertEqual(succeed(python, "-c", USE, folder / "pools"), "['hi']\n")

    @unittest.skipUnless(os.geteuid() == 0, "only root can make a folder read-only for root")
    def test_packages_that_nobody_can_write_to_will_do(self) -> None:
        python = new_environment(self.dir / "venv")
        install(python, WHEEL)
        script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && ! touch "$1/x" && exec "$2" -c "$3" "$4"'
        inside: list[str | Path] = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            self.dir / "venv",
            python,
            USE,
            self.dir / "pools",
        ]
        self.assertEqual(succeed(*inside), "['hi']\n")


class LibraryTest(FolderTestCase):
    """Which library is loaded, and what is said of one that can't be used."""

    def setUp(self) -> None:
        super().setUp()
        self.python = new_environment(self.dir / "venv")
        install(self.python, WHEEL)
        (native,) = (self.dir / "venv").glob("lib/*/site-packages/plasmite/_native")
        self.bundled = native / "libplasmite.so"
        self.other = self.dir / "other"

    def refused(self, *says: str, **environment: str | Path) -> None:
        result = run(self.python, "-c", "import plasmite", **environment)
        self.assertEqual(result.returncode, 1)
        last = result.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("ImportError: "), result.stderr)
        for text in (*says, "PLASMITE_LIB_DIR"):
            self.assertIn(text, last)

    def test_the_named_folder_comes_before_the_bundled_library(self) -> None:
        shutil.copytree(SDK / "lib", self.other)
        told = succeed(self.python, "-c", WHICH, PLASMITE_LIB_DIR=self.other)
        self.assertEqual(Path(told.strip()), self.other / "libplasmite.so")
        self.assertEqual(Path(succeed(self.python, "-c", WHICH).strip()), self.bundled)

    def test_the_systems_library_is_the_last_resort(self) -> None:
        self.bundled.unlink()
        self.other.mkdir()
        shutil.copy(SDK / "lib" / "libplasmite.so", self.other / "libplasmite.so.1")
        told = succeed(self.python, "-c", WHICH, LD_LIBRARY_PATH=self.other)
        self.assertEqual(told.strip(), "libplasmite.so.1")
        self.refused("libplasmite.so")

    def test_a_library_of_an_older_abi_is_refused_by_name(self) -> None:
        source = 'unsigned plsm_abi_version(void) { return 0; } const char *plsm_version(void) { return "0.0.7"; }\n'
        path = library_that_says(self.other, "libplasmite.so", source)
        self.refused(f"{path}: it is libplasmite 0.0.7 with ABI version 0", PLASMITE_LIB_DIR=self.other)
        shutil.copy(path, self.bundled)
        self.refused(f"{self.bundled}: it is libplasmite 0.0.7 with ABI version 0")

    def test_a_library_that_is_none_of_ours_is_refused_by_name(self) -> None:
        path = library_that_says(self.other, "libplasmite.so", "int other;\n")
        self.refused(str(path), "it is no libplasmite", PLASMITE_LIB_DIR=self.other)
        path.write_text("no library")
        self.refused(str(path), PLASMITE_LIB_DIR=self.other)
        path.unlink()
        self.refused(str(path), PLASMITE_LIB_DIR=self.other)


if __name__ == "__main__":
    unittest.main()
