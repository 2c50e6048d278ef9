"""The tests' own signer against the example of the S3 documentation, and its verifier."""

import hashlib
import unittest

from larder_testlib import sigv4
from larder_testlib.sigv4 import Credentials, SignatureError

EMPTY = hashlib.sha256(b"").hexdigest()
NOW = 1369353600  # 2013-05-24 00:00:00 UTC
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = [("Host", "examplebucket.s3.amazonaws.com")]


def sign(method="GET", target="/", headers=(), payload_hash=EMPTY, **options):
    options.setdefault("now", NOW)
    credentials = options.pop("credentials", CREDENTIALS)
    return sigv4.sign(credentials, method, target, HOST + list(headers), payload_hash,
                      **options)


class PublishedExamples(unittest.TestCase):
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html

    def assert_signature(self, expected, *args):
        self.assertTrue(dict(sign(*args))["Authorization"].endswith(f"Signature={expected}"))

    def test_ranged_get(self):
        self.assert_signature(
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            "GET", "/test.txt", [("Range", "bytes=0-9")])

    def test_query_without_value(self):
        self.assert_signature(
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            "GET", "/?lifecycle")

    def test_list(self):
        self.assert_signature(
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            "GET", "/?max-keys=2&prefix=J")

    def test_put(self):
        body = b"Welcome to Amazon S3."
        self.assert_signature(
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            "PUT", "/test%24file.text", [("Date", "Fri, 24 May 2013 00:00:00 GMT"),
                                         ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
            hashlib.sha256(body).hexdigest())


class Verifier(unittest.TestCase):
    def verify(self, headers, method="GET", target="/", body_hash=EMPTY, **options):
        options.setdefault("now", NOW)
        known = options.pop("known", CREDENTIALS)
        sigv4.verify({known.access_key: known}.get, method, target, headers, body_hash,
                     **options)

    def assert_refused(self, code, *args, **options):
        with self.assertRaises(SignatureError) as caught:
            self.verify(*args, **options)
        self.assertEqual(caught.exception.code, code)

    def test_accepts_its_own_signature(self):
        for target in ("/a%20b/%2B%3D%3A%40~", "/b?prefix=a%2Fb&list-type=2&delimiter=%2F"):
            self.verify(sign(target=target), target=target)

    def test_header_names_order_and_spaces(self):
        fields = [("X-Amz-Meta-A-b", "1"), ("x-amz-meta-a", "  two   words ")]
        self.verify(sign(headers=fields))

    def test_anything_changed_is_refused(self):
        headers = sign(target="/k", headers=[("Range", "bytes=0-9")])
        changed = [(n, v.replace("0-9", "0-99")) for n, v in headers]
        self.assert_refused("SignatureDoesNotMatch", changed, target="/k")
        self.assert_refused("SignatureDoesNotMatch", headers, target="/k2")
        self.assert_refused("SignatureDoesNotMatch", headers, "PUT", "/k")

    def test_wrong_secret(self):
        other = Credentials(CREDENTIALS.access_key, "other")
        self.assert_refused("SignatureDoesNotMatch", sign(), known=other)

    def test_unknown_key(self):
        self.assert_refused("InvalidAccessKeyId", sign(), known=Credentials("B", "s"))

    def test_unsigned(self):
        self.assert_refused("AccessDenied", HOST)

    def test_unsigned_amz_header(self):
        self.assert_refused("AccessDenied", sign() + [("x-amz-acl", "public-read")])

    def test_skew(self):
        self.assert_refused("RequestTimeTooSkewed", sign(now=NOW - 1000))
        self.verify(sign(now=NOW - 800))

    def test_region(self):
        self.assert_refused("AuthorizationHeaderMalformed", sign(region="eu-west-1"))
        self.verify(sign(region="eu-west-1"), region="eu-west-1")

    def test_session_token(self):
        temporary = Credentials("A", "s", "token")
        self.verify(sign(credentials=temporary), known=temporary)
        self.assert_refused("InvalidToken", sign(credentials=Credentials("A", "s", "old")),
                            known=temporary)

    def test_body(self):
        digest = hashlib.sha256(b"x").hexdigest()
        self.verify(sign("PUT", payload_hash=digest), "PUT", body_hash=digest)
        self.assert_refused("XAmzContentSHA256Mismatch", sign("PUT", payload_hash=digest),
                            "PUT", body_hash=EMPTY)
        self.verify(sign("PUT", payload_hash=sigv4.UNSIGNED), "PUT", body_hash=digest)


if __name__ == "__main__":
    unittest.main()
