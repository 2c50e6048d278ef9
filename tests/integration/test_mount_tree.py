"""A mounted key is the tree that was committed: every byte and every attribute."""

import errno
import hashlib
import os
import subprocess
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.compare import compare_trees
from larder_testlib.mount import Mount, larder
from larder_testlib.process import TempDir
from larder_testlib.tree import make_tree


class MountedTree(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.tree = self.home / "tree"
        self.store = self.home / "store"

    def commit(self, key="k", *words):
        larder("commit", "--key", key, *words, self.store, self.tree)

    def mount(self, *words, key="k", **more):
        return self.enterContext(Mount(self.store, *words, key=key, **more))

    def assert_equal_trees(self, mount, **options):
        self.assertEqual(compare_trees(self.tree, mount.path, **options), [])

    def test_names_of_one_file_are_read_where_they_are_listed(self):
        """What a listing knows is fed to the kernel, but never what is being read."""
        (self.tree / "dir").mkdir(parents=True)
        (self.tree / "dir" / "a").write_text("one\n")
        for name in "dir/b", "dir/c", "top":
            os.link(self.tree / "dir" / "a", self.tree / name)
        (self.tree / "dir" / "d").write_text("two\n")
        self.commit()
        mount = self.mount()
        read = subprocess.run(
            ["sh", "-c", "ls -lR . >/dev/null; cat dir/b dir/d dir/a top"], timeout=20,
            cwd=mount.path, capture_output=True, text=True, check=True)
        self.assertEqual(read.stdout, "one\ntwo\none\none\n")

    def test_random_trees(self):
        for _ in range(3):
            with TempDir() as home:
                self.tree, self.store = home / "tree", home / "store"
                seed = make_tree(self.tree)
                self.commit()
                with Mount(self.store, key="k") as mount, self.subTest(seed=seed):
                    self.assert_equal_trees(mount)
                    self.assert_equal_trees(mount)  # from the kernel's memory
                    again = home / "again"
                    larder("commit", "--key", "k", again, mount.path)
                self.assertEqual((again / "k").read_bytes(), (self.store / "k").read_bytes())

    def test_owners(self):
        make_tree(self.tree, 1, entries=50)
        for at, _, names in os.walk(self.tree):
            for number, name in enumerate(names):
                os.lchown(os.path.join(at, name), 1000 + number, 2000)
        self.commit("kept", "--preserve-owner")
        self.commit("dropped")
        with Mount(self.store, "--preserve-owner", key="kept") as mount:
            self.assert_equal_trees(mount, owner=True)
        with Mount(self.store, "--uid=77", "--gid=88", key="kept") as mount:
            for at, _, names in os.walk(mount.path):
                for name in names:
                    status = os.lstat(os.path.join(at, name))
                    self.assertEqual((status.st_uid, status.st_gid), (77, 88))
        with Mount(self.store, "--preserve-owner", key="dropped") as mount:
            self.assertEqual(os.stat(mount.path).st_uid, os.getuid())

    def test_what_stat_and_statfs_say(self):
        self.tree.mkdir()
        (self.tree / "file").write_bytes(b"x" * 1000)
        os.link(self.tree / "file", self.tree / "link")
        (self.tree / "dir").mkdir()
        self.commit()
        mount = self.mount()
        file, link = os.stat(mount.path / "file"), os.stat(mount.path / "link")
        self.assertEqual((file.st_ino, file.st_nlink, file.st_blocks), (link.st_ino, 2, 2))
        self.assertEqual(os.stat(mount.path).st_ino, 1)
        self.assertEqual(os.stat(mount.path / "dir").st_nlink, 1)
        self.assertNotEqual(os.stat(mount.path / "dir").st_ino, file.st_ino)
        inodes = {entry.name: entry.inode() for entry in os.scandir(mount.path)}
        self.assertEqual(inodes["link"], file.st_ino)
        space = os.statvfs(mount.path)
        self.assertEqual((space.f_bfree, space.f_files, space.f_namemax), (0, 4, 255))
        self.assertGreater(space.f_blocks, 0)

    def test_it_is_read_only(self):
        self.tree.mkdir()
        (self.tree / "file").write_text("x")
        self.commit()
        mount = self.mount()
        for act in (lambda: open(mount.path / "file", "r+b"),
                    lambda: open(mount.path / "new", "wb"),
                    lambda: os.mkdir(mount.path / "new"),
                    lambda: os.unlink(mount.path / "file"),
                    lambda: os.chmod(mount.path / "file", 0o600),
                    lambda: os.setxattr(mount.path / "file", "user.x", b"")):
            with self.assertRaises(OSError) as caught:
                act()
            self.assertEqual(caught.exception.errno, errno.EROFS)

    def test_xattrs(self):
        self.tree.mkdir()
        (self.tree / "file").write_text("x")
        os.setxattr(self.tree / "file", "user.one", b"1" * 500)
        os.setxattr(self.tree, "user.top", b"of the tree")
        self.commit()
        mount = self.mount()
        self.assertEqual(os.listxattr(mount.path / "file"), ["user.one"])
        self.assertEqual(os.getxattr(mount.path / "file", "user.one"), b"1" * 500)
        self.assertEqual(os.listxattr(mount.path), ["user.top"])
        self.assertEqual(os.getxattr(mount.path, "user.top"), b"of the tree")
        for path, name in ((mount.path / "file", "user.two"), (mount.path, "user.one"),
                           (mount.path / "file", "user.larder.status")):
            with self.assertRaises(OSError) as caught:
                os.getxattr(path, name)
            self.assertEqual(caught.exception.errno, errno.ENODATA)

    def test_programs_run_from_it(self):
        self.tree.mkdir()
        (self.tree / "script").write_text("#!/bin/sh\nexec ./copy -n hello\n")
        (self.tree / "copy").write_bytes(Path("/bin/echo").read_bytes())
        for name in ("script", "copy"):
            (self.tree / name).chmod(0o755)
        self.commit()
        mount = self.mount()
        said = subprocess.run(["./script"], cwd=mount.path, stdout=subprocess.PIPE, check=True)
        self.assertEqual(said.stdout, b"hello")

    def test_every_way_of_reading_a_large_file(self):
        self.tree.mkdir()
        content = os.urandom(5 << 20) + b"y" * 3_333_333
        (self.tree / "large").write_bytes(content)
        self.commit()
        mount = self.mount()
        path = mount.path / "large"
        with open(path, "rb", buffering=0) as file:
            for offset, length in ((0, 1), (1_000_000, 3), (len(content) - 1, 10),
                                   (len(content), 10), ((1 << 20) - 5, 10), (4095, 2)):
                self.assertEqual(os.pread(file.fileno(), length, offset),
                                 content[offset:offset + length])
        got = subprocess.run(["dd", f"if={path}", "bs=1M", "iflag=direct", "status=none"],
                             stdout=subprocess.PIPE, check=True)
        self.assertEqual(hashlib.sha256(got.stdout).digest(),
                         hashlib.sha256(content).digest())
        self.assertEqual(path.read_bytes(), content)

    def test_many_names_in_one_directory(self):
        names = [f"{number:05}-{'n' * (number % 200)}" for number in range(5000)]
        (self.tree / "many").mkdir(parents=True)
        for name in names:
            (self.tree / "many" / name).touch()
        self.commit()
        mount = self.mount()
        for _ in range(2):
            self.assertEqual(sorted(os.listdir(mount.path / "many")), sorted(names))
        self.assertEqual(sorted(os.listdir(mount.path)), ["many"])
        # a position taken in the middle leads back there
        handle = os.open(mount.path / "many", os.O_RDONLY)
        self.addCleanup(os.close, handle)
        self.assertEqual(len(os.listdir(handle)), 5000)
        self.assertEqual(len(os.listdir(handle)), 5000)

    def test_other_users(self):
        self.tree.mkdir()
        (self.tree / "open").write_text("for all")
        (self.tree / "closed").write_text("for one")
        (self.tree / "closed").chmod(0o600)
        self.tree.chmod(0o755)
        self.commit()
        self.home.chmod(0o755)

        def as_nobody(path):
            return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534",
                                   "--clear-groups", "cat", path], capture_output=True,
                                  check=False)
        with Mount(self.store, key="k") as mount:
            self.assertNotEqual(as_nobody(mount.path / "open").returncode, 0)
        with Mount(self.store, "--allow-other", key="k") as mount:
            self.assertEqual(as_nobody(mount.path / "open").stdout, b"for all")
            self.assertIn(b"Permission denied", as_nobody(mount.path / "closed").stderr)


if __name__ == "__main__":
    fuse.main()
