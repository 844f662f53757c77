"""The library and the command that go into a wheel: where they come from, whether they fit, and where they can run."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import elf

VARIABLE = "PLASMITE_SDK_DIR"
HOW_TO = f"""\
A wheel carries libplasmite and the plasmite command. Set {VARIABLE} to the absolute path of a folder with
lib/libplasmite.so and bin/plasmite. In the root of the repository, `cargo xtask sdk` makes one:
    cargo xtask sdk && export {VARIABLE}="$PWD/target/sdk"
To work on the package without a wheel, install it as editable, and say where cargo leaves the library:
    cargo build -p plasmite && export PLASMITE_LIB_DIR="$PWD/target/debug" && pip install -e bindings/python"""

#: What every system with glibc has, and a manylinux wheel may therefore be linked with.
SYSTEM_LIBRARIES = re.compile(r"(libc|libm|libdl|librt|libutil|libpthread|libgcc_s|ld-linux-[a-z0-9-]+)\.so\.[0-9]+")
#: The package has this one itself.
OUR_LICENSE = "LICENSE"
#: PEP 600 knows no older glibc on both machines that we build for.
OLDEST_GLIBC = 17
#: Versions that stand for features of the loader, and the glibc 2.x that has them.
LOADER_FEATURES = {"GLIBC_ABI_DT_RELR": 36}


@dataclass(frozen=True)
class Native:
    library: Path
    command: Path
    #: Licences of what is linked into them.
    notices: tuple[Path, ...]
    #: Where they run: manylinux_2_34_x86_64.
    platform: str


def find(version: str) -> Native:
    """Those in PLASMITE_SDK_DIR, which must be of the package's version. Ends the build when they won't do."""
    try:
        return _checked(_folder(), version)
    except (OSError, ValueError) as error:
        raise SystemExit(f"plasmite: {error}\n\n{HOW_TO}") from None


def _folder() -> Path:
    given = os.environ.get(VARIABLE)
    if not given:
        raise ValueError(f"{VARIABLE} is not set")
    folder = Path(given)
    if not folder.is_absolute():
        raise ValueError(f"{VARIABLE}={given} is a relative path, and builds run in folders of their own")
    if not folder.exists():
        raise ValueError(f"{VARIABLE}={given} does not exist")
    if not folder.is_dir():
        raise ValueError(f"{VARIABLE}={given} is not a folder")
    return folder


def _checked(sdk: Path, version: str) -> Native:
    library, command = sdk / "lib" / "libplasmite.so", sdk / "bin" / "plasmite"
    for path in (library, command):
        if not path.is_file():
            raise ValueError(f"{path} is missing")
    files = {path: elf.read(path) for path in (library, command)}
    machine, other = (files[path].machine for path in (library, command))
    if machine != other:
        raise ValueError(f"{library} is for {machine}, but {command} for {other}")
    if sys.platform == "linux" and platform.machine() == machine:
        _check_version(library, version)
    glibc = max(_glibc(path, file) for path, file in files.items())
    licenses = (sdk / "share" / "licenses" / "plasmite").glob("*")
    notices = tuple(sorted(path for path in licenses if path.name != OUR_LICENSE))
    if not notices:
        print(f"plasmite: {sdk} has no licences of what is linked in: don't give this wheel away", file=sys.stderr)
    return Native(library, command, notices, f"manylinux_2_{glibc}_{machine}")


def _check_version(path: Path, version: str) -> None:
    library = ctypes.CDLL(str(path))
    try:
        library.plsm_version.restype = ctypes.c_char_p
        found = library.plsm_version().decode()
    except AttributeError:
        raise ValueError(f"{path} is no libplasmite: it has no function plsm_version") from None
    if found != version:
        raise ValueError(f"{path} is version {found}, but the package is version {version}")


def _glibc(path: Path, file: elf.Elf) -> int:
    """The x of the oldest glibc 2.x that has all which the file needs."""
    strange = [name for name in file.needed if not SYSTEM_LIBRARIES.fullmatch(name)]
    if strange:
        raise ValueError(f"{path} needs {', '.join(strange)}, which not every system has")
    versions = [version for _, version in file.versions if version.startswith("GLIBC_")]
    return max([OLDEST_GLIBC, *(_minor(path, version) for version in versions)])


def _minor(path: Path, version: str) -> int:
    found = re.fullmatch(r"GLIBC_2\.([0-9]+)(\.[0-9]+)?", version)
    minor = int(found[1]) if found else LOADER_FEATURES.get(version)
    if minor is None:
        raise ValueError(f"{path} needs {version}, and from which glibc on that is there is not known here")
    return minor
