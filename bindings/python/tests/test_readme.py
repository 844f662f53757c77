"""The README's examples: each is run, and prints what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import ENVIRONMENT

README = Path(__file__).resolve().parent.parent / "README.md"
# A block of Python, and the text right behind it if there is one.
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


class ReadmeTest(unittest.TestCase):
    def test_every_example_prints_what_it_says(self) -> None:
        examples = EXAMPLE.findall(README.read_text(encoding="utf-8"))
        self.assertEqual(len(examples), 5)
        for code, printed in examples:
            with self.subTest(code), tempfile.TemporaryDirectory() as folder:
                result = subprocess.run(
                    [sys.executable, "-W", "error", "-c", code],
                    cwd=folder,
                    env={**ENVIRONMENT, "HOME": folder},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertNotEqual(printed, "")
                lines, wanted = result.stdout.splitlines(), printed.splitlines()
                if "asyncio" in code:
                    # Which task comes first is the loop's choice.
                    lines, wanted = sorted(lines), sorted(wanted)
                self.assertEqual(lines, wanted)


if __name__ == "__main__":
    unittest.main()
