"""The store is silent: reads end in time, ^C works, and metadata never waits."""

import concurrent.futures
import errno
import json
import os
import signal
import subprocess
import sys
import time
import unittest

from larder_testlib import fuse
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.mount import Mount, larder
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.sigv4 import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")
STORE = "s3://the-bucket"
TIMEOUT = 3  # seconds, of the mounts here
SLACK = 1.5    # for this machine to be busy
FILES = 300
SIZE = 20_000  # bytes that do not compress
LARGE = 8 << 20
READERS = 48   # of one file

# Waits for a name while signals come: SIGUSR1 is caught and counted, ^C is Python's own.
WAITER = """\
import os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("caught", flush=True))
print("waiting", flush=True)
try:
    os.stat(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted", flush=True)
except OSError as error:
    print(error.errno, flush=True)
"""


class Waiting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = cls.enterClassContext(TempDir())
        cls.origin = cls.enterClassContext(Origin([CREDENTIALS]))
        cls.proxy = cls.enterClassContext(FaultProxy(cls.origin.endpoint))
        cls.env = cls.origin.env(CREDENTIALS)
        cls.env.update(AWS_ENDPOINT_URL_S3=cls.proxy.endpoint,
                       AWS_ENDPOINT_URL=cls.proxy.endpoint)
        tree = cls.home / "tree"
        for number in range(FILES):
            path = tree / f"{number % 10}" / f"file-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(SIZE))
        (tree / "large").write_bytes(os.urandom(LARGE))
        for key in ("k", "other"):
            larder("commit", "--key", key, STORE, tree, env=cls.env)
        cls.tree = tree

    def setUp(self):
        self.addCleanup(self.proxy.clear)

    def mount(self, *words, timeout=TIMEOUT, **more):
        return self.enterContext(Mount(STORE, f"--timeout={timeout}s", "--retries=1",
                                       "--cache-dir=", *words, env=self.env, **more))

    @staticmethod
    def timed(act, *words):
        """The errno that act fails with, 0 if it does not, and how long it took."""
        begin = time.monotonic()
        try:
            act(*words)
            number = 0
        except OSError as error:
            number = error.errno
        return number, time.monotonic() - begin

    def assert_eio_in_time(self, results):
        for number, seconds in results:
            self.assertEqual(errno.errorcode[number], "EIO")
            self.assertLess(seconds, TIMEOUT + SLACK)

    def test_a_read_ends_in_time_and_works_again(self):
        mount = self.mount(key="k")
        self.proxy.stall()
        self.assert_eio_in_time([self.timed((mount.path / "large").read_bytes)])
        self.proxy.clear()
        wait_until(lambda: self.timed((mount.path / "large").read_bytes)[0] == 0,
                   "the file to be read", 5)
        self.assertEqual((mount.path / "large").read_bytes(),
                         (self.tree / "large").read_bytes())

    def test_many_readers_of_one_file_end_in_time(self):
        """The kernel asks a second time for each page that failed; all fail at once."""
        mount = self.mount("--prefetch=none", key="k")
        self.proxy.stall()

        def read(at):
            with open(mount.path / "large", "rb", buffering=0) as file:
                os.pread(file.fileno(), 4096, at)
        with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
            reads = [pool.submit(self.timed, read, number * (LARGE // 2 // READERS))
                     for number in range(READERS)]
            self.assert_eio_in_time([read.result() for read in reads])

    def test_a_storm_does_not_stall_metadata(self):
        mount = self.mount(key="k")
        self.proxy.stall()
        paths = [mount.path / f"{number % 10}" / f"file-{number}" for number in range(FILES)]
        with concurrent.futures.ThreadPoolExecutor(FILES) as pool:
            reads = [pool.submit(self.timed, path.read_bytes) for path in paths]
            self.await_waiting(mount, 100)
            for _ in range(5):
                number, seconds = self.timed(
                    subprocess.run, ["ls", "-lR", mount.path], 0, None, None,
                    subprocess.DEVNULL)
                self.assertEqual(number, 0)
                self.assertLess(seconds, SLACK)
                self.assertLess(self.timed(os.stat, paths[-1])[1], SLACK)
                self.assertLess(self.timed(os.statvfs, mount.path)[1], SLACK)
            self.assert_eio_in_time([read.result() for read in reads])
        self.proxy.clear()
        for path in paths[:20]:  # what asks again within a second shares the deadline
            wait_until(lambda: self.timed(path.read_bytes)[0] == 0,  # noqa: B023
                       "a file to be read", 5)
            self.assertEqual(path.read_bytes(),
                             (self.tree / path.relative_to(mount.path)).read_bytes())

    @staticmethod
    def await_waiting(mount, count):
        def waiting():
            status = json.loads(os.getxattr(mount.path, "user.larder.status"))
            return status["waiting"] + status["queued"] >= count
        wait_until(waiting, f"{count} requests to wait")

    def test_an_interrupted_reader_ends_at_once(self):
        mount = self.mount(key="k", timeout=30)
        self.proxy.stall()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            reader = spawn(["cat", mount.path / "large"], stdout=subprocess.DEVNULL)
            self.await_waiting(mount, 1)
            begin = time.monotonic()
            os.kill(reader.pid, number)
            self.assertEqual(reader.wait(10), -number)
            self.assertLess(time.monotonic() - begin, SLACK)

    def test_only_signals_that_mean_it_end_a_lookup(self):
        mount = self.mount(timeout=30)
        self.proxy.stall()
        waiter = spawn([sys.executable, "-c", WAITER, mount.path / "k"],
                       stdout=subprocess.PIPE)
        said = waiter.popen.stdout
        self.assertEqual(said.readline(), b"waiting\n")
        self.await_waiting(mount, 1)
        os.kill(waiter.pid, signal.SIGUSR1)  # not for the file system to act upon
        self.await_waiting(mount, 1)
        begin = time.monotonic()
        os.kill(waiter.pid, signal.SIGINT)  # FUSE tells only of the first signal
        self.assertEqual([line for line in said if line != b"caught\n"], [b"interrupted\n"])
        self.assertLess(time.monotonic() - begin, SLACK)
        said.close()
        waiter.wait(10)

    def test_one_name_that_waits_holds_no_other(self):
        mount = self.mount()
        self.assertEqual(sorted(os.listdir(mount.path)), ["k", "other"])
        self.assertIn("large", os.listdir(mount.path / "k"))
        self.proxy.stall()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            waits = [pool.submit(self.timed, os.stat, mount.path / name)
                     for name in ("unknown", "unknown", "other/large", "strange")]
            self.await_waiting(mount, 3)
            for act, path in ((os.stat, "k/large"), (os.stat, "other"), (os.listdir, "k/3"),
                              (os.listdir, "k"), (os.stat, "")):
                number, seconds = self.timed(act, mount.path / path)
                self.assertEqual((number, seconds < SLACK), (0, True), path)
            self.assert_eio_in_time([wait.result() for wait in waits])
        self.proxy.clear()
        wait_until(lambda: self.timed(os.listdir, mount.path / "other")[0] == 0,
                   "the key to open", 5)
        wait_until(lambda: self.timed(os.stat, mount.path / "unknown")[0] == errno.ENOENT,
                   "the name to be known as a miss", 5)

    def test_unmounting_ends_who_waits(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            mount = self.mount(key="k", timeout=60)
            self.proxy.stall()
            reader = spawn(["cat", mount.path / "large"], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            self.await_waiting(mount, 1)
            begin = time.monotonic()
            mount.send(number)
            self.assertGreater(reader.wait(10), 0)
            wait_until(lambda: not mount.pids(), "the daemon to end", 10)  # noqa: B023
            self.assertLess(time.monotonic() - begin, 2 * SLACK)
            self.assertFalse(mount.is_mounted())
            self.proxy.clear()

    def test_a_store_that_does_not_answer_is_not_mounted(self):
        self.proxy.stall()
        begin = time.monotonic()
        with TempDir() as point:
            result = larder("mount", "--key=k", f"--timeout={TIMEOUT}s", "--cache-dir=", STORE, point,
                            env=self.env, ok=None)
        self.assertEqual(result.status, 124, result.err)
        self.assertIn("'k'", result.err)
        self.assertLess(time.monotonic() - begin, TIMEOUT + SLACK)


if __name__ == "__main__":
    fuse.main()
