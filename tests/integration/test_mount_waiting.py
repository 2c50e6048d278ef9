"""The store is silent: reads end in time, ^C works, and metadata never waits."""

import concurrent.futures
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.mount import Mount, environment, larder
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, leftovers, spawn, wait_until
from larder_testlib.programs import program
from larder_testlib.sigv4 import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")
STORE = "s3://the-bucket"
TIMEOUT = 3  # seconds, of the mounts here
SLACK = 1.5    # for this machine to be busy
FILES = 300
SIZE = 20_000  # bytes that do not compress
LARGE = 8 << 20
READERS = 48   # of one file
GATE = 128     # so many requests at work send others into the queue

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

# Reads a file's first page and says how that ended. Python catches ^C.
READER = """\
import hashlib, os, signal, sys
signal.signal(signal.SIGCHLD, lambda *_: print("caught", flush=True))
file = os.open(sys.argv[1], os.O_RDONLY)
print("waiting", flush=True)
try:
    try:
        print(hashlib.sha256(os.pread(file, 4096, 0)).hexdigest())
    except OSError as error:
        print(error.errno)
except KeyboardInterrupt:
    print("interrupted")
"""

# The same through a mapping. A fault is repeated when the handler has returned; this one
# writes where the program was.
MAPPER = """\
import faulthandler, hashlib, mmap, os, signal, sys
faulthandler.register(signal.SIGINT, file=sys.stdout)
mapping = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, prot=mmap.PROT_READ)
print("waiting", flush=True)
print(hashlib.sha256(mapping[:4096]).hexdigest())
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
    def status(mount):
        return json.loads(os.getxattr(mount.path, "user.larder.status"))

    def await_waiting(self, mount, count):
        def waiting():
            status = self.status(mount)
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

    def start(self, program, path):
        """A process that is about to wait for the file, and ends with the test."""
        reader = spawn([sys.executable, "-c", program, path], stdout=subprocess.PIPE)
        self.addCleanup(reader.popen.stdout.close)
        self.addCleanup(reader.kill)
        self.assertEqual(reader.popen.stdout.readline(), b"waiting\n")
        return reader

    def two_readers(self, mount):
        """The second waits for the page that the first has asked for."""
        first = self.start(READER, mount.path / "large")
        self.await_waiting(mount, 1)
        second = self.start(READER, mount.path / "large")
        self.await_in_kernel(second)
        return first, second

    @staticmethod
    def await_in_kernel(reader):
        """Waits until the process sleeps so that it wakes for no signal that it catches."""
        wait_until(lambda: "\nState:\tD" in Path(f"/proc/{reader.pid}/status").read_text(),
                   "the process to wait for a page")

    def let_go(self, mount, reader):
        """Interrupts who reads ahead. Who asks next for the page, it or another, is chance."""
        failed = self.status(mount)["read_errors"]
        os.kill(reader.pid, signal.SIGINT)
        wait_until(lambda: self.status(mount)["read_errors"] > failed,
                   "the read to end", 5)

    def first_page(self):
        return hashlib.sha256((self.tree / "large").read_bytes()[:4096]).hexdigest()

    @staticmethod
    def last_word(reader):
        word = reader.popen.stdout.read().decode().split()[-1]
        reader.wait(10)
        return word

    def assert_ended_by(self, number, *readers):
        begin = time.monotonic()
        for reader in readers:
            os.kill(reader.pid, number)
        self.assertEqual([self.last_word(reader) for reader in readers],
                         ["interrupted"] * len(readers))
        self.assertLess(time.monotonic() - begin, SLACK)

    def test_who_catches_the_signal_stops_reading_ahead(self):
        """The kernel, which waits for the page, does not interrupt what it reads ahead."""
        mount = self.mount("--prefetch=none", key="k", timeout=30)
        self.proxy.stall()
        reader = self.start(READER, mount.path / "large")
        self.await_waiting(mount, 1)
        os.kill(reader.pid, signal.SIGCHLD)  # not for the file system to act upon
        self.await_in_kernel(reader)
        self.assert_ended_by(signal.SIGINT, reader)

    def test_handlers_run_while_a_fault_waits(self):
        mount = self.mount("--prefetch=none", key="k", timeout=30)
        self.proxy.stall()
        mapper = self.start(MAPPER, mount.path / "large")
        self.await_waiting(mount, 1)
        self.await_in_kernel(mapper)
        begin = time.monotonic()
        os.kill(mapper.pid, signal.SIGINT)
        self.assertIn(b"most recent call first", mapper.popen.stdout.readline())
        self.assertLess(time.monotonic() - begin, SLACK)
        self.await_waiting(mount, 1)
        self.proxy.clear()
        self.assertEqual(self.last_word(mapper), self.first_page())

    def test_who_waits_for_the_same_page_goes_on(self):
        mount = self.mount("--prefetch=none", key="k", timeout=30)
        self.proxy.stall()
        first, second = self.two_readers(mount)
        self.let_go(mount, first)
        self.await_waiting(mount, 1)
        self.proxy.clear()
        self.assertEqual(self.last_word(second), self.first_page())
        self.assertEqual(self.last_word(first), "interrupted")

    def test_who_goes_on_has_no_second_patience(self):
        patience = 2 * TIMEOUT
        mount = self.mount("--prefetch=none", key="k", timeout=patience)
        self.proxy.stall()
        first, second = self.two_readers(mount)
        begin = time.monotonic()
        time.sleep(max(0, begin + patience / 2 - time.monotonic()))
        self.let_go(mount, first)
        self.assertEqual(self.last_word(second), str(errno.EIO))
        self.assertLess(time.monotonic() - begin, patience + SLACK)

    def test_who_waits_for_the_page_of_another_ends_in_time(self):
        """The kernel does not say that it waits: it hears the signal when the page fails."""
        patience = 2 * TIMEOUT
        mount = self.mount("--prefetch=none", key="k", timeout=patience)
        self.proxy.stall()
        _, second = self.two_readers(mount)
        begin = time.monotonic()
        os.kill(second.pid, signal.SIGINT)
        self.assertEqual(self.last_word(second), "interrupted")
        self.assertLess(time.monotonic() - begin, patience + SLACK)

    def test_signals_reach_who_queues_at_the_gate(self):
        mount = self.mount("--prefetch=none", timeout=30)
        self.assertIn("large", os.listdir(mount.path / "k"))
        self.proxy.stall()
        paths = [mount.path / "k" / f"{number % 10}" / f"file-{number}"
                 for number in range(GATE)]
        with concurrent.futures.ThreadPoolExecutor(GATE) as pool:
            self.addCleanup(self.proxy.clear)  # lets the pool end, if this fails
            reads = [pool.submit(self.timed, path.read_bytes) for path in paths]
            self.await_waiting(mount, GATE)
            try:
                self.assert_queued_are_let_go(mount)
            finally:
                self.proxy.clear()
            self.assertEqual({read.result()[0] for read in reads}, {0})

    def assert_queued_are_let_go(self, mount):
        waiter = self.start(WAITER, mount.path / "other")
        self.await_waiting(mount, GATE + 1)
        reader = self.start(READER, mount.path / "k/large")
        self.await_waiting(mount, GATE + 2)
        os.kill(waiter.pid, signal.SIGUSR1)
        os.kill(reader.pid, signal.SIGCHLD)
        self.await_waiting(mount, GATE + 2)
        self.assert_ended_by(signal.SIGINT, waiter, reader)

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

    def test_a_signal_ends_who_waits_for_the_mount(self):
        """It is sent to one process: no terminal tells the daemon, too."""
        self.proxy.stall()
        upper = self.enterContext(TempDir())
        for number in (signal.SIGTERM, signal.SIGINT):
            for words in ((), ("--writable", "--upper-dir", upper)):
                with (self.subTest(words, number=number), TempDir() as point,
                      tempfile.TemporaryFile() as said):
                    others, asked = leftovers(), self.proxy.stats()["requests"]
                    child = spawn([program("larder"), "mount", "--key=k", "--timeout=60s",
                                   *words, STORE, point], env=environment(self.env),
                                  stderr=said)
                    wait_until(lambda: self.proxy.stats()["requests"] > asked,  # noqa: B023
                               "the store to be asked")
                    begin = time.monotonic()
                    child.send(number)
                    self.assertEqual(child.wait(10), 128 + number)
                    wait_until(lambda: leftovers() == others, "the daemon to end")  # noqa: B023
                    self.assertLess(time.monotonic() - begin, SLACK)
                    said.seek(0)
                    self.assertEqual(said.read().count(b"by a signal"), 1)
                    self.assertEqual((os.listdir(point), os.listdir(upper)), ([], []))

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
