"""What is in the wheel, and what its name promises."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tarfile
import unittest
import zipfile
from email.parser import Parser
from pathlib import Path

from environments import PROJECT, REPOSITORY, SDK, WHEEL, succeed

NATIVE = {
    "plasmite/_native/libplasmite.so": SDK / "lib" / "libplasmite.so",
    "plasmite/_native/plasmite": SDK / "bin" / "plasmite",
    "plasmite-{version}.data/scripts/plasmite": SDK / "bin" / "plasmite",
}


def newest_glibc_by_readelf(path: Path) -> int:
    needs = succeed("readelf", "--version-info", "--wide", path, LC_ALL="C").partition("Version needs section")[2]
    return max(int(minor) for minor in re.findall(r"Name: GLIBC_2\.(\d+)", needs))


class WheelTest(unittest.TestCase):
    def setUp(self) -> None:
        self.wheel = zipfile.ZipFile(WHEEL)
        self.addCleanup(self.wheel.close)
        self.names = set(self.wheel.namelist())
        (info,) = {name.split("/")[0] for name in self.names if ".dist-info/" in name}
        self.info = info
        self.version = info.removeprefix("plasmite-").removesuffix(".dist-info")

    def text(self, name: str) -> str:
        return self.wheel.read(name).decode()

    def test_it_is_the_only_one_and_for_every_python_on_this_machine(self) -> None:
        self.assertEqual([path for path in WHEEL.parent.iterdir() if path.suffix == ".whl"], [WHEEL])
        self.assertRegex(WHEEL.name, rf"^plasmite-{self.version}-py3-none-manylinux_2_\d+_{platform.machine()}\.whl$")
        self.assertIn(f"Tag: {WHEEL.stem.split('-', 2)[2]}\n", self.text(f"{self.info}/WHEEL"))

    def test_it_promises_the_glibc_that_its_files_need(self) -> None:
        promised = int(WHEEL.name.split("manylinux_2_")[1].split("_")[0])
        needed = max(newest_glibc_by_readelf(path) for path in set(NATIVE.values()))
        self.assertEqual(promised, max(needed, 17))

    def test_it_holds_the_native_files_unchanged_and_executable(self) -> None:
        for name, source in NATIVE.items():
            name = name.format(version=self.version)
            with self.subTest(name):
                self.assertTrue(self.wheel.read(name) == source.read_bytes())
                self.assertEqual(self.wheel.getinfo(name).external_attr >> 16 & 0o777, 0o755)

    def test_it_holds_the_modules_of_the_package_and_nothing_else(self) -> None:
        source = PROJECT / "src" / "plasmite"
        modules = {f"plasmite/{path.name}" for path in source.iterdir() if path.is_file()}
        native = {name.format(version=self.version) for name in NATIVE}
        others = {name for name in self.names if not name.startswith(f"{self.info}/")}
        self.assertEqual(others, modules | native)
        self.assertIn("plasmite/py.typed", others)

    def test_it_names_all_licences_and_holds_them(self) -> None:
        named = Parser().parsestr(self.text(f"{self.info}/METADATA")).get_all("License-File")
        assert named is not None
        held = {name.rsplit("/", 1)[1] for name in self.names if name.startswith(f"{self.info}/licenses/")}
        self.assertEqual(set(named), held)
        self.assertEqual(held, set(os.listdir(SDK / "share" / "licenses" / "plasmite")))
        self.assertEqual(self.text(f"{self.info}/licenses/LICENSE"), (REPOSITORY / "LICENSE").read_text())
        self.assertIn("\nserde_json ", self.text(f"{self.info}/licenses/THIRD-PARTY.txt"))

    def test_it_needs_no_other_package(self) -> None:
        metadata = Parser().parsestr(self.text(f"{self.info}/METADATA"))
        self.assertIsNone(metadata.get_all("Requires-Dist"))
        self.assertEqual(metadata["Requires-Python"], ">=3.10")

    def test_its_version_is_that_of_the_command(self) -> None:
        told = subprocess.check_output([SDK / "bin" / "plasmite", "version", "--json"], text=True)
        self.assertIn(f'"version":"{self.version}"', told)

    def test_the_source_distribution_beside_it_has_all_that_the_next_one_takes(self) -> None:
        with tarfile.open(WHEEL.parent / f"plasmite-{self.version}.tar.gz") as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        tracked = succeed("git", "ls-files", cwd=PROJECT).split() if (REPOSITORY / ".git").exists() else []
        self.assertLessEqual({name for name in tracked if not name.startswith(".")}, names)
        self.assertLessEqual({"setup.py", "native.py", "elf.py", "LICENSE", "pyproject.toml"}, names)


if __name__ == "__main__":
    unittest.main()
