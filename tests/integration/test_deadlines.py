"""Whatever the store does instead of answering, no call takes longer than --timeout.

One mount lives through all faults of a kind: each must be over when it is over.
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.mount import Mount, MountError, larder
from larder_testlib.namespaces import apart
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.programs import sanitizers
from larder_testlib.rgw import Rgw
from larder_testlib.webserver import Nginx

TIMEOUT = 3                              # seconds, of the mounts here
SLACK = 6 if sanitizers() else 2         # for this machine to be busy
AT_ONCE = 0.75 * SLACK
WELL_AGAIN = 5 + SLACK
FILES, SIZE = 120, 100_000               # so many bytes do not compress
STORM = 100

# Reads a file and prints how it ended and how long that took.
READER = """\
import errno, os, sys, time
begin = time.monotonic()
try:
    with open(sys.argv[1], "rb") as file:
        said = str(len(file.read()))
except OSError as error:
    said = errno.errorcode[error.errno]
print(said, time.monotonic() - begin)
"""


class Deadlines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = cls.enterClassContext(TempDir())
        cls.rgw = cls.enterClassContext(Rgw())
        cls.proxy = cls.enterClassContext(FaultProxy(cls.rgw.endpoint))
        cls.store = f"s3://{cls.rgw.make_bucket()}"
        cls.env = cls.rgw.env(cls.proxy.endpoint)
        cls.tree = cls.home / "tree"
        cls.tree.mkdir()
        for number in range(FILES):
            (cls.tree / f"file-{number:03}").write_bytes(os.urandom(SIZE))
        larder("commit", "--key=k", cls.store, cls.tree, env=cls.rgw.env())

    def setUp(self):
        # neighbours share a frame, and the last ones come with the index
        self.numbers = iter(range(0, FILES - 20, 5))
        self.addCleanup(self.proxy.clear)
        self.addCleanup(self.rgw.thaw)

    def mount(self, *words, timeout=TIMEOUT, env=None, store=None):
        return self.enterContext(Mount(store or self.store, f"--timeout={timeout}s",
                                       "--cache-dir=", "--prefetch=none", *words, key="k",
                                       env=env or self.env))

    @staticmethod
    def timed(act, *words):
        """The name of the errno that act fails with, or its result; and how long it took."""
        begin = time.monotonic()
        try:
            result = act(*words)
        except OSError as error:
            result = errno.errorcode[error.errno]
        return result, time.monotonic() - begin

    def path(self, mount):
        """A file that nobody has read."""
        return mount.path / f"file-{next(self.numbers):03}"

    def assert_survives(self, mount, path):
        """While the fault lasts the read ends in time with EIO, and ls and stat go on."""
        results = []
        reader = threading.Thread(target=lambda: results.append(
            self.timed(path.read_bytes)))
        reader.start()
        worst = self.assert_metadata_answers(mount, reader)
        (said, seconds), = results
        self.assertEqual(said, "EIO")
        self.assertLess(seconds, TIMEOUT + SLACK)
        print(f"  a read ended after {seconds:.2f} s; ls and stat at most {worst:.3f} s",
              file=sys.stderr)

    def assert_metadata_answers(self, mount, reader):
        """Until the reader ends; the worst time is returned."""
        worst = 0
        while True:
            for act in (os.listdir, os.stat, os.statvfs):
                said, seconds = self.timed(act, mount.path)
                self.assertNotIsInstance(said, str)
                worst = max(worst, seconds)
            reader.join(0.05)
            if not reader.is_alive():
                self.assertLess(worst, AT_ONCE)
                return worst

    def assert_reads(self, mount, path):
        """Soon: a read that fails answers for who asks for the same within a second."""
        content = (self.tree / path.relative_to(mount.path)).read_bytes()
        wait_until(lambda: self.timed(path.read_bytes)[0] == content, f"'{path}' to be read",
                   WELL_AGAIN)

    def test_faults_of_connections(self):
        mount = self.mount()
        proxy = self.proxy
        for name, fault in (
                ("silent", proxy.stall),
                ("one byte a second", proxy.trickle),
                ("nothing after the headers", proxy.stall_after_headers),
                ("no connection is made", proxy.blackhole_connect),
                ("connections are refused", proxy.refuse_connect),
                ("cut", lambda: proxy.cut_after(100)),
                ("reset", lambda: proxy.reset_after(100)),
                ("503 for ever", lambda: proxy.status(503)),
                ("429, come again in an hour", lambda: proxy.status(429, None, 3600))):
            with self.subTest(name):
                print(name, file=sys.stderr)
                path = self.path(mount)
                fault()
                if fault in (proxy.blackhole_connect, proxy.refuse_connect):
                    proxy.reset()  # the connections that are there would do
                self.assert_survives(mount, path)
                proxy.clear()
                self.assert_reads(mount, path)

    def test_a_reset_is_survived(self):
        mount = self.mount()
        for _ in range(5):
            path = self.path(mount)
            self.proxy.reset()
            self.assert_reads(mount, path)

    def test_a_frozen_store_and_a_storm(self):
        mount = self.mount()
        self.rgw.freeze()
        readers = [spawn([sys.executable, "-S", "-c", READER, mount.path / f"file-{number:03}"],
                         stdout=subprocess.PIPE) for number in range(STORM)]
        waiting = threading.Thread(target=lambda: [
            results.append(r.popen.stdout.read().split()) for r in readers])
        results = []
        waiting.start()
        worst = self.assert_metadata_answers(mount, waiting)
        for reader in readers:
            self.assertEqual(reader.wait(), 0)
        slowest = max(float(seconds) for _, seconds in results)
        print(f"storm: {len(results)} reads, the slowest {slowest:.2f} s; ls and stat at most "
              f"{worst:.3f} s", file=sys.stderr)
        self.assertEqual({said for said, _ in results}, {b"EIO"})
        self.assertLess(slowest, TIMEOUT + SLACK)
        self.rgw.thaw()
        for number in range(STORM):
            self.assert_reads(mount, mount.path / f"file-{number:03}")

    def test_signals_end_the_wait(self):
        mount = self.mount(timeout=60)
        for fault, undo in ((self.rgw.freeze, self.rgw.thaw),
                            (self.proxy.trickle, self.proxy.clear),
                            (self.proxy.stall_after_headers, self.proxy.clear)):
            fault()
            for number in (signal.SIGINT, signal.SIGKILL):
                cat = spawn(["cat", self.path(mount)], stdout=subprocess.DEVNULL)
                wait_until(lambda: self.waiting(mount), "the reader waits")
                begin = time.monotonic()
                os.kill(cat.pid, number)
                self.assertEqual(cat.wait(30), -number)
                self.assertLess(time.monotonic() - begin, AT_ONCE)
            undo()
        self.assert_reads(mount, self.path(mount))

    @staticmethod
    def waiting(mount):
        """How many requests wait for the store."""
        return json.loads(os.getxattr(mount.path, "user.larder.status"))["waiting"]

    def test_tls_that_stalls(self):
        with Nginx(tls=True) as server, FaultProxy(server.endpoint) as proxy:
            folder = self.home / "folder"
            larder("commit", "--key=k", folder, self.tree)
            self.assertIn(server.request("PUT", "/k", (folder / "k").read_bytes())[0], (201, 204))
            mount = self.mount(f"--ca-bundle={server.ca}",
                               store=proxy.endpoint.replace("http:", "https:"))
            path = self.path(mount)
            proxy.tls_stall()
            proxy.reset()
            self.assert_survives(mount, path)
            proxy.clear()
            self.assert_reads(mount, path)

    def test_one_patience_for_all_keys(self):
        self.proxy.rtt(TIMEOUT * 1000 // 3)
        self.addCleanup(self.proxy.rtt, 0)
        begin = time.monotonic()
        with self.assertRaises(MountError) as caught:
            self.mount("--scope=one:two:three:four:five")
        self.assertLess(time.monotonic() - begin, TIMEOUT + SLACK)
        self.assertIn("ended with 124", str(caught.exception))

    def test_names_that_nobody_resolves(self):
        """In namespaces of its own, where this machine's resolver is a silent socket."""
        child = spawn(apart("unshare", "-n", sys.executable, __file__, "--alone",
                            self.tree / "file-000"), stderr=subprocess.PIPE)
        said = child.popen.stderr.read().decode()
        self.assertEqual(child.wait(60), 0, said)


def without_resolver(source):
    """What test_names_that_nobody_resolves() runs: returns when all went well."""
    with TempDir() as home, Origin() as origin, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        resolver.bind(("127.0.0.1", 53))
        for name, text in (("resolv.conf", "nameserver 127.0.0.1\n"), ("hosts", "")):
            (home / name).write_text(text)
            subprocess.run(["mount", "--bind", home / name, f"/etc/{name}"], check=True)
        (home / "tree").mkdir()
        (home / "tree/file").write_bytes(Path(source).read_bytes())
        larder("commit", "--key=k", home / "store", home / "tree")
        origin.put("b", "k", (home / "store/k").read_bytes())
        store = f"http://store.test:{origin.port}/b"
        with Mount(store, f"--timeout={TIMEOUT}s", "--cache-dir=") as mount:
            for path in ("k/file", "k"):
                said, seconds = Deadlines.timed(os.stat, mount.path / path)
                assert said == "EIO" and seconds < TIMEOUT + SLACK, (said, seconds)
                assert Deadlines.timed(os.stat, mount.path)[1] < AT_ONCE
            assert resolver.recv(512)  # it was asked indeed
            (home / "hosts").write_text("127.0.0.1 store.test\n")
            content = Path(source).read_bytes()
            wait_until(lambda: Deadlines.timed((mount.path / "k/file").read_bytes)[0] == content,
                       "the name to be resolved", WELL_AGAIN)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        without_resolver(sys.argv[2])
    else:
        fuse.main()
