#!/usr/bin/python3
"""What a mount keeps in memory is bounded, whatever is read of whatever archive."""

import contextlib
import json
import os
import time
import unittest

from larder_testlib import fuse
from larder_testlib.mount import Mount, larder
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, wait_until
from larder_testlib.programs import sanitizers

MIB = 1 << 20


def resident(mount):
    pid, = mount.pids()
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class MemoryTest(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.tree = self.home / "tree"
        self.tree.mkdir()
        self.store = self.home / "store"

    def commit(self, key):
        larder("commit", "--key", key, self.store, self.tree)

    def mount(self, *words, **more):
        return self.enterContext(Mount(self.store, *words, **more))

    @staticmethod
    def decoded_frames(mount):
        status = json.loads(os.getxattr(mount.path, "user.larder.status"))
        return status["keys"][0]["decoded_frames"]

    def decoded_when_at_rest(self, mount):
        """When no more have come for a while."""
        before, now = -1, 0
        while now != before:
            time.sleep(0.3)
            before, now = now, self.decoded_frames(mount)
        return now

    def test_little_of_a_hole_is_read_ahead(self):
        with open(self.tree / "hole", "wb") as file:
            file.truncate(512 * MIB)
        self.commit("k")
        self.assertLess((self.store / "k").stat().st_size, MIB)
        for words in ([], ["--cache-dir="]):
            mount = self.mount(*words, key="k")
            with open(mount.path / "hole", "rb", buffering=0) as file:
                self.assertEqual(file.read(4096), bytes(4096))
            wait_until(lambda: self.decoded_frames(mount) > 1, "more was read ahead")
            self.assertLess(self.decoded_when_at_rest(mount), 64)

    def commit_keys(self, keys, size):
        for number in range(keys):
            (self.tree / "noise").write_bytes(os.urandom(size))
            self.commit(f"k{number}")

    def read_keys(self, keys, store):
        mount = self.enterContext(Mount(store, "--cache-dir="))
        for number in range(keys):
            with open(mount.path / f"k{number}" / "noise", "rb", buffering=0) as file:
                while file.read(MIB):
                    pass
        if not sanitizers():
            self.assertLess(resident(mount), 200 * MIB)

    def test_many_large_keys_take_no_more_than_a_few(self):
        self.commit_keys(20, 30 * MIB)
        self.read_keys(20, self.store)

    def test_many_small_keys_take_no_more_than_a_few(self):
        """All of such a key comes with its opening."""
        self.commit_keys(150, MIB)
        self.read_keys(150, self.store)
        origin = self.enterContext(Origin())
        origin.quirks.ranges = "ignore"
        for number in range(150):
            origin.put("b", f"k{number}", (self.store / f"k{number}").read_bytes())
        self.read_keys(150, f"{origin.endpoint}/b")

    def test_keys_read_side_by_side_are_read_once(self):
        """All that lies ahead of thirty readers would not find room."""
        (self.tree / "noise").write_bytes(os.urandom(15 * MIB))
        self.commit("k0")
        for number in range(1, 30):
            os.link(self.store / "k0", self.store / f"k{number}")
        mount = self.mount("--cache-dir=")
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(mount.path / f"k{number}" / "noise", "rb",
                                              buffering=0)) for number in range(30)]
            while all([file.read(MIB // 4) for file in files]):
                pass
        keys = json.loads(os.getxattr(mount.path, "user.larder.status"))["keys"]
        decoded = [key["decoded_frames"] for key in keys]
        self.assertEqual(len(decoded), 30)
        self.assertGreaterEqual(min(decoded), 15)
        self.assertLess(sum(decoded), 30 * 15 * 3 / 2)


if __name__ == "__main__":
    fuse.main()
