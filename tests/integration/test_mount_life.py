"""Mounting and unmounting, in all the ways people and machines do it."""

import errno
import json
import os
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.mount import Mount, environment, larder
from larder_testlib.namespaces import apart
from larder_testlib.process import TempDir, forget_mount, note_mount, spawn, wait_until
from larder_testlib.programs import program


class Life(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.tree, self.store = self.home / "tree", self.home / "store"
        self.tree.mkdir()
        (self.tree / "file").write_text("content")
        (self.tree / "large").write_bytes(os.urandom(4 << 20))
        larder("commit", "--key", "k", self.store, self.tree)

    def larderfs(self, *words, **more):
        """Runs larderfs, which must end by itself."""
        return subprocess.run([program("larderfs"), *map(os.fspath, words)],
                              env=environment({"LARDER_CACHE_DIR": str(self.home / "cache")}),
                              capture_output=True, timeout=60, check=False, text=True, **more)

    def point(self, name="point"):
        path = self.home / name
        path.mkdir()
        note_mount(path)
        self.addCleanup(forget_mount, path)
        self.addCleanup(subprocess.run, ["umount", "-lq", path], check=False,
                        stderr=subprocess.DEVNULL)
        return path

    @staticmethod
    def daemon_of(path):
        return json.loads(os.getxattr(path, "user.larder.status"))["pid"]

    @staticmethod
    def has_ended(pid):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state in "ZX"

    def assert_refused(self, status, words, *named):
        result = self.larderfs(*words)
        self.assertEqual(result.returncode, status, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for name in named:
            self.assertIn(name, result.stderr)
        self.assertEqual(result.stdout, "")

    def test_every_way_to_unmount(self):
        for way in (["fusermount3", "-u"], ["umount"], ["umount", "-l"],
                    [program("larder"), "umount"]):
            point = self.point("-".join(Path(word).name for word in way))
            self.assertEqual(self.larderfs("--key=k", self.store, point).returncode, 0)
            self.assertEqual((point / "file").read_text(), "content")
            pid = self.daemon_of(point)
            subprocess.run([*way, point], check=True, timeout=30,
                           env=environment({"PATH": os.environ["PATH"]}))
            wait_until(lambda: self.has_ended(pid), "the daemon to end", 10)
            self.assertEqual(os.listdir(point), [])

    def test_signals_unmount(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with Mount(self.store, key="k") as mount:
                mount.send(number)
                wait_until(lambda: not mount.pids(), "the daemon to end", 10)  # noqa: B023
                self.assertFalse(mount.is_mounted())

    def test_a_killed_daemon(self):
        with Mount(self.store, key="k") as mount:
            os.stat(mount.path)
            mount.kill()
            # before anything tells the kernel that what it has cached is of the past
            self.assert_refused(2, ["--key=k", self.store, mount.path], "is gone; 'larder umount")
            with self.assertRaises(OSError) as caught:
                os.listdir(mount.path)
            self.assertEqual(caught.exception.errno, errno.ENOTCONN)
            larder("umount", mount.path)
            again = self.larderfs("--key=k", self.store, mount.path)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual((mount.path / "file").read_text(), "content")
            larder("umount", mount.path)

    def test_unmounted_lazily_it_serves_who_is_left(self):
        with Mount(self.store, key="k") as mount:
            with open(mount.path / "large", "rb", buffering=0) as file:
                self.assertEqual(len(file.read(4096)), 4096)
                subprocess.run(["umount", "-l", mount.path], check=True)
                self.assertEqual(os.listdir(mount.path), [])
                self.assertEqual(len(file.read()), (4 << 20) - 4096)
                self.assertEqual(len(mount.pids()), 1)
            wait_until(lambda: not mount.pids(), "the daemon to end", 10)

    def test_an_old_daemon_leaves_a_new_mount_alone(self):
        with Mount(self.store, key="k") as old:
            file = open(old.path / "large", "rb", buffering=0)
            self.addCleanup(file.close)
            subprocess.run(["umount", "-l", old.path], check=True)
            with Mount(self.store, key="k", path=old.path) as new:
                old.send(signal.SIGTERM)
                wait_until(lambda: not old.pids(), "the old daemon to end", 10)
                self.assertEqual((new.path / "file").read_text(), "content")

    def test_in_the_background_nothing_is_held(self):
        point = self.point()
        inherited = os.open(self.home, os.O_RDONLY)
        self.addCleanup(os.close, inherited)
        result = self.larderfs("--key=k", self.store, point, pass_fds=[inherited],
                               cwd=self.home)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\Ak: mounted: 3 entries in [0-9.]+ MiB\n\Z")
        pid = self.daemon_of(point)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertEqual(os.getsid(pid), pid)
        open_files = {number: os.readlink(f"/proc/{pid}/fd/{number}")
                      for number in os.listdir(f"/proc/{pid}/fd")}
        self.assertEqual([open_files[number] for number in "012"], ["/dev/null"] * 3)
        self.assertNotIn(str(self.home), open_files.values())

    def test_as_mount_calls_it(self):
        point = self.point()
        folder = self.home / "bin"
        folder.mkdir()
        (folder / "larderfs").symlink_to(program("larderfs"))
        result = subprocess.run(
            ["/sbin/mount.fuse3", self.store, point, "-t", "fuse.larderfs", "-o",
             "rw,dev,suid,noatime,_netdev,key=k,uid=77,timeout=9s,noexec,x-systemd.a=b"],
            env=environment({"PATH": f"{folder}:{os.environ['PATH']}",
                             "LARDER_CACHE_DIR": str(self.home / "cache")}),
            capture_output=True, timeout=60, check=False, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(os.stat(point / "file").st_uid, 77)
        line, = [line for line in Path("/proc/mounts").read_text().splitlines()
                 if line.split()[1] == str(point)]
        source, _, kind, options, *_ = line.split()
        self.assertEqual((source, kind), (str(self.store), "fuse.larderfs"))
        self.assertLessEqual({"ro", "nosuid", "nodev", "noexec"}, set(options.split(",")))

    @unittest.skipUnless(os.geteuid() == 0, "nosymfollow is for root")
    def test_no_symlink_is_followed_where_none_shall_be(self):
        (self.tree / "link").symlink_to("file")
        larder("commit", "--key", "l", self.store, self.tree)
        point = self.point()
        result = self.larderfs("-o", "key=l,nosymfollow", self.store, point)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual((point / "file").read_text(), "content")
        self.assertEqual(os.readlink(point / "link"), "file")
        with self.assertRaises(OSError) as caught:
            (point / "link").read_text()
        self.assertEqual(caught.exception.errno, errno.ELOOP)

    def test_read_ahead_is_raised(self):
        point = self.point()
        self.assertEqual(self.larderfs("--key=k", self.store, point).returncode, 0)
        line, = [line for line in Path("/proc/self/mountinfo").read_text().splitlines()
                 if line.split()[4] == str(point)]
        bdi = Path(f"/sys/class/bdi/{line.split()[2]}/read_ahead_kb")
        self.assertEqual(bdi.read_text(), "1024\n")

    def test_mountpoints_that_will_not_do(self):
        full = self.point("full")
        (full / "thing").touch()
        self.assert_refused(2, ["--key=k", self.store, full], "not empty", "'thing'")
        self.assert_refused(2, ["--key=k", self.store, self.home / "none"],
                            "/none'", "mkdir")
        self.assert_refused(2, ["--key=k", self.store, self.home / "none" / "below"],
                            "mountpoint '", "/none/below'")
        self.assert_refused(2, ["--key=k", self.store, full / "thing"], "no directory")
        with Mount(self.store, key="k") as mount:
            self.assert_refused(2, ["--key=k", self.store, mount.path], "already",
                                "larder umount")

    def test_a_mountpoint_by_another_name(self):
        point = self.point()
        (self.home / "alias").symlink_to(point)
        result = self.larderfs("--key=k", "./store", "alias", cwd=self.home)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((point / "file").read_text(), "content")
        pid = self.daemon_of(self.home / "alias")
        larder("umount", point)
        wait_until(lambda: self.has_ended(pid), "the daemon to end", 10)

    def test_misses(self):
        point, output = self.point(), self.home / "output"
        words = ["--key=none", f"--output={output}", self.store, point]
        result = self.larderfs(*words)
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        self.assertIn("'none'", result.stderr)
        self.assertEqual(output.read_text(), "cache-hit=false\n")
        self.assertEqual(self.larderfs("--quiet", *words).stderr, "")
        self.assertEqual(self.larderfs("--fail-on-miss", *words).returncode, 3)
        self.assertEqual(os.listdir(point), [])

    def test_fallback_keys_newest_first(self):
        for age, key in ((300, "npm-a-1"), (100, "npm-a-2"), (200, "npm-b-1"), (50, "cargo")):
            shutil.copy(self.store / "k", self.store / key)
            os.utime(self.store / key, (10**9 - age, 10**9 - age))
        for words, found in ((["npm-x-", "npm-"], "npm-a-2"), (["npm-b", "npm-"], "npm-b-1"),
                             (["ca"], "cargo")):
            output, point = self.home / f"output-{found}", self.point(f"point-{found}")
            result = self.larderfs("--key=npm", *[f"--fallback-key={w}" for w in words],
                                   f"--output={output}", self.store, point)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            lines = dict(line.split("=", 1) for line in output.read_text().splitlines())
            self.assertEqual((lines["cache-hit"], lines["cache-matched-key"]), ("false", found))
            self.assertEqual(len(lines["identity"]), 64)
            self.assertEqual(int(lines["size"]), os.stat(self.store / found).st_size)
            self.assertTrue(result.stdout.startswith(f"{found}: mounted in place of 'npm': 3 "),
                            result.stdout)
            self.assertEqual((point / "file").read_text(), "content")
        result = self.larderfs("--fail-on-miss", "--key=npm", "--fallback-key=zzz", self.store,
                               self.point())
        self.assertEqual(result.returncode, 3)

    def test_the_exact_key_is_a_hit(self):
        output, point = self.home / "output", self.point()
        self.larderfs("--quiet", "--key=k", "--fallback-key=k", f"--output={output}",
                      self.store, point)
        self.assertIn("cache-hit=true\ncache-matched-key=k\n", output.read_text())

    def test_wrong_words(self):
        for status, words in ((2, []), (2, ["--nonsense", "/s", "/m"]),
                              (2, ["-o", "nonsense", "/s", "/m"]),
                              (2, ["gopher://x", self.point()]),
                              (2, ["--key=a//b", self.store, self.home / "point"])):
            self.assert_refused(status, words)

    def test_what_fails_softly(self):
        (self.store / "junk").write_bytes(b"junk")
        point = self.point()
        self.assert_refused(4, ["--key=junk", self.store, point], "'junk'")
        soft = self.larderfs("--soft-fail", "--key=junk", self.store, point)
        self.assertEqual(soft.returncode, 0)
        self.assertIn("warning", soft.stderr)

    def test_the_log(self):
        log = self.home / "log"
        with Mount(self.store, "-v", f"--log-file={log}", key="k", foreground=False) as mount:
            self.assertEqual((mount.path / "file").read_text(), "content")
        self.assertIn(f"mounted '{self.store}' on '{mount.path}', key 'k'", log.read_text())
        self.assertIn("unmounted after", log.read_text())

    def test_help_and_version(self):
        for word in ("--help", "--version"):
            result = self.larderfs(word)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)

    def test_a_reader_in_an_old_working_directory(self):
        with Mount(self.store, key="k") as mount:
            shell = spawn(["sh", "-c", "cd \"$0\" && echo in && read x && cat file",
                           mount.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.assertEqual(shell.popen.stdout.readline(), b"in\n")
            with self.assertRaises(subprocess.CalledProcessError):
                subprocess.run(["umount", mount.path], check=True, stderr=subprocess.DEVNULL)
            shell.popen.stdin.write(b"\n")
            shell.popen.stdin.close()
            self.assertEqual(shell.popen.stdout.read(), b"content")
            shell.popen.stdout.close()
            shell.wait(10)

    def test_mounted_by_somebody_else_than_root(self):
        """The mount then goes through fusermount3. The device may be root's alone here, so
        in a mount namespace of its own one that is not takes its place."""
        if not os.stat("/usr/bin/fusermount3").st_mode & 0o4000:
            self.skipTest("fusermount3 is not set-user-ID")
        self.home.chmod(0o755)
        (self.home / "mine").mkdir()
        os.chown(self.home / "mine", 65534, 65534)
        script = """set -e
            mknod -m 666 "$1/fuse" c 10 229
            mount --bind "$1/fuse" /dev/fuse
            cd "$1"
            nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
            nobody "$2" --quiet --cache-dir= --key=k "$1/store" mine
            nobody cat mine/file
            nobody stat -c %u mine/file
            nobody fusermount3 -u mine
            ls mine
        """
        result = subprocess.run(
            apart("sh", "-c", script, "sh", self.home, program("larderfs")),
            env=environment({"PATH": os.environ["PATH"]}), capture_output=True, timeout=60,
            check=False, text=True)
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, "content65534\n", ""))


if __name__ == "__main__":
    fuse.main()
