"""What tests of `larder mount --writable` share: a tree, published as key "a" of ./store, and
a mountpoint, all in a directory of the test's own."""

import json
import os
import select
import signal
from pathlib import Path

from .cli_case import CliCase, mounts_at
from .forget import forget_below
from .janitor import mount_points
from .process import wait_until


class WritableCase(CliCase):
    def setUp(self):
        super().setUp()
        self.tree = self.path / "tree"
        (self.tree / "lib/deep").mkdir(parents=True)
        (self.tree / "lib/deep/one").write_text("one\n")
        (self.tree / "lib/index.js").write_text("module.exports = 1\n" * 1000)
        (self.tree / "gone").write_text("gone\n")
        (self.tree / "gone-dir").mkdir()
        (self.tree / "gone-dir/inner").write_text("inner\n")
        (self.tree / "big").write_bytes(os.urandom(1 << 20))
        os.link(self.tree / "big", self.tree / "big-too")
        (self.tree / "bin").symlink_to("lib/index.js")
        self.run_ok("commit", "--key", "a", "./store", "tree")

    def homes(self):
        cache = self.path / ".cache/larder"
        return list(cache.glob("larder-overlay-*")) if cache.is_dir() else []

    def assert_nothing_left(self):
        self.assertEqual(mount_points(self.path), [])
        self.assertEqual(self.homes(), [])
        self.assertEqual(os.listdir(self.point), [])

    def mount(self, *words, key="a"):
        self.run_ok("mount", "--writable", "--key", key, *words, "./store", "mnt")
        self.assertEqual(len(mounts_at(self.point)), 1)

    def forget_keys(self, point="mnt"):
        """Has the kernel forget what it looked up, and so the mount of a whole store its keys;
        for root."""
        def forgotten():
            forget_below(self.path)
            return json.loads(self.run_ok("status", "--json", point).out)["keys_known"] == 0
        wait_until(forgotten, "the keys are forgotten", child=None)

    def contents(self, top):
        """{path: (kind, mode, content or target)} of a tree."""
        found = {}
        for path in sorted(top.rglob("*")):
            st = path.lstat()
            content = (os.readlink(path) if path.is_symlink()
                       else path.read_bytes() if path.is_file() else None)
            found[str(path.relative_to(top))] = (st.st_mode, content)
        return found

    def kill_daemon(self, number=signal.SIGKILL):
        daemon = os.pidfd_open(json.loads(self.run_ok("status", "--json", "mnt").out)["pid"])
        self.addCleanup(os.close, daemon)
        signal.pidfd_send_signal(daemon, number)
        select.select([daemon], [], [], 60)
