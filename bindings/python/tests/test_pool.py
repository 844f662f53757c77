from __future__ import annotations

import collections
import contextlib
import json
import os
import pickle
import subprocess
import sys
import threading
import types
import unittest
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

from plasmite import (
    BusyError,
    Durability,
    ErrorKind,
    MessageMeta,
    NotFoundError,
    PermissionDeniedError,
    PlasmiteError,
    UsageError,
    parse_message,
)
from plasmite import _native as _native
from support import PoolTestCase, command


class AppendTest(PoolTestCase):
    def test_a_message_says_what_was_appended(self) -> None:
        before = datetime.now(timezone.utc) - timedelta(seconds=1)
        message = self.pool().append({"kind": "note", "n": [1, None, 2.5]}, ["b", "a", "b"], Durability.FLUSH)
        self.assertEqual(message.seq, 1)
        self.assertEqual(message.tags, ["b", "a", "b"])
        self.assertEqual(message.meta, MessageMeta(["b", "a", "b"]))
        self.assertEqual(message.data, {"kind": "note", "n": [1, None, 2.5]})
        self.assertEqual(message.time.utcoffset(), timedelta(0))
        self.assertLess(before, message.time)
        self.assertLess(message.time, before + timedelta(minutes=1))
        self.assertRegex(message.time_rfc3339, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        self.assertEqual(list(json.loads(message.raw)), ["seq", "time", "meta", "data"])
        self.assertEqual(self.pool().get(1), message)

    def test_any_mapping_that_json_can_tell_is_a_message(self) -> None:
        pool = self.pool()
        inner = types.MappingProxyType({"x": 1})
        value: collections.ChainMap[str, object] = collections.ChainMap({"é": "ü\n"}, {"big": 10**30, "inner": inner})
        self.assertEqual(pool.append(value).data, {"é": "ü\n", "big": 10**30, "inner": {"x": 1}})
        self.assertIn("ü".encode(), pool.get_json(1))
        wrong: Any
        for wrong in ([1], "text", None, 3, {"x": object()}, {("a",): 1}):
            with self.subTest(wrong), self.assertRaises(TypeError):
                pool.append(wrong)
        self.assertEqual(pool.info()["newest_seq"], 1)

    def test_what_json_can_not_tell_is_refused_with_its_place(self) -> None:
        pool = self.pool()
        itself: dict[str, Any] = {}
        itself["a"] = [itself]
        deep: Any = {}
        for _ in range(100_000):
            deep = {"a": deep}
        value: dict[Any, Any]
        for value, says in (
            ({"x": float("nan")}, r"value\['x'\] is nan: JSON has no NaN"),
            ({"x": [1, {"y": float("-inf")}]}, r"value\['x'\]\[1\]\['y'\] is -inf: .* no infinity"),
            ({"x": "ab\ud800"}, r"value\['x'\] holds a lone surrogate, U\+D800 at character 2"),
            ({"\udfff": 1}, r"a key of value holds a lone surrogate, U\+DFFF"),
            (itself, "contains itself"),
            (deep, "nested too deeply"),
        ):
            with self.subTest(says), self.assertRaisesRegex(ValueError, says):
                pool.append(value)
            with self.subTest(says), self.assertRaisesRegex(ValueError, says.replace("value", r"values\[1\]")):
                pool.append_many([{}, value])
        while deep:
            # Freed step by step: all at once would take a deep stack.
            deep = deep.pop("a", None)
        nested: Any = {}
        for _ in range(100):
            nested = {"a": nested}
        with self.assertRaisesRegex(UsageError, "100 levels"):
            pool.append(nested)
        with self.assertRaisesRegex(ValueError, "a tag holds a lone surrogate, U\\+D800 at character 1"):
            pool.append({}, ["x\ud800"])
        self.assertIsNone(pool.info()["newest_seq"])

    def test_what_is_appended_is_what_readers_get(self) -> None:
        pool = self.pool()
        for tags in ([], ["a"], ['q"', "\\", "\n\x00"[:1], "\x7f", "\u2028é\U0001f600", "x" * 200]):
            value: Any
            for value in ({}, {"é": [1.5, True, None, "\u2028\U0001f600\x00"]}, {1: 2, None: 3, "data": {"data": 1}}):
                appended = pool.append(value, tags)
                raw = pool.get_json(appended.seq)
                read = next(pool.tail(since_seq=appended.seq))
                for message in (appended, read, pool.get(appended.seq), parse_message(raw)):
                    self.assertEqual(message.raw, raw)
                    self.assertEqual(message.data, json.loads(json.dumps(value)))
                    self.assertEqual((message.seq, message.tags), (appended.seq, tags))
                self.assertEqual((read.time, read.time_rfc3339), (appended.time, appended.time_rfc3339))

    def test_bad_arguments_are_told_before_the_library_is_called(self) -> None:
        pool = self.pool()
        pool.append({})
        wrong: list[tuple[type[Exception], Callable[..., object], Any]] = [
            (TypeError, pool.append, ["text"]),
            (TypeError, pool.append, [{"x": b""}]),
            (TypeError, pool.append, [{}, "note"]),
            (TypeError, pool.append, [{}, [b"note"]]),
            (TypeError, pool.append, [{}, None, "fast"]),
            (TypeError, pool.append, [{}, None, True]),
            (ValueError, pool.append, [{}, None, 2]),
            (ValueError, pool.append, [{"x": float("inf")}]),
            (ValueError, pool.append, [{}, ["a\0"]]),
            (TypeError, pool.append_many, [{"a": 1}]),
            (TypeError, pool.append_many, ["ab"]),
            (TypeError, pool.append_many, [7]),
            (TypeError, pool.append_many, [[{}, 7]]),
            (TypeError, pool.append_json, ["{}"]),
            (ValueError, pool.append_json, [b""]),
            (TypeError, pool.get, ["1"]),
            (TypeError, pool.get, [True]),
            (ValueError, pool.get, [-1]),
            (ValueError, pool.get_json, [1 << 64]),
            (TypeError, pool.tail, [1.0]),
            (TypeError, pool.atail, [None, "1"]),
            (ValueError, pool.tail, [None, None, -1]),
            (TypeError, pool.open_stream, [None, None, None, "note"]),
            (ValueError, pool.replay, [0]),
            (TypeError, pool.replay, ["1"]),
            (TypeError, self.client.pool, ["x", "1"]),
            (ValueError, self.client.create_pool, ["x", -1]),
            (ValueError, self.client.open_pool, [""]),
            (TypeError, self.client.delete_pool, [None]),
        ]
        called = AssertionError("the library was called")
        with contextlib.ExitStack() as stack:
            for name, function in vars(_native).items():
                if callable(function) and getattr(function, "__module__", "") == _native.__name__:
                    stack.enter_context(mock.patch.object(_native, name, side_effect=called))
            for error, function, arguments in wrong:
                with self.subTest(function.__name__, arguments=arguments), self.assertRaises(error) as caught:
                    function(*arguments)
                self.assertNotIsInstance(caught.exception, PlasmiteError)

    def test_json_text_is_kept_as_it_is(self) -> None:
        pool = self.pool()
        for payload in (
            b' {"b": 1.50, "b":12345678901234567890} ',
            bytearray(b'{"b":1}'),
            memoryview(b'{"b":1}'),
        ):
            raw = pool.append_json(payload, ["t"])
            self.assertIsInstance(raw, bytes)
            self.assertEqual(raw, pool.get_json(parse_message(raw).seq))
        self.assertTrue(pool.get_json(1).endswith(b'"data":{"b":1.50,"b":12345678901234567890}}'))
        with self.assertRaises(TypeError):
            pool.append_json("{}")  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            pool.append_json(b"")
        with self.assertRaises(UsageError) as caught:
            pool.append_json(b'{"a":nope}')
        self.assertEqual(caught.exception.offset, 6)
        with self.assertRaisesRegex(UsageError, "must be a JSON object"):
            pool.append_json(b"[]")

    def test_bad_tags_and_durabilities_are_refused(self) -> None:
        pool = self.pool()
        for tags, error in (
            ("note", TypeError),
            (b"note", TypeError),
            ([1], TypeError),
            (7, TypeError),
            (["a\0b"], ValueError),
        ):
            with self.subTest(tags=tags), self.assertRaises(error):
                pool.append({}, tags)  # type: ignore[arg-type]
        for tags in ([""], ["x" * 256]):
            with self.assertRaises(UsageError) as refused:
                pool.append({}, tags)
            self.assertIsInstance(refused.exception, ValueError)
        for durability, error in ((2, ValueError), ("fast", TypeError)):
            with self.subTest(durability=durability), self.assertRaises(error):
                pool.append({}, None, durability)  # type: ignore[arg-type]
        self.assertEqual(pool.append({}, (tag for tag in "xy")).tags, ["x", "y"])

    def test_many_are_appended_together_or_not_at_all(self) -> None:
        pool = self.pool()
        messages = pool.append_many(({"n": n} for n in range(100)), ["t"])
        self.assertEqual([m.seq for m in messages], list(range(1, 101)))
        self.assertEqual((len(messages), messages[-1].seq, messages[3].tags), (100, 100, ["t"]))
        self.assertEqual(messages[5:7], [pool.get(6), pool.get(7)])
        self.assertEqual(messages, list(pool.tail(timeout_ms=0)))
        self.assertEqual([m.data["n"] for m in pool.tail(timeout_ms=0, tags=["t"])], list(range(100)))
        with self.assertRaises(UsageError):
            pool.append_many([{}, {"x": "y" * (2 << 20)}])
        self.assertEqual(pool.append_many([]), [])
        self.assertEqual(pool.info()["newest_seq"], 100)

    def test_a_message_too_large_is_refused(self) -> None:
        with self.assertRaisesRegex(UsageError, "too large"):
            self.pool("small", 65536).append({"x": "y" * 70_000})


class GetTest(PoolTestCase):
    def test_missing_messages_are_not_found(self) -> None:
        pool = self.pool()
        for seq in (0, 1, (1 << 64) - 1):
            with self.subTest(seq), self.assertRaises(NotFoundError) as caught:
                pool.get(seq)
            self.assertEqual(caught.exception.seq, seq)
            self.assertIsNone(caught.exception.path)
        for wrong, error in (
            ("1", TypeError),
            (1.0, TypeError),
            (True, TypeError),
            (-1, ValueError),
            (1 << 64, ValueError),
        ):
            with self.subTest(wrong), self.assertRaises(error):
                pool.get(wrong)  # type: ignore[arg-type]

    def test_a_closed_pool_is_a_usage_error(self) -> None:
        pool = self.client.pool("x")
        pool.append({"n": 1})
        tail = pool.tail(timeout_ms=0)
        pool.close()
        pool.close()
        for use in (lambda: pool.append({}), lambda: pool.get(1), pool.info, pool.tail, pool.open_stream):
            with self.assertRaises(PlasmiteError) as caught:
                use()
            self.assertIs(caught.exception.kind, ErrorKind.USAGE)
        self.assertEqual([m.data for m in tail], [{"n": 1}])

    def test_a_pool_closed_by_another_thread_is_not_pulled_away(self) -> None:
        pool = self.client.pool("x")
        ended = threading.Event()

        def use() -> None:
            try:
                while True:
                    pool.append({"some": "text"})
            except UsageError:
                ended.set()

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        pool.close()
        for thread in threads:
            thread.join(30)
        self.assertTrue(ended.is_set())

    def test_a_number_too_long_for_python_spoils_only_the_data_that_holds_it(self) -> None:
        pool = self.pool()
        pool.append_json(b'{"n":' + b"9" * 5000 + b',"data":1}', ['"data":'])
        for message in (pool.get(1), next(pool.tail()), next(pool.replay())):
            self.assertEqual((message.seq, message.tags, message.time.tzinfo), (1, ['"data":'], timezone.utc))
            self.assertIn(b"9" * 5000, message.raw)
            # Which versions have a limit, and how large it is, differs.
            if hasattr(sys, "set_int_max_str_digits"):
                with self.assertRaisesRegex(ValueError, "limit"):
                    message.data  # noqa: B018

    def test_the_command_sees_the_same_messages(self) -> None:
        pool = self.pool()
        message = pool.append({"from": "python"}, ["t"])
        run = [command(), "--dir", str(self.dir)]
        fetched = subprocess.run([*run, "fetch", "docs", "1"], capture_output=True, check=True)
        self.assertEqual(parse_message(fetched.stdout).data, message.data)
        subprocess.run([*run, "feed", "docs", '{"from":"command"}'], check=True, capture_output=True)
        self.assertEqual(pool.get(2).data, {"from": "command"})

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_who_may_only_read_can_read(self) -> None:
        self.pool().append({"n": 1})
        os.chmod(self.dir, 0o755)
        os.chmod(self.dir / "docs.plasmite", 0o644)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgid(65534)
                os.setuid(65534)
                pool = self.client.open_pool("docs")
                self.assertEqual([m.data for m in pool.tail(timeout_ms=10)], [{"n": 1}])
                with self.assertRaises(PermissionDeniedError) as appending:
                    pool.append({})
                self.assertEqual(appending.exception.path, str(self.dir / "docs.plasmite"))
                with self.assertRaises(PermissionDeniedError) as creating:
                    self.client.create_pool("new")
                self.assertIn(str(self.dir), str(creating.exception.path))
                status = 0
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)


class MessageTest(unittest.TestCase):
    RAW = b'{"seq":7,"time":"2026-03-01T12:00:00.123456789Z","meta":{"tags":["a"]},"data":{"x":1}}'

    def test_an_envelope_is_parsed(self) -> None:
        message = parse_message(self.RAW)
        self.assertEqual((message.seq, message.tags, message.data), (7, ["a"], {"x": 1}))
        self.assertEqual(message.time, datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc))
        self.assertEqual(message.raw, self.RAW)
        other = parse_message(b' {"data":[],"meta":{"tags":[]},"time":"2026-03-01T12:00:00+01:30","seq":1}')
        self.assertEqual(other.seq, 1)
        self.assertEqual(other.time, datetime(2026, 3, 1, 10, 30, tzinfo=timezone.utc))

    def test_what_is_no_envelope_is_a_value_error(self) -> None:
        for raw in (
            b"",
            b"[]",
            b"{}",
            b"{",
            self.RAW.replace(b"7", b'"7"'),
            self.RAW.replace(b"-03", b"-99"),
            self.RAW.replace(b'["a"]', b"[1]"),
        ):
            with self.subTest(raw), self.assertRaises(ValueError):
                parse_message(raw)
        with self.assertRaises(TypeError):
            parse_message("{}")  # type: ignore[arg-type]

    def test_a_message_can_not_be_changed(self) -> None:
        message = parse_message(self.RAW)
        with self.assertRaises(AttributeError):
            message.seq = 8  # type: ignore[misc]
        with self.assertRaises(AttributeError):
            message.extra = 8
        with self.assertRaises(AttributeError):
            del message.data
        with self.assertRaises(AttributeError):
            message.data = {}  # type: ignore[misc]

    def test_messages_and_errors_survive_pickling(self) -> None:
        message = parse_message(self.RAW)
        self.assertEqual(pickle.loads(pickle.dumps(message)), message)
        self.assertEqual(len({message, parse_message(self.RAW)}), 1)
        error = BusyError("text", path="/x", seq=3, offset=4)
        again = pickle.loads(pickle.dumps(error))
        self.assertIs(type(again), BusyError)
        self.assertEqual(
            (str(again), again.kind, again.path, again.seq, again.offset),
            (str(error), ErrorKind.BUSY, "/x", 3, 4),
        )


if __name__ == "__main__":
    unittest.main()
