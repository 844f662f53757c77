"""Building wheels: what goes wrong says what, and what to do."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

import elf
import native
from environments import (
    PROJECT,
    SDK,
    FolderTestCase,
    Result,
    copy_of_project,
    install,
    library_that_says,
    new_environment,
    run,
    same,
    succeed,
)

SAYS_VERSION = 'const char *plsm_version(void) { return "%s"; }\n'


class BuildTestCase(FolderTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.project = copy_of_project(self.dir)

    def build(self, sdk: str | Path | None) -> Result:
        environment = {} if sdk is None else {native.VARIABLE: sdk}
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", self.dir / "out", self.project]
        return run(*build, cwd=self.dir, **environment)

    def sdk(self, name: str = "another SDK") -> Path:
        path = self.dir / name
        shutil.copytree(SDK, path, symlinks=True)
        return path

    def sdk_with_library(self, source: str, *options: str) -> Path:
        sdk = self.sdk()
        made = library_that_says(self.dir / "made", "libother.so", source, *options)
        (sdk / "lib" / "libplasmite.so").unlink()
        shutil.copy(made, sdk / "lib" / "libplasmite.so")
        return sdk

    def refused(self, sdk: str | Path | None, *says: str) -> None:
        result = self.build(sdk)
        output = result.stdout + result.stderr
        self.assertEqual(result.returncode, 1, output)
        for text in (*says, "cargo xtask sdk", native.VARIABLE, "pip install -e"):
            self.assertIn(text, output)
        self.assertNotIn("Traceback", output)
        self.assertFalse((self.dir / "out").exists() and list((self.dir / "out").iterdir()))


class BuildTest(BuildTestCase):
    def test_an_sdk_in_a_folder_with_an_odd_name_is_found(self) -> None:
        result = self.build(self.sdk("SDK für 'x' & \"y\""))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        (wheel,) = (self.dir / "out").iterdir()
        self.assertEqual(wheel.suffix, ".whl")

    def test_without_an_sdk_it_says_how_to_get_one(self) -> None:
        self.refused(None, "PLASMITE_SDK_DIR is not set")
        self.refused("", "PLASMITE_SDK_DIR is not set")

    def test_an_sdk_that_is_none_is_refused(self) -> None:
        file = self.dir / "file"
        file.touch()
        (self.dir / "target").mkdir()
        self.refused("target", "PLASMITE_SDK_DIR=target is a relative path")
        self.refused("~/sdk", "PLASMITE_SDK_DIR=~/sdk is a relative path")
        self.refused(self.dir / "nowhere", f"PLASMITE_SDK_DIR={self.dir / 'nowhere'} does not exist")
        self.refused(file, f"PLASMITE_SDK_DIR={file} is not a folder")

    def test_each_missing_file_is_named(self) -> None:
        sdk = self.sdk()
        for name in ("bin/plasmite", "lib/libplasmite.so"):
            path = sdk / name
            path.unlink()
            self.refused(sdk, f"{path} is missing")

    def test_a_file_that_is_no_library_is_refused(self) -> None:
        sdk = self.sdk()
        library = sdk / "lib" / "libplasmite.so"
        whole = library.read_bytes()
        for content, says in (
            (b"", "not an ELF file"),
            (b"!<arch>\nlibplasmite.a", "not an ELF file"),
            (whole[:40], "damaged"),
            (whole[:18] + b"\xf3\x00" + whole[20:], "for machine 243"),
            (whole[:18] + b"\xb7\x00" + whole[20:], "is for aarch64, but"),
        ):
            with self.subTest(says):
                library.write_bytes(content)
                self.refused(sdk, str(library), says)

    def test_a_library_of_another_version_is_refused(self) -> None:
        self.refused(self.sdk_with_library(SAYS_VERSION % "9.8.7"), "is version 9.8.7, but the package is version 0.")

    def test_another_library_is_refused(self) -> None:
        self.refused(self.sdk_with_library("int other;\n"), "is no libplasmite: it has no function plsm_version")

    def test_a_library_that_not_every_system_has_is_refused(self) -> None:
        made = self.dir / "made"
        library_that_says(made, "libodd.so", "int odd;\n", "-Wl,-soname,libodd.so.3")
        sdk = self.sdk_with_library(
            SAYS_VERSION % "0.1.0" + "extern int odd; int *o = &odd;\n",
            f"-L{made}", "-lodd", f"-Wl,-rpath,{made}",
        )  # fmt: skip
        shutil.copy(made / "libodd.so", made / "libodd.so.3")
        self.refused(sdk, "needs libodd.so.3, which not every system has")

    def test_an_sdk_without_licences_is_warned_of(self) -> None:
        sdk = self.sdk()
        shutil.rmtree(sdk / "share")
        result = self.build(sdk)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("has no licences of what is linked in", result.stdout + result.stderr)

    def test_an_installation_from_source_without_an_sdk_says_what_to_do(self) -> None:
        result = run(sys.executable, "-m", "pip", "install", "--no-build-isolation", ".", cwd=self.project)
        self.assertEqual(result.returncode, 1)
        self.assertIn("PLASMITE_SDK_DIR is not set", result.stdout + result.stderr)
        self.assertIn("cargo xtask sdk", result.stdout + result.stderr)

    def test_an_installation_from_source_with_an_sdk_works(self) -> None:
        python = new_environment(self.dir / "venv")
        install(python, self.project, PLASMITE_SDK_DIR=SDK)
        self.assertIn("_native", succeed(python, "-c", "import plasmite._native as n; print(n._lib._name)"))
        self.assertTrue(same(python.parent / "plasmite", SDK / "bin" / "plasmite"))

    def test_an_editable_installation_needs_no_sdk(self) -> None:
        python = new_environment(self.dir / "venv")
        install(python, "-e", self.project)
        told = succeed(python, "-c", "import plasmite; print(plasmite.__file__)", PLASMITE_LIB_DIR=SDK / "lib")
        self.assertEqual(Path(told.strip()), self.project / "src" / "plasmite" / "__init__.py")

    def test_the_package_and_the_workspace_have_one_licence(self) -> None:
        self.assertEqual((PROJECT / "LICENSE").read_text(), (PROJECT.parents[1] / "LICENSE").read_text())


class ElfTest(FolderTestCase):
    def test_names_in_the_text_are_not_taken_for_needs(self) -> None:
        source = 'const char *text = "GLIBC_2.99";\n'
        file = elf.read(library_that_says(self.dir, "libtext.so", source, "-Wl,-soname,libtext.so.4"))
        self.assertEqual(file.soname, "libtext.so.4")
        self.assertNotIn("GLIBC_2.99", {version for _, version in file.versions})

    def test_needed_libraries_and_versions_are_those_that_readelf_tells(self) -> None:
        for path in (SDK / "lib" / "libplasmite.so", SDK / "bin" / "plasmite", Path(sys.executable)):
            with self.subTest(path):
                file = elf.read(path)
                told = succeed("readelf", "--dynamic", "--version-info", "--wide", path, LC_ALL="C")
                for library in file.needed:
                    self.assertIn(f"Shared library: [{library}]", told)
                self.assertEqual(told.count("(NEEDED)"), len(file.needed))
                versions = told.partition("Version needs section")[2]
                self.assertEqual(versions.count("Name: "), len(file.versions))
                for library, version in file.versions:
                    self.assertIn(f"File: {library} ", versions)
                    self.assertRegex(versions, rf"Name: {version} ")

    def test_damage_anywhere_is_an_error_of_its_own_kind_or_harmless(self) -> None:
        whole = (SDK / "lib" / "libplasmite.so").read_bytes()
        file = elf._File(whole)
        dynamic = next(start for kind, start, _, _ in file.segments if kind == elf._PT_DYNAMIC)
        needs = file.offset_of(file.first(elf._DT_VERNEED))
        errors = 0
        for offset in (*range(0, 1024), *range(dynamic, dynamic + 512), *range(needs, needs + 512)):
            for bits in (0x01, 0xFF):
                damaged = bytearray(whole)
                damaged[offset] ^= bits
                try:
                    elf.parse(bytes(damaged))
                except elf.ElfError:
                    errors += 1
        self.assertGreater(errors, 100)
        for length in range(0, 2048, 7):
            with self.assertRaises(elf.ElfError):
                elf.parse(whole[:length])

    def test_a_list_of_needs_without_an_end_is_damage(self) -> None:
        whole = bytearray((SDK / "lib" / "libplasmite.so").read_bytes())
        file = elf._File(bytes(whole))
        count = next(i for i, (tag, _) in enumerate(file.dynamic) if tag == elf._DT_VERNEEDNUM)
        start = next(start for kind, start, _, _ in file.segments if kind == elf._PT_DYNAMIC)
        struct.pack_into("<Q", whole, start + count * 16 + 8, 2**62)
        with self.assertRaisesRegex(elf.ElfError, "damaged"):
            elf.parse(bytes(whole))
