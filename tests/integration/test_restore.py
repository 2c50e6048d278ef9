"""`larder restore` while the key changes under it: started anew, at most --retries times,
whole or not at all; and only what is missing is fetched."""

import json
import os
import queue
import shutil
import signal
import subprocess
import unittest

from larder_testlib.cli import Cli
from larder_testlib.compare import compare_trees
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("AKIDLARDERTEST", "what-nobody-may-see")
BUCKET = "bucket"


class Restless(Origin):
    """An origin that does something just before it answers who has pinned the newest
    version of the key: before_frames(), so many `times`."""

    before_frames, times = None, 0

    def answer(self, request):
        newest = self.stored(BUCKET, "k")
        if request.method == "GET" and self.times and newest and \
                request.header("if-match") == newest.etag:
            self.times -= 1
            self.before_frames()
        return super().answer(request)


class Restore(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.origin = self.enterContext(Restless([KEYS]))
        self.cli = Cli(self.home, self.origin.env(KEYS))
        self.trees = [self.tree(f"tree-{number}") for number in range(2)]
        for number, tree in enumerate(self.trees):
            self.larder(0, "commit", "--key", f"version-{number}", f"s3://{BUCKET}", tree)
        self.versions = [self.origin.stored(BUCKET, f"version-{number}")
                         for number in range(2)]
        self.overwritten = 0
        self.overwrite()
        self.out = self.home / "out"

    def tree(self, name):
        """Larger than what the first answer brings, so that frames are asked for."""
        top = self.home / name
        for number in range(8):
            (top / str(number)).mkdir(parents=True)
            (top / str(number) / "noise").write_bytes(os.urandom(1 << 20))
        return top

    def larder(self, code, *words, **how):
        result = self.cli.run(*words, **how)
        self.assertEqual(result.code, code, result)
        return result

    def overwrite(self):
        version = self.versions[self.overwritten % 2]
        self.origin.put(BUCKET, "k", version.body, version.headers)
        self.origin.touch(BUCKET, "k")
        self.overwritten += 1

    def restore(self, code, *words):
        return self.larder(code, "restore", "--json", "--cache-dir", "", "--key", "k", *words,
                           f"s3://{BUCKET}", self.out)

    def meanwhile(self, act, times=1):
        self.origin.before_frames, self.origin.times = act, times

    def left(self):
        return sorted(path.name for path in self.home.iterdir()
                      if not path.name.startswith((".", "tree-")))

    def test_overwritten_meanwhile_the_new_version_is_restored(self):
        self.meanwhile(self.overwrite)
        result = self.restore(0)
        self.assertIn("'k' was overwritten", result.err)
        self.assertEqual(compare_trees(self.trees[1], self.out), [])

    def test_three_times_unless_said_otherwise(self):
        for retries, words in ((3, []), (1, ["--retries", "1"]), (0, ["--retries", "0"])):
            for more, code in ((0, 0), (1, 1)):
                with self.subTest(retries=retries, more=more):
                    self.overwritten = 0
                    self.overwrite()
                    self.meanwhile(self.overwrite, retries + more)
                    result = self.restore(code, *words)
                    self.assertEqual(result.err.count("was overwritten; restoring"), retries)
                    if code:
                        self.assertEqual(self.left(), [])
                        continue
                    self.assertEqual(compare_trees(self.trees[retries % 2], self.out), [])
                    shutil.rmtree(self.out)

    def test_a_failure_leaves_an_empty_target_empty(self):
        self.out.mkdir(mode=0o750)
        self.meanwhile(self.overwrite, 2)
        self.restore(1, "--retries", "1")
        self.assertEqual(self.left(), ["out"])
        self.assertEqual(os.listdir(self.out), [])
        self.assertEqual(self.out.stat().st_mode & 0o7777, 0o750)

    def test_the_same_content_again_is_not_noticed(self):
        self.meanwhile(lambda: self.origin.touch(BUCKET, "k"), 3)
        result = self.restore(0)
        self.assertEqual(result.err, "")
        self.assertEqual(compare_trees(self.trees[0], self.out), [])

    def test_a_key_that_vanishes_is_a_failure(self):
        self.meanwhile(lambda: self.origin.remove(BUCKET, "k"))
        self.restore(1)
        self.assertEqual(self.left(), [])

    def test_within_the_target_nothing_of_others_is_replaced(self):
        """A failure, not "already published", whatever rename(2) says."""
        self.out.mkdir()
        self.meanwhile(lambda: (self.out / "3").write_text("mine"))
        result = self.larder(1, "restore", "--cache-dir", "", "--key", "k", f"s3://{BUCKET}",
                             ".", cwd=self.out)
        self.assertIn("cannot move '3' into '.': File exists", result.err)
        self.assertEqual(os.listdir(self.out), ["3"])
        self.assertEqual((self.out / "3").read_text(), "mine")

    def killed(self, target, cwd):
        """A restore that SIGKILL has met when its tree was begun; what lies in `cwd` then."""
        started = queue.Queue()
        self.meanwhile(lambda: started.get(timeout=60).kill())
        child = self.cli.start("restore", "--cache-dir", "", "--key", "k", f"s3://{BUCKET}",
                               target, cwd=cwd, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        started.put(child)
        self.assertEqual(child.wait(60), -signal.SIGKILL)
        return os.listdir(cwd)

    def test_what_a_killed_one_left_within_the_target_is_removed(self):
        """A volume, which the next container finds as the killed one left it."""
        self.out.mkdir()
        for _ in range(2):
            self.assertRegex(" ".join(self.killed(".", self.out)), r"\A\.larder-[0-9a-f]{8}\Z")
        self.larder(0, "restore", "--cache-dir", "", "--key", "k", f"s3://{BUCKET}", ".",
                    cwd=self.out)
        self.assertEqual(compare_trees(self.trees[0], self.out), [])

    def test_what_a_killed_one_left_beside_the_target_is_removed(self):
        there = self.home / "there"
        there.mkdir()
        for _ in range(2):
            self.assertRegex(" ".join(self.killed("out", there)),
                             r"\A\.out\.larder-[0-9a-f]{8}\Z")
        self.larder(0, "restore", "--cache-dir", "", "--key", "k", f"s3://{BUCKET}", "out",
                    cwd=there)
        self.assertEqual(os.listdir(there), ["out"])
        self.assertEqual(compare_trees(self.trees[0], there / "out"), [])

    def test_what_was_half_moved_up_stays(self):
        """Whose it is nobody can tell; nothing is touched in a directory that is refused."""
        (self.out / ".larder-0123abcd" / "1").mkdir(parents=True)
        (self.out / "0").mkdir()
        result = self.larder(2, "restore", "--key", "k", f"s3://{BUCKET}", ".", cwd=self.out)
        self.assertIn("it is not empty", result.err)
        self.assertEqual(sorted(os.listdir(self.out)), [".larder-0123abcd", "0"])
        self.assertEqual(os.listdir(self.out / ".larder-0123abcd"), ["1"])

    def test_files_are_counted_as_a_commit_counts_them(self):
        tree = self.home / "tree-links"
        tree.mkdir()
        for name in ("a", "b"):
            (tree / name).write_text(name)
        os.link(tree / "a", tree / "c")
        (tree / "d").symlink_to("a")
        words = ["--json", "--key", "links", f"s3://{BUCKET}"]
        packed = json.loads(self.larder(0, "commit", *words, tree).out)
        unpacked = json.loads(self.larder(0, "restore", *words, self.out).out)
        self.assertEqual((packed["files"], unpacked["files"]), (3, 3))
        self.assertEqual((packed["content_bytes"], unpacked["content_bytes"]), (2, 2))

    def test_only_what_the_cache_lacks_is_fetched(self):
        def restore(key, target):
            result = self.larder(0, "restore", "--json", "--key", key, f"s3://{BUCKET}",
                                 self.home / target)
            return json.loads(result.out)
        whole = restore("version-0", "one")
        self.assertGreater(whole["fetched_bytes"], 8 << 20)
        (self.trees[0] / "3" / "noise").write_bytes(os.urandom(1 << 20))
        self.larder(0, "commit", "--key", "next", f"s3://{BUCKET}", self.trees[0])
        part = restore("next", "two")
        self.assertGreaterEqual(part["fetched_bytes"], 1 << 20)
        self.assertLess(part["fetched_bytes"], 2 << 20)
        self.assertEqual(compare_trees(self.trees[0], self.home / "two"), [])


if __name__ == "__main__":
    unittest.main()
