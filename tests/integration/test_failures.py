"""What goes wrong at the store, on the way, or on the cache's disk, and what a reader of the
mount gets then: the right bytes or an error, never anything else."""

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import tarfile
import threading
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.credential_server import CredentialServer
from larder_testlib.httpd import BytesBody
from larder_testlib.mount import Mount, larder
from larder_testlib.namespaces import apart
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, forget_mount, note_mount, wait_until
from larder_testlib.sigv4 import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")
BUCKET, STORE = "the-bucket", "s3://the-bucket"
LARGE = 12 << 20  # bytes: its beginning does not come with the index
PIECE = 64 << 10
STATUS_PAGE = Path(__file__).resolve().parents[2] / "docs/man/larder-status.1.scd"


class Flipping(BytesBody):
    """An object of which one bit is wrong in so many of its next answers."""

    def __init__(self, data, offset, times):
        super().__init__(data)
        self.offset, self.times = offset, times

    def read(self, offset, length):
        data = bytearray(super().read(offset, length))
        if self.times > 0 and offset <= self.offset < offset + len(data):
            self.times -= 1
            data[self.offset - offset] ^= 0x10
        return bytes(data)


class Failures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = cls.enterClassContext(TempDir())
        tree = cls.home / "tree"
        tree.mkdir()
        cls.large = os.urandom(LARGE)
        (tree / "large").write_bytes(cls.large)
        (tree / "small").write_bytes(b"small")
        larder("commit", "--key=k", cls.home / "store", tree)
        cls.object = (cls.home / "store/k").read_bytes()

    def setUp(self):
        self.start_origin([CREDENTIALS])
        self.env = self.origin.env(CREDENTIALS)

    def start_origin(self, credentials):
        self.origin = self.enterContext(Origin(credentials))
        self.origin.put(BUCKET, "k", self.object)

    def mount(self, *words, cache="", **more):
        words = [f"--cache-dir={cache}", "--timeout=10s", "--prefetch=none", *words]
        return self.enterContext(Mount(STORE, *words, **{"key": "k", "env": self.env, **more}))

    @staticmethod
    def status(mount):
        return json.loads(os.getxattr(mount.path, "user.larder.status"))["keys"][0]

    @staticmethod
    def piece(mount, at):
        """A piece of the large file, past the kernel's pages and read-ahead."""
        fd = os.open(mount.path / "large", os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            return os.pread(fd, PIECE, at)
        finally:
            os.close(fd)

    def assert_right(self, mount, at):
        self.assertEqual(self.piece(mount, at), self.large[at:at + PIECE])

    def assert_fails(self, number, mount, at):
        with self.assertRaises(OSError) as caught:
            self.piece(mount, at)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    def assert_right_soon(self, mount, at):
        def right():
            with contextlib.suppress(OSError):
                return self.piece(mount, at) == self.large[at:at + PIECE]
            return False
        wait_until(right, "the piece to be read", 20)

    # -- answers that are not what was asked for

    def test_answers_that_lie(self):
        mount = self.mount("--retries=1")
        at = 0
        for ranges in ("ignore", "shifted", "mislabelled", "shorter", "cut", "total",
                       "unlabelled"):
            with self.subTest(ranges=ranges):
                self.origin.quirks.ranges = ranges
                self.assert_fails(errno.EIO, mount, at)
                self.origin.quirks.ranges = "honour"
                self.assert_right_soon(mount, at)
            at += 1 << 20
        self.assertEqual(self.status(mount)["generation"], 1)

    def test_etags_that_change_with_each_answer(self):
        mount = self.mount("--retries=1")
        self.origin.quirks.etags = "changing"
        self.assert_fails(errno.EIO, mount, 0)
        self.origin.quirks.etags = "strong"
        self.assert_right_soon(mount, 0)

    def test_a_precondition_that_is_ignored(self):
        """The store serves the new object under the old ETag's condition."""
        mount = self.mount()
        self.origin.quirks.if_match = "ignore"
        self.origin.put(BUCKET, "k", self.object[:100] + self.object)  # no archive
        self.assert_fails(errno.EIO, mount, 0)
        self.origin.put(BUCKET, "k", self.object)
        self.assert_right_soon(mount, 0)

    # -- wrong bytes

    def set_body(self, body):
        with self.origin.lock:
            self.origin.stored(BUCKET, "k").body = body

    def test_a_wrong_bit_on_the_way_is_fetched_again(self):
        mount = self.mount()
        self.set_body(Flipping(self.object, 30_000, 1))
        self.assert_right(mount, 0)
        self.assertEqual(self.status(mount)["refetched"], 1)
        self.assertNotIn("error", mount.log())

    def test_a_wrong_bit_in_the_store_is_told_once(self):
        mount = self.mount()
        self.set_body(Flipping(self.object, 30_000, 10**9))
        for _ in range(5):
            self.assert_fails(errno.EIO, mount, 0)
        self.assert_right(mount, 4 << 20)  # the other frames are what they were
        lines = [line for line in mount.log().splitlines() if "error" in line]
        self.assertEqual(len(lines), 1, lines)
        told = json.loads(os.getxattr(mount.path, "user.larder.status"))["trouble"]
        summary = larder("status", mount.path).out
        for word in ("'k'", "frame", "offset", "'large' at byte"):
            self.assertIn(word, lines[0])
            self.assertIn(word, told)
            self.assertIn(word, summary)
        for line in summary.splitlines():
            self.assertIn(f"\n*{line.split()[0]}*\n", STATUS_PAGE.read_text())
        self.set_body(BytesBody(self.object))
        self.assert_right_soon(mount, 0)

    def test_each_damaged_frame_is_named(self):
        mount = self.mount()
        damaged = bytearray(self.object)
        places = (1 << 20, 5 << 20)
        for at in places:
            damaged[at + 30_000] ^= 0x10  # what does not compress lies where it was
        self.set_body(BytesBody(bytes(damaged)))
        for at in places:
            self.assert_fails(errno.EIO, mount, at)
        lines = [line for line in mount.log().splitlines() if "wrong digest" in line]
        self.assertEqual(len(lines), len(places), lines)
        self.assertEqual(len({line.split(" of ")[0] for line in lines}), len(places), lines)

    # -- credentials and clocks

    def place_credentials(self, **env):
        """They are where env says, and no keys in the environment hide them."""
        self.env = {name: value for name, value in self.origin.env(CREDENTIALS).items()
                    if not name.endswith("_KEY") and not name.endswith("_KEY_ID")} | env

    def assert_renewed(self, used, renew, **more):
        """Twice the credentials used last end while a file is read; used() knows them all."""
        mount = self.mount(**more)
        self.assert_right(mount, 0)
        for number in (1, 2):
            self.assertEqual(len(used()), number)
            renew(number)
            self.origin.expired.add(used()[number - 1].access_key)
            self.assert_right(mount, number << 20)
        self.assertNotIn("error", mount.log())

    def test_credentials_that_expire_in_the_middle(self):
        server = self.enterContext(CredentialServer())
        self.start_origin(server.find)
        self.place_credentials(AWS_CONTAINER_CREDENTIALS_FULL_URI=server.container_uri)
        self.assert_renewed(lambda: server.issued, lambda number: None)

    def test_a_web_identity_that_is_rotated_in_the_middle(self):
        server = self.enterContext(CredentialServer())
        self.start_origin(server.find)
        token = self.home / "token"

        def rotate(number):
            server.web_identity = f"web-identity-{number}"
            token.write_text(server.web_identity)
        rotate(0)
        self.place_credentials(AWS_WEB_IDENTITY_TOKEN_FILE=str(token),
                               AWS_ROLE_ARN="arn:aws:iam::1:role/ci",
                               AWS_ENDPOINT_URL_STS=server.endpoint)
        self.assert_renewed(lambda: server.issued, rotate)

    def assert_profile_renewed(self, directory, **more):
        keys = [Credentials(f"AKID{number}", f"secret/{number}") for number in range(3)]
        self.start_origin(keys)
        profile, written = self.home / "credentials", []

        def rewrite(number):
            profile.write_text(f"[default]\naws_access_key_id = {keys[number].access_key}\n"
                               f"aws_secret_access_key = {keys[number].secret_key}\n")
            written.append(keys[number])
        rewrite(0)
        self.place_credentials(
            AWS_SHARED_CREDENTIALS_FILE=os.path.join(directory, "credentials"))
        self.assert_renewed(lambda: written, rewrite, **more)

    def test_a_profile_that_is_rewritten_in_the_middle(self):
        self.assert_profile_renewed(self.home)

    def test_a_profile_by_a_relative_path(self):
        """A daemon that has left the directory finds it all the same."""
        self.assert_profile_renewed("", foreground=False, cwd=self.home)

    def test_credentials_that_nobody_renews(self):
        mount = self.mount()
        self.origin.expired.add(CREDENTIALS.access_key)
        self.assert_fails(errno.EACCES, mount, 0)
        self.assertEqual((mount.path / "small").read_bytes(), b"small")
        self.assertNotIn(CREDENTIALS.secret_key, mount.log())
        self.origin.expired.clear()
        self.assert_right_soon(mount, 0)

    def test_a_clock_that_is_wrong(self):
        mount = self.mount()
        for number, offset in enumerate((3600, -7200, 0)):
            self.origin.clock_offset = offset
            self.assert_right(mount, number << 20)
        self.assertNotIn("error", mount.log())

    # -- the cache's disk

    def disk(self, size):
        """A small disk of its own."""
        place = self.enterContext(TempDir())
        note_mount(place)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", place],
                       check=True)
        self.addCleanup(forget_mount, place)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)
        return place

    def assert_reads_whole(self, mount):
        self.assertEqual((mount.path / "large").read_bytes(), self.large)

    def assert_told_once(self, mount, why):
        told = json.loads(os.getxattr(mount.path, "user.larder.status"))["trouble"]
        self.assertIn("nothing more is kept in cache folder", told)
        self.assertIn(why, told)
        self.assertEqual(mount.log().count(told), 1)

    def test_a_full_disk(self):
        disk = self.disk("2m")
        for _ in range(2):
            mount = self.mount(cache=disk / "cache")
            self.assert_reads_whole(mount)
            self.assert_told_once(mount, "No space left on device")

    def test_a_cache_that_is_removed(self):
        cache = self.home / "removed"
        mount = self.mount(cache=cache)
        shutil.rmtree(cache)
        self.assert_reads_whole(mount)
        self.assert_told_once(mount, "No such file or directory")

    def put_foreign(self):
        packed = self.home / "foreign.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
            tar.add(self.home / "tree", ".")
        self.origin.put(BUCKET, "foreign", packed.read_bytes())

    def test_a_foreign_key_and_a_full_disk(self):
        self.put_foreign()
        cache = self.disk("2m") / "cache"
        mount = self.mount(key="foreign", cache=cache)
        self.assert_reads_whole(mount)
        self.assertIn(f"the disk of '{cache}' has no room for what 'foreign' becomes", mount.log())
        self.assertEqual(os.listdir(cache / "converted"), [])

    def test_a_foreign_key_and_no_other_disk(self):
        """It is not converted there once more."""
        self.put_foreign()
        disk = self.disk("2m")
        done = larder("ls", "--key=foreign", f"--cache-dir={disk / 'cache'}", STORE,
                      env=self.env | {"TMPDIR": str(disk)}, ok=(1,))
        self.assertEqual(done.err.count("\n"), 1, done.err)
        self.assertIn("No space left on device", done.err)

    def test_a_read_only_disk(self):
        disk = self.disk("40m")
        with Mount(STORE, f"--cache-dir={disk / 'cache'}", key="k", env=self.env) as mount:
            self.assert_reads_whole(mount)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        mount = self.mount(cache=disk / "cache")
        self.assert_reads_whole(mount)
        self.assertNotIn("nothing more is kept", mount.log())  # it was laid so
        self.assert_reads_whole(self.mount(cache=disk / "none"))

    def assert_bounded(self, cache):
        """By --cache-size=2M."""
        kept = {entry.stat().st_ino: entry.stat().st_size
                for entry in (cache / "chunks").glob("*/*")}  # a pack has many names
        self.assertGreater(sum(kept.values()), 0)
        self.assertLessEqual(sum(kept.values()), 2 << 20)

    def test_a_small_cache(self):
        mounted, restored = self.home / "mounted", self.home / "restored"
        with Mount(STORE, f"--cache-dir={mounted}", "--cache-size=2M", key="k",
                   env=self.env) as mount:
            self.assert_reads_whole(mount)
        self.assert_bounded(mounted)
        larder("restore", "--key=k", f"--cache-dir={restored}", "--cache-size=2M", STORE,
               self.home / "out", env=self.env)
        self.assertEqual((self.home / "out/large").read_bytes(), self.large)
        self.assert_bounded(restored)

    def test_nothing_is_fetched_for_a_cache_without_room(self):
        """Guesses and bulk would fetch everything twice: once to be dropped."""
        pieces = list(range(0, LARGE, 1 << 20))
        random.Random(4).shuffle(pieces)
        for what in ("auto", "all"):
            with Mount(STORE, f"--cache-dir={self.home / what}", "--cache-size=2M",
                       f"--prefetch={what}", key="k", env=self.env) as mount:
                for at in pieces:
                    self.assert_right(mount, at)
                self.assert_reads_whole(mount)
                self.assertLessEqual(self.status(mount)["fetched_bytes"], 1.15 * LARGE)

    def test_a_damaged_cache(self):
        cache = self.home / "damaged"
        with Mount(STORE, f"--cache-dir={cache}", key="k", env=self.env) as mount:
            self.assert_reads_whole(mount)
        chunks = sorted(p for p in (cache / "chunks").rglob("*") if p.is_file())
        for number, path in enumerate(chunks):
            data = bytearray(path.read_bytes())
            if number % 3 == 0:
                data[len(data) // 2] ^= 1
            path.write_bytes(data if number % 3 < 2 else data[:len(data) // 2])
        mount = self.mount(cache=cache)
        self.assert_reads_whole(mount)
        found = self.status(mount)
        self.assertGreater(found["cache_damaged"], len(chunks) // 3)
        self.assertGreater(found["cache_hits"], 0)
        again = self.mount(cache=cache)
        self.assert_reads_whole(again)  # what was wrong has been replaced
        self.assertEqual(self.status(again)["cache_damaged"], 0)

    # -- the mount's place

    def test_a_parent_that_is_renamed(self):
        parent = self.home / "parent"
        (parent / "mnt").mkdir(parents=True)
        mount = self.mount(path=parent / "mnt")
        self.status(mount)  # it serves, and so has done with paths
        parent.rename(self.home / "renamed")
        self.assertEqual((self.home / "renamed/mnt/small").read_bytes(), b"small")
        mount.send(signal.SIGTERM)
        wait_until(lambda: not mount.pids(), "the daemon to end", 20)
        self.assertEqual(os.listdir(self.home / "renamed/mnt"), [])

    def test_a_parent_that_is_unmounted(self):
        disk = self.disk("1m")
        (disk / "mnt").mkdir()
        mount = self.mount(path=disk / "mnt")
        self.status(mount)
        subprocess.run(["umount", "-l", disk], check=True)
        wait_until(lambda: not mount.pids(), "the daemon to end", 20)
        subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)  # for the clean-up

    def test_a_parent_that_is_removed(self):
        """By somebody in whose mount namespace nothing is mounted there. The kernel takes the
        mount away then; who has a file open reads on, and the daemon ends after him, or when
        it is told to."""
        for told in (False, True):
            parent = self.home / "removed"
            (parent / "mnt").mkdir(parents=True)
            mount = self.mount(path=parent / "mnt")
            with self.subTest(told=told), open(mount.path / "large", "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                subprocess.run(apart("rm", "-r", parent), check=True)
                self.assertFalse(parent.exists())
                self.assertFalse(mount.is_mounted())
                self.assertEqual(file.read(PIECE), self.large[:PIECE])
                self.assertEqual(len(mount.pids()), 1)
                if told:
                    mount.send(signal.SIGTERM)
                else:
                    file.close()
                wait_until(lambda: not mount.pids(), "the daemon to end", 20)  # noqa: B023
                self.assertNotIn("error", mount.log())

    def test_unmounted_lazily_under_load(self):
        mount = self.mount()
        busy, wrong = threading.Barrier(9), []

        def read(at):
            with open(mount.path / "large", "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                busy.wait()
                while at < LARGE:
                    if os.pread(file.fileno(), PIECE, at) != self.large[at:at + PIECE]:
                        wrong.append(at)
                    at += 8 * PIECE
        readers = [threading.Thread(target=read, args=(n * PIECE,)) for n in range(8)]
        for reader in readers:
            reader.start()
        busy.wait()
        subprocess.run(["umount", "-l", mount.path], check=True)
        for reader in readers:
            reader.join()
        self.assertEqual(wrong, [])
        self.assertFalse(mount.is_mounted())
        wait_until(lambda: not mount.pids(), "the daemon to end", 20)


if __name__ == "__main__":
    fuse.main()
