"""Tarballs and zips of other programs: restored, listed and mounted as these unpack them."""

import errno
import io
import json
import os
import shutil
import struct
import subprocess
import tarfile
import time
import unittest
import zipfile

from larder_testlib.compare import compare_trees
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.mount import Mount, environment, larder
from larder_testlib.process import TempDir
from larder_testlib.rgw import Rgw
from larder_testlib.tree import make_tree

SEED = int(os.environ.get("LARDER_SEED", "7"))


def run(*argv, cwd=None, stdin=None):
    done = subprocess.run([os.fspath(word) for word in argv], cwd=cwd, input=stdin,
                          env=environment({"PATH": os.environ["PATH"]}),
                          capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"{argv}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def drop_odd_names(tree):
    """Removes what zip cannot say: names that are not of letters as all programs know them."""
    for path in sorted(tree.rglob("*"), key=lambda path: -len(path.parts)):
        if os.path.lexists(path) and (
                not path.name.isascii() or not path.name.isprintable() or "\\" in path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


class Foreign(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rgw = cls.enterClassContext(Rgw())
        cls.scratch = cls.enterClassContext(TempDir("larder-foreign-"))
        cls.source = cls.scratch / "source"
        # Sockets are no matter for these tools; paths past PATH_MAX stop some of them.
        make_tree(cls.source, SEED, deep=False, sparse=4 << 20)

    def setUp(self):
        self.place = self.enterContext(TempDir("larder-foreign-"))
        self.cache = self.place / "cache"
        self.bucket = self.rgw.make_bucket()
        self.proxy = self.enterContext(FaultProxy(self.rgw.endpoint))
        self.store = f"s3://{self.bucket}"
        self.env = self.rgw.env(self.proxy.endpoint)
        self.env["LARDER_CACHE_DIR"] = str(self.cache)

    def put(self, key, path):
        self.rgw.client().put(self.bucket, key, path.read_bytes())

    def requests(self):
        return self.proxy.stats()["requests"]

    def mounted(self, key, *options):
        return Mount(self.store, *options, key=key, env=self.env, cache=self.cache)

    def check(self, key, expected, **how):
        """Restored, mounted and mounted again: what the ordinary tool made of it."""
        restored = self.place / "restored"
        larder("restore", "--key", key, self.store, restored, env=self.env)
        self.assertEqual(compare_trees(expected, restored, **how), [])
        for _ in range(2):
            before = self.requests()
            with self.mounted(key) as mount:
                self.assertEqual(compare_trees(expected, mount.path, **how), [])
            self.assertEqual(self.requests() - before, 1)
        listed = json.loads(larder("ls", "--json", "--key", key, self.store,
                                   env=self.env).out)
        names = [entry["name"] for entry in listed]
        self.assertEqual(len(names), len(os.listdir(expected)))
        for name in os.listdir(expected):
            if "\udc80" > max(name):  # JSON has no words for what is no UTF-8
                self.assertIn(name, names)
        larder("verify", "--key", key, self.store, env=self.env)

    def packed(self, name, *compress):
        path = self.place / name
        run("tar", "--xattrs", "-C", self.source, "-cf", path, *compress, ".")
        unpacked = self.place / "unpacked"
        unpacked.mkdir()
        run("tar", "--xattrs", "-C", unpacked, "-xpf", path, *compress)
        self.put(name, path)
        return unpacked

    def test_tar_gz(self):
        self.check("k.tar.gz", self.packed("k.tar.gz", "-z"))

    def test_tar_xz(self):
        self.check("k.tar.xz", self.packed("k.tar.xz", "-J"))

    def test_tar_lz4(self):
        self.check("k.tar.lz4", self.packed("k.tar.lz4", "--use-compress-program=lz4"))

    def test_small_tar(self):
        self.check("k.tar", self.packed("k.tar"))

    def test_actions_cache(self):
        """As actions/cache packs: POSIX headers, absolute and climbing paths, zstdmt."""
        work = self.place / "home" / "runner" / "work"
        work.mkdir(parents=True)
        run("cp", "-a", self.source, self.place / "home" / "cached")
        run("cp", "-a", self.source, work / "inside")
        archive = self.place / "cache.tzst"
        run("tar", "--posix", "-cf", archive, "--exclude", "cache.tzst", "-P", "-C", work,
            "--files-from", "/dev/stdin", "--use-compress-program", "zstdmt",
            stdin=b"../../cached\ninside\n")
        there = self.place / "there" / "runner" / "work"
        there.mkdir(parents=True)
        run("tar", "-xpf", archive, "-P", "-C", there, "--use-compress-program", "unzstd")
        expected = self.place / "expected"
        expected.mkdir()
        os.rename(self.place / "there" / "cached", expected / "cached")
        os.rename(there / "inside", expected / "inside")
        self.put("cache.tzst", archive)
        self.check("cache.tzst", expected, root=False, xattrs=False)

    def test_zip(self):
        """As Buildkite's agent packs: deflated, with modes and symlinks."""
        tree = self.place / "tree"
        make_tree(tree, SEED, deep=False, xattrs=False, sparse=1 << 20)
        drop_odd_names(tree)
        for path in tree.rglob("*"):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else path.stat().st_mode | 0o600)
                os.utime(path, (1600000000, 1600000000))
        run("zip", "-qry", "../k.zip", ".", cwd=tree)
        unpacked = self.place / "unpacked"
        run("unzip", "-q", self.place / "k.zip", "-d", unpacked)
        self.put("k.zip", self.place / "k.zip")
        self.check("k.zip", unpacked, root=False, xattrs=False, mtime=False)

    def test_damage_to_what_was_converted_heals(self):
        """The first mount that meets it fails and says so, the second has a new copy."""
        name, content = "k.tar.gz", os.urandom(1 << 20)
        with tarfile.open(self.place / name, "w:gz") as tar:
            member = tarfile.TarInfo("file")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        self.put(name, self.place / name)
        larder("ls", "--key", name, self.store, env=self.env)
        [converted] = (self.cache / "converted").iterdir()
        data = bytearray(converted.read_bytes())
        data[1000] ^= 1
        converted.write_bytes(data)
        with self.mounted(name) as mount:
            with self.assertRaises(OSError) as caught:
                (mount.path / "file").read_bytes()
            self.assertEqual(caught.exception.errno, errno.EIO)
            self.assertEqual(mount.log().count(
                f"what '{name}' was converted to is damaged"), 1, mount.log())
        with self.mounted(name) as mount:
            self.assertEqual((mount.path / "file").read_bytes(), content)

    def large_tar(self):
        path = self.place / "large.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for number in range(24):
                member = tarfile.TarInfo(f"dir/{number}")
                member.size = 4 << 20
                tar.addfile(member, io.BytesIO(bytes([number]) * member.size))
        self.put("large.tar", path)
        return path.stat().st_size

    def test_a_plain_tar_is_read_where_it_is(self):
        size = self.large_tar()
        with self.mounted("large.tar", "--prefetch=none") as mount:
            opened = self.proxy.stats()["bytes_down"]
            self.assertLess(opened, size // 10)
            self.assertEqual((mount.path / "dir" / "7").read_bytes(), b"\7" * (4 << 20))
            self.assertLess(self.proxy.stats()["bytes_down"], size // 4)
        before = self.requests()
        with self.mounted("large.tar", "--prefetch=none") as mount:
            self.assertEqual(len(list((mount.path / "dir").iterdir())), 24)
        self.assertEqual(self.requests() - before, 1)
        larder("restore", "--key", "large.tar", self.store, self.place / "out", env=self.env)
        self.assertEqual((self.place / "out" / "dir" / "23").read_bytes(),
                         b"\x17" * (4 << 20))

    def test_an_overwritten_plain_tar_is_never_mixed(self):
        self.large_tar()
        with self.mounted("large.tar", "--prefetch=none") as mount:
            with open(mount.path / "dir" / "3", "rb") as held:
                self.assertEqual(held.read(4096), b"\3" * 4096)
                self.packed("large.tar", "-z")
                with self.assertRaises(OSError) as caught, \
                        open(mount.path / "dir" / "20", "rb") as other:
                    other.read()
                self.assertIn(caught.exception.errno, (116, 5))
            self.assertEqual(compare_trees(self.source, mount.path, root=False), [])

    def test_what_cannot_be_read_says_so(self):
        whole = self.place / "whole.tar.gz"
        run("tar", "-C", self.source, "-czf", whole, ".")
        for key, data in {"cut": whole.read_bytes()[:-5000], "junk": os.urandom(200000),
                          "nothing": b""}.items():
            (self.place / key).write_bytes(data)
            self.put(key, self.place / key)
            for words in (("ls",), ("verify",), ("restore",)):
                more = [self.place / "target"] if words == ("restore",) else []
                done = larder(*words, "--key", key, self.store, *more, env=self.env, ok=(4,))
                self.assertEqual(done.err.count("\n"), 1, done.err)
                self.assertIn(f"'{key}'", done.err)
            self.assertFalse((self.place / "target").exists())
        kept = self.cache / "converted"
        self.assertEqual(os.listdir(kept) if kept.exists() else [], [])

    def test_without_libarchive_there_is_a_sentence(self):
        """And Larder's own archives go without it."""
        libraries = self.place / "libraries"
        libraries.mkdir()
        (libraries / "libarchive.so.13").write_text("no library")
        env = self.env | {"LD_LIBRARY_PATH": str(libraries)}
        self.packed("k.tar.gz", "-z")
        done = larder("ls", "--key", "k.tar.gz", self.store, env=env, ok=(1,))
        self.assertEqual(done.err.count("\n"), 1, done.err)
        self.assertIn("'k.tar.gz' cannot be read: ", done.err)
        self.assertIn("'libarchive13'", done.err)
        larder("commit", "--key", "own", self.store, self.source, env=env)
        larder("restore", "--key", "own", self.store, self.place / "out", env=env)
        self.assertEqual(compare_trees(self.source, self.place / "out"), [])

    def test_members_that_are_left_out_are_told(self):
        with tarfile.open(self.place / "odd.tar.gz", "w:gz") as tar:
            for name in ("good", "a/../../climbs", "/absolute"):
                member = tarfile.TarInfo(name)
                member.size = len(name)
                tar.addfile(member, io.BytesIO(name.encode()))
            fifo = tarfile.TarInfo("fifo")
            fifo.type = tarfile.FIFOTYPE
            tar.addfile(fifo)
        self.put("odd", self.place / "odd.tar.gz")
        done = larder("restore", "--key", "odd", self.store, self.place / "out", env=self.env)
        self.assertEqual(sorted(os.listdir(self.place / "out")), ["absolute", "good"])
        self.assertIn("'a/../../climbs' of 'odd' is left out", done.err)
        self.assertIn("'fifo' of 'odd' is left out", done.err)


class ZipTimes(unittest.TestCase):
    """What docs/foreign.md says of time zones."""

    def restored(self, place, key, zone):
        """The identity, and the time of the one file."""
        out = place / f"{key}-{zone}"
        said = larder("restore", "--json", "--cache-dir", "", "--key", key, place / "store",
                      out, env={"TZ": zone}).out
        return json.loads(said)["identity"], (out / "a").stat().st_mtime

    def test_only_local_times_depend_on_the_zone(self):
        moment = 1_000_000_000
        local = zipfile.ZipInfo("a", time.gmtime(moment)[:6])
        extended = zipfile.ZipInfo("a", time.gmtime(moment)[:6])
        extended.extra = struct.pack("<2sHBI", b"UT", 5, 1, moment)  # APPNOTE, Info-ZIP's
        with TempDir("larder-foreign-") as place:
            (place / "store").mkdir()
            for key, member in (("local", local), ("extended", extended)):
                with zipfile.ZipFile(place / "store" / key, "w") as made:
                    made.writestr(member, "content")
            here, there = (self.restored(place, "local", zone) for zone in ("AAA0", "BBB5"))
            self.assertEqual((here[1], there[1]), (moment, moment + 5 * 3600))
            self.assertNotEqual(here[0], there[0])
            here, there = (self.restored(place, "extended", zone) for zone in ("AAA0", "BBB5"))
            self.assertEqual(here, there)
            self.assertEqual(here[1], moment)


if __name__ == "__main__":
    unittest.main()
