"""Apache and nginx start, serve ranges, take PUTs, log, and leave nothing behind."""

import socket
import unittest

from larder_testlib import janitor
from larder_testlib.process import wait_until
from larder_testlib.webserver import Apache, Nginx


class Common:
    """The cases for both; self.make() gives a server that is not started."""

    def setUp(self):
        self.web = self.enterContext(self.make())

    def test_ranges_and_preconditions(self):
        (self.web.root / "a b").write_bytes(b"0123456789")
        status, headers, body = self.web.request("GET", "/a%20b", headers={"Range": "bytes=-3"})
        self.assertEqual((status, body, headers["Content-Range"]),
                         (206, b"789", "bytes 7-9/10"))
        status, _, _ = self.web.request("GET", "/a%20b", headers={
            "Range": "bytes=0-1", "If-Match": '"other"'})
        self.assertEqual(status, 412)
        self.assertEqual(self.web.request("GET", "/missing")[0], 404)

    def test_put(self):
        self.assertEqual(self.web.request("PUT", "/k", b"x" * 3_000_000)[0], 201)
        self.assertEqual((self.web.root / "k").stat().st_size, 3_000_000)

    def test_access_log(self):
        self.web.request("PUT", "/some%20key", b"123456")
        self.web.request("GET", "/some%20key", headers={"Range": "bytes=1-3",
                                                        "User-Agent": 'a "b" c'})
        self.web.request("GET", "/x?y=z", headers={"If-Match": '"tag"',
                                                   "If-None-Match": "*"})
        # a process writes its line when it is done, be another one quicker or not
        get, put, missing = sorted(self.web.access_log(),
                                   key=lambda line: (line.target == "/x?y=z", line.method))
        self.assertEqual((put.method, put.path, put.status), ("PUT", "/some key", 201))
        self.assertEqual((get.range, get.status, get.size, get.agent),
                         ("bytes=1-3", 206, 3, 'a "b" c'))
        self.assertIn(missing.status, (404, 412))
        self.assertEqual((missing.target, missing.if_match, missing.if_none_match, missing.range),
                         ("/x?y=z", '"tag"', "*", None))

    def test_freeze_and_thaw(self):
        (self.web.root / "k").write_bytes(b"1")
        self.web.freeze()
        with socket.create_connection(("127.0.0.1", self.web.port), 5) as raw:
            raw.sendall(b"GET /k HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            raw.settimeout(0.1)
            with self.assertRaises(TimeoutError):
                raw.recv(1)
            self.web.thaw()
            raw.settimeout(10)
            self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 200 "))

    def test_two_at_once_and_nothing_left(self):
        with self.make() as other:
            self.assertNotEqual(other.port, self.web.port)
            pid, place = next(iter(other.children.values())).pid, other.dir
            self.assertIsNotNone(janitor.start_time(pid))
        wait_until(lambda: janitor.start_time(pid) is None, "it died")
        self.assertFalse(place.exists())


class TestApache(Common, unittest.TestCase):
    make = Apache

    def test_strong_etags_of_the_content(self):
        (self.web.root / "a").write_bytes(b"same")
        (self.web.root / "b").write_bytes(b"same")
        one, two = (self.web.request("GET", name)[1]["ETag"] for name in ("/a", "/b"))
        self.assertTrue(one == two and one.startswith('"'))

    def test_create_only_once(self):
        for expected in (201, 412):
            self.assertEqual(self.web.request("PUT", "/once", b"1", {"If-None-Match": "*"})[0],
                             expected)

    def test_weak_etags(self):
        with Apache(etag="MTime Size") as web:
            (web.root / "k").write_bytes(b"1")
            self.assertTrue(web.request("GET", "/k")[1]["ETag"].startswith("W/"))


class TestNginx(Common, unittest.TestCase):
    make = Nginx

    def test_put_makes_directories(self):
        self.assertEqual(self.web.request("PUT", "/d/e/k", b"1")[0], 201)
        self.assertEqual((self.web.root / "d" / "e" / "k").read_bytes(), b"1")

    def test_overwrites_whatever_the_condition(self):
        for body in (b"1", b"2"):
            self.web.request("PUT", "/k", body, {"If-None-Match": "*"})
        self.assertEqual((self.web.root / "k").read_bytes(), b"2")

    def test_tls(self):
        with Nginx(tls=True) as web:
            (web.root / "k").write_bytes(b"1")
            self.assertTrue(web.endpoint.startswith("https://"))
            self.assertEqual(web.request("GET", "/k")[2], b"1")


if __name__ == "__main__":
    unittest.main()
