"""The `plasmite` command of an installed package: becomes the native one."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Replaces this process by the command, so that signals and exit codes are the command's own."""
    command = find()
    if command is None:
        print(
            "plasmite: this installation has no native command; "
            "install a wheel that bundles it, or set PLASMITE_BIN to its path",
            file=sys.stderr,
        )
        sys.exit(127)
    os.execv(command, ["plasmite", *sys.argv[1:]])


def find() -> str | None:
    """PLASMITE_BIN, the bundled command, or the one beside the library in PLASMITE_LIB_DIR."""
    override = os.environ.get("PLASMITE_BIN")
    if override:
        return override
    candidates = [Path(__file__).resolve().parent / "_native" / "plasmite"]
    library_dir = os.environ.get("PLASMITE_LIB_DIR")
    if library_dir:
        candidates.append(Path(library_dir, "plasmite"))
    return next((str(path) for path in candidates if os.access(path, os.X_OK)), None)
