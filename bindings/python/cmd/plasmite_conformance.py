"""Plays a conformance manifest through the Python package. Silent when all is right, else tells the wrong step."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plasmite import Client, Durability, Message, PlasmiteError

KINDS = {
    1: "Internal",
    2: "Usage",
    3: "NotFound",
    4: "AlreadyExists",
    5: "Busy",
    6: "Permission",
    7: "Corrupt",
    8: "Io",
    9: "RetentionGap",
}
Step = dict[str, Any]


class Wrong(Exception):
    """A step that did not give what it should."""


class Runner:
    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.client = Client(workdir)
        self.operations: dict[str, Callable[[Step, Step], Any]] = {
            "append": self.append,
            "append_many": self.append_many,
            "chmod": self.chmod,
            "corrupt_header": self.corrupt_header,
            "create_pool": self.create_pool,
            "delete_pool": self.delete_pool,
            "get": self.get,
            "list_pools": self.list_pools,
            "pool_info": self.pool_info,
            "spawn": self.spawn,
            "tail": self.tail,
        }
        # What a chmod keeps from everybody but root.
        self.locked: set[str] = set()

    def play(self, step: Step) -> None:
        operation = self.operations.get(step.get("op", ""))
        if operation is None:
            raise Wrong(f"op={step.get('op')!r} is not known")
        expect = step.get("expect") or {}
        wanted = expect.get("error")
        if step.get("pool") in self.locked and step["op"] != "chmod":
            return
        try:
            got = operation(step, step.get("input") or {})
        except PlasmiteError as error:
            if wanted is None:
                raise Wrong(f"failed: {KINDS.get(error.kind)}: {error}") from error
            compare_error(wanted, error)
            return
        if wanted is not None:
            raise Wrong(f"succeeded, expected the error {wanted}")
        compare(expect, got)

    def path(self, step: Step) -> Path:
        return self.workdir / f"{step['pool']}.plasmite"

    def create_pool(self, step: Step, given: Step) -> Step:
        self.client.create_pool(step["pool"], given.get("size_bytes", 0)).close()
        return {"created": True}

    def append(self, step: Step, given: Step) -> Step:
        durability = Durability[given.get("durability", "fast").upper()]
        with self.client.open_pool(step["pool"]) as pool:
            text = json.dumps(given["data"]).encode()
            return {"seq": json.loads(pool.append_json(text, given.get("tags"), durability))["seq"]}

    def append_many(self, step: Step, given: Step) -> Step:
        with self.client.open_pool(step["pool"]) as pool:
            messages = pool.append_many(given["data"] * given.get("repeat", 1), given.get("tags"))
        return {"first_seq": messages[0].seq, "last_seq": messages[-1].seq}

    def get(self, step: Step, given: Step) -> Step:
        with self.client.open_pool(step["pool"]) as pool:
            return told(pool.get(given["seq"]))

    def tail(self, step: Step, given: Step) -> Step:
        with self.client.open_pool(step["pool"]) as pool:
            tail = pool.tail(
                given.get("since_seq"),
                given.get("max"),
                given.get("timeout_ms"),
                given.get("tags"),
                given.get("error_on_gap", False),
            )
            messages = [told(message) for message in tail]
        return {"messages": messages, "count": len(messages)}

    def list_pools(self, step: Step, given: Step) -> Step:
        return {"names": [pool["name"] for pool in self.client.list_pools()]}

    def pool_info(self, step: Step, given: Step) -> Step:
        with self.client.open_pool(step["pool"]) as pool:
            return pool.info()

    def delete_pool(self, step: Step, given: Step) -> Step:
        self.client.delete_pool(step["pool"])
        return {"deleted": True}

    def spawn(self, step: Step, given: Step) -> Step:
        context = multiprocessing.get_context("spawn")
        ready = context.Barrier(len(given["writers"]))
        processes = [
            context.Process(target=write, args=(str(self.workdir), step["pool"], writer, ready))
            for writer in given["writers"]
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        if any(process.exitcode != 0 for process in processes):
            raise Wrong("a writer failed")
        return {}

    def corrupt_header(self, step: Step, given: Step) -> Step:
        with self.path(step).open("r+b") as file:
            file.seek(given["offset"])
            file.write(bytes.fromhex(given["bytes"]))
        return {}

    def chmod(self, step: Step, given: Step) -> Step:
        mode = int(given["mode"], 8)
        self.path(step).chmod(mode)
        if os.geteuid() == 0 and mode & 0o600 != 0o600:
            self.locked.add(step["pool"])
        else:
            self.locked.discard(step["pool"])
        return {}


def write(workdir: str, pool_name: str, writer: Step, ready: Any) -> None:
    with Client(workdir) as client, client.open_pool(pool_name) as pool:
        ready.wait(60)
        for data in writer["data"]:
            pool.append(data, writer.get("tags"))


def told(message: Message) -> Step:
    return {"seq": message.seq, "data": message.data, "tags": message.tags}


def compare(expect: Step, got: Step) -> None:
    unordered = expect.get("messages_unordered", False)
    for key, wanted in expect.items():
        if isinstance(wanted, list) and key == "messages":
            compare_messages(wanted, got["messages"], unordered)
        elif key != "messages_unordered" and got.get(key) != wanted:
            raise Wrong(f"{key} is {got.get(key)!r}, expected {wanted!r}")


def compare_messages(wanted: list[Step], got: list[Step], unordered: bool) -> None:
    if len(wanted) != len(got):
        raise Wrong(f"{len(got)} messages, expected {len(wanted)}: {got}")
    left = list(got)
    for i, message in enumerate(wanted):
        candidates = left if unordered else left[:1]
        match = next((m for m in candidates if all(m[key] == message[key] for key in message)), None)
        if match is None:
            raise Wrong(f"message {i} is not {message}, but one of {candidates}")
        left.remove(match)


def compare_error(wanted: Step, error: PlasmiteError) -> None:
    kind = KINDS.get(error.kind)
    if wanted.get("kind", kind) != kind:
        raise Wrong(f"the error is {kind}, expected {wanted['kind']}: {error}")
    texts = wanted.get("message_contains", [])
    for text in [texts] if isinstance(texts, str) else texts:
        if text not in error.message:
            raise Wrong(f"the error does not say {text!r}: {error}")
    for name in ("path", "seq", "offset"):
        has = getattr(error, name) is not None
        if wanted.get(f"has_{name}", has) != has:
            raise Wrong(f"has_{name} is {has}, expected {not has}: {error}")


def main() -> int:
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} MANIFEST", file=sys.stderr)
        return 2
    path = Path(sys.argv[1])
    try:
        manifest = json.loads(path.read_text())
        if manifest.get("conformance_version") != 0:
            raise ValueError("conformance_version must be 0")
        steps, workdir = manifest["steps"], path.resolve().parent / manifest["workdir"]
    except (OSError, ValueError, KeyError) as error:
        print(f"{path}: {error!r}", file=sys.stderr)
        return 1
    if path.resolve().parent not in workdir.resolve().parents:
        print(f"{path}: the workdir must lie beside the manifest", file=sys.stderr)
        return 1
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    runner = Runner(workdir)
    for index, step in enumerate(steps):
        try:
            runner.play(step)
        except Exception as error:
            what = str(error) if isinstance(error, Wrong) else repr(error)
            print(f"step {index} ({step.get('id', step.get('op'))}): {what}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
