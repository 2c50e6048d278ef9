"""Nothing that a test starts may outlive it, however it ends."""

import os
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path

from larder_testlib import janitor, process
from larder_testlib.ports import PortBlock
from larder_testlib.process import TempDir, spawn, wait_until

# Starts a child, a daemon that leaves its session, and a directory with a mount in it
# where that is allowed; prints their names and waits to be killed, or for its input's end.
# A signal that comes just before select(2) ends that, too: by the pipe.
VICTIM = """\
import ctypes, os, select, signal, subprocess, sys
from larder_testlib.process import TempDir, spawn
told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
child = spawn(["sleep", "1000"])
shell = "setsid sleep 1001 >/dev/null 2>&1 & echo $!"
daemon = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, check=True).stdout
place = TempDir("larder-victim-").path
(place / "sub").mkdir()
mounted = os.geteuid() == 0 and subprocess.run(
    ["mount", "-t", "tmpfs", "none", place / "sub"], stderr=subprocess.DEVNULL).returncode == 0
print(child.pid, int(daemon), place, int(mounted), flush=True)
select.select([sys.stdin, told], [], [])
"""


def is_running(pid):
    return janitor.start_time(pid) is not None


class EndOfTheTestProcess(unittest.TestCase):
    def start_victim(self):
        support = Path(__file__).parent
        victim = spawn([sys.executable, "-c", VICTIM], stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                       env=os.environ | {"PYTHONPATH": str(support)})
        self.addCleanup(victim.kill)
        child, daemon, place, _ = victim.popen.stdout.readline().split()
        return victim, int(child), int(daemon), Path(os.fsdecode(place))

    def assert_all_gone(self, child, daemon, place):
        wait_until(lambda: not is_running(child), "the child died")
        wait_until(lambda: not is_running(daemon), "the daemon died")
        wait_until(lambda: not place.exists(), "the directory was removed")
        self.assertEqual(janitor.mount_points(place), [])

    def test_killed(self):
        victim, *things = self.start_victim()
        victim.kill()
        self.assert_all_gone(*things)

    def test_terminated(self):
        victim, *things = self.start_victim()
        self.assertEqual(victim.stop(signal.SIGTERM), -signal.SIGTERM)
        self.assert_all_gone(*things)

    def test_terminated_again_meanwhile(self):
        victim, *things = self.start_victim()
        signals = iter([signal.SIGTERM] * 20)

        def is_dead():
            victim.send(next(signals, 0))
            return not victim.alive()

        wait_until(is_dead, "the victim died")
        self.assertEqual(victim.wait(), -signal.SIGTERM)
        self.assert_all_gone(*things)

    def test_interrupted(self):
        victim, *things = self.start_victim()
        victim.stop(signal.SIGINT)
        self.assert_all_gone(*things)

    def test_ends_by_itself(self):
        victim, *things = self.start_victim()
        victim.popen.stdin.write(b"\n")
        victim.popen.stdin.flush()
        self.assertEqual(victim.wait(), 0)
        self.assert_all_gone(*things)


class Children(unittest.TestCase):
    def test_heeds_what_the_suite_is_told_to_ignore(self):
        code = ("import os, signal\nfrom larder_testlib.process import spawn\n"
                "os.kill(os.getpid(), signal.SIGINT)\n"
                "child = spawn(['sleep', '60'])\nchild.send(signal.SIGINT)\n"
                "print(child.wait(10))")
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
            check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.assertEqual((done.returncode, done.stdout), (0, f"{-signal.SIGINT}\n"), done)

    def test_stop_kills_what_ignores_the_signal(self):
        child = spawn(["sh", "-c", "trap '' TERM; echo x; read -r line"],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.popen.stdout.readline()
        self.assertEqual(child.stop(seconds=0.1), -signal.SIGKILL)

    def test_stop_ends_a_frozen_child(self):
        child = spawn(["sleep", "1000"])
        child.freeze()
        self.assertEqual(child.stop(), -signal.SIGTERM)

    def test_child_outlives_the_thread_that_asked_for_it(self):
        started = []
        thread = threading.Thread(target=lambda: started.append(spawn(["sleep", "1000"])))
        thread.start()
        thread.join()
        self.addCleanup(started[0].kill)
        self.assertTrue(started[0].alive())
        self.assertIn(started[0].pid, process.leftovers())

    def test_unknown_program_is_an_error(self):
        with self.assertRaises(FileNotFoundError):
            spawn(["/nonexistent/program"])

    def test_wait_until_notices_a_dead_child(self):
        child = spawn(["false"])
        self.addCleanup(child.kill)
        with self.assertRaisesRegex(RuntimeError, "'false' ended with 1 before it rained"):
            wait_until(lambda: False, "it rained", child=child)


class Directories(unittest.TestCase):
    def test_removed_with_everything_in_it(self):
        with TempDir() as place:
            (place / "a" / "b").mkdir(parents=True)
            (place / "a" / "file").write_bytes(b"x")
            self.assertEqual(place.stat().st_mode & 0o777, 0o700)
        self.assertFalse(place.exists())


class Ports(unittest.TestCase):
    def test_blocks_are_claimed_for_their_whole_life(self):
        with PortBlock(20) as one, PortBlock(20) as two:
            self.assertNotEqual(one.base, two.base)
            script = ("import sys; from larder_testlib import ports;"
                      "sys.exit(ports._claim(int(sys.argv[1])) is not None)")
            env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
            for block in (one, two):
                subprocess.run([sys.executable, "-c", script, str(block.base)], env=env,
                               check=True)

    def test_a_block_has_a_size(self):
        for count in (0, 21):
            with self.assertRaises(ValueError):
                PortBlock(count)


if __name__ == "__main__":
    unittest.main()
