"""The scripts that come with the package."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import ENVIRONMENT, PoolTestCase, command, library

HERE = Path(__file__).resolve().parent
RUNNER = HERE.parent / "cmd" / "plasmite_conformance.py"
SAMPLE = HERE.parents[2] / "conformance" / "sample-v0.json"


class ConformanceTest(unittest.TestCase):
    def play(self, manifest: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "manifest.json")
            path.write_text(manifest)
            return subprocess.run(
                [sys.executable, str(RUNNER), str(path)],
                capture_output=True,
                text=True,
                env=ENVIRONMENT,
                check=False,
            )

    def test_the_sample_passes_in_silence(self) -> None:
        if not SAMPLE.exists():
            self.skipTest("the manifests are not there")
        result = self.play(SAMPLE.read_text())
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_it_needs_no_installation(self) -> None:
        if not SAMPLE.exists():
            self.skipTest("the manifests are not there")
        environment = {**ENVIRONMENT, "PLASMITE_LIB_DIR": str(library().parent)}
        del environment["PYTHONPATH"]
        # Without what is installed.
        runner = [sys.executable, "-S", str(RUNNER), str(SAMPLE)]
        result = subprocess.run(runner, capture_output=True, text=True, env=environment, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_the_first_wrong_step_is_named(self) -> None:
        head = {"conformance_version": 0, "name": "wrong", "workdir": "work"}
        create = {"op": "create_pool", "id": "make", "pool": "p"}
        for step, says in (
            ({"op": "get", "id": "there", "pool": "p", "input": {"seq": 1}}, "NotFound"),
            ({"op": "list_pools", "id": "there", "expect": {"names": []}}, "names"),
            (
                {
                    "op": "append",
                    "id": "there",
                    "pool": "p",
                    "input": {"data": {}},
                    "expect": {"error": {"kind": "Usage"}},
                },
                "succeeded",
            ),
            ({"op": "dance", "id": "there"}, "dance"),
        ):
            with self.subTest(step):
                result = self.play(json.dumps({**head, "steps": [create, step]}))
                self.assertEqual(result.returncode, 1)
                self.assertIn("step 1 (there)", result.stderr)
                self.assertIn(says, result.stderr)
        self.assertEqual(self.play("{}").returncode, 1)


class ScriptTest(PoolTestCase):
    def script(self, *arguments: str) -> list[str]:
        command()
        return [sys.executable, "-c", "from plasmite._cli import main; main()", "--dir", str(self.dir), *arguments]

    def test_it_becomes_the_native_command(self) -> None:
        result = subprocess.run(self.script("fetch", "none", "1"), env=ENVIRONMENT, capture_output=True, check=False)
        self.assertEqual(result.returncode, 3)
        self.pool().append({"n": 1})
        follow = self.script("follow", "docs", "--tail", "1")
        with subprocess.Popen(follow, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            self.assertIn(b'"n":1', process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            self.assertEqual(process.wait(10), -signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
