"""`larder mount` and `larder umount`: what they leave, refuse and survive."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from larder_testlib.cli_case import CliCase, mounts_at
from larder_testlib.namespaces import apart
from larder_testlib.process import freeze, spawn, wait_until
from larder_testlib.programs import program


def has_ended(pidfd):
    return bool(select.select([pidfd], [], [], 0)[0])


@unittest.skipUnless(os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK),
                     "mounting here is for root")
class Umount(CliCase):
    def setUp(self):
        super().setUp()
        tree = self.path / "tree"
        tree.mkdir()
        (tree / "file").write_text("content")
        for key in ("a", "b/c"):
            self.run_ok("commit", "--key", key, "./store", "tree")

    def mount(self, *words):
        """Mounts and returns a descriptor for the daemon."""
        self.run_ok("mount", *words, "./store", "mnt")
        self.assertEqual(mounts_at(self.point), ["fuse.larderfs"])
        pidfd = os.pidfd_open(self.daemons_pid())
        self.addCleanup(os.close, pidfd)
        return pidfd

    def daemons_pid(self):
        return json.loads(self.run_ok("status", "--json", "mnt").out)["pid"]

    def freeze(self, daemon):
        self.addCleanup(self.kill, daemon)
        freeze(self.daemons_pid())

    def test_nothing_is_left(self):
        daemon = self.mount()
        self.assertEqual((self.point / "b/c/file").read_text(), "content")
        with self.assertRaises(OSError):
            (self.point / "new").touch()
        self.run_ok("umount", "mnt")
        self.assertTrue(has_ended(daemon))
        self.assertEqual(mounts_at(self.point), [])
        self.assert_refused(2, "mnt'", "umount", "mnt")
        self.point.rmdir()

    def test_a_mountpoint_has_many_names(self):
        (self.path / "link").symlink_to(".")
        (self.path / "itself").symlink_to("link/mnt")
        for name in ("mnt/", "./mnt", "link/mnt", "itself", "itself/", str(self.point)):
            with self.subTest(name=name):
                self.mount()
                self.run_ok("umount", name)
                self.assertEqual(mounts_at(self.point), [])

    def test_a_dead_daemons_mount_is_cleared_away(self):
        daemon = self.mount()
        signal.pidfd_send_signal(daemon, signal.SIGKILL)
        wait_until(lambda: has_ended(daemon), "the daemon died")
        with self.assertRaises(OSError):
            os.listdir(self.point)
        self.assert_refused(1, "larder umount", "status", "mnt")
        for command in ("commit", "restore"):
            self.assert_refused(1, f"'{self.point}' is mounted by a larderfs that is gone; ",
                                command, "--key", "a", "./store", "mnt")
        self.run_ok("umount", "mnt")
        self.assertEqual(mounts_at(self.point), [])
        self.mount("--key", "a")
        self.assertEqual(os.listdir(self.point), ["file"])

    def test_a_link_names_what_is_mounted_by_a_dead_or_a_stuck_daemon(self):
        (self.path / "link").symlink_to("mnt")
        for number, lazy in ((signal.SIGKILL, []), (signal.SIGSTOP, ["--lazy"])):
            with self.subTest(number=number):
                daemon = self.mount()
                if number == signal.SIGSTOP:
                    self.freeze(daemon)
                else:
                    signal.pidfd_send_signal(daemon, number)
                    wait_until(lambda: has_ended(daemon), "the daemon died")
                    self.assert_refused(2, "is gone", "mount", "./store", "link")
                self.run_ok("umount", *lazy, "link")
                self.assertEqual(mounts_at(self.point), [])

    @staticmethod
    def kill(daemon):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(daemon, signal.SIGKILL)

    def test_a_dead_daemons_mount_in_use_is_cleared_away(self):
        daemon = self.mount("--key", "a")
        held = os.open(self.point / "file", os.O_RDONLY)
        signal.pidfd_send_signal(daemon, signal.SIGKILL)
        wait_until(lambda: has_ended(daemon), "the daemon died")
        self.run_ok("umount", "mnt")
        self.assertEqual(mounts_at(self.point), [])
        with contextlib.suppress(OSError):  # nobody is there to be told of it
            os.close(held)

    def test_a_mount_in_use_is_left_alone(self):
        daemon = self.mount("--key", "a")
        with open(self.point / "file", encoding="utf-8") as file:
            self.assert_refused(1, "in use", "umount", "mnt")
            self.assertEqual(mounts_at(self.point), ["fuse.larderfs"])
            self.assertEqual(file.read(), "content")
            self.run_ok("umount", "--lazy", "mnt")
            self.assertEqual(mounts_at(self.point), [])
        wait_until(lambda: has_ended(daemon), "the daemon ended with the last use")

    def test_who_has_a_copy_of_the_mount_is_named(self):
        daemon = self.mount()
        holder = spawn(apart("cat", keep=self.point), stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, bufsize=0)
        self.addCleanup(holder.stop)
        holder.popen.stdin.write(b"here\n")
        self.assertEqual(holder.popen.stdout.readline(), b"here\n")
        self.assert_refused(124, f"'{self.point}' is unmounted, but its daemon has not ended: "
                                 f"process {holder.pid} (cat) has a copy of the mount\n",
                            "umount", "mnt")
        self.assertEqual(mounts_at(self.point), [])
        self.assertFalse(has_ended(daemon))
        holder.stop()
        wait_until(lambda: has_ended(daemon), "the daemon ended with the copy")

    def test_others_mounts_are_refused(self):
        subprocess.run(["mount", "-t", "tmpfs", "none", self.point], check=True)
        self.assert_refused(2, "mnt'", "umount", "mnt")
        self.assert_refused(2, "'mnt'", "status", "mnt")
        self.assertEqual(mounts_at(self.point), ["tmpfs"])

    def test_another_users_mount_is_not_taken_for_one_in_use(self):
        self.mount()
        self.path.chmod(0o755)
        for words in ((), ("--lazy",)):
            self.assert_refused(1, f"'{self.point}' was mounted by root, who alone can unmount "
                                "it\n", "umount", *words, "mnt", user=65534, group=65534, extra_groups=[])
        self.assertEqual(mounts_at(self.point), ["fuse.larderfs"])

    def test_what_is_not_there_is_not_mounted(self):
        for name in ("none", "none/"):
            self.assert_refused(2, f"'{self.path}/none' does not exist\n", "umount", name)

    def test_one_entry_is_one(self):
        (self.path / "empty").mkdir()
        self.run_ok("commit", "--key", "empty", "./store", "empty")
        told = self.run_ok("mount", "--key", "empty", "./store", "mnt").out
        self.assertIn(": mounted: 1 entry in ", told)
        self.assertRegex(self.run_ok("status", "mnt").out, "holds +1 entry in ")
        self.run_ok("umount", "mnt")

    def test_what_covers_the_mount_is_refused(self):
        self.mount()
        subprocess.run(["mount", "-t", "tmpfs", "none", self.point], check=True)
        self.assert_refused(2, "mnt'", "umount", "mnt")
        self.assertEqual(mounts_at(self.point), ["fuse.larderfs", "tmpfs"])
        subprocess.run(["umount", self.point], check=True)
        self.run_ok("umount", "mnt")

    def test_a_stuck_daemons_mount_can_be_detached(self):
        self.freeze(self.mount())
        self.run_ok("umount", "--lazy", "mnt")
        self.assertEqual(mounts_at(self.point), [])

    def test_a_stuck_daemon_is_given_up(self):
        self.freeze(self.mount("--key", "a"))
        commands = ((124, "mnt'", "status", "mnt"),
                    (124, f"{self.point}'", "commit", "--key", "new", "./store", "mnt"),
                    (2, f"{self.point}'", "mount", "./store", "mnt"))
        for child, code, named in [(self.cli.start(*words), code, named)
                                   for code, named, *words in commands]:
            out, err = child.communicate(timeout=60)
            self.assertEqual((child.returncode, out, err.count(b"\n")), (code, b"", 1), err)
            self.assertIn(f"does not answer; 'larder umount --lazy {named}", err.decode())
        self.assertEqual(mounts_at(self.point), ["fuse.larderfs"])
        self.assert_refused(124, "is unmounted, but its daemon did not answer", "umount", "mnt")
        self.assertEqual(mounts_at(self.point), [])

    def test_a_stuck_daemon_within_what_is_packed_is_given_up(self):
        modules = self.path / "project/modules"
        modules.mkdir(parents=True)
        env = {"LARDER_CACHE_DIR": f"{self.path}/project/cache"}
        for key, words in (("c", []), ("d", ["--writable"])):
            with self.subTest(words):
                self.run_ok("mount", *words, "--key", "a", "./store", modules, env=env)
                pid = json.loads(self.run_ok("status", "--json", modules).out)["pid"]
                self.addCleanup(os.kill, pid, signal.SIGKILL)
                freeze(pid)
                commit = ("commit", "--key", key, "./store", "project")
                self.assert_refused(124, f"'{modules}' is mounted by a larderfs that does not "
                                         f"answer; 'larder umount --lazy {modules}'",
                                    *commit, env=env)
                self.run_ok("commit", "--key", "a", "./store", "project", env=env)
                # what is mounted in the cache folder is left out, as that is
                self.run_code(0, *commit, "--exclude", "modules", env=env)
                subprocess.run(["mount", "--bind", "project", "project"], cwd=self.path,
                               check=True)  # which hides it
                self.run_code(0, "commit", "--force", *commit[1:], env=env)
                subprocess.run(["umount", "project"], cwd=self.path, check=True)
                self.run_ok("umount", "--lazy", modules)

    def test_a_signal_ends_the_asking_of_a_stuck_daemon(self):
        self.freeze(self.mount())
        for command, said in (("umount", b"interrupted; '%s' stays mounted"),
                              ("status", b"interrupted while asking 'mnt'")):
            with self.subTest(command=command):
                child = self.cli.start(command, "mnt")
                asked = Path(f"/proc/{child.pid}/task/{child.pid}/children")
                wait_until(asked.read_text, "somebody asks", child=None)
                child.send_signal(signal.SIGINT)
                out, err = child.communicate(timeout=60)
                self.assertEqual((child.returncode, out), (130, b""), err)
                self.assertIn(said.replace(b"%s", bytes(self.point)), err)
                self.assertEqual(mounts_at(self.point), ["fuse.larderfs"])

    def test_mountpoints_that_will_not_do(self):
        (self.path / "full").mkdir()
        (self.path / "full" / "file").touch()
        (self.path / "plain").touch()
        for name in ("full", "plain", "none"):
            with self.subTest(name=name):
                self.assert_refused(2, f"{name}'", "mount", "./store", name)
        self.mount()
        for words in (("mount",), ("restore", "--key", "a")):
            self.assert_refused(2, "/mnt' is a mount of larderfs already", *words, "./store",
                                "mnt")
        self.assertEqual(mounts_at(self.point), ["fuse.larderfs"])

    def test_a_miss_mounts_nothing(self):
        out = self.path / "out"
        result = self.cli.run("mount", "--key", "none", "--output", out, "./store", "mnt")
        self.assertEqual(result.code, 0, result)
        self.assertEqual(out.read_text(), "cache-hit=false\n")
        self.assertEqual(mounts_at(self.point), [])
        self.assert_refused(3, "'none'", "mount", "--key", "none", "--fail-on-miss",
                            "./store", "mnt")
        self.assertEqual(mounts_at(self.point), [])

    def test_a_fallback_is_mounted_and_told(self):
        out = self.path / "out"
        self.mount("--key", "b/none", "--fallback-key", "b/", "--output", out)
        self.assertEqual(os.listdir(self.point), ["file"])
        self.assertEqual(out.read_text().splitlines()[:2],
                         ["cache-hit=false", "cache-matched-key=b/c"])

    def test_in_the_foreground_a_signal_unmounts(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number=number):
                child = self.cli.start("mount", "--foreground", "./store", "mnt")
                wait_until(lambda: mounts_at(self.point), "it is mounted", child=None)
                self.assertIsNone(child.poll())
                child.send_signal(number)
                out, err = child.communicate(timeout=60)
                self.assertEqual((out, mounts_at(self.point)), (b"", []), err)

    def test_a_signal_ends_the_waiting_for_the_store(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/store"
            child = self.cli.start("mount", "--foreground", "--key", "a", url, "mnt")
            silent.settimeout(60)
            with silent.accept()[0]:
                child.send_signal(signal.SIGTERM)
                out, err = child.communicate(timeout=60)
        self.assertEqual((child.returncode, out, err.count(b"\n")), (143, b"", 1), err)
        self.assertTrue(err.startswith(b"larderfs: error: "), err)

    def alone(self, *words):
        """Runs a larder that has no larderfs beside it, nor in PATH."""
        place = self.path / "alone"
        place.mkdir(exist_ok=True)
        shutil.copy(program("larder"), place)
        return subprocess.run([place / "larder", *words],
                              env=self.cli.env | {"PATH": str(place)}, cwd=self.path,
                              capture_output=True, text=True, timeout=60)

    def test_it_becomes_larderfs_itself(self):
        done = self.alone("mount", "--key", "a", "./store", "mnt")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        pid = json.loads(self.run_ok("status", "--json", "mnt").out)["pid"]
        self.assertEqual(Path(f"/proc/{pid}/comm").read_text(), "larderfs\n")

    def test_without_larderfs_nothing_is_writable(self):
        done = self.alone("mount", "--writable", "./store", "mnt")
        self.assertEqual(done.returncode, 1)
        self.assertIn("larderfs", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
