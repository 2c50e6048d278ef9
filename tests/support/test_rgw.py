"""The gateway starts, serves, logs, freezes and leaves nothing behind."""

import io
import socket
import unittest

from larder_testlib import janitor, server as module
from larder_testlib.rgw import Rgw, parse_access_log
from larder_testlib.s3 import S3Error


class Gateway(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rgw = cls.enterClassContext(Rgw())

    def setUp(self):
        self.s3 = self.rgw.s3
        self.bucket = self.rgw.make_bucket()

    def test_objects(self):
        key = "a b/c+d=e:@\u00e9"
        self.s3.put(self.bucket, key, b"hello", headers={"x-amz-meta-a": "1"})
        self.assertEqual(self.s3.get(self.bucket, key, range="bytes=-2").body, b"lo")
        self.assertEqual(self.s3.metadata(self.bucket, key), {"a": "1"})
        self.assertTrue(self.s3.exists(self.bucket, key))
        self.s3.delete(self.bucket, key)
        self.assertFalse(self.s3.exists(self.bucket, key))

    def test_body_from_a_file(self):
        self.s3.put(self.bucket, "f", io.BytesIO(b"x" * 3_000_000))
        self.assertEqual(self.s3.head(self.bucket, "f").headers["Content-Length"], "3000000")

    def test_listing_pages_and_prefixes(self):
        for key in ("a/1", "a/2", "b", "c/d/e"):
            self.s3.put(self.bucket, key)
        self.assertEqual(self.s3.list(self.bucket, page=1).keys, ["a/1", "a/2", "b", "c/d/e"])
        listing = self.s3.list(self.bucket, delimiter="/", page=1)
        self.assertEqual((listing.keys, listing.prefixes), (["b"], ["a/", "c/"]))

    def test_copy_onto_itself_keeps_metadata(self):
        self.s3.put(self.bucket, "k", b"v", headers={"x-amz-meta-larder-identity": "abc"})
        self.s3.copy(self.bucket, "k")
        self.assertEqual(self.s3.metadata(self.bucket, "k"), {"larder-identity": "abc"})
        self.assertEqual(self.s3.get(self.bucket, "k").body, b"v")

    def test_versions(self):
        bucket = self.rgw.make_bucket(versioned=True)
        first = self.s3.put(bucket, "k", b"1").version_id
        self.s3.put(bucket, "k", b"2")
        self.s3.delete(bucket, "k")
        self.assertEqual(self.s3.get(bucket, "k", version_id=first).body, b"1")
        versions = self.s3.list_versions(bucket)
        self.assertEqual([entry["DeleteMarker"] for entry in versions], [True, False, False])

    def test_multipart(self):
        self.s3.put_multipart(self.bucket, "big", [b"a" * (5 << 20), b"tail"])
        self.assertEqual(self.s3.get(self.bucket, "big", range="bytes=-5").body, b"atail")
        upload = self.s3.create_upload(self.bucket, "open")
        self.assertEqual([u["UploadId"] for u in self.s3.list_uploads(self.bucket)], [upload])
        self.s3.delete_bucket(self.bucket)

    def test_conditions_and_errors(self):
        self.s3.put(self.bucket, "k", b"1")
        refused = self.s3.put(self.bucket, "k", b"2", headers={"if-none-match": "*"}, ok=(412,))
        self.assertEqual((refused.status, refused.error_code), (412, "PreconditionFailed"))
        with self.assertRaises(S3Error) as caught:
            self.s3.get(self.bucket, "missing")
        self.assertEqual(caught.exception.code, "NoSuchKey")

    def test_who_may_read(self):
        self.s3.put(self.bucket, "k", b"1")
        other = self.rgw.client(self.rgw.add_user("other"))
        for client in (self.rgw.anonymous(), other):
            self.assertEqual(client.get(self.bucket, "k", ok=(403,)).status, 403)
        self.rgw.make_public(self.bucket)
        self.assertEqual(self.rgw.anonymous().get(self.bucket, "k").body, b"1")

    def test_access_log(self):
        self.s3.put(self.bucket, "logged key", b"123456")
        self.s3.get(self.bucket, "logged key", range="bytes=1-3")
        self.s3.get(self.bucket, "logged", ok=(404,))
        lines = [(a.method, a.path, a.status, a.range) for a in self.rgw.access_log()
                 if "logged" in a.path]
        self.assertEqual(lines, [
            ("PUT", f"/{self.bucket}/logged key", 200, None),
            ("GET", f"/{self.bucket}/logged key", 206, "bytes=1-3"),
            ("GET", f"/{self.bucket}/logged", 404, None)])

    def test_frozen_gateway_hangs_and_thaws(self):
        self.s3.put(self.bucket, "k", b"1")
        self.rgw.freeze()
        try:
            with self.assertRaises(TimeoutError):
                self.rgw.client(timeout=0.2).get(self.bucket, "k")
        finally:
            self.rgw.thaw()
        self.assertEqual(self.s3.get(self.bucket, "k").body, b"1")

    def test_gateway_restarts_with_its_objects(self):
        self.s3.put(self.bucket, "k", b"1")
        self.rgw.stop_gateway()
        with self.assertRaises(OSError):
            self.s3.get(self.bucket, "k")
        self.rgw.restart_gateway()
        self.assertEqual(self.rgw.s3.get(self.bucket, "k").body, b"1")
        self.rgw.access_log()


class Lifecycle(unittest.TestCase):
    def test_two_at_once_and_nothing_left(self):
        with Rgw() as one, Rgw() as two:
            self.assertNotEqual(one.port, two.port)
            pids = [child.pid for rgw in (one, two) for child in rgw.children.values()]
            self.assertEqual(len(pids), 6)
        self.assertEqual([pid for pid in pids if janitor.start_time(pid)], [])
        self.assertFalse(one.dir.exists() or two.dir.exists())

    def test_a_lost_port_means_another_block(self):
        real, taken = module.PortBlock, []

        def first_block_is_taken(count):
            block = real(count)
            if not taken:
                thief = socket.create_server(("127.0.0.1", block.base))
                self.addCleanup(thief.close)
                taken.append(block.base)
            return block

        module.PortBlock = first_block_is_taken
        try:
            with Rgw() as rgw:
                self.assertNotEqual(rgw.port, taken[0])
        finally:
            module.PortBlock = real


class AccessLogParser(unittest.TestCase):
    BEGIN = "T 7f 1 ====== starting new request req=0x1 ====="
    END = ('T 7f 1 beast: 0x1: 127.0.0.1 - test [21/Nov/2026:08:36:17.892 +0000] "GET /b/k '
           'HTTP/1.1" 206 7 - "an agent/1" bytes=0-6 latency=0.1s')

    def test_open_requests_are_counted(self):
        self.assertEqual(parse_access_log(self.BEGIN), ([], 1))
        done, left = parse_access_log("\n".join([self.BEGIN, self.END, self.BEGIN]))
        self.assertEqual((done[0].range, done[0].agent, left), ("bytes=0-6", "an agent/1", 1))

    def test_a_restart_forgets_open_requests(self):
        boot = "T 7f 0 ceph version 16.2.15 (abc) pacific (stable), process radosgw, pid 42"
        self.assertEqual(parse_access_log("\n".join([self.BEGIN, boot])), ([], 0))


if __name__ == "__main__":
    unittest.main()
