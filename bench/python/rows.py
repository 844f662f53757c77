"""The Python half of the benchmark.

`measure DIR COUNT` prints nanoseconds as one JSON object; `wake POOL COUNT` waits for messages, and prints how long
they took to arrive, `spin POOL COUNT` without sleeping; `wake-floor FILE COUNT` waits on a futex in that file by
ctypes alone."""

from __future__ import annotations

import ctypes
import json
import mmap
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from plasmite import Client

SMALL: dict[str, Any] = {"kind": "note", "text": "hi", "n": 1}
BATCH = 1000


def each(work: Callable[[], int]) -> float:
    """Nanoseconds for one of the things that `work` says it has done."""
    start = time.perf_counter_ns()
    count = work()
    return (time.perf_counter_ns() - start) / count


def repeated(call: Callable[[Any], Any], argument: Any, count: int) -> float:
    def work() -> int:
        for _ in range(count):
            call(argument)
        return count

    return each(work)


def measure(directory: str, count: int) -> dict[str, float]:
    batches = count // BATCH
    smallest = [{"n": n} for n in range(BATCH)]
    small = [{**SMALL, "n": n} for n in range(BATCH)]
    with Client(directory) as client, client.create_pool("python", 4 << 20) as pool:

        def append_many(values: list[dict[str, Any]]) -> int:
            for _ in range(batches):
                pool.append_many(values)
            return batches * BATCH

        def dumps_many(values: list[dict[str, Any]]) -> int:
            for _ in range(batches):
                json.dumps(values)
            return batches * BATCH

        def raw_tail() -> int:
            return sum(1 for _ in pool.open_stream(timeout_ms=0))

        def tail_with_data() -> int:
            read = 0
            for message in pool.tail(timeout_ms=0):
                _ = message.data
                read += 1
            return read

        def get_with_data() -> int:
            oldest = pool.info()["oldest_seq"] or 1
            for n in range(count):
                _ = pool.get(oldest + n % BATCH).data
            return count

        # Until the ring is full: then each append makes room, as in a pool that has been in use for a while.
        while pool.info()["oldest_seq"] in (None, 1):
            append_many(small)
        rows = {
            "Python json.dumps, small dict": repeated(json.dumps, SMALL, count),
            "Python append, small dict": repeated(pool.append, SMALL, count),
            "Python json.dumps of many, {'n': 1}": each(lambda: dumps_many(smallest)),
            "Python append_many, {'n': 1}": each(lambda: append_many(smallest)),
            "Python json.dumps of many, small dicts": each(lambda: dumps_many(small)),
            "Python append_many, small dicts": each(lambda: append_many(small)),
            "Python raw tail, small messages": each(raw_tail),
            "Python get with data, small dict": each(get_with_data),
            "Python json.loads, small dict": repeated(json.loads, json.dumps(SMALL), count),
            "Python tail with data, small dict": each(tail_with_data),
        }
        client.delete_pool("python")
    return rows


#: How long a tail looks for a message before it sleeps.
SPIN_US = 10_000_000


def wake(path: str, count: int, spin_us: int = 0) -> float:
    """How long each message took until a tail that waited for it has returned: the median, in nanoseconds."""
    delays = []
    with Client() as client, client.open_pool(path) as pool:
        tail = pool.tail(max_messages=count, spin_us=spin_us)
        print("ready", flush=True)
        sys.stdin.readline()
        for message in tail:
            now = time.monotonic_ns()
            delays.append(now - message.data["t"])
    return float(statistics.median(delays))


#: `futex` in the table of system calls of the x86-64 and of the other machines (asm/unistd.h).
SYS_FUTEX = ctypes.c_long(202 if platform.machine() == "x86_64" else 98)


def wake_floor(path: str, count: int) -> float:
    """How long a thread that waits on a word of shared memory takes to be awake: the median, in nanoseconds."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
        word, stamp = ctypes.c_uint32.from_buffer(memory, 0), ctypes.c_uint64.from_buffer(memory, 64)
        futex = ctypes.CDLL(None).syscall
        address, wait, delays = ctypes.byref(word), ctypes.c_int(0), []
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(count):
            seen = ctypes.c_uint32(n)
            while word.value == n:
                futex(SYS_FUTEX, address, wait, seen, None)
            delays.append(time.monotonic_ns() - stamp.value)
        # The mapping can't be closed while something refers to it.
        del word, stamp, address
    return float(statistics.median(delays))


def spin(path: str, count: int) -> float:
    """The same as `wake` of a tail that looks for messages instead of sleeping."""
    return wake(path, count, SPIN_US)


TASKS: dict[str, Callable[[str, int], Any]] = {
    "measure": measure,
    "wake": wake,
    "spin": spin,
    "wake-floor": wake_floor,
}

if __name__ == "__main__":
    task, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(json.dumps(TASKS[task](where, number)))
