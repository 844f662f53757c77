"""Data that looks like data: `data.py journal COUNT` and `data.py events COUNT` print JSON Lines, the same each time."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

UNITS = ("sshd.service", "nginx.service", "cron.service", "systemd-logind.service", "postgresql@15-main.service")
TEXTS = (
    "Accepted publickey for deploy from 203.0.113.{} port {} ssh2",
    "pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0) [{}:{}]",
    'GET /api/items/{}?page={} HTTP/1.1" 200 "-" "Mozilla/5.0 (X11; Linux x86_64)"',
    "connection to client lost: {} bytes, errno {}",
    "Fichier « résumé-{}.pdf » reçu (página {}) – 完了 ✓",
)
EVENTS = ("PushEvent", "PullRequestEvent", "IssuesEvent", "WatchEvent", "ForkEvent", "ReleaseEvent")


def journal(count: int, source: random.Random) -> Iterator[dict[str, Any]]:
    """What `journalctl -o json` gives: everything is a string, and some values are arrays of bytes."""
    micros = 1_767_225_600_000_000
    for n in range(count):
        micros += source.randrange(1, 3_000_000)
        entry: dict[str, Any] = {
            "__CURSOR": f"s=0f{n:030x};i={n:x};b=91",
            "__REALTIME_TIMESTAMP": str(micros),
            "PRIORITY": str(source.choice((3, 4, 5, 6, 6, 6, 6))),
            "_SYSTEMD_UNIT": source.choice(UNITS),
            "_PID": str(source.randrange(300, 90_000)),
            "_HOSTNAME": "web-1",
            "MESSAGE": source.choice(TEXTS).format(source.randrange(1, 255), source.randrange(1024, 65_535)),
        }
        if n % 97 == 0:
            entry["MESSAGE"] = list(b"\x1b[31mraw \xff bytes\x1b[0m")
        yield entry


def events(count: int, source: random.Random) -> Iterator[dict[str, Any]]:
    """A dump of a code host's public events: nested, some of it long."""
    for n in range(count):
        kind = source.choice(EVENTS)
        name = f"someone-{source.randrange(200)}/project-{source.randrange(50)}"
        payload: dict[str, Any] = {"action": source.choice(("opened", "closed", "created"))}
        if kind == "PushEvent":
            commits = [
                {
                    "sha": f"{source.getrandbits(160):040x}",
                    "author": {"name": f"Dev {source.randrange(99)}", "email": "dev@example.org"},
                    "message": "Fix the thing\n\n" + "because it was \"broken\" \\o/ \u2028 " * source.randrange(6),
                    "distinct": True,
                }
                for _ in range(source.randrange(1, 8))
            ]
            payload = {"push_id": 2**53 + n, "size": len(commits), "ref": "refs/heads/main", "commits": commits}
        yield {
            "id": str(34_000_000_000 + n),
            "type": kind,
            "actor": {"id": source.randrange(10**8), "login": f"someone-{source.randrange(200)}", "gravatar_id": ""},
            "repo": {"id": source.randrange(10**9), "name": name, "url": f"https://api.example.org/repos/{name}"},
            "payload": payload,
            "public": True,
            "created_at": f"2026-01-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z",
            "org": None,
            "score": n / 7,
        }


if __name__ == "__main__":
    make = {"journal": journal, "events": events}[sys.argv[1]]
    for item in make(int(sys.argv[2]), random.Random(7)):
        print(json.dumps(item, ensure_ascii=False))
