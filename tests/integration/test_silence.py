"""A store that takes requests and never answers: ^C ends a command at once, however many
answers it waits for."""

import os
import re
import signal
import subprocess
import threading
import time
import unittest

from larder_testlib.cli import Cli
from larder_testlib.httpd import SILENCE
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir
from larder_testlib.programs import sanitizers

BUCKET = "bucket"
AT_ONCE = 6 if sanitizers() else 4  # seconds; a stall is noticed after 10
CLEAN_UP = 5                        # seconds that a probe may try to remove its key, and its
                                    # uploads


class Mute(Origin):
    """Falls silent for good with the first request that matches, and notes when there were
    `wanted` of that kind."""

    def __init__(self):
        super().__init__()
        self.matches, self.wanted = None, 0
        self.count, self.all_wait = 0, threading.Event()

    def answer(self, request):
        with self.lock:
            if self.matches and self.matches(request):
                self.count += 1
            if self.count and self.count == self.wanted:
                self.all_wait.set()
            if self.count:
                return SILENCE
        return super().answer(request)

    def fall_silent(self, matches, wanted):
        self.matches, self.wanted = matches, wanted


class Silence(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.origin = self.enterContext(Mute())
        self.cli = Cli(self.home, {"AWS_ENDPOINT_URL_S3": self.origin.endpoint})

    def assert_ended(self, seconds, *words):
        """The command waits for all those answers at once: how long ^C takes."""
        with self.cli.start(*words, "--no-sign-request", f"s3://{BUCKET}") as larder:
            try:
                self.assertTrue(self.origin.all_wait.wait(30))
                begin = time.monotonic()
                larder.send_signal(signal.SIGINT)
                larder.wait(60)
            finally:
                larder.kill()
        self.assertEqual(larder.returncode, 128 + signal.SIGINT)
        self.assertLess(time.monotonic() - begin, seconds)

    @unittest.skipUnless(os.geteuid() == 0, "the process hides its descriptors")
    def test_closed_streams_are_nothing_that_it_opens(self):
        self.origin.fall_silent(lambda request: True, 1)
        words = ["exists", "--key=k", "--no-sign-request", f"s3://{BUCKET}"]
        with subprocess.Popen(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', self.cli.path, *words],
                              env=self.cli.env, cwd=self.home) as larder:
            try:
                self.assertTrue(self.origin.all_wait.wait(30))
                self.assertEqual([os.readlink(f"/proc/{larder.pid}/fd/{fd}") for fd in range(3)],
                                 ["/dev/null"] * 3)
            finally:
                larder.kill()

    def test_verify(self):
        tree = self.home / "tree"
        tree.mkdir()
        (tree / "noise").write_bytes(os.urandom(80 << 20))
        self.assertEqual(self.cli.run("commit", "--key=k", self.home / "store", tree).code, 0)
        self.origin.put(BUCKET, "k", (self.home / "store/k").read_bytes())
        self.origin.fall_silent(self.asks_for_a_run, 8)
        self.assert_ended(AT_ONCE, "verify", "--key=k", "--concurrency=8")

    @staticmethod
    def asks_for_a_run(request):
        ends = re.match(r"bytes=(\d+)-(\d+)", request.header("range") or "")
        return ends and int(ends[2]) - int(ends[1]) > 1 << 20

    def test_probe_of_objects(self):
        """The first key is written to twice, one after the other; the next one is raced."""
        keys = []

        def raced(request):
            if request.method == "PUT" and request.path not in keys:
                keys.append(request.path)
            return request.method == "PUT" and len(keys) > 1
        self.origin.fall_silent(raced, 16)
        self.assert_ended(CLEAN_UP + AT_ONCE, "probe")

    def test_probe_of_uploads(self):
        """The first two uploads are completed one after the other; the next ones at once."""
        completed = []

        def raced(request):
            complete = request.method == "POST" and "uploadId" in request.query
            completed.extend([request] * complete)
            return complete and len(completed) > 2
        self.origin.fall_silent(raced, 16)
        self.assert_ended(2 * CLEAN_UP + AT_ONCE, "probe")


if __name__ == "__main__":
    unittest.main()
