"""A store that fails for a while costs a reader time, never the bytes.

LARDER_OUTAGE: for how many seconds the network is gone (5; by hand 60).
"""

import errno
import json
import os
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.mount import Mount, larder
from larder_testlib.namespaces import apart
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.programs import sanitizers

OUTAGE = float(os.environ.get("LARDER_OUTAGE") or 5)
TIMEOUT = 3                    # seconds, where the network goes away
SLACK = 6 if sanitizers() else 3
LARGE = 8 << 20                # bytes: its beginning does not come with the index
PIECE = 64 << 10


class Retries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = cls.enterClassContext(TempDir())
        cls.origin = cls.enterClassContext(Origin())
        cls.proxy = cls.enterClassContext(FaultProxy(cls.origin.endpoint))
        tree = cls.home / "tree"
        tree.mkdir()
        cls.large = os.urandom(LARGE)
        (tree / "large").write_bytes(cls.large)
        larder("commit", "--key=k", cls.home / "store", tree)
        cls.origin.put("the-bucket", "k", (cls.home / "store/k").read_bytes())

    def setUp(self):
        self.addCleanup(self.proxy.clear)
        self.at = 0

    def mount(self, *words):
        return self.enterContext(Mount(
            "s3://the-bucket", "--no-sign-request", "--cache-dir=", "--prefetch=none", "--timeout=30s",
            *words, key="k", env={"AWS_ENDPOINT_URL_S3": self.proxy.endpoint}))

    def read_more(self, mount):
        """What was not read before, past the kernel's read-ahead; how long that took."""
        begin, self.at = time.monotonic(), self.at + (1 << 20)
        fd = os.open(mount.path / "large", os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
            self.assertEqual(os.pread(fd, PIECE, self.at), self.large[self.at:][:PIECE])
        finally:
            os.close(fd)
        return time.monotonic() - begin

    @staticmethod
    def retries(mount):
        return json.loads(os.getxattr(mount.path, "user.larder.status"))["retries"]

    def test_passing_failures(self):
        mount = self.mount()
        for code in (429, 500, 502, 503, 504):
            with self.subTest(code=code):
                before = self.retries(mount)
                self.proxy.status(code, count=2)
                self.read_more(mount)
                self.assertEqual(self.retries(mount), before + 2)
        self.assertNotIn("error", mount.log())

    def test_retry_after_is_obeyed(self):
        mount = self.mount()
        for code in (429, 503):
            self.proxy.status(code, count=1, retry_after=2)
            self.assertGreaterEqual(self.read_more(mount), 2)
        self.assertEqual(self.retries(mount), 2)

    def test_connections_that_break(self):
        mount = self.mount()
        for seed, fault in enumerate(("cut", "reset")):
            with self.subTest(fault=fault):
                self.proxy.reset_stats()
                self.proxy.random(seed, **{fault: 1000})
                reader = threading.Thread(target=self.read_more, args=(mount,))
                reader.start()
                wait_until(lambda: self.proxy.stats()["faults"][fault],  # noqa: B023
                           f"a {fault}")
                self.proxy.random(seed)  # no more of them
                reader.join()
        self.assertNotIn("error", mount.log())

    def test_a_stalled_range_is_asked_again_on_another_connection(self):
        mount = self.mount("--stall-timeout=1s")
        self.read_more(mount)
        self.proxy.reset_stats()
        self.proxy.random(1, stall=1000)
        took = []
        reader = threading.Thread(target=lambda: took.append(self.read_more(mount)))
        reader.start()
        wait_until(lambda: self.proxy.stats()["faults"]["stall"], "an answer to stall")
        self.proxy.random(1)  # what has stalled stays so
        reader.join()
        self.assertEqual(len(took), 1, "the read failed")
        self.assertLess(took[0], 1 + SLACK)
        self.assertEqual(self.proxy.stats()["faults"]["stall"], 1)
        self.assertGreater(self.proxy.stats()["connections"], 0)

    def test_a_network_that_comes_back(self):
        """In a network namespace of its own, whose only interface goes down."""
        child = spawn(["unshare", "-n", sys.executable, __file__, "--alone", self.home],
                      stderr=subprocess.PIPE)
        said = child.popen.stderr.read().decode()
        self.assertEqual(child.wait(60 + OUTAGE), 0, said)

    def test_a_store_that_moves(self):
        """In namespaces of its own, with names and addresses of its own."""
        child = spawn(apart("unshare", "-n", sys.executable, __file__, "--moved", self.home),
                      stderr=subprocess.PIPE)
        said = child.popen.stderr.read().decode()
        self.assertEqual(child.wait(120), 0, said)


def link(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def without_network(home):
    """What test_a_network_that_comes_back() runs: returns when all went well."""
    link("up")
    large = Path(home / "tree/large").read_bytes()
    with Origin() as origin:
        origin.put("b", "k", (home / "store/k").read_bytes())
        with Mount(f"{origin.endpoint}/b", f"--timeout={TIMEOUT}s", "--cache-dir=",
                   "--prefetch=none", key="k") as mount:
            assert read_at(mount, 0) == large[:PIECE]
            link("down")
            end, tries = time.monotonic() + OUTAGE, 0
            while time.monotonic() < end:
                begin, tries = time.monotonic(), tries + 1
                said = read_at(mount, 1 << 20)
                assert said == errno.EIO, said
                took = time.monotonic() - begin
                assert took < TIMEOUT + SLACK, took
                assert os.listdir(mount.path) == ["large"]
            assert tries > 1
            link("up")
            wait_until(lambda: read_at(mount, 1 << 20) == large[1 << 20:][:PIECE],
                       "the network to be noticed", TIMEOUT + SLACK)
            assert read_at(mount, 4 << 20) == large[4 << 20:][:PIECE]


def at_another_address(home):
    """What test_a_store_that_moves() runs: returns when all went well."""
    link("up")
    large = Path(home / "tree/large").read_bytes()
    after = Origin()
    with TempDir() as etc, Origin() as before:
        hosts = etc / "hosts"
        hosts.write_text("127.0.0.1 store.test\n")
        subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
        for origin in (before, after):
            origin.put("b", "k", (home / "store/k").read_bytes())
        with Mount(f"http://store.test:{before.port}/b", "--timeout=60s", "--cache-dir=",
                   "--prefetch=none", key="k") as mount:
            assert read_at(mount, 0) == large[:PIECE]
            after.address = ("127.0.0.2", before.port)
            with after:
                hosts.write_text("127.0.0.2 store.test\n")
                before.stop()
                said = read_at(mount, 1 << 20)
                assert said == large[1 << 20:][:PIECE], said


def read_at(mount, at):
    """The bytes, or the errno."""
    fd = os.open(mount.path / "large", os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        return os.pread(fd, PIECE, at)
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        without_network(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["--moved"]:
        at_another_address(Path(sys.argv[2]))
    else:
        fuse.main()
