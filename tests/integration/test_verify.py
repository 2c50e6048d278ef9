"""`larder verify`: whatever is damaged is found, named and counted, and the rest looked at."""

import json
import os
import struct
import unittest

from larder_testlib.cli import Cli
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("key0000000000000000", "secret-secret-secret-secret-secret")
BUCKET = "ci-cache"
DIGESTS, INDEX, IDENTITY = 0x184D2A50, 0x184D2A51, 0x184D2A54  # docs/format.md
FOOTER = 9  # bytes


def parts(path):
    """What an archive consists of, by its seek table: {magic: offset} of all that is not tar."""
    data = path.read_bytes()
    count = struct.unpack("<I", data[-FOOTER:][:4])[0]
    table = len(data) - FOOTER - 8 * count
    at, found = 0, {}
    for stored, raw in struct.iter_unpack("<II", data[table:-FOOTER]):
        if raw == 0:
            found[struct.unpack_from("<I", data, at)[0]] = at
        at += stored
    return found


def flip(path, *offsets):
    with open(path, "r+b") as file:
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 1]))


class Verify(unittest.TestCase):
    def setUp(self):
        self.home = TempDir()
        self.addCleanup(self.home.remove)
        self.cli = Cli(self.home.path)
        self.path = self.home.path / "store" / "a"
        self.tree = self.home.path / "tree"
        self.tree.mkdir()
        (self.tree / "empty").touch()
        (self.tree / "noise").write_bytes(os.urandom(8 << 20))

    def commit(self, store="./store"):
        done = self.cli.run("commit", "--key", "a", store, "tree")
        self.assertEqual(done.code, 0, done)

    def verify(self, code=4, key="a", store="./store"):
        """What --json says (None: nothing), and the lines on standard error."""
        done = self.cli.run("verify", "--key", key, "--json", store)
        self.assertEqual(done.code, code, done)
        return json.loads(done.out) if done.out else None, done.err.splitlines()

    def test_verify_finds_what_is_damaged(self):
        self.commit()
        said, _ = self.verify(code=0)
        self.assertTrue(said["sound"])
        flip(self.path, 1 << 20, 5 << 20)
        said, lines = self.verify()
        self.assertEqual((said["sound"], said["damaged"]), (False, 2))
        self.assertEqual(len(lines), 3, lines)
        self.verify(key="b", code=3)

    def test_damage_beside_the_frames_does_not_hide_theirs(self):
        self.commit()
        flip(self.path, 1 << 20, 5 << 20, parts(self.path)[DIGESTS] + 8)
        said, lines = self.verify()
        self.assertEqual((said["sound"], said["damaged"]), (False, 3))
        self.assertEqual(len(lines), 4, lines)
        self.assertIn("content digests", lines[0])
        self.assertRegex(lines[-1], r"2 of \d+ frames are damaged, and 1 part beside them")

    def test_metadata_of_another_archive(self):
        with Origin([KEYS]) as origin:
            self.cli.env |= origin.env(KEYS) | {"AWS_ENDPOINT_URL_S3": origin.endpoint}
            self.commit(f"s3://{BUCKET}")
            stored = origin.stored(BUCKET, "a")
            wrong = [(name, "0" * 64 if name.lower() == "x-amz-meta-larder-identity" else value)
                     for name, value in stored.headers]
            self.assertNotEqual(wrong, stored.headers)
            origin.put(BUCKET, "a", stored.body, wrong)
            said, lines = self.verify(store=f"s3://{BUCKET}")
        self.assertEqual((said["sound"], said["damaged"]), (False, 1))
        self.assertIn("another identity", lines[0])
        self.assertRegex(lines[-1], r"0 of \d+ frames are damaged, and 1 part beside them")

    def test_an_object_whose_index_cannot_be_read(self):
        self.commit()
        size = self.path.stat().st_size
        flip(self.path, parts(self.path)[INDEX] + 8)
        said, lines = self.verify()
        self.assertEqual(
            {name: said[name] for name in ("key", "sound", "size")},
            {"key": "a", "sound": False, "size": size})
        self.assertNotIn("damaged", said)
        self.assertEqual(len(lines), 1, lines)
        with open(self.path, "r+b") as file:
            file.truncate(size - 1)
        said, _ = self.verify()
        self.assertEqual((said["sound"], said["size"]), (False, size - 1))


if __name__ == "__main__":
    unittest.main()
