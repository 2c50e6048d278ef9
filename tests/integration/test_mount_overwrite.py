"""A mounted key is overwritten, copied onto itself, deleted: nobody gets wrong bytes."""

import contextlib
import errno
import io
import json
import os
import tarfile
import threading
import unittest

from larder_testlib import fuse
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.forget import forget
from larder_testlib.mount import Mount, larder
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, wait_until
from larder_testlib.sigv4 import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")
BUCKET = "the-bucket"
SMALL = 200   # bytes: shares its frame with its neighbours
LARGE = 10 << 20  # and the last million comes with the opening


class Overwritten(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.origin = self.enterContext(Origin([CREDENTIALS]))
        self.env = self.origin.env(CREDENTIALS)
        self.store = f"s3://{BUCKET}"
        self.tree = self.home / "tree"

    def commit(self, files, key="k"):
        """Commits {path: bytes}, whatever was there before."""
        with TempDir() as tree:
            for name, content in files.items():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_bytes(content)
                os.utime(tree / name, (1, 1))
            for at, _, _ in os.walk(tree, topdown=False):
                os.utime(at, (1, 1))
            larder("commit", "--key", key, "--force", self.store, tree, env=self.env)

    def mount(self, *words, **more):
        return self.enterContext(
            Mount(self.store, "--cache-dir=", "--prefetch=none", *words,
                  **{"key": "k", "env": self.env, **more}))

    def status(self, mount):
        return json.loads(os.getxattr(mount.path, "user.larder.status"))["keys"][0]

    def assert_errno(self, number, act, *words):
        with self.assertRaises(OSError) as caught:
            act(*words)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    @staticmethod
    def content(seed, size):
        return (b"%d " % seed * size)[:size] if size <= SMALL else \
            b"".join(os.urandom(size // 64) + b"%d" % seed for _ in range(64))

    def test_the_same_content_under_another_etag_is_not_noticed(self):
        large = self.content(1, LARGE)
        self.commit({"large": large, "small": b"small"})
        mount = self.mount()
        with open(mount.path / "large", "rb", buffering=0) as file:
            half = file.read(LARGE // 2)
            self.origin.touch(BUCKET, "k")
            half += file.read()
        self.assertEqual(half, large)
        self.assertEqual((mount.path / "small").read_bytes(), b"small")
        status = self.status(mount)
        self.assertEqual((status["reopens"], status["generation"]), (1, 1))
        self.assertEqual(status["etag"], self.origin.stored(BUCKET, "k").etag)

    def test_a_reader_gets_one_version_or_estale(self):
        one, two = self.content(1, LARGE), self.content(2, LARGE)
        self.commit({"large": one})
        mount = self.mount()
        with open(mount.path / "large", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            self.assertEqual(os.pread(file.fileno(), 4096, 0), one[:4096])
            self.commit({"large": two})
            self.assert_errno(errno.ESTALE, os.pread, file.fileno(), 4096, LARGE // 2)
            self.assertEqual(os.pread(file.fileno(), 4096, 0), one[:4096])
            self.await_generation(mount, 2)
            wait_until(lambda: self.reads(mount.path / "large", two),
                       "the kernel to be told")
            self.assert_errno(errno.ESTALE, os.pread, file.fileno(), 4096, LARGE // 2 + 8192)

    def await_generation(self, mount, number):
        wait_until(lambda: self.status(mount)["generation"] == number,
                   f"generation {number} to come")

    def test_a_new_walk_sees_the_new_tree_whole(self):
        self.commit({"stays/a": b"1", "goes/b": b"1", "kind": b"a file",
                     "large": self.content(1, LARGE)})
        mount = self.mount()
        before = {name: os.stat(mount.path / name).st_ino for name in os.listdir(mount.path)}
        self.assertFalse((mount.path / "comes").exists())  # remembered as absent
        self.commit({"stays/a": b"2", "comes/c": b"2", "kind/inner": b"2",
                     "large": self.content(2, LARGE)})
        self.assert_errno(errno.ESTALE, (mount.path / "large").read_bytes)
        self.await_generation(mount, 2)
        wait_until(lambda: sorted(os.listdir(mount.path)) == ["comes", "kind", "large", "stays"],
                   "the listing to change")
        wait_until((mount.path / "comes/c").exists, "the new name")
        self.assertEqual((mount.path / "stays/a").read_bytes(), b"2")
        self.assertEqual((mount.path / "comes/c").read_bytes(), b"2")
        self.assertEqual((mount.path / "kind/inner").read_bytes(), b"2")
        self.assertFalse((mount.path / "goes").exists())
        for name in ("stays", "large", "kind"):
            self.assertNotEqual(os.stat(mount.path / name).st_ino, before[name])

    def test_who_holds_the_old_tree_keeps_it(self):
        self.commit({"dir/file": b"old " * 50, "large": self.content(1, LARGE)})
        mount = self.mount()
        directory = os.open(mount.path / "dir", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        with open("file", "rb", opener=lambda name, flags: os.open(
                name, flags, dir_fd=directory)) as file:
            self.assertEqual(file.read(4), b"old ")
            self.commit({"dir/file": b"new " * 50, "large": self.content(2, LARGE)})
            self.assert_errno(errno.ESTALE, (mount.path / "large").read_bytes)
            self.await_generation(mount, 2)
            wait_until(lambda: (mount.path / "dir/file").read_bytes() == b"new " * 50,
                       "the new content")
            self.assertEqual(os.listdir(directory), ["file"])
            self.assertEqual(file.read(), b"old " * 49)
            self.assertEqual(self.status(mount)["live_generations"], 2)

    def test_equal_files_of_the_new_version_serve_the_old_one(self):
        same = self.content(1, LARGE)
        self.commit({"here/same": same, "changes": self.content(2, LARGE)})
        mount = self.mount()
        with open(mount.path / "here/same", "rb", buffering=0) as file:
            self.assertEqual(file.read(10), same[:10])
            self.commit({"there/moved": same, "changes": self.content(3, LARGE)})
            self.assertEqual(file.read(), same[10:])
        self.await_generation(mount, 2)

    def test_a_versioned_bucket_keeps_the_old_version_readable(self):
        origin = self.enterContext(Origin([CREDENTIALS], versioned=True))
        self.origin, self.env = origin, origin.env(CREDENTIALS)
        one, two = self.content(1, LARGE), self.content(2, LARGE)
        self.commit({"large": one})
        mount = self.mount()
        with open(mount.path / "large", "rb", buffering=0) as file:
            self.assertEqual(file.read(4096), one[:4096])
            self.commit({"large": two})
            self.assertEqual(file.read(), one[4096:])
        self.assertEqual(self.status(mount)["reopens"], 0)

    def test_a_deleted_key_reads_on_as_far_as_it_is_held(self):
        one = self.content(1, LARGE)
        self.commit({"large": one, "small": b"small"})
        mount = self.mount()
        with open(mount.path / "large", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            self.assertEqual(os.pread(file.fileno(), 4096, 0), one[:4096])
            self.origin.remove(BUCKET, "k")
            self.assertEqual(os.pread(file.fileno(), 4096, 0), one[:4096])
            self.assert_errno(errno.EIO, os.pread, file.fileno(), 4096, LARGE // 2)
        self.assertEqual(sorted(os.listdir(mount.path)), ["large", "small"])
        self.assertEqual(mount.log().count("error"), 1, mount.log())
        self.commit({"large": one, "small": b"small"})
        wait_until(lambda: self.reads(mount.path / "large", one), "the key to be back", 20)

    @staticmethod
    def reads(path, content):
        try:
            return path.read_bytes() == content
        except OSError:
            return False

    def test_what_takes_longer_to_convert_than_a_read_may(self):
        """The reads before it is converted fail in time, the ones after do not."""
        self.commit({"file": self.content(1, LARGE)})
        proxy = self.enterContext(FaultProxy(self.origin.endpoint))
        mount = self.mount("--timeout=2s", f"--cache-dir={self.home / 'cache'}",
                           env=self.env | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        fresh, packed = self.content(2, 32 << 20), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
            member = tarfile.TarInfo("file")
            member.size = len(fresh)
            tar.addfile(member, io.BytesIO(fresh))
        self.origin.put(BUCKET, "k", packed.getvalue())
        proxy.total_rate(8 << 20)  # bytes a second
        self.assert_errno(errno.EIO, (mount.path / "file").read_bytes)
        wait_until(lambda: self.reads(mount.path / "file", fresh), "the new version", 60)
        self.assertIn("converted 'k'", mount.log())

    def test_the_cache_keeps_an_old_version_whole(self):
        one = self.content(1, LARGE)
        self.commit({"large": one})
        with Mount(self.store, key="k", env=self.env) as mount:
            self.assertEqual((mount.path / "large").read_bytes(), one)
            with open(mount.path / "large", "rb", buffering=0) as file:
                self.commit({"large": self.content(2, LARGE), "more": b""})
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(file.read(), one)

    def test_readers_and_writers_at_once(self):
        """Whole files of one version each, or ESTALE; in the end the newest."""
        versions = [self.content(number, 300_000) for number in range(6)]
        probe = self.content(9, 12 << 20)
        self.commit({"a": versions[0], "b": versions[0], "probe": probe})
        mount = self.mount()
        wrong, stop = [], threading.Event()

        def read():
            while not stop.is_set():
                try:
                    with open(mount.path / "a", "rb", buffering=0) as file:
                        content = file.read(150_000)
                        while more := file.read(1 << 20):
                            content += more
                    if content not in versions:
                        wrong.append("a mixture was read")
                except OSError as error:
                    if error.errno not in (errno.ESTALE, errno.ENOENT):
                        wrong.append(str(error))
        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for number, version in enumerate(versions[1:], 1):
            self.commit({"a": version, "b": version, "probe": probe})
            forget(mount.path)
            self.look(mount.path / "probe", number << 20)
            self.await_generation(mount, number + 1)
        stop.set()
        for reader in readers:
            reader.join()
        self.assertEqual(wrong, [])
        wait_until(lambda: self.reads(mount.path / "b", versions[-1]), "the last version")

    @staticmethod
    def look(path, offset):
        """Reads what nobody has read before, so that the store is asked."""
        with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            os.pread(file.fileno(), 4096, offset)

    def test_old_generations_are_freed(self):
        self.commit({"file": self.content(0, LARGE)})
        mount = self.mount()
        for number in range(1, 12):
            self.commit({"file": self.content(number, LARGE), "n": b"%d" % number})
            self.look(mount.path / "file", 0)
            self.await_generation(mount, number + 1)

        def one_is_left():
            os.listdir(mount.path)
            return self.status(mount)["live_generations"] == 1
        wait_until(one_is_left, "the old generations to go")


if __name__ == "__main__":
    fuse.main()
