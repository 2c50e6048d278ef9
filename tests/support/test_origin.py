"""The misbehaving store behaves well unless told, and then as told."""

import http.client
import os
import ssl
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from larder_testlib import origin as module
from larder_testlib.credential_server import ROLE, CredentialServer
from larder_testlib.origin import (DROP, SILENCE, FileBody, Origin, PatternBody, Quirks,
                                   s3_error)
from larder_testlib.s3 import S3, S3Error
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("AKIATEST", "secret")


class OriginTest(unittest.TestCase):
    options = {}

    def setUp(self):
        self.origin = self.enterContext(Origin(**self.options))
        self.quirks = self.origin.quirks
        self.s3 = S3(self.origin.endpoint, KEYS, timeout=10)
        self.addCleanup(self.s3.close)

    def status(self, method, key, **options):
        options["ok"] = range(100, 600)
        return self.s3.request(method, "b", key, **options).status

    def put_once(self, body=b"x", key="k"):
        return self.status("PUT", key, body=body, headers={"if-none-match": "*"})

    def complete_once(self, key="k"):
        upload = self.s3.create_upload("b", key)
        etag = self.s3.upload_part("b", key, upload, 1, b"part")
        return self.s3.complete_upload("b", key, upload, [etag], ok=range(100, 600),
                                       headers={"if-none-match": "*"})


class WellBehaved(OriginTest):
    def test_objects(self):
        key = "a b/c+d=e:@\u00e9"
        self.s3.put("b", key, b"0123456789", headers={"x-amz-meta-a": "1"})
        self.assertEqual(self.s3.metadata("b", key), {"a": "1"})
        for byte_range, part, label in (("bytes=-3", b"789", "bytes 7-9/10"),
                                        ("bytes=2-4", b"234", "bytes 2-4/10"),
                                        ("bytes=8-99", b"89", "bytes 8-9/10"),
                                        ("bytes=-99", b"0123456789", "bytes 0-9/10")):
            answer = self.s3.get("b", key, range=byte_range)
            self.assertEqual((answer.status, answer.body, answer.headers["Content-Range"]),
                             (206, part, label))
        self.assertEqual(self.status("GET", key, headers={"range": "bytes=10-"}), 416)
        self.assertEqual(self.status("GET", key, headers={"range": "bytes=1-2,4-5"}), 200)
        self.s3.delete("b", key)
        self.assertEqual(self.status("GET", key), 404)

    def test_conditions(self):
        etag = self.s3.put("b", "k", b"1").etag
        self.assertEqual(self.put_once(), 412)
        self.assertEqual(self.complete_once().status, 412)
        self.assertEqual(self.status("GET", "k", headers={"if-match": etag}), 200)
        self.assertEqual(self.status("GET", "k", headers={"if-match": '"x"'}), 412)
        self.assertEqual(self.status("GET", "k", headers={"if-none-match": etag}), 304)
        self.assertEqual(self.status("PUT", "k", headers={"if-match": '"x"'}), 412)
        self.assertEqual(self.status("PUT", "k", headers={"if-match": etag}), 200)

    def test_one_of_many_writers_wins(self):
        met = []
        threads = [threading.Thread(target=lambda: met.append(self.put_once()))
                   for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(met), [200] + [412] * 15)

    def test_multipart(self):
        self.s3.put_multipart("b", "k", [b"abc", b"de"])
        self.assertEqual(self.origin.objects("b"), {"k": b"abcde"})
        self.assertTrue(self.s3.head("b", "k").etag.endswith('-2"'))
        upload = self.s3.create_upload("b", "open")
        self.assertEqual(self.origin.uploads("b"), [("open", upload)])
        self.assertEqual([u["UploadId"] for u in self.s3.list_uploads("b")], [upload])
        with self.assertRaisesRegex(S3Error, "InvalidPart"):
            self.s3.complete_upload("b", "open", upload, ['"wrong"'])
        self.s3.abort_upload("b", "open", upload)
        self.assertEqual(self.origin.uploads("b"), [])

    def test_listing(self):
        for key in ("a/1", "a/2", "b", "c/d/e"):
            self.origin.put("b", key, b"x")
        self.quirks.max_keys = 1
        self.assertEqual(self.s3.list("b").keys, ["a/1", "a/2", "b", "c/d/e"])
        listing = self.s3.list("b", delimiter="/")
        self.assertEqual((listing.keys, listing.prefixes), (["b"], ["a/", "c/"]))
        self.assertEqual(self.s3.list("b", "c/", delimiter="/").prefixes, ["c/d/"])

    def test_copy_onto_itself(self):
        self.s3.put("b", "k", b"1", headers={"x-amz-meta-a": "1"})
        self.s3.copy("b", "k")
        self.assertEqual(self.s3.metadata("b", "k"), {"a": "1"})
        before = self.origin.stored("b", "k").etag
        self.origin.touch("b", "k")
        self.assertNotEqual(self.origin.stored("b", "k").etag, before)
        self.assertEqual(self.origin.objects("b"), {"k": b"1"})

    def test_versions(self):
        with Origin(versioned=True) as origin:
            s3 = S3(origin.endpoint, KEYS)
            first = s3.put("b", "k", b"1").version_id
            s3.put("b", "k", b"2")
            s3.delete("b", "k")
            self.assertFalse(s3.exists("b", "k"))
            self.assertEqual(s3.get("b", "k", version_id=first).body, b"1")
            s3.close()

    def test_virtual_hosts(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.origin.port)
        self.addCleanup(connection.close)
        connection.request("PUT", "/k", b"1", {"Host": f"b.localhost:{self.origin.port}"})
        self.assertEqual(connection.getresponse().status, 200)
        self.assertEqual(self.origin.objects("b"), {"k": b"1"})

    def test_requests_are_recorded(self):
        self.s3.put("b", "k", b"12345")
        self.s3.get("b", "k", range="bytes=1-2")
        put, get = self.origin.requests
        self.assertEqual((put.method, put.path, put.body, put.status),
                         ("PUT", "/b/k", b"12345", 200))
        self.assertEqual((get.header("range"), get.status, get.sent), ("bytes=1-2", 206, 2))

    def test_huge_objects(self):
        size = 50 << 30
        self.origin.put("b", "huge", PatternBody(size, {7: b"part", size - 2: b"ab"}))
        self.assertEqual(self.s3.get("b", "huge", range="bytes=-4").body[2:], b"ab")
        self.assertEqual(self.s3.get("b", "huge", range="bytes=5-12").body,
                         b"\0\0part\0\0"[:6] + (8).to_bytes(8, "little")[3:5])
        at = (40 << 30) + 3
        self.assertEqual(self.s3.get("b", "huge", range=f"bytes={at}-{at + 20}").body[5:13],
                         (at + 5).to_bytes(8, "little"))

    def test_files_as_objects(self):
        with tempfile.NamedTemporaryFile() as sparse:
            os.truncate(sparse.name, 1 << 40)
            os.pwrite(sparse.fileno(), b"end", (1 << 40) - 3)
            self.origin.put("b", "f", FileBody(sparse.name))
        self.assertEqual(self.s3.get("b", "f", range="bytes=-3").body, b"end")

    def test_tls(self):
        with Origin(tls=True) as origin:
            origin.put("b", "k", b"1")
            context = ssl.create_default_context(cafile=origin.ca)
            url = origin.endpoint + "/b/k"
            with urllib.request.urlopen(url, timeout=10, context=context) as answer:
                self.assertEqual(answer.read(), b"1")


class Misbehaving(OriginTest):
    def test_ignored_conditions(self):
        self.quirks.put_condition = self.quirks.complete_condition = "ignore"
        self.origin.put("b", "k", b"0")
        self.assertEqual(self.put_once(b"1"), 200)
        self.assertEqual(self.origin.objects("b"), {"k": b"1"})
        self.assertEqual(self.complete_once().status, 200)
        self.assertEqual(self.origin.objects("b"), {"k": b"part"})

    def test_conditions_answered_with_a_status(self):
        for status in (501, 409, 304):
            self.quirks.put_condition = self.quirks.complete_condition = status
            self.assertEqual(self.put_once(), status)
            self.assertEqual(self.complete_once().status, status)
        self.assertEqual(self.origin.objects("b"), {})
        self.assertEqual(self.status("PUT", "k"), 200)

    def test_racing_writers_win_together(self):
        self.quirks.put_condition = "race"
        gate, met = threading.Barrier(4), []

        def write():
            gate.wait()
            met.append(self.put_once())

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertGreater(met.count(200), 1)
        self.assertEqual(self.put_once(), 412)

    def test_lost_answers(self):
        self.quirks.lose_answers = 2
        for call in (self.put_once, lambda: self.complete_once("m")):
            self.s3.close()
            with self.assertRaises(http.client.RemoteDisconnected):
                call()
        self.assertEqual(self.origin.objects("b"), {"k": b"x", "m": b"part"})
        self.assertEqual(self.put_once(), 412)

    def test_error_within_a_successful_complete(self):
        self.quirks.complete_error, self.quirks.blank_before_complete = "InternalError", 5
        answer = self.complete_once()
        self.assertEqual((answer.status, answer.error_code), (200, "InternalError"))
        self.assertIn(b"     <Error>", answer.body)
        self.assertEqual(self.origin.objects("b"), {})
        self.quirks.complete_stores = True
        self.complete_once()
        self.assertEqual(self.origin.objects("b"), {"k": b"part"})

    def test_ranges(self):
        self.origin.put("b", "k", b"0123456789")
        for quirk, status, label, body in (
                ("ignore", 200, None, b"0123456789"),
                ("shifted", 206, "bytes 3-6/10", b"3456"),
                ("mislabelled", 206, "bytes 3-6/10", b"2345"),
                ("shorter", 206, "bytes 2-3/10", b"23"),
                ("total", 206, "bytes 2-5/11", b"2345"),
                ("unlabelled", 206, None, b"2345")):
            self.quirks.ranges = quirk
            answer = self.s3.get("b", "k", range="bytes=2-5")
            self.assertEqual((answer.status, answer.headers["Content-Range"], answer.body),
                             (status, label, body), quirk)
        self.quirks.ranges = "cut"
        with self.assertRaises(http.client.IncompleteRead) as caught:
            self.s3.get("b", "k", range="bytes=2-5")
        self.assertEqual(caught.exception.partial, b"23")

    def test_etags(self):
        self.origin.put("b", "k", b"1")
        seen = {}
        for kind in ("weak", "none", "empty", "changing", "strong"):
            self.quirks.etags = kind
            seen[kind] = self.s3.get("b", "k").etag
        self.assertEqual(seen["weak"], "W/" + seen["strong"])
        self.assertEqual((seen["none"], seen["empty"]), (None, ""))
        self.quirks.etags = "changing"
        self.assertNotEqual(self.s3.get("b", "k").etag, seen["changing"])

    def test_ignored_if_match(self):
        self.origin.put("b", "k", b"1")
        self.quirks.if_match = "ignore"
        self.assertEqual(self.status("GET", "k", headers={"if-match": '"other"'}), 200)

    def test_failures_to_come(self):
        self.origin.put("b", "k", b"1")
        self.origin.fail_next(s3_error(503, "SlowDown", headers=[("Retry-After", "3")]), 2,
                              lambda request: request.method == "GET")
        self.origin.fail_next(DROP, matches=lambda request: request.method == "HEAD")
        for _ in range(2):
            answer = self.s3.get("b", "k", ok=(503,))
            self.assertEqual((answer.error_code, answer.headers["Retry-After"]),
                             ("SlowDown", "3"))
        self.assertEqual(self.status("GET", "k"), 200)
        self.s3.close()
        with self.assertRaises(http.client.RemoteDisconnected):
            self.s3.head("b", "k")
        self.origin.fail_next(SILENCE)
        with self.assertRaises(TimeoutError):
            S3(self.origin.endpoint, KEYS, timeout=0.1).get("b", "k")

    def test_a_fresh_origin_has_no_quirks(self):
        self.assertEqual(Origin().quirks, Quirks())
        self.assertEqual(set(module.__all__) - set(dir(module)), set())


class Signed(OriginTest):
    options = {"credentials": [KEYS, Credentials("AKIATEMP", "temporary", "token")]}

    def refusal(self, credentials=KEYS, **options):
        s3 = S3(self.origin.endpoint, credentials, **options)
        self.addCleanup(s3.close)
        answer = s3.get("b", "k", ok=range(100, 600))
        return answer.status, answer.error_code

    def setUp(self):
        super().setUp()
        self.origin.put("b", "k", b"1")

    def test_signatures(self):
        self.assertEqual(self.refusal(), (200, None))
        self.assertEqual(self.refusal(Credentials("AKIATEMP", "temporary", "token")), (200, None))
        self.assertEqual(self.refusal(None), (403, "AccessDenied"))
        self.assertEqual(self.refusal(Credentials("OTHER", "x")), (403, "InvalidAccessKeyId"))
        self.assertEqual(self.refusal(Credentials("AKIATEST", "x")),
                         (403, "SignatureDoesNotMatch"))
        self.assertEqual(self.refusal(Credentials("AKIATEMP", "temporary")),
                         (400, "InvalidToken"))

    def test_expired(self):
        self.origin.expired.add("AKIATEST")
        self.assertEqual(self.refusal(), (400, "ExpiredToken"))

    def test_skewed_clock(self):
        self.origin.clock_offset = 7200
        self.assertEqual(self.refusal(), (403, "RequestTimeTooSkewed"))
        self.origin.clock_offset = 0
        self.assertEqual(self.refusal(), (200, None))

    def test_other_region(self):
        self.quirks.regions["b"] = "eu-west-1"
        answer = self.s3.get("b", "k", ok=(301,))
        self.assertEqual((answer.error_code, answer.headers["x-amz-bucket-region"]),
                         ("PermanentRedirect", "eu-west-1"))
        self.assertEqual(self.refusal(region="eu-west-1"), (200, None))
        self.quirks.region_status = 400
        self.assertIn(b"<Region>eu-west-1</Region>", self.s3.get("b", "k", ok=(400,)).body)
        self.quirks.region_status = 307
        self.assertIn("Location", self.s3.get("b", "k", ok=(307,)).headers)


class CredentialSources(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(CredentialServer())

    def fetch(self, path, method="GET", body=None, **headers):
        request = urllib.request.Request(self.server.endpoint + path, body,
                                         {k.replace("_", "-"): v for k, v in headers.items()},
                                         method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_container(self):
        self.server.container_token = "Bearer abc"
        self.assertEqual(self.fetch("/container/x")[0], 401)
        status, body = self.fetch("/container/x", Authorization="Bearer abc")
        self.assertEqual(status, 200)
        self.assertIn(self.server.issued[0].token, body)

    def test_instance(self):
        path = "/latest/meta-data/iam/security-credentials/"
        self.assertEqual(self.fetch(path)[0], 401)
        self.assertEqual(self.fetch("/latest/api/token", "PUT")[0], 400)
        _, token = self.fetch("/latest/api/token", "PUT",
                              X_aws_ec2_metadata_token_ttl_seconds="60")
        self.assertEqual(self.fetch(path, X_aws_ec2_metadata_token=token), (200, ROLE))
        status, body = self.fetch(path + ROLE, X_aws_ec2_metadata_token=token)
        self.assertEqual(status, 200)
        self.assertIn(self.server.issued[0].access_key, body)

    def test_silent_instance_service(self):
        self.server.instance_silent = True
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=0.1)
        self.addCleanup(connection.close)
        connection.request("PUT", "/latest/api/token")
        with self.assertRaises(TimeoutError):
            connection.getresponse()

    def test_web_identity(self):
        form = ("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn&"
                "RoleSessionName=s&WebIdentityToken=")
        status, body = self.fetch("/", "POST", (form + "bad").encode())
        self.assertEqual(status, 400)
        self.assertIn("InvalidIdentityToken", body)
        status, body = self.fetch("/", "POST", (form + "web-identity-token").encode())
        self.assertEqual(status, 200)
        issued = self.server.issued[0]
        self.assertIn(f"<SessionToken>{issued.token}</SessionToken>", body)
        with Origin(credentials=self.server.find) as origin:
            s3 = S3(origin.endpoint, issued)
            s3.put("b", "k", b"1")
            s3.close()
        self.assertEqual(self.fetch("/?Action=Other")[0], 400)


if __name__ == "__main__":
    unittest.main()
