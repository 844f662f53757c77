"""Plays a conformance manifest through the Python package. Silent when all is right, else tells the wrong step."""

from __future__ import annotations

import sys
from pathlib import Path

# After all others: where the package is not installed, it is the one beside this script.
sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))

from conformance_runner.manifest import BadManifest, Manifest
from conformance_runner.player import Player
from conformance_runner.watchdog import Watchdog


def main() -> int:
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} MANIFEST", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    try:
        player = Player(Manifest.read(path), Watchdog())
    except BadManifest as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    return player.play()


if __name__ == "__main__":
    sys.exit(main())
