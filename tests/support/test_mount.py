"""The mount helper undoes every mount, with a stand-in for larderfs that mounts a tmpfs."""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from larder_testlib import janitor, mount as module
from larder_testlib.mount import Mount, MountError, environment, larder
from larder_testlib.process import TempDir, spawn, wait_until

# MODE says how it behaves. It ends when it is unmounted, as a FUSE daemon does.
LARDERFS = """\
#!/bin/bash
point=${@: -1}
printf '%s\\n' "$*"
case $MODE in
fail) echo 'no such store' >&2; exit 5;;
esac
mount -t tmpfs -o mode=755 none "$point" || exit 1
printf '%s\\n' "larderfs: mounted '$point'" >&2
case $MODE in
stuck) trap '' TERM;;
status) result=23;;
esac
serve() {
    while [ "$MODE" = stuck ] || grep -q " $point tmpfs" /proc/self/mounts; do
        read -t 0.02 <> <(:)
    done
}
case " $* " in
*' --foreground '*) serve; exit ${result:-0};;
esac
exec python3 "$0.daemon" "$point" < /dev/null > /dev/null 2>&1
"""

# Its arguments hold the mount point, as a daemon's do. It starts nothing: a child would
# have the same arguments until it executes another program.
DAEMON = """\
import os, select, sys
if os.fork():
    os._exit(0)
os.setsid()
with open("/proc/self/mounts") as table:
    changes = select.poll()
    changes.register(table, select.POLLERR | select.POLLPRI)
    while f" {sys.argv[1]} tmpfs" in table.read():
        changes.poll()
        table.seek(0)
"""

LARDER = """\
#!/bin/bash
case $1 in
echo) printf '%s ' "${@:2}"; cat; env | sort >&2;;
status) echo oops >&2; exit "$2";;
hang) exec sleep 1000;;
esac
"""

HOLDER = """\
import sys
from larder_testlib.mount import Mount
mount = Mount("file:///s", env={"MODE": sys.argv[1]}, foreground=sys.argv[2] == "1")
mount.start()
print(mount.path, flush=True)
sys.stdin.readline()
"""


class WithStandIns(unittest.TestCase):
    def setUp(self):
        build = self.enterContext(TempDir("larder-", 0o755))
        for name, text in (("fs/larderfs", LARDERFS), ("fs/larderfs.daemon", DAEMON),
                           ("tools/larder", LARDER)):
            (build / name).parent.mkdir(exist_ok=True)
            (build / name).write_text(text)
            (build / name).chmod(0o755)
        before = os.environ.get("LARDER_BUILD")
        os.environ["LARDER_BUILD"] = str(build)
        self.addCleanup(self.restore, before)

    @staticmethod
    def restore(before):
        if before is None:
            del os.environ["LARDER_BUILD"]
        else:
            os.environ["LARDER_BUILD"] = before


class Commands(WithStandIns):
    def test_result(self):
        result = larder("echo", "a b", Path("/c"), stdin=b"in", env={"AWS_REGION": "x"})
        self.assertEqual((result.status, result.out), (0, "a b /c in"))
        self.assertIn("AWS_REGION=x\n", result.err)

    def test_statuses(self):
        self.assertEqual(larder("status", "3", ok=(0, 3)).err, "oops\n")
        self.assertEqual(larder("status", "3", ok=None).status, 3)
        with self.assertRaisesRegex(AssertionError, "ended with 3:\noops"):
            larder("status", "3")

    def test_deadline(self):
        with self.assertRaisesRegex(AssertionError, "did not end within 0.1 s"):
            larder("hang", timeout=0.1)

    def test_environment_is_clean(self):
        os.environ["AWS_PROFILE"] = os.environ["https_proxy"] = "leak"
        self.addCleanup(os.environ.pop, "AWS_PROFILE")
        self.addCleanup(os.environ.pop, "https_proxy")
        clean = environment({"A": "1"}, {"A": "2"}, None)
        self.assertEqual((clean["A"], clean["PATH"]), ("2", os.environ["PATH"]))
        self.assertFalse({"AWS_PROFILE", "https_proxy", "LARDER_BUILD"} & set(clean))


@unittest.skipUnless(os.geteuid() == 0, "the stand-in needs root to mount")
class Mounts(WithStandIns):
    def mount(self, mode="serve", **options):
        return Mount("file:///store", "--timeout=5", env={"MODE": mode}, **options)

    def assert_undone(self, mount):
        self.assertFalse(mount.is_mounted())
        self.assertFalse(mount.path.exists())

    def test_mount_and_unmount(self):
        for foreground in (True, False):
            with self.mount(key="k", foreground=foreground) as mount:
                self.assertTrue(mount.is_mounted())
                self.assertEqual(len(mount.pids()), 1)
                self.assertIn("--timeout=5 --key=k ", mount.log())
            self.assert_undone(mount)

    def test_failure_to_mount(self):
        mount = self.mount("fail")
        with self.assertRaisesRegex(MountError, "ended with 5:\n(?s:.*)no such store"):
            mount.start()
        self.assert_undone(mount)

    def test_status_other_than_0(self):
        with self.assertRaisesRegex(MountError, "larderfs ended with 23"):
            with self.mount("status") as mount:
                pass
        self.assert_undone(mount)

    def test_an_error_of_the_test_comes_first(self):
        with self.assertRaises(ZeroDivisionError):
            with self.mount("status") as mount:
                1 / 0
        self.assert_undone(mount)

    def test_busy_mount_is_taken_away(self):
        with self.mount() as mount:
            holder = os.open(mount.path, os.O_RDONLY)
        self.addCleanup(os.close, holder)
        self.assert_undone(mount)

    def test_killed_daemon(self):
        for foreground in (True, False):
            with self.mount(foreground=foreground) as mount:
                mount.kill()
                self.assertEqual(mount.pids(), [])
                self.assertTrue(mount.is_mounted())
            self.assert_undone(mount)

    def test_daemon_that_does_not_end(self):
        self.addCleanup(setattr, module, "END_WITHIN", module.END_WITHIN)
        module.END_WITHIN = 0.2
        with self.assertRaisesRegex(MountError, "had to be killed"):
            with self.mount("stuck") as mount:
                pids = mount.pids()
        self.assert_undone(mount)
        self.assertIsNone(janitor.start_time(pids[0]))

    def test_a_killed_test_leaves_no_mount(self):
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        for mode, foreground in (("serve", "1"), ("stuck", "1"), ("serve", "0")):
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
                holder = spawn([sys.executable, "-c", HOLDER, mode, foreground], env=env,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
                point = holder.popen.stdout.readline().strip()
                self.assertIn(point, janitor.mount_points())
                holder.stop(number)
                wait_until(lambda: not os.path.exists(os.path.dirname(point)), "all was gone")
                self.assertNotIn(point, janitor.mount_points())


if __name__ == "__main__":
    unittest.main()
