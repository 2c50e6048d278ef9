"""The cache folder in the directory that is mounted on, restored to or packed, as the default
is in ~/.cache, which CI jobs cache most of all."""

import os
import subprocess

from larder_testlib import fuse
from larder_testlib.process import forget_mount, note_mount
from larder_testlib.cli_case import mounts_at
from larder_testlib.writable import WritableCase

WITHOUT = r"\A[a-z]+: warning: going on without the chunk cache: '.*/\.cache/larder' is in the "


class CachePlace(WritableCase):
    def setUp(self):
        super().setUp()
        self.point = self.path / ".cache"
        self.point.mkdir(exist_ok=True)
        note_mount(self.point)
        self.addCleanup(forget_mount, self.point)
        self.assertEqual(os.listdir(self.point), [])

    def goes_without(self, *words, **more):
        result = self.cli.run(*words, **more)
        self.assertEqual((result.code, result.err.count("--cache-dir\n")), (0, 1), result)
        self.assertRegex(result.err, WITHOUT)
        return result

    def test_a_miss_leaves_the_directory_empty(self):
        self.goes_without("mount", "--key", "none", "./store", ".cache")
        self.assert_nothing_left()

    def test_a_hit_leaves_the_directory_empty(self):
        for _ in range(2):
            self.goes_without("mount", "--key", "a", "./store", ".cache")
            self.assertEqual(self.contents(self.point), self.contents(self.tree))
            self.run_ok("umount", ".cache")
            self.assert_nothing_left()

    def test_what_is_written_lies_elsewhere(self):
        elsewhere = self.path / "run"
        elsewhere.mkdir()
        self.goes_without("mount", "--writable", "--key", "a", "./store", ".cache",
                          env={"XDG_RUNTIME_DIR": str(elsewhere)})
        self.assertEqual(len(mounts_at(self.point)), 1)
        (self.point / "new").write_text("new\n")
        home, = elsewhere.iterdir()
        self.assertEqual((home / "upper/new").read_text(), "new\n")
        self.run_ok("umount", ".cache")
        self.assertEqual(os.listdir(elsewhere), [])
        self.assert_nothing_left()

    def test_what_is_written_cannot_lie_under_the_mount(self):
        for upper in (".cache", ".cache/upper"):
            self.assert_refused(2, "is in the mountpoint", "mount", "--writable",
                                "--upper-dir", upper, "--key", "a", "./store", ".cache")
            self.assert_nothing_left()

    def test_a_cache_elsewhere_is_used(self):
        self.run_ok("mount", "--key", "a", "--cache-dir", "kept", "./store", ".cache")
        self.assertIn("chunks", os.listdir(self.path / "kept"))
        self.run_ok("umount", ".cache")
        self.assert_nothing_left()

    def test_no_cache_is_published(self):
        self.run_ok("mount", "--key", "a", "./store", "mnt")
        self.contents(self.path / "mnt")
        self.run_ok("umount", "mnt")
        self.assertIn("chunks", os.listdir(self.point / "larder"))
        (self.point / "pip").mkdir()
        (self.point / "pip/wheel").write_text("wheel\n")
        result = self.cli.run("commit", "--key", "b", "./store", ".cache")
        self.assertEqual((result.code, result.err), (0,
            "larder: warning: '.cache/larder' is Larder's cache folder and is left out\n"))
        self.run_ok("restore", "--key", "b", "./store", "out")
        self.assertEqual(list(self.contents(self.path / "out")), ["pip", "pip/wheel"])

    def test_what_is_no_cache_is_published(self):
        """Whatever --cache-dir says."""
        result = self.cli.run("commit", "--key", "b", "--cache-dir", "tree/lib", "./store",
                              "tree")
        self.assertEqual((result.code, result.err), (0, ""))
        self.run_ok("restore", "--key", "b", "./store", "out")
        self.assertEqual(self.contents(self.path / "out"), self.contents(self.tree))

    def test_a_restore_is_not_in_its_own_way(self):
        self.goes_without("restore", "--key", "a", "./store", ".cache")
        self.assertEqual(self.contents(self.point), self.contents(self.tree))

    def test_nor_with_what_a_foreign_archive_becomes(self):
        subprocess.run(["tar", "-czf", "store/b", "-C", "tree", "."], cwd=self.path,
                       check=True)
        self.goes_without("restore", "--key", "b", "./store", ".cache")
        self.assertEqual(self.contents(self.point), self.contents(self.tree))


if __name__ == "__main__":
    fuse.main()
