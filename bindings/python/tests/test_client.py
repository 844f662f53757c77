from __future__ import annotations

import multiprocessing
import os
import pickle
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import plasmite
from plasmite import AlreadyExistsError, Client, CorruptError, ErrorKind, NotFoundError, UsageError
from support import PoolTestCase


def create_or_open(directory: str, results: Any) -> None:
    with Client(directory) as client, client.pool("raced") as pool:
        results.put(pool.append({"by": os.getpid()}).seq)


class ClientTest(PoolTestCase):
    def test_the_default_directory_follows_the_home_directory(self) -> None:
        with mock.patch.dict(os.environ, {"HOME": str(self.dir)}):
            expected = self.dir / ".plasmite" / "pools"
            self.assertEqual(plasmite.default_pool_dir(), expected)
            self.assertEqual(plasmite.DEFAULT_POOL_DIR, expected)
            with Client() as client, client.pool("x") as pool:
                self.assertEqual(pool.info()["path"], str(expected / "x.plasmite"))

    def test_a_directory_may_be_text_or_a_path(self) -> None:
        for directory in (str(self.dir), self.dir):
            self.assertEqual(Client(directory).pool_dir, self.dir)
        for wrong, error in (("", ValueError), ("a\0b", ValueError), (7, TypeError), (b"x", TypeError)):
            with self.subTest(wrong), self.assertRaises(error):
                Client(wrong)  # type: ignore[arg-type]

    def test_clients_and_pools_are_pickled_by_their_paths(self) -> None:
        pool = self.pool()
        pool.append({"n": 1})
        client = pickle.loads(pickle.dumps(self.client))
        with client, client.open_pool("docs") as again:
            self.assertEqual(again.get(1).data, {"n": 1})
        with pickle.loads(pickle.dumps(pool)) as again:
            self.assertEqual(again.append({"n": 2}).seq, 2)
        self.assertIn("docs.plasmite", repr(pool))
        pool.close()
        with self.assertRaises(UsageError):
            pickle.dumps(pool)

    def test_a_pool_has_the_size_asked_for(self) -> None:
        self.client.create_pool("sized", 65537).close()
        self.assertEqual((self.dir / "sized.plasmite").stat().st_size, 65537)
        self.client.create_pool(self.dir / "deep" / "er.plasmite").close()
        self.assertEqual((self.dir / "deep/er.plasmite").stat().st_size, plasmite.DEFAULT_POOL_SIZE)
        self.assertEqual(plasmite.DEFAULT_POOL_SIZE_BYTES, 1 << 20)

    def test_bad_arguments_are_told_before_the_library_is_asked(self) -> None:
        for size, error in (
            (-1, ValueError),
            (1 << 64, ValueError),
            ("1", TypeError),
            (1.0, TypeError),
            (True, TypeError),
        ):
            with self.subTest(size=size), self.assertRaises(error):
                self.client.pool("x", size)  # type: ignore[arg-type]
        for ref, error in ((None, TypeError), (3, TypeError), ("", ValueError), ("a\0", ValueError)):
            with self.subTest(ref=ref), self.assertRaises(error):
                self.client.open_pool(ref)  # type: ignore[arg-type]
        for ref in (".", "..", "http://x", "a\nb", "n" * 300):
            with self.subTest(ref=ref), self.assertRaises(UsageError):
                self.client.create_pool(ref)
        with self.assertRaisesRegex(UsageError, "smallest"):
            self.client.create_pool("tiny", 1)

    def test_errors_carry_the_path(self) -> None:
        with self.assertRaises(NotFoundError) as caught:
            self.client.open_pool("missing")
        self.assertEqual(caught.exception.path, str(self.dir / "missing.plasmite"))
        self.assertIs(caught.exception.kind, ErrorKind.NOT_FOUND)
        self.assertIn("missing.plasmite", str(caught.exception))
        self.pool("there")
        with self.assertRaises(AlreadyExistsError) as exists:
            self.client.create_pool("there")
        self.assertEqual(exists.exception.path, str(self.dir / "there.plasmite"))
        (self.dir / "junk.plasmite").write_bytes(b"\1" * 20_000)
        with self.assertRaises(CorruptError) as corrupt:
            self.client.open_pool("junk")
        self.assertEqual(corrupt.exception.path, str(self.dir / "junk.plasmite"))

    def test_a_closed_client_is_a_usage_error_and_leaves_its_pools_open(self) -> None:
        client = Client(self.dir)
        pool = client.pool("x")
        client.close()
        client.close()
        with self.assertRaisesRegex(UsageError, "closed"):
            client.open_pool("x")
        with self.assertRaises(UsageError), client:
            pass
        self.assertEqual(pool.append({}).seq, 1)
        pool.close()

    def test_pools_are_listed_and_deleted(self) -> None:
        self.assertEqual(self.client.list_pools(), [])
        pool = self.pool("b")
        pool.append({})
        self.pool("a")
        (self.dir / "c.plasmite").write_bytes(b"")
        listed = self.client.list_pools()
        self.assertEqual([p["name"] for p in listed], ["a", "b", "c"])
        self.assertEqual(listed[1]["newest_seq"], 1)
        self.assertEqual(listed[2]["error"]["kind"], "Corrupt")
        self.client.delete_pool("b")
        self.assertFalse((self.dir / "b.plasmite").exists())
        with self.assertRaises(NotFoundError):
            pool.append({})
        with self.assertRaises(NotFoundError):
            self.client.delete_pool("b")

    def test_processes_that_create_the_same_pool_get_the_same_pool(self) -> None:
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        processes = [context.Process(target=create_or_open, args=(str(self.dir), results)) for _ in range(4)]
        for process in processes:
            process.start()
        seqs = sorted(results.get(timeout=60) for _ in processes)
        for process in processes:
            process.join(60)
            self.assertEqual(process.exitcode, 0)
        self.assertEqual(seqs, [1, 2, 3, 4])


class PackageTest(unittest.TestCase):
    def test_all_names_exist_and_only_one_module_knows_ctypes(self) -> None:
        for name in plasmite.__all__:
            self.assertTrue(hasattr(plasmite, name), name)
        package = Path(plasmite.__file__).parent
        users = [path.name for path in package.glob("*.py") if "import ctypes" in path.read_text()]
        self.assertEqual(users, ["_native.py"])
        self.assertTrue((package / "py.typed").exists())


if __name__ == "__main__":
    unittest.main()
