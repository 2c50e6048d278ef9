"""The generator makes what it promises, and the comparison misses nothing."""

import os
import resource
import shutil
import stat
import unittest

from larder_testlib.compare import compare_trees
from larder_testlib.process import TempDir
from larder_testlib.tree import change_tree, make_tree


def everything(path):
    """(name, lstat) of all entries, by descriptors."""
    return [(name, os.stat(name, dir_fd=fd, follow_symlinks=False))
            for _, directories, files, fd in os.fwalk(os.fsencode(path))
            for name in directories + files]


class TreeTest(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(TempDir())
        self.one, self.two = self.place / "one", self.place / "two"

    def make_two(self, **options):
        seed = make_tree(self.one, **options)
        make_tree(self.two, seed, **options)
        return seed


class Generator(TreeTest):
    def test_the_same_seed_makes_the_same_tree(self):
        seed = self.make_two(entries=400)
        self.assertEqual(compare_trees(self.one, self.two), [])
        make_tree(self.place / "three", seed + 1, entries=400)
        self.assertNotEqual(compare_trees(self.one, self.place / "three"), [])

    def test_it_has_everything(self):
        make_tree(self.one, 1, entries=300, specials=True)
        found = everything(self.one)
        kinds = {stat.S_IFMT(s.st_mode) for _, s in found}
        self.assertEqual(kinds, {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO,
                                 stat.S_IFSOCK})
        files = [s for _, s in found if stat.S_ISREG(s.st_mode)]
        self.assertTrue(any(s.st_size == 0 for s in files))
        self.assertTrue(any(s.st_size > 1 << 20 and s.st_blocks * 512 < s.st_size // 2
                            for s in files))
        self.assertTrue(any(s.st_nlink > 2 for s in files))
        self.assertTrue(any(s.st_mtime_ns % 10**9 for s in files))
        self.assertTrue(any(s.st_mtime_ns > 2**32 * 10**9 for _, s in found))
        self.assertTrue(any(len(name) == 255 for name, _ in found))
        self.assertTrue(any(b"\xff" in name for name, _ in found))
        self.assertGreaterEqual(len({stat.S_IMODE(s.st_mode) for s in files}), 8)
        self.assertGreater(deepest(self.one), 4096)

    def test_number_of_entries(self):
        make_tree(self.one, 1, entries=1000)
        self.assertTrue(1000 <= len(everything(self.one)) <= 1010)

    def test_change(self):
        self.make_two(entries=300, deep=False)
        self.assertGreaterEqual(change_tree(self.two, 5, 0.1), 10)
        self.assertGreaterEqual(len(compare_trees(self.one, self.two)), 10)


def deepest(path):
    """The length of the longest path below a directory."""
    best, stack = 0, [(os.open(path, os.O_RDONLY), 0)]
    while stack:
        fd, length = stack.pop()
        with os.scandir(fd) as entries:
            for entry in entries:
                below = length + 1 + len(os.fsencode(entry.name))
                best = max(best, below)
                if entry.is_dir(follow_symlinks=False):
                    stack.append((os.open(entry.name, os.O_RDONLY, dir_fd=fd), below))
        os.close(fd)
    return best


class Comparison(TreeTest):
    """Each case changes one thing in the second of two equal trees."""

    def setUp(self):
        super().setUp()
        for root in (self.one, self.two):
            (root / "d" / "e").mkdir(parents=True)
            (root / "f").write_bytes(b"content")
            (root / "big").write_bytes(bytes(3 << 20))
            (root / "d" / "g").write_bytes(b"content")
            os.link(root / "f", root / "d" / "link")
            os.symlink("f", root / "s")
            for name in ("f", "big", "s", "d/e", "d/g", "d", "."):
                os.utime(root / name, ns=(5, 5), follow_symlinks=False)
        self.assertEqual(compare_trees(self.one, self.two), [])

    def touch(self):
        for name in ("d/e", "d", "."):
            os.utime(self.two / name, ns=(5, 5))

    def assert_difference(self, *expected, **options):
        self.touch()
        self.assertEqual(sorted(compare_trees(self.one, self.two, **options)),
                         sorted(expected))

    def test_mode(self):
        (self.two / "big").chmod(0o600)
        self.assert_difference("big: mode is '0o600', not '0o644'")

    def test_mode_of_the_root(self):
        self.two.chmod(0o700)
        self.assert_difference(".: mode is '0o700', not '0o755'")
        self.assert_difference(root=False)

    def test_time(self):
        os.utime(self.two / "big", ns=(5, 6))
        self.assert_difference("big: mtime is 6, not 5")
        self.assert_difference(mtime=False)

    def test_content(self):
        with open(self.two / "big", "r+b") as file:
            file.seek(2 << 20)
            file.write(b"\1")
        os.utime(self.two / "big", ns=(5, 5))
        self.assert_difference(f"big: content differs at byte {2 << 20}")
        self.assert_difference(content=False)

    def test_size(self):
        os.truncate(self.two / "big", 3)
        os.utime(self.two / "big", ns=(5, 5))
        self.assert_difference(f"big: size is 3, not {3 << 20}",
                               "big: content differs at byte 3")

    def test_missing_and_surplus(self):
        (self.two / "d" / "g").unlink()
        (self.two / "d" / "new").write_bytes(b"")
        self.assert_difference("d/new: should not exist", "d/g: is missing")

    def test_type(self):
        (self.two / "d" / "e").rmdir()
        os.symlink("nowhere", self.two / "d" / "e")
        self.assertEqual(compare_trees(self.one, self.two)[-1],
                         "d/e: is a symlink, not a directory")

    def test_target(self):
        (self.two / "s").unlink()
        os.symlink("g", self.two / "s")
        os.utime(self.two / "s", ns=(5, 5), follow_symlinks=False)
        self.assert_difference("s: target is b'g', not b'f'")

    def test_split_hard_link(self):
        (self.two / "d" / "link").unlink()
        shutil.copy2(self.two / "f", self.two / "d" / "link")
        self.assert_difference("f: link count is 1, not 2", "d/link: link count is 1, not 2",
                               "f: is not the same file as d/link")

    def test_joined_files(self):
        (self.two / "d" / "g").unlink()
        os.link(self.two / "f", self.two / "d" / "g")
        self.assert_difference("d/g: link count is 3, not 1", "d/link: link count is 3, not 2",
                               "d/link: is the same file as one that it should not be",
                               "f: link count is 3, not 2",
                               "f: is the same file as one that it should not be")

    def test_attributes(self):
        try:
            os.setxattr(self.two / "big", "user.a", b"1")
        except OSError:
            self.skipTest("no user.* attributes here")
        self.assert_difference("big: attributes is {'user.a': b'1'}, not {}")
        self.assert_difference(xattrs=False)

    def test_unreadable_directory(self):
        (self.two / "d" / "e").rmdir()
        (self.two / "d" / "e").write_bytes(b"")
        self.assertIn("d/e: is a file, not a directory", compare_trees(self.one, self.two))

    def test_specials_are_left_out_of_archives(self):
        os.mkfifo(self.one / "fifo")
        os.utime(self.one, ns=(5, 5))
        self.assert_difference()
        self.assert_difference("fifo: is missing", specials=True)
        os.mkfifo(self.two / "fifo")
        self.assert_difference("fifo: a FIFO should not be there")

    def test_more_levels_than_descriptors_allowed_at_first(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        for root in (self.one, self.two):
            fd = os.open(root, os.O_RDONLY)
            for _ in range(300):
                os.mkdir("x", dir_fd=fd)
                below = os.open("x", os.O_RDONLY, dir_fd=fd)
                os.close(fd)
                fd = below
            os.close(fd)
        self.assertEqual(compare_trees(self.one, self.two, mtime=False), [])


if __name__ == "__main__":
    unittest.main()
