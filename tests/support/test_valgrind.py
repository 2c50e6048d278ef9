"""A program that leaks fails the test that ran it, though its exit status was not looked at."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SUPPORT = Path(__file__).parent
LEAKS = "#include <stdlib.h>\nint main(int n, char **v) { return n > 1 && !malloc(9); }\n"
RUN = "import subprocess, sys; from larder_testlib import valgrind\n" \
      "subprocess.run([valgrind.wrapped(sys.argv[1]), *sys.argv[2:]])\n"


class Valgrind(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        place = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.program = os.path.join(place, "leaks")
        subprocess.run(["cc", "-O0", "-x", "c", "-", "-o", cls.program], input=LEAKS,
                       text=True, check=True)

    def run_it(self, *words):
        return subprocess.run([sys.executable, "-c", RUN, self.program, *words], check=False,
                              env=os.environ | {"PYTHONPATH": str(SUPPORT)}, text=True,
                              capture_output=True, timeout=60)

    def test_silence(self):
        done = self.run_it()
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_leak(self):
        done = self.run_it("leak")
        self.assertEqual(done.returncode, 1)
        self.assertIn("9 bytes in 1 blocks are definitely lost", done.stderr)


if __name__ == "__main__":
    unittest.main()
