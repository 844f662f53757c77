"""Pools that get another size under a running program."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
import time
import unittest
from collections.abc import Callable, Iterator

from plasmite import Client, NotFoundError
from support import ENVIRONMENT, PoolTestCase, command

#: How long something may take that takes a moment.
PATIENCE_MS = 60_000
SIZES = ("3M", "2M", "6M", "4M")


class Reader(threading.Thread):
    """Reads all that a stream gives."""

    def __init__(self, read: Callable[[], Iterator[int]]) -> None:
        super().__init__(daemon=True)
        self.seqs: list[int] = []
        self.error: BaseException | None = None
        self._read = read

    def run(self) -> None:
        try:
            self.seqs.extend(self._read())
        except BaseException as error:
            self.error = error


class ResizeTest(PoolTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.command = command()

    def resize(self, size: str) -> None:
        """By the command, as an operator would."""
        subprocess.run(
            [self.command, "--dir", str(self.dir), "pool", "resize", "docs", "--size", size],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def append_anew(self) -> None:
        with self.client.open_pool("docs") as pool:
            pool.append({})

    def readers(self, first: int, count: int) -> dict[str, Reader]:
        """One of each kind; all of them want to read on from `first`."""
        pool = self.pool()

        def by_tail(spin_us: int = 0) -> Iterator[int]:
            tail = pool.tail(first, count, PATIENCE_MS, error_on_gap=True, spin_us=spin_us)
            return (message.seq for message in tail)

        def by_replay() -> Iterator[int]:
            return (message.seq for message in pool.replay(1e9, first, count, PATIENCE_MS))

        def by_stream() -> Iterator[int]:
            with pool.open_stream(first, count, PATIENCE_MS) as stream:
                while (line := stream.next_json()) is not None:
                    yield int(line[len(b'{"seq":') :].partition(b",")[0])

        def by_atail() -> Iterator[int]:
            async def read() -> list[int]:
                tail = pool.atail(first, count, PATIENCE_MS, error_on_gap=True)
                return [message.seq async for message in tail]

            yield from asyncio.run(read())

        ways: dict[str, Callable[[], Iterator[int]]] = {
            "tail": by_tail,
            "tail that spins": lambda: by_tail(spin_us=20_000),
            "replay": by_replay,
            "stream": by_stream,
            "atail": by_atail,
        }
        readers = {way: Reader(read) for way, read in ways.items()}
        for reader in readers.values():
            reader.start()
        return readers

    def check(self, readers: dict[str, Reader], first: int, count: int) -> None:
        for way, reader in readers.items():
            with self.subTest(way):
                reader.join(2 * PATIENCE_MS / 1000)
                self.assertFalse(reader.is_alive(), "it hangs")
                self.assertIsNone(reader.error)
                self.assertEqual(reader.seqs, list(range(first, first + count)))

    def test_readers_that_wait_go_on_after_one_resize_and_after_several(self) -> None:
        self.pool().append({})
        readers = self.readers(2, 4)
        time.sleep(0.05)
        for round_ in range(4):
            for times in range(round_ + 1):
                self.resize(SIZES[(round_ + times) % len(SIZES)])
            time.sleep(round_ * 0.03)
            self.append_anew()
        self.check(readers, 2, 4)

    def test_readers_under_a_busy_writer_get_each_message_once(self) -> None:
        resizes, part = 6, 1000
        count = resizes * part
        # Each resize has a part of the messages, whatever the speed of either.
        begun = threading.Semaphore(0)
        self.client.create_pool("docs", 4 << 20).close()
        readers = self.readers(1, count)

        def write() -> None:
            with contextlib.ExitStack() as opened, Client(self.dir) as client:
                pool = opened.enter_context(client.open_pool("docs"))
                left = count
                begun.acquire()
                while left:
                    try:
                        pool.append({"left": left})
                        left -= 1
                        if left and left % part == 0:
                            begun.acquire()
                    except NotFoundError:
                        # What the documentation says to do.
                        pool = opened.enter_context(client.open_pool("docs"))

        writer = threading.Thread(target=write)
        writer.start()
        for round_ in range(resizes):
            begun.release()
            self.resize(SIZES[round_ % len(SIZES)])
        writer.join()
        self.check(readers, 1, count)

    def test_an_event_loop_is_left_alone_after_a_resize(self) -> None:
        pool = self.pool()

        async def look() -> int:
            tail = pool.atail(1, 1, PATIENCE_MS)
            waiting = asyncio.ensure_future(anext(tail))
            await asyncio.sleep(0.05)
            for size in SIZES:
                await asyncio.to_thread(self.resize, size)
            await asyncio.sleep(0.3)
            wakes = 0
            wake = tail._wake

            def counted() -> None:
                nonlocal wakes
                wakes += 1
                wake()

            tail._wake = counted  # type: ignore[method-assign]
            await asyncio.sleep(0.3)
            self.assertFalse(waiting.done())
            await asyncio.to_thread(self.append_anew)
            self.assertEqual((await waiting).seq, 1)
            return wakes

        # One for each resize at most, and one for the message: a loop that spins has thousands.
        self.assertLessEqual(asyncio.run(look()), 8)

    def test_a_handle_says_that_the_pool_has_to_be_opened_again(self) -> None:
        pool = self.pool()
        pool.append({})
        self.resize("2M")
        calls: list[Callable[[], object]] = [
            lambda: pool.append({}),
            lambda: pool.append_many([{}]),
            lambda: pool.get(1),
            pool.info,
            pool.tail,
            pool.atail,
            pool.open_stream,
        ]
        for call in calls:
            with self.assertRaisesRegex(NotFoundError, "resized.*open it again") as caught:
                call()
            self.assertEqual(caught.exception.path, str(self.dir / "docs.plasmite"))
        with self.client.open_pool("docs") as anew:
            self.assertEqual([anew.get(1).seq, anew.append({}).seq], [1, 2])


if __name__ == "__main__":
    unittest.main()
