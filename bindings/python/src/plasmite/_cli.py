"""The `plasmite` command, where Python starts it: `python -m plasmite`, and the script of an editable installation.

A wheel's script is the command itself, without an interpreter.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

_NOT_FOUND = 127
_CANNOT_RUN = 126


def main() -> None:
    """Replaces this process by the command, so that signals and exit codes are the command's own."""
    command = find()
    if command is None:
        _give_up(
            "this installation has no native command; install a wheel that bundles it, or set PLASMITE_BIN to its path",
            _NOT_FOUND,
        )
    if _is_this_script(command):
        _give_up(f"PLASMITE_BIN={command} is this script, not the native command that it should start", _CANNOT_RUN)
    _undo_what_python_ignores()
    try:
        os.execv(command, ["plasmite", *sys.argv[1:]])
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        _give_up(f"cannot run {command}: {error.strerror}", _NOT_FOUND if missing else _CANNOT_RUN)


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


def _is_this_script(command: str) -> bool:
    try:
        return os.path.samefile(command, sys.argv[0])
    except OSError:
        return False


def _undo_what_python_ignores() -> None:
    """What is ignored stays so in the command and its children, and no shell would have them ignore these."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


def _give_up(why: str, code: int) -> NoReturn:
    print(f"plasmite: {why}", file=sys.stderr)
    sys.exit(code)
