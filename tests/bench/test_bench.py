"""A run of the benchmark over a tiny tree, with every group that needs no compiler."""

import json
import os
import subprocess
import sys
import unittest

from larder_bench import inputs, report
from larder_bench.figures import LARDER
from larder_testlib.janitor import mount_points
from larder_testlib.process import TempDir
from larder_testlib.programs import sanitizers


@unittest.skipUnless(os.geteuid() == 0, "mounts need root")
@unittest.skipIf(sanitizers(), "nobody measures a build with sanitizers")
class SmallRun(unittest.TestCase):
    def setUp(self):
        folder = TempDir("larder-smoke-")
        self.addCleanup(folder.remove)
        self.path = folder.path
        self.tree = inputs.generated(self.path / "tree", packages=12)
        self.page = self.path / "page.md"
        self.page.write_text(f"{report.BEGIN}\n{report.END}\n")

    def bench(self, *words):
        done = subprocess.run(
            [sys.executable, "-m", "larder_bench", "--rounds", "1", "--keep-caches",
             "--inputs", self.path, "--node-modules", self.tree, "--big-bytes", "3000000",
             "--json", self.path / "json", "--chart", self.path / "chart.svg",
             "--markdown", self.page, *words],
            env=os.environ | {"TMPDIR": str(self.path)}, capture_output=True, text=True,
            check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done, json.loads((self.path / "json").read_text())

    def test_a_run(self):
        done, told = self.bench(
            "--peers", "untar", "--profiles", "cloud", "--cases", "first ls,walk,read all",
            "--groups", "trees,big,second,restore,memory")
        self.assertEqual((done.returncode, told["failures"]), (0, []), done.stderr)
        figures = {f["what"]: f["value"] for f in told["figures"]}
        self.assertEqual(figures["requests from nothing to first ls"], 1)
        measured = {(r["case"], r["contender"]) for r in told["results"]}
        self.assertLessEqual({("cloud: walk", LARDER), ("cloud: walk", "curl + untar"),
                              ("cloud: restore", "larder restore"),
                              ("lan: read 1 GB", LARDER)}, measured)
        self.assertIn("cloud: walk", self.page.read_text())
        self.assertIn("<svg", (self.path / "chart.svg").read_text())
        self.assertEqual(mount_points(self.path), [])

    def test_one_that_fails_is_told_and_the_others_go_on(self):
        (self.tree / "webpack/index.js").write_text("throw new Error('not today')\n")
        done, told = self.bench("--peers", "no", "--profiles", "lan", "--groups", "trees",
                                "--cases", "require,walk")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"lan: require: {LARDER}", "\n".join(told["failures"]))
        self.assertIn(("lan: walk", LARDER),
                      {(r["case"], r["contender"]) for r in told["results"]})


if __name__ == "__main__":
    unittest.main()
