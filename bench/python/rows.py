"""The Python half of the benchmark.

`measure DIR COUNT` prints nanoseconds as one JSON object; `wake POOL COUNT` waits for messages, and prints how long
they took to arrive."""

from __future__ import annotations

import json
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

        def raw_tail() -> int:
            return sum(1 for _ in pool.open_stream(timeout_ms=0))

        def tail_with_data() -> int:
            read = 0
            for message in pool.tail(timeout_ms=0):
                _ = message.data
                read += 1
            return read

        # Until the ring is full: then each append makes room, as in a pool that has been in use for a while.
        while pool.info()["oldest_seq"] in (None, 1):
            append_many(small)
        rows = {
            "Python json.dumps, small dict": repeated(json.dumps, SMALL, count),
            "Python append, small dict": repeated(pool.append, SMALL, count),
            "Python append_many, {'n': 1}": each(lambda: append_many(smallest)),
            "Python append_many, small dicts": each(lambda: append_many(small)),
            "Python raw tail, small messages": each(raw_tail),
            "Python json.loads, small dict": repeated(json.loads, json.dumps(SMALL), count),
            "Python tail with data, small dict": each(tail_with_data),
        }
        client.delete_pool("python")
    return rows


def wake(path: str, count: int) -> float:
    """How long each message took until a tail that waited for it has returned: the median, in nanoseconds."""
    delays = []
    with Client() as client, client.open_pool(path) as pool:
        tail = pool.tail(max_messages=count)
        print("ready", flush=True)
        sys.stdin.readline()
        for message in tail:
            now = time.monotonic_ns()
            delays.append(now - message.data["t"])
    return float(statistics.median(delays))


if __name__ == "__main__":
    task, where, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    print(json.dumps(measure(where, number)) if task == "measure" else wake(where, number))
