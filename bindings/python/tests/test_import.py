"""How the package finds its library, and what it says when it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import PACKAGE, library

PRINT_LIBRARY = "import plasmite; from plasmite import _native; print(_native._lib._name); print(plasmite.__version__)"


class ImportTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        # The package alone, without a bundled library.
        self.package = self.dir / "site" / "plasmite"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("_native", "__pycache__"))

    def run_import(self, **environment: str) -> subprocess.CompletedProcess[str]:
        base = {
            name: value for name, value in os.environ.items() if name not in ("PLASMITE_LIB_DIR", "LD_LIBRARY_PATH")
        }
        return subprocess.run(
            [sys.executable, "-c", PRINT_LIBRARY],
            env={**base, "PYTHONPATH": str(self.package.parent), **environment},
            cwd=self.dir,
            capture_output=True,
            text=True,
            check=False,
        )

    def loaded(self, **environment: str) -> str:
        result = self.run_import(**environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.splitlines()[0]

    def refused(self, **environment: str) -> str:
        result = self.run_import(**environment)
        self.assertNotEqual(result.returncode, 0)
        last = result.stderr.splitlines()[-1]
        self.assertTrue(last.startswith("ImportError: libplasmite could not be loaded from "), result.stderr)
        self.assertIn("Set PLASMITE_LIB_DIR", last)
        return last

    def folder_with_library(self, name: str) -> Path:
        folder = self.dir / name
        folder.mkdir()
        (folder / "libplasmite.so").symlink_to(library())
        return folder

    def test_the_override_comes_first_then_the_bundled_one_then_the_linker(self) -> None:
        override, linker = self.folder_with_library("override"), self.folder_with_library("linker")
        everywhere = {"PLASMITE_LIB_DIR": str(override), "LD_LIBRARY_PATH": str(linker)}
        self.assertEqual(self.loaded(LD_LIBRARY_PATH=str(linker)), "libplasmite.so")
        bundled = self.package / "_native"
        bundled.mkdir()
        (bundled / "libplasmite.so").symlink_to(library())
        self.assertEqual(self.loaded(LD_LIBRARY_PATH=str(linker)), str(bundled / "libplasmite.so"))
        self.assertEqual(self.loaded(**everywhere), str(override / "libplasmite.so"))
        # A relative override is one of the working directory, not of the linker's paths.
        self.assertEqual(self.loaded(PLASMITE_LIB_DIR="override"), str(override / "libplasmite.so"))

    def test_a_missing_library_says_where_it_looked(self) -> None:
        nowhere = self.dir / "nowhere"
        text = self.refused(PLASMITE_LIB_DIR=str(nowhere))
        self.assertIn(f"PLASMITE_LIB_DIR ({nowhere}/libplasmite.so: cannot open shared object file", text)
        text = self.refused()
        self.assertIn(f"{self.package / '_native'} and the system's linker", text)
        self.assertIn("libplasmite.so: cannot open shared object file", text)

    @unittest.skipUnless(shutil.which("cc"), "needs a C compiler")
    def test_a_library_of_another_abi_version_is_refused_by_name(self) -> None:
        source = 'int plsm_abi_version(void) {{ return {}; }} const char *plsm_version(void) {{ return "0.0.7"; }}'
        for name, code, says in (
            (
                "old",
                source.format(2),
                "it is libplasmite 0.0.7 with ABI version 2, and this package needs ABI version 3",
            ),
            ("other", "int other(void) { return 0; }", "it is no libplasmite"),
        ):
            path = self.dir / name / "libplasmite.so"
            path.parent.mkdir()
            subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", path], input=code.encode(), check=True)
            with self.subTest(name):
                self.assertIn(f"{path}: {says}", self.refused(PLASMITE_LIB_DIR=str(path.parent)))
        self.dir.joinpath("text").mkdir()
        self.dir.joinpath("text", "libplasmite.so").write_bytes(b"no library" * 1000)
        self.assertIn("invalid ELF header", self.refused(PLASMITE_LIB_DIR=str(self.dir / "text")))


if __name__ == "__main__":
    unittest.main()
