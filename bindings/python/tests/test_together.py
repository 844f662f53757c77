"""Everything at once on one pool: Python processes write; C, the command, the mount and Python read."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import unittest
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from plasmite import Client
from support import PoolTestCase, command, library

REPOSITORY = Path(__file__).resolve().parents[3]
EACH = 1500


def write(directory: str, writer: int) -> None:
    """One at a time and in batches, with tags and text of every sort."""
    with Client(directory) as client, client.open_pool("docs") as pool:
        for n in range(0, EACH, 3):
            pool.append({"by": writer, "n": n, "text": "é\u2028\n\0\U0001f600" * (n % 7)}, [f"writer-{writer}", 'q"'])
            pool.append_many([{"by": writer, "n": n + 1}, {"by": writer, "n": n + 2, "big": 10**40}])


@unittest.skipUnless(os.geteuid() == 0 and Path("/dev/fuse").exists(), "needs a mount, as root")
@unittest.skipUnless(shutil.which("cc"), "needs a C compiler")
@unittest.skipUnless(REPOSITORY.joinpath("ffi").is_dir(), "needs the repository")
class TogetherTest(PoolTestCase):
    def compiled_reader(self) -> Path:
        """The C example of the repository, which prints a pool's messages as they come."""
        program, ffi, folder = self.dir / "follow", REPOSITORY / "ffi", self.dir / "lib"
        folder.mkdir()
        # The name to link by, and the name to load by; a wheel has only the first.
        for name in ("libplasmite.so", "libplasmite.so.1"):
            folder.joinpath(name).symlink_to(library())
        compiler: list[str | Path] = ["cc", "-I", ffi / "include", ffi / "examples" / "follow.c", "-L", folder]
        subprocess.run([*compiler, "-lplasmite", f"-Wl,-rpath,{folder}", "-o", program], check=True)
        return program

    def mount(self, pools: Path) -> Path:
        mountpoint = self.dir / "mnt"
        self.addCleanup(lambda: subprocess.run(["umount", "-lq", mountpoint], check=False))
        daemon = subprocess.Popen(
            [command(), "mount", pools, mountpoint], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.addCleanup(daemon.wait, 30)
        self.addCleanup(daemon.terminate)
        while not os.path.ismount(mountpoint):
            self.assertIsNone(daemon.poll(), "the mount has ended")
        return mountpoint

    def test_all_readers_agree_message_by_message(self) -> None:
        pools = self.dir / "pools"
        client = Client(pools)
        self.addCleanup(client.close)
        pool = client.create_pool("docs", 16 << 20)
        self.addCleanup(pool.close)
        readers: list[list[str | Path]] = [
            [self.compiled_reader(), pools, "docs"],
            [command(), "--dir", pools, "follow", "docs", "--tail", "1000000", "--jsonl"],
            ["cat", self.mount(pools) / "docs" / "tail"],
        ]
        with ExitStack() as stack:
            running = []
            for reader in readers:
                process = stack.enter_context(subprocess.Popen(reader, stdout=subprocess.PIPE))
                stack.callback(process.kill)
                running.append(process)
            context: Any = multiprocessing.get_context("spawn")
            writers = [context.Process(target=write, args=(str(pools), writer)) for writer in (1, 2)]
            for writer in writers:
                writer.start()
            tail = pool.tail(max_messages=2 * EACH, timeout_ms=60_000)
            messages = list(tail)
            for writer in writers:
                writer.join(60)
                self.assertEqual(writer.exitcode, 0)
            self.assertEqual([m.seq for m in messages], list(range(1, 2 * EACH + 1)))
            for number in (1, 2):
                own = [m.data["n"] for m in messages if m.data["by"] == number]
                self.assertEqual(own, list(range(EACH)))
            wanted = [m.raw + b"\n" for m in messages]
            for reader, process in zip(readers, running, strict=True):
                assert process.stdout is not None
                for line in wanted:
                    self.assertEqual(process.stdout.readline(), line, reader[0])


if __name__ == "__main__":
    unittest.main()
