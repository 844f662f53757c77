"""The `plasmite` of each way of installing it does what the binary does: exit codes, signals, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from environments import (
    PATIENCE,
    PROJECT,
    SDK,
    UV,
    WHEEL,
    clean_environment,
    install,
    new_environment,
    run,
    same,
    succeed,
)

BARE = SDK / "bin" / "plasmite"


#: What a shell sees of Ctrl-C, of `kill`, and of `kill -9`.
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}


class CommandTest(unittest.TestCase):
    ways: dict[str, list[str | Path]]
    dir: Path
    environment: dict[str, str]
    wheel_environment: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.dir = Path(folder.name)
        wheel = new_environment(cls.dir / "wheel")
        install(wheel, WHEEL)
        editable = new_environment(cls.dir / "editable")
        install(editable, "-e", PROJECT)
        tool = {"UV_TOOL_DIR": cls.dir / "tools", "UV_TOOL_BIN_DIR": cls.dir / "bin"}
        succeed(UV, "tool", "install", "--quiet", "--no-index", WHEEL, **tool)
        cls.ways = {
            "the binary itself": [BARE],
            "a wheel's script": [wheel.parent / "plasmite"],
            "uv's tool": [cls.dir / "bin" / "plasmite"],
            "python -m": [wheel, "-m", "plasmite"],
            "an editable installation's script": [editable.parent / "plasmite"],
        }
        cls.environment = clean_environment(PLASMITE_LIB_DIR=SDK / "lib", PLASMITE_BIN=BARE)
        cls.wheel_environment = clean_environment()

    def each(self) -> list[tuple[str, list[str | Path], dict[str, str]]]:
        """Name, command and environment of each way. Only an editable installation has to be told where things are."""
        return [
            (way, command, self.environment if way.startswith("an editable") else self.wheel_environment)
            for way, command in self.ways.items()
        ]

    def pools(self) -> Path:
        folder = tempfile.TemporaryDirectory(dir=self.dir)
        self.addCleanup(folder.cleanup)
        return Path(folder.name)

    def test_installed_commands_are_the_binary_byte_for_byte(self) -> None:
        # So they start as fast as it does: no interpreter comes first.
        for way in ("a wheel's script", "uv's tool"):
            self.assertTrue(same(Path(self.ways[way][0]), BARE), way)

    def test_exit_codes_and_texts_pass_through(self) -> None:
        for arguments, code in (
            (["version", "--json"], 0),
            (["fetch", "none", "1"], 3),
            (["no such verb"], 2),
            (["pool", "create", "docs", "--size", "1"], 2),
            ([], 2),
        ):
            results = {
                way: subprocess.run(
                    [*command, *arguments],
                    env={**environment, "HOME": str(self.dir)},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=PATIENCE,
                    check=False,
                )
                for way, command, environment in self.each()
            }
            bare = results["the binary itself"]
            self.assertEqual(bare.returncode, code)
            for way, result in results.items():
                with self.subTest(way, arguments=arguments):
                    self.assertEqual(result.returncode, code, result.stderr)
                    self.assertEqual((result.stdout, result.stderr), (bare.stdout, bare.stderr))

    def test_signals_reach_it_and_end_it_as_they_end_the_binary(self) -> None:
        for number, code in SIGNALS.items():
            for way, command, environment in self.each():
                with self.subTest(way, signal=number):
                    pools = self.pools()
                    succeed(BARE, "--dir", pools, "feed", "docs", "{}", "--create")
                    follow = [*command, "--dir", pools, "follow", "docs", "--tail", "1"]
                    pipe = subprocess.PIPE
                    with subprocess.Popen(follow, env=environment, stdout=pipe, stderr=pipe) as it:
                        assert it.stdout is not None and it.stderr is not None
                        self.assertIn(b'"seq":1', it.stdout.readline())
                        self.assertEqual(os.readlink(f"/proc/{it.pid}/exe").rsplit("/", 1)[1], "plasmite")
                        it.send_signal(number)
                        self.assertEqual(it.wait(PATIENCE), code)
                        self.assertEqual((it.stdout.read(), it.stderr.read()), (b"", b""))

    def test_signals_that_the_caller_ignores_stay_ignored_and_no_others(self) -> None:
        # What a child of the command inherits: tap's, for instance.
        def ignored(command: list[str | Path], environment: dict[str, str]) -> int:
            pools = self.pools()
            feed = [*command, "--dir", pools, "feed", "docs", "--create"]
            hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
            try:
                it = subprocess.Popen(feed, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            finally:
                signal.signal(signal.SIGHUP, hangup)
            with it:
                assert it.stdin is not None and it.stdout is not None
                it.stdin.write(b"{}\n")
                it.stdin.flush()
                it.stdout.readline()
                status = Path(f"/proc/{it.pid}/status").read_text()
                it.stdin.close()
            return int(status.partition("SigIgn:")[2].split()[0], 16)

        (_, bare, environment), *others = self.each()
        expected = ignored(bare, environment)
        self.assertTrue(expected & 1 << (signal.SIGHUP - 1))
        for way, command, environment in others:
            with self.subTest(way):
                self.assertEqual(f"{ignored(command, environment):b}", f"{expected:b}")

    def test_pipes_work_in_both_directions(self) -> None:
        for way, command, environment in self.each():
            with self.subTest(way):
                pools = self.pools()
                lines = b"".join(b'{"n":%d}\n' % n for n in range(2000))
                feed = [*command, "--dir", pools, "feed", "docs", "--create"]
                receipts = subprocess.check_output(feed, env=environment, input=lines, timeout=PATIENCE)
                seqs = [json.loads(line)["seq"] for line in receipts.splitlines()]
                self.assertEqual(seqs, list(range(1, 2001)))
                # Far more than a pipe holds, read by one who goes away after the first line.
                script = '"$@" --dir "$POOLS" follow docs --tail 2000 | head -n 1; echo "${PIPESTATUS[0]}"'
                shell = ["bash", "-c", script, "bash", *command]
                out = subprocess.run(
                    shell,
                    env={**environment, "POOLS": str(pools)},
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                    check=True,
                )
                first, code = out.stdout.splitlines()
                self.assertEqual(json.loads(first)["seq"], 1)
                self.assertEqual((code, out.stderr), ("0", ""))


class LauncherTest(unittest.TestCase):
    """The script of an editable installation, when there is no command for it to start."""

    dir: Path
    script: Path

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.dir = Path(folder.name)
        cls.script = new_environment(cls.dir / "venv").parent / "plasmite"
        install(cls.script.with_name("python3"), "-e", PROJECT)

    def refused(self, code: int, *says: str, **environment: str | Path) -> None:
        environment = {"PLASMITE_LIB_DIR": SDK / "lib", **environment}
        result = run(self.script, "version", **environment)
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        self.assertTrue(result.stderr.startswith("plasmite: "), result.stderr)
        for text in says:
            self.assertIn(text, result.stderr)

    def test_it_says_that_there_is_none(self) -> None:
        self.refused(127, "PLASMITE_BIN")
        self.refused(127, "/nowhere/plasmite", PLASMITE_BIN="/nowhere/plasmite")

    def test_it_says_what_cannot_be_run(self) -> None:
        self.refused(126, str(self.dir), PLASMITE_BIN=self.dir)

    def test_it_does_not_start_itself_for_ever(self) -> None:
        self.refused(126, str(self.script), PLASMITE_BIN=self.script)

    def test_the_command_beside_the_library_will_do(self) -> None:
        built = self.dir / "debug"
        built.mkdir()
        for path in (SDK / "lib" / "libplasmite.so", BARE):
            (built / path.name).symlink_to(path)
        self.assertIn("plasmite", succeed(self.script, "version", PLASMITE_LIB_DIR=built))


if __name__ == "__main__":
    unittest.main()
