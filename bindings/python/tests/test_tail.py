from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import Any

import plasmite
from plasmite import Client, NotFoundError, Pool, RetentionGapError, UsageError
from support import ENVIRONMENT, PoolTestCase


def wait_for_the_librarys_threads() -> None:
    """A thread of the library outlives the last reader of its pool by a moment, and the pool's descriptor with it."""
    for _ in range(400):
        names = []
        for task in Path("/proc/self/task").iterdir():
            # It may have ended since.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                names.append(task.joinpath("comm").read_text())
        if not any("plasmite" in name for name in names):
            return
        time.sleep(0.05)
    raise AssertionError("the library's thread goes on after the last reader")


def descriptors() -> int:
    wait_for_the_librarys_threads()
    return len(os.listdir("/proc/self/fd"))


def append_some(pool: Pool, count: int) -> None:
    for n in range(count):
        pool.append({"by": os.getpid(), "n": n})


class TailTest(PoolTestCase):
    def seqs(self, pool: Pool, **options: object) -> list[int]:
        options.setdefault("timeout_ms", 0)
        return [message.seq for message in pool.tail(**options)]  # type: ignore[arg-type]

    def test_it_starts_and_ends_where_it_is_told(self) -> None:
        pool = self.pool()
        self.assertEqual(self.seqs(pool), [])
        pool.append_many({"n": n} for n in range(5))
        self.assertEqual(self.seqs(pool), [1, 2, 3, 4, 5])
        self.assertEqual(self.seqs(pool, since_seq=0), [1, 2, 3, 4, 5])
        self.assertEqual(self.seqs(pool, since_seq=4), [4, 5])
        self.assertEqual(self.seqs(pool, since_seq=9), [])
        self.assertEqual(self.seqs(pool, max_messages=2), [1, 2])
        self.assertEqual(self.seqs(pool, max_messages=2, timeout_ms=None), [1, 2])
        self.assertEqual(self.seqs(pool, max_messages=0, timeout_ms=None), [])

    def test_bad_arguments_are_refused_at_once(self) -> None:
        pool = self.pool()
        for name in ("since_seq", "max_messages", "timeout_ms", "spin_us"):
            for wrong, error in ((-1, ValueError), (1 << 64, ValueError), ("1", TypeError)):
                with self.subTest(name, wrong=wrong), self.assertRaises(error):
                    pool.tail(**{name: wrong})  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            pool.tail(tags="note")
        for speed, error in (
            (0, ValueError),
            (-1, ValueError),
            (float("nan"), ValueError),
            ("1", TypeError),
        ):
            with self.subTest(speed=speed), self.assertRaises(error):
                pool.replay(speed)  # type: ignore[arg-type]

    def test_a_reader_that_spins_gets_the_same(self) -> None:
        pool = self.pool()
        with self.assertRaises(ValueError):
            pool.tail(spin_us=1 << 32)
        pool.append({"n": 1})
        for reader in (pool.tail(spin_us=200, timeout_ms=1), pool.open_stream(spin_us=200, timeout_ms=1)):
            self.assertEqual(len(list(reader)), 1)
        tail = pool.tail(since_seq=2, spin_us=60_000_000)
        threading.Timer(0.01, pool.append, [{"n": 2}]).start()
        self.assertEqual(next(tail).data, {"n": 2})

    def test_all_tags_are_wanted_and_only_delivered_messages_count(self) -> None:
        pool = self.pool()
        for tags in (["a"], ["a", "b"], [], ["b", "c", "a"], ["ab"], ["a", "b"]):
            pool.append({}, tags)
        self.assertEqual(self.seqs(pool, tags=["a", "b"]), [2, 4, 6])
        self.assertEqual(self.seqs(pool, tags=["b", "a"], max_messages=2), [2, 4])
        self.assertEqual(self.seqs(pool, tags=[]), [1, 2, 3, 4, 5, 6])

    def test_it_waits_for_what_comes(self) -> None:
        pool = self.pool()
        tail = pool.tail(max_messages=3)
        writer = threading.Timer(0.1, append_some, (pool, 3))
        writer.start()
        self.assertEqual([m.data["n"] for m in tail], [0, 1, 2])
        writer.join()

    def test_a_timeout_is_for_the_next_message(self) -> None:
        pool = self.pool()
        pool.append({})
        tail = pool.tail(timeout_ms=120)
        time.sleep(0.2)
        self.assertEqual(next(tail).seq, 1)
        start = time.monotonic()
        self.assertRaises(StopIteration, next, tail)
        took = time.monotonic() - start
        self.assertGreater(took, 0.11)
        self.assertLess(took, 2)
        pool.append({})
        self.assertRaises(StopIteration, next, tail)

    def test_a_gap_is_told_if_asked_for(self) -> None:
        pool = self.pool("ring", 8192)
        tail = pool.tail(error_on_gap=True, tags=["none"], timeout_ms=0)
        carefree = pool.tail(timeout_ms=0)
        for n in range(500):
            pool.append({"n": n, "text": "something that takes some room"})
        with self.assertRaises(RetentionGapError) as caught:
            next(tail)
        self.assertEqual(caught.exception.seq, 1)
        self.assertEqual(list(tail), [])
        seqs = [m.seq for m in carefree]
        self.assertEqual(seqs, list(range(seqs[0], 501)))

    def test_a_deleted_pool_ends_a_waiting_tail(self) -> None:
        pool = self.pool()
        timer = threading.Timer(0.1, self.client.delete_pool, ["docs"])
        timer.start()
        with self.assertRaises(NotFoundError):
            next(pool.tail())
        timer.join()

    def test_it_can_be_closed(self) -> None:
        pool = self.pool()
        append_some(pool, 3)
        with pool.tail() as tail:
            self.assertEqual(next(tail).seq, 1)
        self.assertEqual(list(tail), [])
        tail.close()

    def test_a_tail_closed_by_another_thread_ends_there(self) -> None:
        pool = self.pool()
        tails = [pool.tail(), pool.tail()]
        ended: list[list[plasmite.Message]] = []
        threads = [threading.Thread(target=lambda tail=tail: ended.append(list(tail))) for tail in tails]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        pool.close()
        self.client.close()
        for tail in tails:
            tail.close()
        for thread in threads:
            thread.join(20)
            self.assertFalse(thread.is_alive())
        self.assertEqual(ended, [[], []])

    def test_threads_share_a_tail(self) -> None:
        pool = self.pool()
        tail = pool.tail(max_messages=2000)
        seqs: list[list[int]] = []
        threads = [threading.Thread(target=lambda: seqs.append([m.seq for m in tail])) for _ in range(4)]
        for thread in threads:
            thread.start()
        append_some(pool, 2000)
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        self.assertEqual(sorted(seq for own in seqs for seq in own), list(range(1, 2001)))

    def test_a_tail_or_stream_is_not_copied_or_pickled(self) -> None:
        pool = self.pool()
        for reader in (pool.tail(), pool.atail(), pool.open_stream()):
            for use in (pickle.dumps, copy.deepcopy):
                with self.subTest(reader=reader, use=use), self.assertRaisesRegex(TypeError, "open another one"):
                    use(reader)

    def test_a_replay_keeps_the_rhythm(self) -> None:
        pool = self.pool()
        for _ in range(3):
            pool.append({})
            time.sleep(0.1)
        for speed, least, most in ((1, 0.19, 1.0), (10.0, 0.0, 0.15)):
            start = time.monotonic()
            self.assertEqual([m.seq for m in pool.replay(speed, timeout_ms=0)], [1, 2, 3])
            took = time.monotonic() - start
            self.assertTrue(least <= took <= most, (speed, took))

    def test_a_very_slow_replay_waits(self) -> None:
        pool = self.pool()
        pool.append({})
        time.sleep(0.001)
        pool.append({})
        replay = pool.replay(1e-300, timeout_ms=0)
        self.assertEqual(next(replay).seq, 1)

        def stop(*_: object) -> None:
            raise TimeoutError

        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, stop))
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        self.assertRaises(TimeoutError, next, replay)

    def test_raw_streams(self) -> None:
        pool = self.pool()
        append_some(pool, 3)
        with pool.open_stream(timeout_ms=0) as stream:
            self.assertEqual(stream.next_json(), pool.get_json(1))
            self.assertEqual(list(stream), [pool.get_json(2), pool.get_json(3)])
            self.assertIsNone(stream.next_json())
            pool.append({})
            self.assertEqual(stream.next_json(), pool.get_json(4))
        with self.assertRaises(UsageError):
            stream.next_json()
        stream.close()


class AsyncTest(PoolTestCase):
    def test_async_for_waits_without_blocking_the_loop(self) -> None:
        pool = self.pool()

        async def read() -> list[int]:
            return [m.data["n"] async for m in pool.atail(max_messages=20)]

        async def write() -> None:
            for n in range(20):
                pool.append({"n": n})
                await asyncio.sleep(0.005)

        async def main() -> list[list[int]]:
            *read_by, _ = await asyncio.gather(read(), read(), write())
            return read_by

        self.assertEqual(asyncio.run(main()), [list(range(20))] * 2)

    def test_a_cancelled_wait_loses_nothing(self) -> None:
        pool = self.pool()

        async def main() -> list[int]:
            tail = pool.atail(max_messages=3)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(tail.__anext__(), 0.02)
            append_some(pool, 3)
            return [m.seq async for m in tail]

        self.assertEqual(asyncio.run(main()), [1, 2, 3])

    def test_many_wait_at_once(self) -> None:
        pool = self.pool()

        async def main() -> list[int]:
            waiting = [asyncio.ensure_future(pool.atail().__anext__()) for _ in range(50)]
            await asyncio.sleep(0.05)
            pool.append({})
            return [message.seq for message in await asyncio.wait_for(asyncio.gather(*waiting), 20)]

        self.assertEqual(asyncio.run(main()), [1] * 50)

    def test_no_reader_holds_a_thread(self) -> None:
        pool, other = self.pool(), self.client.open_pool("docs")
        self.addCleanup(other.close)
        wait_for_the_librarys_threads()

        def threads() -> int:
            return len(os.listdir("/proc/self/task"))

        async def main() -> int:
            before = threads()
            waiting = [asyncio.ensure_future((pool, other)[n % 2].atail().__anext__()) for n in range(300)]
            await asyncio.sleep(0.1)
            more = threads() - before
            pool.append({})
            await asyncio.wait_for(asyncio.gather(*waiting), 60)
            return more

        self.assertLessEqual(asyncio.run(main()), 1)
        wait_for_the_librarys_threads()

    def test_cancelled_readers_leave_nothing_behind(self) -> None:
        pool = self.pool()

        async def main() -> tuple[int, int]:
            before = descriptors()
            waiting = [asyncio.ensure_future(pool.atail().__anext__()) for _ in range(100)]
            await asyncio.sleep(0.05)
            for task in waiting:
                task.cancel()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            self.assertTrue(all(isinstance(result, asyncio.CancelledError) for result in results))
            del waiting, results, task
            # The loop has its own references for one more turn.
            await asyncio.sleep(0.05)
            gc.collect()
            return before, descriptors()

        before, after = asyncio.run(main())
        self.assertLessEqual(after, before)

    def test_a_loop_that_was_closed_under_a_reader_does_no_harm(self) -> None:
        pool = self.pool()
        gc.collect()
        before = descriptors()
        loop = asyncio.new_event_loop()
        task = loop.create_task(pool.atail().__anext__())
        loop.run_until_complete(asyncio.sleep(0.02))
        loop.close()
        with self.assertLogs("asyncio", "ERROR"):
            # It says that the task was destroyed while it waited.
            del task
            gc.collect()
        self.assertEqual(descriptors(), before)
        pool.append({})

        async def main() -> int:
            return (await pool.atail().__anext__()).seq

        self.assertEqual(asyncio.run(main()), 1)

    def test_closing_ends_the_wait_of_another_task(self) -> None:
        pool = self.pool()

        async def main() -> list[int]:
            async with pool.atail() as tail:
                read = asyncio.ensure_future(collect(tail))
                await asyncio.sleep(0.02)
                with self.assertRaisesRegex(RuntimeError, "a tail of its own"):
                    await tail.__anext__()
                pool.append({})
                await asyncio.sleep(0.02)
                await tail.aclose()
                await tail.aclose()
                return await asyncio.wait_for(read, 20)

        async def collect(tail: plasmite.AsyncTail) -> list[int]:
            return [m.seq async for m in tail]

        self.assertEqual(asyncio.run(main()), [1])

    def test_a_long_backlog_leaves_the_loop_to_others(self) -> None:
        pool = self.pool("large", 8 << 20)
        pool.append_many({"n": n} for n in range(20_000))
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def main() -> int:
            counting = asyncio.ensure_future(count_turns())
            seqs = [m.seq async for m in pool.atail(max_messages=20_000)]
            counting.cancel()
            return len(seqs)

        self.assertEqual(asyncio.run(main()), 20_000)
        self.assertGreater(turns, 10)

    def test_errors_come_as_in_a_tail(self) -> None:
        pool = self.pool("ring", 8192)
        overtaken = pool.atail(error_on_gap=True)
        pool.append_many({"n": n, "text": "something that takes some room"} for n in range(500))

        async def main() -> None:
            with self.assertRaises(RetentionGapError) as caught:
                await overtaken.__anext__()
            self.assertEqual(caught.exception.seq, 1)
            self.assertEqual([m.seq async for m in overtaken], [])
            for take_away in (self.client.delete_pool, lambda name: (self.dir / f"{name}.plasmite").unlink()):
                tail = self.pool("short").atail()
                reading = asyncio.ensure_future(tail.__anext__())
                await asyncio.sleep(0.02)
                take_away("short")
                with self.assertRaises(NotFoundError):
                    await asyncio.wait_for(reading, 20)

        asyncio.run(main())

    def test_timeouts_end_it(self) -> None:
        async def main() -> list[int]:
            return [m.seq async for m in self.pool().atail(timeout_ms=30)]

        self.assertEqual(asyncio.run(main()), [])


WAIT = """
import sys, threading, time
from plasmite import Client
pool = Client(sys.argv[1]).pool("docs")
for _ in range(int(sys.argv[2])):
    threading.Thread(target=list, args=[pool.tail()], daemon=True).start()
print("ready", flush=True)
try:
    for message in pool.tail():
        print(message.seq, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
for message in pool.tail(max_messages=1, timeout_ms=0):
    print(message.seq, flush=True)
"""


class ProcessTest(PoolTestCase):
    def test_ctrl_c_ends_a_waiting_tail(self) -> None:
        for other_threads in ("0", "5"):
            waiting = [sys.executable, "-c", WAIT, str(self.dir), other_threads]
            with (
                self.subTest(other_threads),
                subprocess.Popen(waiting, stdout=subprocess.PIPE, env=ENVIRONMENT) as process,
            ):
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), b"ready\n")
                time.sleep(0.3)
                start = time.monotonic()
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.stdout.read(), b"interrupted\n")
                self.assertEqual(process.wait(10), 0)
                self.assertLess(time.monotonic() - start, 5)

    def test_a_signal_handler_runs_at_once_and_the_tail_goes_on(self) -> None:
        pool = self.pool()
        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, lambda *_: pool.append({})))
        tail = pool.tail(max_messages=3)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        self.addCleanup(signal.setitimer, signal.ITIMER_REAL, 0)
        # Nobody else appends: each message is one of the handler's, which runs in the midst of the wait.
        self.assertEqual([m.seq for m in tail], [1, 2, 3])

    def test_processes_of_every_start_method_share_a_pool(self) -> None:
        pool = self.pool()
        for method in ("fork", "spawn", "forkserver"):
            with self.subTest(method):
                context: Any = multiprocessing.get_context(method)
                child = context.Process(target=append_some, args=(pool, 3))
                child.start()
                child.join(60)
                self.assertEqual(child.exitcode, 0)
        self.assertEqual([m.data["n"] for m in pool.tail(timeout_ms=0)], [0, 1, 2] * 3)

    def test_a_forked_child_reads_in_an_event_loop_of_its_own(self) -> None:
        pool = self.pool()

        async def one() -> int:
            return (await pool.atail(timeout_ms=20_000).__anext__()).seq

        async def main() -> int:
            # The parent's reader has the library's thread, which the child does not have.
            waiting = asyncio.ensure_future(one())
            await asyncio.sleep(0.02)
            child = os.fork()
            if child == 0:
                seq = 0
                thread = threading.Thread(target=lambda: asyncio.run(read_in_child()))

                async def read_in_child() -> None:
                    nonlocal seq
                    seq = await one()

                thread.start()
                thread.join()
                os._exit(seq)
            await asyncio.sleep(0.1)
            pool.append({})
            self.assertEqual(await waiting, 1)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        self.assertEqual(asyncio.run(main()), 1)

    def test_forked_children_use_the_same_handles(self) -> None:
        pool = self.pool()
        pool.append({"by": 0, "n": 0})
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=append_some, args=(pool, 200)) for _ in range(4)]
        tail = pool.tail(max_messages=1001, timeout_ms=20_000)
        for child in children:
            child.start()
        append_some(pool, 200)
        messages = list(tail)
        for child in children:
            child.join(30)
            self.assertEqual(child.exitcode, 0)
        self.assertEqual([m.seq for m in messages], list(range(1, 1002)))
        for child in children:
            own = [m.data["n"] for m in messages if m.data["by"] == child.pid]
            self.assertEqual(own, list(range(200)))

    def test_a_reader_of_another_process_wakes_up(self) -> None:
        pool = self.pool()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with Client(self.dir) as client, client.open_pool("docs") as own:
                    status = 0 if next(own.tail(timeout_ms=20_000)).data == {"n": 1} else 1
            finally:
                os._exit(status)
        time.sleep(0.1)
        pool.append({"n": 1})
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_threads_share_a_pool(self) -> None:
        pool = self.pool()
        threads = [threading.Thread(target=append_some, args=(pool, 250)) for _ in range(4)]
        for thread in threads:
            thread.start()
        self.assertEqual(sum(1 for _ in pool.tail(max_messages=1000, timeout_ms=20_000)), 1000)
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    unittest.main()
