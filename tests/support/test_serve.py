"""tests/support/serve tells people where a server is, what it lacks, and what they left."""

import os
import re
import subprocess
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.process import TempDir, forget_mount, note_mount
from larder_testlib.programs import program

SERVE = Path(__file__).resolve().parent / "serve"


class Serve(unittest.TestCase):
    def serve(self, *words, **env):
        return subprocess.run([SERVE, *words], env=os.environ | env, timeout=60,
                              capture_output=True, text=True, check=False)

    def test_it_tells_where_and_passes_the_status_on(self):
        done = self.serve("nginx", "--", "sh", "-c", "echo $SERVER_ENDPOINT; exit 3")
        self.assertEqual(done.returncode, 3, done)
        endpoint = re.escape(done.stdout.strip())
        self.assertRegex(done.stderr, rf"^serve: nginx serves at {endpoint}; ")
        self.assertEqual(done.stderr.count("\n"), 1, done)

    def test_what_is_missing_is_named_in_one_line(self):
        with TempDir() as few:
            (few / "rm").symlink_to("/usr/bin/rm")
            done = self.serve("rgw", "--", "true", PATH=str(few))
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, r"\Aserve: '\S+' is missing here: .* radosgw .*\n\Z")

    def test_what_is_left_mounted_is_told(self):
        larder = program("larder")
        with TempDir() as home:
            for name in ("store", "mnt"):
                (home / name).mkdir()
            note_mount(home / "mnt")
            done = self.serve("nginx", "--", larder, "mount", "--cache-dir=",
                              home / "store", home / "mnt")
            self.assertEqual(done.returncode, 0, done)
            self.assertIn(f"'{home}/mnt' is still mounted", done.stderr)
            subprocess.run([larder, "umount", home / "mnt"], check=True)
            forget_mount(home / "mnt")


if __name__ == "__main__":
    fuse.main()
