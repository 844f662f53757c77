"""A writer of the kill storm, through the Python package: see roles.rs."""

import os
import sys

from plasmite import Client, Durability

path, who, max_len, mixed, flush_every, count = sys.argv[1], *map(int, sys.argv[2:])
client = Client(os.path.dirname(path))
pool = client.open_pool(path)
os.write(1, b"ready\n")
os.read(0, 1)
for n in range(1, count + 1):
    length = n * 7919 % (max_len + 1) if mixed else max_len
    part = f"{who}.{n} "
    filling = (part * (length // len(part) + 1))[:length]
    flush = flush_every > 0 and n % flush_every == 0
    message = pool.append({"w": who, "n": n, "f": filling}, [], Durability.FLUSH if flush else Durability.FAST)
    os.write(1, f"{n} {message.seq} {int(flush)}\n".encode())
