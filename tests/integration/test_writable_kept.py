"""`larder umount --keep-upper`: what was written stays, whole, or the mount does."""

import hashlib
import os
import shutil
import unittest
from pathlib import Path

from larder_testlib.origin import Origin
from larder_testlib.sigv4 import Credentials
from larder_testlib.writable import WritableCase, mounts_at

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

    def assert_not_kept(self, why):
        """A file that had only its mode changed is not handed out without its content."""
        home, = self.homes()
        (self.point / "new").write_text("new\n")
        self.assert_refused(1, f"cannot keep 'gone' whole: {why}", "umount", "--keep-upper",
                            "kept", "mnt")
        self.assertFalse((self.path / "kept").exists())
        self.assertEqual((home / "upper/new").read_text(), "new\n")
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

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_another_version_is_not_kept_for_this_one(self):
        origin = self.enterContext(Origin([CREDENTIALS]))
        store = "s3://the-bucket/w"
        env = origin.env(CREDENTIALS) | {"LARDER_CACHE_DIR": ""}
        same = os.urandom(4 << 20)
        (self.tree / "same").write_bytes(same)
        self.run_ok("commit", "--key", "a", store, "tree", env=env)
        self.run_ok("mount", "--writable", "--upper-dir", ".cache/larder", "--prefetch", "none",
                    "--key", "a", store, "mnt", env=env)
        os.chmod(self.point / "gone", 0o600)
        (self.tree / "gone").write_text("another version's\n")
        self.run_ok("commit", "--force", "--key", "a", store, "tree", env=env)
        self.assertEqual((self.point / "same").read_bytes(), same)  # it is found out here
        # so that what was looked up before is looked up again
        Path("/proc/sys/vm/drop_caches").write_text("2")
        self.assert_not_kept("its key was overwritten in the store meanwhile")


if __name__ == "__main__":
    unittest.main()
