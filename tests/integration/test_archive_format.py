"""What is packed is what docs/format.md says, and what other programs make of it.

A random tree is packed by packdir, read by a second implementation of the format, and
listed and unpacked by GNU tar, bsdtar (libarchive) and Python's tarfile.
"""

import os
import re
import stat
import subprocess
import sys
import tarfile
import unittest

from larder_testlib.archive_reader import Archive
from larder_testlib.compare import compare_trees
from larder_testlib.process import TempDir
from larder_testlib.programs import program
from larder_testlib.tree import make_tree

GIB = 1 << 30
UNPACK_BY_PYTHON = """
import sys, tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as tar:
    tar.extractall(sys.argv[1])
"""


def run(*command, locale="C.UTF-8", **options):
    """The standard output of a command that must succeed and have nothing to remark."""
    done = subprocess.run([os.fspath(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False,
                          env={**os.environ, "LC_ALL": locale}, **options)
    if done.returncode or done.stderr:
        raise AssertionError(f"{command}: exit {done.returncode}, {done.stderr.decode()}")
    return done.stdout


def pack(tree, archive, *options):
    """What packdir prints, as a dictionary."""
    out = run(program("packdir"), *options, tree, archive)
    return dict(line.split("=") for line in out.decode().splitlines())


def unescape(text):
    """The names that tar programs print."""
    simple = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f",
              b"v": b"\v", b"\\": b"\\", b" ": b" "}

    def byte(match):
        code = match.group(1)
        return simple[code] if code in simple else bytes([int(code, 8)])

    return re.sub(rb"\\([0-7]{3}|.)", byte, text)


class PackedTree(unittest.TestCase):
    def setUp(self):
        self.place = self.enterContext(TempDir())
        self.tree, self.file = self.place / "tree", self.place / "packed.tar.zst"

    def pack_tree(self, **options):
        make_tree(self.tree, **options)
        self.told = pack(self.tree, self.file)
        return Archive.open(self.file)


class TheFormat(PackedTree):
    def test_every_byte_is_as_specified(self):
        archive = self.pack_tree(entries=500)
        archive.prove()
        self.assertEqual(archive.identity, self.told["identity"])
        self.assertEqual(len(archive.entries), int(self.told["entries"]))
        self.assertEqual(os.path.getsize(self.file), int(self.told["stored"]))

    def test_owners_and_fixed_times(self):
        make_tree(self.tree, entries=100, deep=False)
        if os.geteuid() == 0:
            os.chown(self.tree, 2097152, 3)
        os.chmod(self.tree, 0o2755)
        pack(self.tree, self.file, "-o", "-m", "1234567890")
        archive = Archive.open(self.file)
        archive.prove()
        self.assertTrue(archive.has_owners)
        root = archive.entries[0]
        there = os.stat(self.tree)
        self.assertEqual((root.uid, root.gid), (there.st_uid, there.st_gid))
        self.assertEqual({(e.mtime_s, e.mtime_ns) for e in archive.entries},
                         {(1234567890, 0)})

    def test_the_index_is_the_tree(self):
        archive = self.pack_tree(entries=500)
        found = {b"": os.stat(self.tree)}
        inodes = {}
        for place, directories, files, fd in os.fwalk(os.fsencode(self.tree)):
            place = place[len(os.fsencode(self.tree)) + 1:]
            for name in directories + files:
                path = os.path.join(place, name)
                found[path] = os.stat(name, dir_fd=fd, follow_symlinks=False)
                inodes.setdefault(found[path].st_ino, set()).add(path)
                entry = archive.entry(path)
                if entry.is_symlink:
                    self.assertEqual(entry.target, os.readlink(name, dir_fd=fd))
        self.assertEqual(set(found), {archive.path(e) for e in archive.entries})
        for path, there in found.items():
            self.compare_entry(archive, archive.entry(path), there)
        self.compare_links(archive, inodes, found)

    def compare_entry(self, archive, entry, there):
        path = archive.path(entry)
        mode = there.st_mode
        if not stat.S_ISDIR(mode):
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
            self.assertEqual(archive.nlink(entry), there.st_nlink, path)
            self.assertEqual(entry.size, there.st_size, path)
        self.assertEqual(entry.mode, mode, path)
        self.assertEqual(entry.mtime_s * 10**9 + entry.mtime_ns, there.st_mtime_ns, path)

    def compare_links(self, archive, inodes, found):
        groups = {}
        for entry in archive.entries:
            first = entry.number if entry.primary is None else entry.primary
            if not entry.is_directory:
                groups.setdefault(first, set()).add(archive.path(entry))
        self.assertEqual(sorted(map(sorted, groups.values())),
                         sorted(sorted(paths) for paths in inodes.values()
                                if not stat.S_ISDIR(found[min(paths)].st_mode)))

    def test_any_number_of_threads_writes_the_same_bytes(self):
        make_tree(self.tree, entries=2000, big=5 << 20)
        told = pack(self.tree, self.file, "-t", "1")
        first = self.file.read_bytes()
        for threads in (2, 3, 11):
            self.assertEqual(pack(self.tree, self.file, "-t", str(threads)), told)
            self.assertEqual(self.file.read_bytes(), first)

    def test_what_is_no_file_is_warned_of_and_left_out(self):
        make_tree(self.tree, entries=50, specials=True)
        done = subprocess.run([program("packdir"), self.tree, self.file],
                              capture_output=True, check=True)
        self.assertEqual(len(done.stderr.splitlines()), 2)
        self.assertIn(b"is a socket and is left out", done.stderr)
        self.assertIn(b"is a FIFO and is left out", done.stderr)
        self.assertIn(b"left-out=2\n", done.stdout)
        Archive.open(self.file).prove()

    def test_excluded(self):
        make_tree(self.tree, entries=50)
        (self.tree / "build").mkdir()
        (self.tree / "build" / "x.o").write_bytes(b"1")
        (self.tree / "x.o").write_bytes(b"1")
        pack(self.tree, self.file, "-x", "*.o", "-x", "/build/")
        archive = Archive.open(self.file)
        archive.prove()
        for path in (b"build", b"x.o"):
            self.assertRaises(KeyError, archive.entry, path)


class OtherPrograms(PackedTree):
    def test_zstd_accepts_it(self):
        archive = self.pack_tree(entries=100)
        run("zstd", "-q", "-t", self.file)
        tar = run("zstd", "-q", "-d", "-c", self.file)
        self.assertEqual(len(tar), archive.tar_size)
        self.assertEqual(tar, archive.seekable.read(0, archive.seekable.size))

    def test_all_list_the_same_names_in_any_locale(self):
        archive = self.pack_tree(entries=300)
        wanted = [archive.path(e) + (b"/" if e.is_directory else b"")
                  for e in archive.in_tar_order()]
        wanted[0] = b"./"
        for locale in ("C", "C.UTF-8"):
            for tool in (["tar", "--quoting-style=escape"], ["bsdtar"]):
                listed = run(*tool, "-tf", self.file, locale=locale).splitlines()
                self.assertEqual([unescape(name) for name in listed], wanted, tool)

    def test_tarfile_sees_what_the_index_says(self):
        archive = self.pack_tree(entries=300)
        unzstd = subprocess.Popen(["zstd", "-q", "-d", "-c", self.file],
                                  stdout=subprocess.PIPE)
        with unzstd, tarfile.open(fileobj=unzstd.stdout, mode="r|") as tar:
            for entry, member in zip(archive.in_tar_order(), tar, strict=True):
                self.compare_member(archive, entry, member)
        self.assertEqual(unzstd.returncode, 0)

    def compare_member(self, archive, entry, member):
        path = archive.path(entry)
        self.assertEqual(os.path.normpath(os.fsencode(member.name)), path or b".")
        self.assertEqual(member.mode, stat.S_IMODE(entry.mode), path)
        if entry.primary is not None:
            self.assertTrue(member.islnk(), path)
            self.assertEqual(os.fsencode(member.linkname),
                             archive.path(archive.entries[entry.primary]))
            return
        self.assertEqual((member.isfile(), member.isdir(), member.issym()),
                         (entry.is_file, entry.is_directory, entry.is_symlink), path)
        self.assertEqual(member.size, entry.size if entry.is_file else 0, path)
        self.assertAlmostEqual(member.mtime, entry.mtime_s + entry.mtime_ns / 10**9, places=5)
        if entry.is_symlink:
            self.assertEqual(os.fsencode(member.linkname), entry.target)
        if entry.is_file:
            self.assertEqual(member.offset_data, entry.place, path)

    def unpack(self, *command, locale="C.UTF-8", **options):
        """Unpacks into a fresh directory and returns it."""
        out = self.place / f"out-{len(list(self.place.iterdir()))}"
        out.mkdir()
        run(*command, out, locale=locale, **options)
        return out

    def test_gnu_tar_unpacks_the_tree(self):
        self.pack_tree(entries=400, deep=False)
        for locale in ("C", "C.UTF-8"):
            out = self.unpack("tar", "--zstd", "--warning=no-timestamp", "--xattrs",
                              "--xattrs-include=user.*", "-xpf", self.file, "-C",
                              locale=locale)
            self.assertEqual(compare_trees(self.tree, out), [])

    def test_bsdtar_unpacks_the_tree(self):
        """But for the times of a directory that was there before."""
        self.pack_tree(entries=400, deep=False)
        for locale in ("C", "C.UTF-8"):
            out = self.unpack("bsdtar", "-xpf", self.file, "-C", locale=locale)
            self.assertEqual(compare_trees(self.tree, out, root=False), [])

    def test_python_unpacks_the_tree(self):
        """But for attributes, and as well as it can tell times."""
        self.pack_tree(entries=400, deep=False)
        tar = run("zstd", "-q", "-d", "-c", self.file)
        for locale in ("C", "C.UTF-8"):
            out = self.unpack(sys.executable, "-c", UNPACK_BY_PYTHON, input=tar, locale=locale)
            self.assertEqual(compare_trees(self.tree, out, mtime=False, xattrs=False), [])


class Extremes(PackedTree):
    def sparse(self, name, size, **writes):
        with open(self.tree / name, "wb") as file:
            file.truncate(size)
            for at, text in writes.items():
                os.pwrite(file.fileno(), text, int(at[1:]))

    def test_a_file_larger_than_4_gib(self):
        self.tree.mkdir()
        size = 4 * GIB + 5
        self.sparse("large", size, _0=b"first", **{f"_{size - 4}": b"last"})
        (self.tree / "small").write_bytes(b"behind it")
        pack(self.tree, self.file)
        self.assertLess(os.path.getsize(self.file), 4 << 20)
        archive = Archive.open(self.file)
        archive.prove(contents=False)
        large = archive.entry(b"large")
        self.assertEqual(large.size, size)
        read = archive.seekable.read
        self.assertEqual(read(large.place, 6), b"first\0")
        self.assertEqual(read(large.place + size - 5, 6), b"\0last\0")
        self.assertEqual(archive.content(archive.entry(b"small")), b"behind it")
        for tool in ("tar", "bsdtar"):
            listed = run(tool, "-tvf", self.file)
            self.assertIn(b" %d " % size, listed)
            self.assertIn(b" small\n", listed)

    def deep_directory(self):
        """A descriptor of the last directory of a path past PATH_MAX."""
        self.tree.mkdir()
        fd = os.open(self.tree, os.O_RDONLY)
        for level in range(20):
            os.mkdir("d" * 250, dir_fd=fd)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        return fd

    def test_deep_files_come_out_of_bsdtar(self):
        """But not their directories' times, as docs/format.md remarks."""
        fd = self.deep_directory()
        with os.fdopen(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
            file.write(b"very deep")
        os.symlink("target", "link", dir_fd=fd)
        os.close(fd)
        pack(self.tree, self.file)
        Archive.open(self.file).prove()
        out = self.place / "out"
        out.mkdir()
        subprocess.run(["bsdtar", "-xf", self.file, "-C", out], check=False,
                       stderr=subprocess.DEVNULL)
        self.assertEqual(compare_trees(self.tree, out, mtime=False, root=False), [])

    def test_times_before_1970(self):
        """bsdtar cannot tell their fractions: whole seconds only."""
        self.tree.mkdir()
        for name, time in (("whole", -5 * 10**9), ("fraction", -1_250_000_000)):
            (self.tree / name).write_bytes(b"")
            os.utime(self.tree / name, ns=(time, time))
        pack(self.tree, self.file)
        Archive.open(self.file).prove()
        out = self.place / "out"
        out.mkdir()
        run("tar", "--warning=no-timestamp", "-xf", self.file, "-C", out)
        self.assertEqual(compare_trees(self.tree, out), [])
        self.assertEqual((out / "fraction").stat().st_mtime_ns, -1_250_000_000)

    def test_attributes_with_equals_signs(self):
        self.tree.mkdir()
        try:
            os.setxattr(self.tree, "user.a=b%c", b"new\nline\0zero")
        except OSError:
            self.skipTest("no user.* attributes here")
        pack(self.tree, self.file)
        Archive.open(self.file).prove()
        out = self.place / "out"
        out.mkdir()
        run("tar", "--xattrs", "--xattrs-include=user.*", "-xf", self.file, "-C", out)
        self.assertEqual(compare_trees(self.tree, out), [])

    def test_a_directory_of_nothing(self):
        self.tree.mkdir()
        pack(self.tree, self.file)
        archive = Archive.open(self.file)
        archive.prove()
        self.assertEqual(len(archive.entries), 1)
        self.assertEqual(run("tar", "-tf", self.file), b"./\n")

    def test_hard_links_to_a_symlink(self):
        self.tree.mkdir()
        os.symlink("nowhere", self.tree / "a")
        os.link(self.tree / "a", self.tree / "b", follow_symlinks=False)
        pack(self.tree, self.file)
        archive = Archive.open(self.file)
        archive.prove()
        self.assertEqual(archive.entry(b"b").primary, archive.entry(b"a").number)
        for tool in ("tar", "bsdtar"):
            out = self.place / tool
            out.mkdir()
            run(tool, "-xpf", self.file, "-C", out)
            self.assertEqual(compare_trees(self.tree, out, root=False), [])


if __name__ == "__main__":
    unittest.main()
