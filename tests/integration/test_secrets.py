"""Nothing that others can look at holds a secret: no argument list, log, error, status,
metrics file or core file."""

import os
import re
import resource
import unittest
from pathlib import Path

from larder_testlib import fuse, janitor
from larder_testlib.httpd import Answer
from larder_testlib.mount import Mount, environment, larder
from larder_testlib.origin import SILENCE, Origin
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.programs import program
from larder_testlib.sigv4 import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "S3cr3t+0f/Th3+K3y", "T0k3n+0f/Th3+S3ss10n==")
SECRETS = (CREDENTIALS.secret_key, CREDENTIALS.token)
LARGE = 6 << 20  # bytes: its beginning does not come with the index
NOBODY = 65534


class Secrets(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.origin = self.enterContext(Origin([CREDENTIALS]))
        self.env = self.origin.env(CREDENTIALS)
        tree = self.home / "tree"
        tree.mkdir()
        (tree / "large").write_bytes(os.urandom(LARGE))
        self.run_larder("commit", "--key=k", "s3://the-bucket", tree)

    def run_larder(self, *words, **more):
        done = larder(*words, "--verbose", env=self.env, ok=None, **more)
        self.look_at(done.out)
        self.look_at(done.err)
        return done

    def look_at(self, text):
        for secret in SECRETS:
            self.assertNotIn(secret, text)

    def mount(self, *words, **more):
        return self.enterContext(Mount("s3://the-bucket", "--verbose", "--cache-dir=", "--prefetch=none",
                                       *words, key="k", env=self.env, **more))

    @staticmethod
    def read(mount):
        with open(mount.path / "large", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            return file.read(1000)

    def test_a_daemon_tells_none(self):
        metrics = self.home / "metrics"
        mount = self.mount(f"--metrics-file={metrics}")
        self.read(mount)
        self.origin.expired.add(CREDENTIALS.access_key)  # so that there is an error to log
        with self.assertRaises(PermissionError), open(mount.path / "large", "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            os.pread(file.fileno(), 1000, 3 << 20)
        pid, = mount.pids()
        self.assertIn("error", mount.log())
        self.look_at(mount.log())
        self.look_at(metrics.read_text())
        self.look_at(Path(f"/proc/{pid}/cmdline").read_text())
        for name in ("user.larder.status", "user.larder.summary"):
            self.look_at(os.getxattr(mount.path, name).decode())

    def test_commands_tell_none(self):
        for words in (["ls", "s3://the-bucket"], ["doctor", "s3://the-bucket"], ["probe", "s3://the-bucket"]):
            self.assertEqual(self.run_larder(*words).status, 0)
        self.origin.expired.add(CREDENTIALS.access_key)
        for words in (["ls", "s3://the-bucket"], ["exists", "--key=k", "s3://the-bucket"],
                      ["commit", "--key=n", "s3://the-bucket", self.home / "tree"]):
            done = self.run_larder(*words)
            self.assertEqual(done.status, 5, done)

    def test_a_proxys_password_is_not_told(self):
        for proxy in "http://me:pa#ssw0rd@127.0.0.1:9", "gopher://me:passw0rd@127.0.0.1:9":
            with self.subTest(proxy):
                done = larder("exists", "--key=k", "--retries=0", "http://store.invalid/",
                              "--verbose", env={"http_proxy": proxy}, ok=(1,))
                self.assertIn("the environment names a proxy by an address", done.err)
                self.assertNotIn("ssw0rd", done.out + done.err)

    def test_a_redirects_signature_is_not_told(self):
        self.origin.fail_next(Answer(302, [("Location", "http://elsewhere/k?X-Amz-Signature=5e5a")]))
        done = self.run_larder("ls", "--key=k", "s3://the-bucket")
        self.assertIn("has moved to 'http://elsewhere/k...'", done.err)

    def test_a_mount_passes_none_on(self):
        """`larder mount` hands words on to larderfs, but these go by the environment."""
        point = self.home / "mnt"
        point.mkdir()
        self.run_larder("mount", "--key=k", "--cache-dir=", "s3://the-bucket", point)
        self.addCleanup(janitor.unmount, point)
        pids = [pid for pid in janitor.marked_processes(os.environ[janitor.MARK])
                if os.fsencode(point) in self.words_of(pid)]
        self.assertEqual(len(pids), 1)
        self.look_at(b" ".join(self.words_of(pids[0])).decode())
        self.run_larder("umount", point)
        wait_until(lambda: not os.path.exists(f"/proc/{pids[0]}"), "the daemon to end")

    @staticmethod
    def words_of(pid):
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return []

    def allow_cores(self):
        """Children would leave some, of any size."""
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        before = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, infinite)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_CORE, (before[0], infinite[1]))

    def assert_no_core(self, pid):
        limits = Path(f"/proc/{pid}/limits").read_text()
        self.assertRegex(limits, re.compile(r"^Max core file size +0 +0 ", re.M))

    def test_a_crash_leaves_no_core(self):
        self.allow_cores()
        mount = self.mount()
        self.read(mount)  # it serves: a mount that is gone before that is an error
        self.assert_no_core(*mount.pids())

    def test_a_process_is_closed_to_its_own_user(self):
        """And its core to a program that core_pattern names, which no limit keeps from it. The
        kernel shows this by whose the files of /proc are: root's, though the process is not."""
        self.allow_cores()
        point = self.home / "mnt"
        point.mkdir()
        self.home.chmod(0o755)
        os.chown(point, NOBODY, NOBODY)
        words = ["--cache-dir=", "--key=k", "s3://the-bucket"]
        for name, *more in (("larder", "exists", *words),
                            ("larderfs", "--foreground", *words, point)):
            with self.subTest(name):
                self.origin.forget()
                self.origin.fail_next(SILENCE)
                child = spawn([program(name), *more], env=environment(self.env), user=NOBODY,
                              group=NOBODY, extra_groups=[])
                self.addCleanup(child.kill)
                wait_until(lambda: self.origin.requests, "it asks the store", child=child)
                self.assert_no_core(child.pid)
                self.assertEqual(os.stat(f"/proc/{child.pid}").st_uid, NOBODY)
                self.assertEqual(os.stat(f"/proc/{child.pid}/mem").st_uid, 0)


if __name__ == "__main__":
    fuse.main()
