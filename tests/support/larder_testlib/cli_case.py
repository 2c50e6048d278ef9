"""What tests share that run `larder` in a directory of their own and mount there."""

import subprocess
import unittest

from .cli import Cli
from .janitor import mount_points
from .process import TempDir, forget_mount, note_mount


def mounts_at(path):
    """The types of what is mounted there, the topmost last."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as info:
        lines = [line.split() for line in info]
    return [line[line.index("-") + 1] for line in lines if line[4] == str(path)]


class CliCase(unittest.TestCase):
    """path: the directory, in which self.cli runs. point: an empty directory "mnt" there.

    Whatever is still mounted below path at the end is taken away."""

    def setUp(self):
        home = TempDir()
        self.addCleanup(home.remove)
        self.path = home.path
        self.cli = Cli(self.path)
        self.point = self.path / "mnt"
        self.point.mkdir()
        note_mount(self.point)
        self.addCleanup(forget_mount, self.point)
        self.addCleanup(self.clear_away)

    def clear_away(self):
        for point in reversed(mount_points(self.path)):
            subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)

    def run_code(self, code, *words, **more):
        result = self.cli.run(*words, **more)
        self.assertEqual(result.code, code, result)
        return result

    def run_ok(self, *words, **more):
        result = self.run_code(0, *words, **more)
        self.assertEqual(result.err, "", result)
        return result

    def assert_refused(self, code, named, *words, **more):
        """It says nothing but one line of error, with `named` in it."""
        result = self.run_code(code, *words, **more)
        self.assertEqual((result.out, result.err.count("\n")), ("", 1), result)
        self.assertIn(named, result.err)
