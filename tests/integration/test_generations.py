"""Overwritten keys on real servers, and what the daemon keeps of old generations.

LARDER_SOAK: how many overwrites the soak makes (30; by hand 1000).
"""

import contextlib
import errno
import json
import os
import unittest

from larder_testlib import fuse
from larder_testlib.mount import Mount, larder
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, wait_until
from larder_testlib.programs import sanitizers
from larder_testlib.rgw import Rgw
from larder_testlib.webserver import Nginx

ROUNDS = int(os.environ.get("LARDER_SOAK") or 30)
LARGE = 16 << 20        # bytes: its beginning does not come with the index
SOAKED = 4 << 20        # bytes: the same, for those that come by the thousand
GROWTH_MOST = 12 << 20  # bytes of resident memory, from the tenth overwrite to the last


def status(path):
    return json.loads(os.getxattr(path, "user.larder.status"))


def key_status(path):
    return status(path)["keys"][0]


def fill(tree, files):
    """Writes {path: bytes}; all times are the same."""
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
        os.utime(tree / name, (1, 1))
    for at, _, _ in os.walk(tree, topdown=False):
        os.utime(at, (1, 1))


def reads(path, content):
    try:
        return path.read_bytes() == content
    except OSError:
        return False


class Generations(unittest.TestCase):
    """With one store; set_up_store() says which."""

    def setUp(self):
        self.home = self.enterContext(TempDir())

    def commit(self, files, *words, how="--force"):
        with TempDir() as tree:
            fill(tree, files)
            larder("commit", "--key=k", how, *words, self.store, tree, env=self.env)

    def mount(self, *words, **more):
        return self.enterContext(
            Mount(self.store, "--cache-dir=", "--prefetch=none", *words,
                  **{"key": "k", "env": self.env, **more}))

    def open(self, path, **more):
        """A descriptor that is read without read-ahead."""
        fd = os.open(path, os.O_RDONLY, **more)
        self.addCleanup(self.close, fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        return fd

    @staticmethod
    def close(fd):
        with contextlib.suppress(OSError):  # the test has closed it
            os.close(fd)

    def assert_errno(self, number, act, *words):
        with self.assertRaises(OSError) as caught:
            act(*words)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    @staticmethod
    def await_generation(mount, number):
        wait_until(lambda: key_status(mount.path)["generation"] == number,
                   f"generation {number} to come")

    def await_one_live(self, mount):
        wait_until(lambda: key_status(mount.path)["live_generations"] == 1,
                   "the old generations to go")


class OnCeph(Generations):
    @classmethod
    def setUpClass(cls):
        cls.rgw = cls.enterClassContext(Rgw())

    def use(self, versioned=False):
        self.bucket = self.rgw.make_bucket(versioned=versioned)
        self.store, self.env = f"s3://{self.bucket}", self.rgw.env()

    def test_copied_onto_itself_and_uploaded_again(self):
        self.use()
        large = os.urandom(LARGE)
        self.commit({"large": large})
        mount = self.mount()
        fd = self.open(mount.path / "large")
        self.assertEqual(os.pread(fd, 4096, 0), large[:4096])
        object_, metadata = self.rgw.s3.get(self.bucket, "k").body, {
            f"x-amz-meta-{name}": value
            for name, value in self.rgw.s3.metadata(self.bucket, "k").items()}
        acts = (lambda: self.rgw.s3.copy(self.bucket, "k"),
                lambda: self.rgw.s3.put_multipart(
                    self.bucket, "k", [object_[:5 << 20], object_[5 << 20:]], headers=metadata),
                lambda: self.rgw.s3.put_multipart(self.bucket, "k", [object_]))
        for number, act in enumerate(acts, 1):
            act()
            at = number << 20
            self.assertEqual(os.pread(fd, 65536, at), large[at:at + 65536])
        found = key_status(mount.path)
        self.assertEqual(found["generation"], 1)
        self.assertGreaterEqual(found["reopens"], 1)
        self.assertEqual(found["etag"], self.rgw.s3.head(self.bucket, "k").etag)

    def test_in_the_middle_of_a_file(self):
        self.use()
        one, two = os.urandom(LARGE), os.urandom(LARGE)
        self.commit({"large": one})
        mount = self.mount()
        fd = self.open(mount.path / "large")
        self.assertEqual(os.pread(fd, 65536, 0), one[:65536])
        self.commit({"large": two})
        self.assert_errno(errno.ESTALE, os.pread, fd, 65536, 1 << 20)
        self.await_generation(mount, 2)
        wait_until(lambda: reads(mount.path / "large", two), "the new content")
        self.assertEqual(os.pread(fd, 65536, 0), one[:65536])
        self.assert_errno(errno.ESTALE, os.pread, fd, 65536, 1 << 20)

    def test_old_versions_of_a_versioned_bucket(self):
        self.use(versioned=True)
        one, two = os.urandom(LARGE), os.urandom(LARGE)
        # this gateway honours no condition there
        self.commit({"large": one}, how="--unsafe-overwrite")
        mount = self.mount()
        fd = self.open(mount.path / "large")
        self.assertEqual(os.pread(fd, 4096, 0), one[:4096])
        self.commit({"large": two}, how="--unsafe-overwrite")
        self.assertEqual(os.pread(fd, 65536, 1 << 20), one[1 << 20:][:65536])
        self.rgw.s3.delete(self.bucket, "k")
        self.assertEqual(os.pread(fd, 65536, 2 << 20), one[2 << 20:][:65536])
        self.assertEqual(key_status(mount.path)["reopens"], 0)
        again = self.enterContext(Mount(self.store, "--cache-dir=", env=self.env))
        self.assert_errno(errno.ENOENT, os.stat, again.path / "k")

    def test_deleted_and_made_anew_with_other_content(self):
        self.use()
        one, two = os.urandom(LARGE), os.urandom(LARGE)
        self.commit({"dir/large": one, "old": b"1"})
        mount = self.mount()
        fd = self.open(mount.path / "dir/large")
        self.assertEqual(os.pread(fd, 4096, 0), one[:4096])
        self.rgw.s3.delete(self.bucket, "k")
        self.assert_errno(errno.EIO, os.pread, fd, 4096, 2 << 20)
        self.assertEqual(sorted(os.listdir(mount.path)), ["dir", "old"])
        self.commit({"dir/large": two, "new": b"2"})
        wait_until(lambda: reads(mount.path / "dir/large", two), "the new content", 20)
        self.assertEqual(sorted(os.listdir(mount.path)), ["dir", "new"])
        self.assert_errno(errno.ESTALE, os.pread, fd, 4096, 2 << 20)
        self.assertEqual(os.pread(fd, 4096, 0), one[:4096])


class OnPlainHttp(Generations):
    def test_an_overwrite_that_keeps_the_etag(self):
        """nginx makes ETags of size and seconds. Only the digests tell."""
        server = self.enterContext(Nginx())
        self.store, self.env = self.home / "store", {}
        one, two = os.urandom(LARGE), os.urandom(LARGE)
        objects = []
        for content in (one, two):
            self.commit({"large": content})
            objects.append((self.store / "k").read_bytes())
        length = min(map(len, objects))
        self.assertEqual(*map(len, objects), "the test needs objects of one size")
        self.assertIn(server.request("PUT", "/k", objects[0])[0], (201, 204))
        path, = [p for p in server.dir.rglob("k") if p.is_file()]
        os.utime(path, (10**9, 10**9))
        self.store = server.endpoint
        mount = self.mount("--retries=0")
        fd = self.open(mount.path / "large")
        self.assertEqual(os.pread(fd, 4096, 0), one[:4096])
        with open(path, "r+b") as file:
            file.write(objects[1][:length])
        os.utime(path, (10**9, 10**9))
        wrong = 0
        for at in range(0, LARGE, 256 << 10):
            try:
                self.assertEqual(os.pread(fd, 4096, at), one[at:at + 4096])
            except OSError as error:
                self.assertIn(error.errno, (errno.EIO, errno.ESTALE))
                wrong += 1
        self.assertGreater(wrong, 0)


class Kept(Generations):
    def setUp(self):
        super().setUp()
        self.origin = self.enterContext(Origin())
        self.store = "s3://the-bucket"
        self.env = {"AWS_ENDPOINT_URL_S3": self.origin.endpoint, "AWS_REGION": "us-east-1"}

    def commit(self, files, *words):
        super().commit(files, "--no-sign-request", *words)

    def mount(self, *words, **more):
        return super().mount("--no-sign-request", *words, **more)

    def ask(self, path, offset=0):
        """Reads what was not read before, so that the store is asked."""
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
                os.pread(fd, 4096, offset)
            finally:
                os.close(fd)

    def overwrite(self, mount, number):
        """The next version, of which the mount knows when this returns."""
        self.commit({"large": os.urandom(SOAKED), "a/b/c/file": b"%d" % number,
                     "a/b/other": b"%d" % number})
        self.ask(mount.path / "large", number % 2 << 20)
        self.await_generation(mount, number)
        self.origin.forget()  # what it was asked: also the bodies

    def test_what_was_in_use_deep_below_goes_too(self):
        self.commit({"large": os.urandom(LARGE), "a/b/c/file": b"1", "a/b/other": b"1"})
        mount = self.mount()
        fd, directory = self.open(mount.path / "a/b/c/file"), self.open(mount.path / "a/b")
        self.overwrite(mount, 2)
        self.assertEqual(key_status(mount.path)["live_generations"], 2)
        # what is found from the old directory later, and what is not, goes as well
        self.assertEqual(sorted(os.listdir(directory)), ["c", "other"])
        late = self.open("other", dir_fd=directory)
        self.assertEqual(os.fstat(late).st_ino >> 32, 1)
        self.assert_errno(errno.ENOENT, lambda: os.stat("none", dir_fd=directory))
        os.stat("c/file", dir_fd=directory)
        for number in (fd, late, directory):
            os.close(number)
        self.await_one_live(mount)

    def test_a_walk_that_began_in_the_old_tree(self):
        self.commit({"large": os.urandom(LARGE), "a/b/c/file": b"1", "a/b/other": b"1"})
        mount = self.mount()
        directory = self.open(mount.path / "a")
        self.overwrite(mount, 2)
        wait_until(lambda: reads(mount.path / "a/b/other", b"2"), "the new tree")
        for name in ("b/c/file", "b/other"):
            self.assertEqual(os.stat(name, dir_fd=directory).st_ino >> 32, 1)

    def test_soak(self):
        self.commit({"large": os.urandom(LARGE), "a/b/c/file": b"1", "a/b/other": b"1"})
        mount = self.mount()
        held, resident = None, 0
        for number in range(2, ROUNDS + 2):
            before, held = held, os.open(mount.path / "a/b/c/file", os.O_RDONLY)
            for at, _, files in os.walk(mount.path):
                for name in files:
                    os.stat(os.path.join(at, name))
            self.overwrite(mount, number)
            self.assertLessEqual(key_status(mount.path)["live_generations"], 4)
            if before is not None:
                os.close(before)
            if number == 10:
                resident = status(mount.path)["resident_bytes"]
        os.close(held)
        self.await_one_live(mount)
        grown = status(mount.path)["resident_bytes"] - resident
        print(f"{ROUNDS} overwrites: {resident >> 10} KiB after the tenth, {grown >> 10} "
              "KiB more at the end")
        if not sanitizers():  # which keep what was freed
            self.assertLess(grown, GROWTH_MOST)


if __name__ == "__main__":
    fuse.main()
