"""What the tests share: a directory of pools for each test."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

import plasmite
from plasmite import Client, Pool

#: Where the tested package is, for processes that tests start.
PACKAGE = Path(plasmite.__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}


class PoolTestCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        self.client = Client(self.dir)
        self.addCleanup(self.client.close)

    def pool(self, name: str = "docs", size: int = 1 << 20) -> Pool:
        pool = self.client.pool(name, size)
        self.addCleanup(pool.close)
        return pool


def library() -> Path:
    """The library that is tested."""
    folder = os.environ.get("PLASMITE_LIB_DIR")
    return Path(folder or PACKAGE / "_native", "libplasmite.so").resolve()


def command() -> str:
    """The plasmite command to test with."""
    path = os.environ.get("PLASMITE_BIN")
    if not path:
        raise unittest.SkipTest("PLASMITE_BIN is not set")
    return path
