#!/usr/bin/python3
"""The measurement at scale runs, on small series, and what must not grow does not."""

import pathlib
import sys
import unittest
from contextlib import ExitStack

from larder_testlib import fuse
from larder_testlib.programs import sanitizers

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "bench"))

from larder_bench import scale  # noqa: E402  pylint: disable=wrong-import-position


def measure(group, *words):
    with ExitStack() as stack:
        return list(getattr(scale.Scale(scale.parse(["--keep-caches", *words]), stack), group)())


class ScaleTest(unittest.TestCase):

    def assert_small(self, value, limit):
        """Of memory: a sanitizer's own is not meant."""
        if not sanitizers():
            self.assertLess(value, limit)

    def test_files_cost_little_memory(self):
        # both larger than what comes with the opening, of which frames are kept
        few, many = measure("entries", "--entries", "10000,30000")
        self.assertEqual((few["requests"], many["requests"]), (1, 1))
        grown = (many["resident MB"] - few["resident MB"]) * 1e6
        self.assert_small(grown / (many["entries"] - few["entries"]), 150)
        # threads that answered stay: their stacks, whatever the number of files
        self.assert_small(many["after it MB"], many["resident MB"] + 4)

    def test_a_large_archive_is_read_in_place(self):
        row, = measure("large", "--gigabytes", "1")
        self.assertEqual(row["requests"], 1)
        self.assertLessEqual(row["requests each"], 1)
        self.assertLess(row["MB each"], 1.1)
        self.assert_small(row["peak MB"], 100)

    def test_keys_cost_little_memory(self):
        folder, bucket = measure("keys", "--keys", "2000")
        self.assertEqual(bucket["its requests"], 2)
        self.assertEqual(bucket["one key requests"], 1)
        # threads and connections weigh on so few keys: 638 bytes of 100,000
        for row in folder, bucket:
            self.assert_small(row["bytes a key seen"], 6000)


if __name__ == "__main__":
    fuse.main()
