"""`larder umount --keep-upper`: what was written stays, whole, or the mount does."""

import hashlib
import os
import unittest
from pathlib import Path

from larder_testlib.forget import forget_below
from larder_testlib.origin import Origin
from larder_testlib.sigv4 import Credentials
from larder_testlib.cli_case import mounts_at
from larder_testlib.writable import WritableCase

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")


class Kept(WritableCase):
    def test_what_was_written_can_be_kept(self):
        self.mount()
        (self.point / "new").write_text("new\n")
        (self.path / "full").mkdir()
        self.assert_refused(2, "'full'", "umount", "--keep-upper", "full", "mnt")
        (self.path / "dangling").symlink_to("kept")
        self.assert_refused(2, "'dangling'", "umount", "--keep-upper", "dangling", "mnt")
        self.assert_refused(2, "--keep-upper 'no/where'", "umount", "--keep-upper",
                            "no/where", "mnt")
        self.assertEqual((self.point / "new").read_text(), "new\n")
        self.run_ok("umount", "--keep-upper", "kept", "mnt")
        self.assertEqual(os.listdir(self.path / "kept"), ["new"])
        self.assert_nothing_left()
        self.run_ok("mount", "--key", "a", "./store", "mnt")
        self.assert_refused(2, "--keep-upper", "umount", "--keep-upper", "kept2", "mnt")
        self.run_ok("umount", "mnt")

    def looks(self, top, names):
        """{path: (mode, mtime, content's digest or target)} of these and what is below them,
        without the whiteouts."""
        paths = [path for name in names for path in (top / name, *(top / name).rglob("*"))]
        return {str(path.relative_to(top)): (
            path.lstat().st_mode, path.lstat().st_mtime_ns,
            os.readlink(path) if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None)
            for path in paths if not path.is_char_device()}

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_what_is_kept_is_whole(self):
        """Also what the kernel copied up no content of, since only its mode, owner, links or
        name changed, or a name above it."""
        (self.tree / "lib/to-index").symlink_to("index.js")
        (self.tree / "lib/empty").mkdir()
        for path in (*self.tree.rglob("*"), self.tree):
            os.utime(path, ns=(10**18, 10**18 + 7), follow_symlinks=False)
        self.run_ok("commit", "--key", "wide", "./store", "tree")
        self.mount(key="wide")
        os.chmod(self.point / "big", 0o600)
        os.chown(self.point / "big-too", 5, 5)
        os.link(self.point / "gone", self.point / "again")
        os.rename(self.point / "gone-dir/inner", self.point / "inner")
        os.rename(self.point / "lib", self.point / "moved")
        (self.point / "moved/deep/one").chmod(0o755)
        (self.point / "moved/new").write_text("new\n")
        (self.point / "bin").unlink()
        names = ["again", "big", "big-too", "gone", "inner", "moved"]
        wanted = self.looks(self.point, names)
        self.run_ok("umount", "--keep-upper", "kept", "mnt")
        kept = self.path / "kept"
        self.assertEqual(self.looks(kept, names), wanted)
        self.assertEqual(set(os.listdir(kept)), {*names, "gone-dir", "bin", "lib"})
        for whiteout in ("gone-dir/inner", "bin", "lib"):
            self.assertTrue((kept / whiteout).is_char_device(), whiteout)
        self.assert_nothing_left()

    def assert_not_kept(self, why, file="gone"):
        """A file that had only its mode changed is not handed out without its content."""
        home, = self.homes()
        new = Path(file).with_name("new")
        (self.point / new).write_text("new\n")
        self.assert_refused(1, f"cannot keep '{file}' whole: {why}", "umount",
                            "--keep-upper", "kept", "mnt")
        self.assertFalse((self.path / "kept").exists())
        self.assertEqual((home / "upper" / new).read_text(), "new\n")
        self.assertEqual(len(mounts_at(self.point)), 1)
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_what_is_out_of_reach_is_not_kept(self):
        self.mount()
        (self.point / "new").touch()
        os.chmod(self.point / "gone", 0o600)
        self.kill_daemon()
        self.assert_not_kept("Transport endpoint is not connected")

    def publish_below(self, top, *words):
        """Mounts so, changes the mode of a file of key "a", which is below top, and publishes
        another version. What of that key is in both comes back."""
        origin = self.enterContext(Origin([CREDENTIALS]))
        store = "s3://the-bucket/w"
        env = origin.env(CREDENTIALS) | {"LARDER_CACHE_DIR": ""}
        same = os.urandom(4 << 20)
        (self.tree / "same").write_bytes(same)
        self.run_ok("commit", "--key", "a", store, "tree", env=env)
        self.run_ok("mount", "--writable", "--upper-dir", ".cache/larder", "--prefetch", "none",
                    *words, store, "mnt", env=env)
        os.chmod(top / "gone", 0o600)
        (self.tree / "gone").write_text("another version's\n")
        self.run_ok("commit", "--force", "--key", "a", store, "tree", env=env)
        return same

    def overwrite_below(self, top, *words):
        """The same, and the mount finds it out."""
        self.assertEqual(self.publish_below(top, *words), (top / "same").read_bytes())
        # so that what was looked up before is looked up again
        forget_below(self.path)

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_another_version_is_not_kept_for_this_one(self):
        self.overwrite_below(self.point, "--key", "a")
        self.assert_not_kept("a key was overwritten in the store meanwhile")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_of_a_whole_store_the_versions_are_remembered(self):
        """Though the mount forgets a key when the kernel forgets its names."""
        self.overwrite_below(self.point / "a")
        self.assert_not_kept("a key was overwritten in the store meanwhile", "a/gone")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_another_version_that_is_found_by_keeping_is_not_kept(self):
        """Nor by who tries once more."""
        self.publish_below(self.point / "a")
        self.forget_keys()
        os.listdir(self.point)  # so that the key is not opened to see that it is there
        for _ in range(2):
            self.assert_refused(1, "cannot keep 'a/gone' whole: a key was overwritten",
                                "umount", "--keep-upper", "kept", "mnt")
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_a_directory_that_was_moved_is_not_kept_as_another_version_has_it(self):
        self.run_ok("mount", "--writable", "./store", "mnt")
        (self.point / "a/gone-dir").rename(self.point / "a/moved")
        (self.tree / "gone-dir/inner").unlink()
        self.run_ok("commit", "--force", "--key", "a", "./store", "tree")
        self.forget_keys()
        for _ in range(2):
            self.assert_refused(1, "cannot keep '.' whole: a key was overwritten", "umount", "--keep-upper",
                                "kept", "mnt")
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_of_a_whole_store_is_kept_what_is_only_referred_to(self):
        self.run_ok("mount", "--writable", "./store", "mnt")
        os.chmod(self.point / "a/gone", 0o600)
        self.forget_keys()
        self.run_ok("umount", "--keep-upper", "kept", "mnt")
        self.assertEqual((self.path / "kept/a/gone").read_text(), "gone\n")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_of_a_whole_store_is_kept_what_lacks_nothing(self):
        self.run_ok("mount", "--writable", "./store", "mnt")
        (self.point / "a/gone").write_text("written\n")
        (self.point / "a/new").write_text("new\n")
        (self.point / "a/bin").unlink()
        self.run_ok("umount", "--keep-upper", "kept", "mnt")
        kept = self.path / "kept"
        self.assertEqual((kept / "a/gone").read_text(), "written\n")
        self.assertEqual(set(os.listdir(kept / "a")), {"bin", "gone", "new"})
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
