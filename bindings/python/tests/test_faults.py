"""What happens to a pool's file under a running program, and a ring that turns over under its readers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from plasmite import Client, CorruptError, Message, NotFoundError, PermissionDeniedError, PlasmiteError, Pool
from support import ENVIRONMENT, PoolTestCase

#: How long something may take that takes a moment.
PATIENCE = 60


def document(n: int) -> dict[str, object]:
    """Every part of it can be told from n."""
    return {"n": n, "pad": f"{n}." * (n * 7919 % 90), "é": [n, {"n": str(n)}]}


def caught_in(act: Callable[[], object]) -> list[BaseException]:
    """A list that gets what `act` raises in a thread of its own, and the thread's end."""
    caught: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            caught.append(error)

    threading.Thread(target=run, daemon=True).start()
    return caught


async def first(pool: Pool, seq: int) -> Message:
    return await anext(pool.atail(since_seq=seq))


class FileTest(PoolTestCase):
    def file(self, name: str = "docs") -> Path:
        return self.dir / f"{name}.plasmite"

    def soon(self, errors: list[BaseException]) -> BaseException:
        end = time.monotonic() + PATIENCE
        while not errors:
            self.assertLess(time.monotonic(), end, "nothing was raised")
            time.sleep(0.01)
        return errors[0]

    def until_it_fails(self, pool: Pool) -> PlasmiteError:
        """Nobody tells a program what happens to the file: it looks now and then."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                pool.append({})
            except PlasmiteError as error:
                return error
        self.fail("it goes on")

    def test_a_file_cut_under_it_is_an_error_of_the_call(self) -> None:
        other = self.pool("other")
        for size in (0, 5000):
            pool = self.client.create_pool("docs", 1 << 20)
            for n in range(100):
                pool.append(document(n))
            tail = pool.tail(since_seq=1, timeout_ms=0)
            asleep = caught_in(lambda pool=pool: next(pool.tail(since_seq=101)))  # type: ignore[misc]
            in_a_loop = caught_in(lambda pool=pool: asyncio.run(first(pool, 101)))  # type: ignore[misc]
            os.truncate(self.file(), size)
            calls: list[Callable[[], object]] = [
                lambda pool=pool: pool.get(50),  # type: ignore[misc]
                lambda pool=pool: pool.append({}),  # type: ignore[misc]
                lambda pool=pool: pool.append_many([{}, {}]),  # type: ignore[misc]
                lambda tail=tail: list(tail),  # type: ignore[misc]
                lambda pool=pool: pool.info(),  # type: ignore[misc]
            ]
            for call in calls:
                self.assertRaises(CorruptError, call)
            self.assertIsInstance(self.soon(asleep), CorruptError)
            self.assertIsInstance(self.soon(in_a_loop), CorruptError)
            pool.close()
            self.file().unlink()
            other.append({"goes": "on"})

    def test_who_waits_and_who_writes_learns_that_the_file_is_gone_or_another(self) -> None:
        def replace() -> None:
            with self.client.create_pool("new", 1 << 16) as new:
                new.append({"new": 1})
            os.replace(self.file("new"), self.file())

        ways: list[Callable[[], object]] = [
            lambda: self.file().unlink(),
            lambda: self.client.delete_pool("docs"),
            replace,
        ]
        for take_away in ways:
            pool = self.client.create_pool("docs", 1 << 20)
            pool.append({})
            asleep = caught_in(lambda pool=pool: next(pool.tail(since_seq=2)))  # type: ignore[misc]
            in_a_loop = caught_in(lambda pool=pool: asyncio.run(first(pool, 1_000_000)))  # type: ignore[misc]
            take_away()
            self.assertIsInstance(self.until_it_fails(pool), NotFoundError)
            # An append that came before it was noticed may have woken the tail.
            reader = caught_in(lambda pool=pool: list(pool.tail()))  # type: ignore[misc]
            self.assertIsInstance(self.soon(reader), NotFoundError)
            self.assertIsInstance(self.soon(in_a_loop), NotFoundError)
            self.assertTrue(all(isinstance(error, NotFoundError) for error in asleep))
            pool.close()
            if self.file().exists():
                with self.client.open_pool("docs") as new:
                    self.assertEqual([m.data for m in new.tail(since_seq=1, timeout_ms=0)], [{"new": 1}])
                self.file().unlink()

    def test_a_file_made_read_only_stays_open_to_who_had_it_open(self) -> None:
        pool = self.pool()
        self.file().chmod(0o444)
        pool.append({"n": 1})
        reader = self.client.open_pool("docs")
        self.addCleanup(reader.close)
        self.assertEqual(reader.get(1).data, {"n": 1})
        if os.geteuid() != 0:
            self.assertRaises(PermissionDeniedError, reader.append, {})


class HostTest(PoolTestCase):
    """A program that has a handler for SIGBUS, or Python's faulthandler, before its first pool."""

    def play(self, script: str) -> subprocess.CompletedProcess[str]:
        before = f"""
            import faulthandler, os, signal, sys
            caught = []
            {{}}
            from plasmite import Client, CorruptError
            client = Client({str(self.dir)!r})
            pool = client.create_pool("docs", 1 << 20)
            pool.append({{{{}}}})
            os.truncate({str(self.dir / "docs.plasmite")!r}, 0)
            try:
                pool.get(1)
            except CorruptError:
                print("corrupt", len(caught), flush=True)
            os.kill(os.getpid(), signal.SIGBUS)
            print("after", len(caught), flush=True)
        """
        source = textwrap.dedent(before).format(script)
        return subprocess.run(
            [sys.executable, "-c", source],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def test_its_handler_gets_what_is_its_own_and_no_more(self) -> None:
        ran = self.play("signal.signal(signal.SIGBUS, lambda *_: caught.append(1))")
        self.assertEqual((ran.stdout, ran.stderr, ran.returncode), ("corrupt 0\nafter 1\n", "", 0))

    def test_faulthandler_tells_of_other_faults_alone(self) -> None:
        ran = self.play("faulthandler.enable()")
        self.assertEqual(ran.stdout, "corrupt 0\n")
        self.assertIn("Bus error", ran.stderr)
        self.assertEqual(ran.returncode, -7)


class TurningTest(PoolTestCase):
    def test_readers_of_a_tiny_ring_under_a_writer_at_full_speed_get_every_byte_right(self) -> None:
        count = 30_000
        pool = self.pool("docs", 8192)
        source = (
            "import sys; sys.path.insert(0, sys.argv[2])\n"
            "from plasmite import Client; from test_faults import document\n"
            "pool = Client(sys.argv[1]).open_pool('docs')\n"
            f"for n in range(1, {count + 1}): pool.append(document(n), [str(n)])"
        )
        tests = str(Path(__file__).parent)
        tails = [pool.tail(since_seq=1), self.client.open_pool("docs").tail(since_seq=1)]
        seen: list[list[int]] = [[], []]

        def read(tail: object, seqs: list[int]) -> None:
            for message in tail:  # type: ignore[attr-defined]
                self.check(message)
                seqs.append(message.seq)
                if message.seq == count:
                    return

        failures = [caught_in(lambda i=i: read(tails[i], seen[i])) for i in (0, 1)]  # type: ignore[misc]
        writer = subprocess.Popen([sys.executable, "-c", source, str(self.dir), tests], env=ENVIRONMENT)
        self.addCleanup(writer.kill)
        looked = 0
        with Client(self.dir) as client, client.open_pool("docs") as other:
            while writer.poll() is None:
                newest = other.info()["newest_seq"] or 1
                for seq in range(max(1, newest - 40), newest + 1):
                    try:
                        self.check(other.get(seq))
                        looked += 1
                    except NotFoundError:
                        pass
        self.assertEqual(writer.returncode, 0)
        end = time.monotonic() + PATIENCE
        while any(not seqs or seqs[-1] != count for seqs in seen):
            self.assertEqual([caught for caught in failures if caught], [])
            self.assertLess(time.monotonic(), end, "a tail does not come to the end")
            time.sleep(0.01)
        for seqs in seen:
            self.assertEqual(seqs, sorted(set(seqs)))
        self.assertGreater(looked, 0)

    def check(self, message: Message) -> None:
        self.assertEqual(message.data, document(message.seq))
        self.assertEqual(list(message.tags), [str(message.seq)])


if __name__ == "__main__":
    unittest.main()
