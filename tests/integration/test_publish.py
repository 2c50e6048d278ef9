"""Publishing to a real gateway: the first writer wins, whole, or nothing is left."""

import json
import os
import signal
import subprocess
import unittest

from larder_testlib.webserver import Apache, Nginx
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.programs import program
from larder_testlib.rgw import Rgw

# By hand: LARDER_ROUNDS=50
ROUNDS = int(os.environ.get("LARDER_ROUNDS", "5"))
WRITERS = 16


class Publish(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rgw = cls.enterClassContext(Rgw())

    def setUp(self):
        self.scratch = self.enterContext(TempDir("larder-publish-"))
        self.tmp = self.scratch / "tmp"
        self.tmp.mkdir()
        self.bucket = self.rgw.make_bucket()
        self.store = f"s3://{self.bucket}"

    def env(self, endpoint=None):
        return os.environ | self.rgw.env(endpoint or self.rgw.endpoint) | {
            "LARDER_CACHE_DIR": str(self.scratch / "cache"), "TMPDIR": str(self.tmp)}

    def larder(self, *words, code=0, env=None):
        done = subprocess.run([program("larder"), *map(str, words)], env=env or self.env(),
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def start(self, *words, env=None):
        return spawn([program("larder"), *map(str, words)], env=env or self.env(),
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def tree(self, name, content=None, size=0):
        top = self.scratch / name
        (top / "sub").mkdir(parents=True)
        (top / "who").write_text(content or name)
        (top / "sub" / "same").write_text("same everywhere\n")
        if size:
            (top / "big").write_bytes(os.urandom(size))
        return top

    def files_of(self, key):
        return {entry["name"]: entry for entry in json.loads(
            self.larder("ls", "--json", "--key", key, self.store).stdout)}

    def content_of(self, key):
        """What a plain S3 client and GNU tar make of the object."""
        target = self.scratch / f"out-{os.urandom(4).hex()}"
        target.mkdir()
        archive = self.scratch / "object.tar.zst"
        archive.write_bytes(self.rgw.s3.get(self.bucket, key).body)
        subprocess.run(["tar", "--zstd", "-xf", archive, "-C", target], check=True)
        return target

    def assert_nothing_left(self, keys=()):
        left = [key for key in self.rgw.s3.list(self.bucket).keys
                if not key.startswith(".larder/")]
        self.assertEqual(left, sorted(keys))
        self.assertEqual(self.rgw.s3.list_uploads(self.bucket), [])
        self.assertEqual(list(self.tmp.iterdir()), [])

    # -- the first writer wins

    def test_racing_writers_have_one_winner(self):
        trees = [self.tree(f"writer-{number:02}") for number in range(WRITERS)]
        for turn in range(ROUNDS):
            key = f"race-{turn}"
            writers = [self.start("commit", "--json", "--key", key, self.store, tree)
                       for tree in trees]
            results = []
            for writer in writers:
                out, err = writer.popen.communicate(timeout=120)
                self.assertEqual(writer.popen.returncode, 0, err)
                results.append(json.loads(out))
            winners = [number for number, result in enumerate(results)
                       if result["outcome"] == "published"]
            self.assertEqual(len(winners), 1, results)
            unpacked = self.content_of(key)
            self.assertEqual((unpacked / "who").read_text(), f"writer-{winners[0]:02}")
            self.assertEqual((unpacked / "sub/same").read_text(), "same everywhere\n")
        self.assert_nothing_left([f"race-{turn}" for turn in range(ROUNDS)])

    def test_the_second_writer_changes_nothing(self):
        self.larder("commit", "--key", "k", self.store, self.tree("first"))
        before = self.rgw.s3.head(self.bucket, "k").etag
        again = self.larder("commit", "--key", "k", self.store, self.tree("second"))
        self.assertIn("already published", again.stdout)
        self.assertEqual(self.rgw.s3.head(self.bucket, "k").etag, before)
        refused = self.larder("commit", "--fail-if-exists", "--key", "k", self.store,
                              self.scratch / "second", code=7)
        self.assertIn("'k' is already published", refused.stderr)

    def test_force_overwrites(self):
        self.larder("commit", "--key", "k", self.store, self.tree("first"))
        self.larder("commit", "--force", "--key", "k", self.store, self.tree("second"))
        self.assertEqual((self.content_of("k") / "who").read_text(), "second")

    def test_the_output_file_tells_a_ci_system(self):
        output = self.scratch / "output"
        self.larder("commit", "--output", output, "--key", "k", self.store, self.tree("t"))
        lines = dict(line.split("=", 1) for line in output.read_text().splitlines())
        self.assertEqual(lines["cache-hit"], "false")
        self.assertEqual(lines["cache-matched-key"], "k")
        self.assertRegex(lines["identity"], "^[0-9a-f]{64}$")
        meta = self.rgw.s3.metadata(self.bucket, "k")
        self.assertEqual(meta["larder-identity"], lines["identity"])

    # -- a store that does not honour the condition is found out

    def test_a_versioned_bucket_is_refused_unless_asked_for(self):
        bucket = self.rgw.make_bucket(versioned=True)
        tree = self.tree("t")
        refused = self.larder("commit", "--key", "k", f"s3://{bucket}", tree, code=6)
        self.assertIn("--unsafe-overwrite", refused.stderr)
        self.assertFalse(self.rgw.s3.exists(bucket, "k"))
        self.larder("commit", "--unsafe-overwrite", "--key", "k", f"s3://{bucket}", tree)
        again = self.larder("commit", "--unsafe-overwrite", "--key", "k", f"s3://{bucket}",
                            tree)
        self.assertIn("already published", again.stdout)

    def test_apache_publishes_and_nginx_is_refused(self):
        tree = self.tree("t")
        with Apache() as apache:
            url = f"{apache.endpoint}/deep/er"
            self.larder("commit", "--key", "a/k", url, tree)
            self.assertIn("already", self.larder("commit", "--key", "a/k", url, tree).stdout)
            self.larder("exists", "--key", "a/k", url)
        with Nginx() as nginx:
            self.larder("commit", "--key", "k", nginx.endpoint, tree, code=6)
            self.larder("exists", "--key", "k", nginx.endpoint, code=3)
            self.larder("commit", "--unsafe-overwrite", "--key", "k", nginx.endpoint, tree)
            self.larder("exists", "--key", "k", nginx.endpoint)

    # -- interrupted

    def interrupted(self, number, code):
        tree = self.tree(f"big-{number}", size=24 << 20)
        with FaultProxy(self.rgw.endpoint) as proxy:
            proxy.rate(1 << 20)
            writer = self.start("commit", "--key", "k", self.store, tree,
                                env=self.env(proxy.endpoint))
            wait_until(lambda: proxy.stats()["bytes_up"] > 1 << 20, "bytes on their way",
                       child=writer)
            writer.send(number)
            _, err = writer.popen.communicate(timeout=60)
            self.assertEqual(writer.popen.returncode, code, err)
        self.assert_nothing_left()

    def test_terminated_in_the_middle(self):
        self.interrupted(signal.SIGTERM, 128 + signal.SIGTERM)

    def test_interrupted_in_the_middle(self):
        self.interrupted(signal.SIGINT, 128 + signal.SIGINT)

    def test_killed_in_the_middle(self):
        self.interrupted(signal.SIGKILL, -signal.SIGKILL)

    def test_interrupted_while_an_upload_begins(self):
        """The store has begun it, and the answer that names it is still on its way."""
        tree = self.tree("big", size=24 << 20)
        with FaultProxy(self.rgw.endpoint, rtt=1000) as proxy:
            writer = self.start("commit", "--force", "--key", "k", self.store, tree,
                                env=self.env(proxy.endpoint))
            wait_until(lambda: self.rgw.s3.list_uploads(self.bucket), "an upload", child=writer)
            writer.send(signal.SIGINT)
            _, err = writer.popen.communicate(timeout=60)
            self.assertEqual(writer.popen.returncode, 128 + signal.SIGINT, err)
        self.assert_nothing_left()

    def test_a_directory_that_changes_is_refused(self):
        tree = self.tree("t")
        big = tree / "big"
        with open(big, "wb") as out:
            out.truncate(1 << 30)
        writer = self.start("commit", "--key", "k", self.store, tree)
        stop = False
        while not stop:  # touch it for as long as it is being packed
            os.utime(big)
            stop = writer.popen.poll() is not None
        _, err = writer.popen.communicate()
        self.assertEqual(writer.popen.returncode, 4, err)
        self.assertIn("'", err)
        self.assert_nothing_left()

    # -- wrong words and missing things: one sentence, the right exit code

    def test_wrong_words(self):
        tree = self.tree("t")
        for words, code in (
                (("commit", "--key", "k", "s3://no/../pe?x=1", tree), 2),
                (("commit", "--key", "k", "ftp://host", tree), 2),
                (("commit", "--key", "../k", self.store, tree), 2),
                (("commit", "--key", "k//l", self.store, tree), 2),
                (("commit", self.store, tree), 2),
                (("commit", "--key", "k", self.store, self.scratch / "absent"), 2),
                (("commit", "--key", "k", self.store), 2),
                (("commit", "--key", "k", self.store, tree, "more"), 2),
                (("nonsense",), 2),
                (("ls", "--key", "absent", self.store), 3),
                (("exists", "--key", "absent", self.store), 3),
                (("ls", "s3://no-such-bucket-here"), 1)):
            with self.subTest(words=words):
                done = self.larder(*words, code=code)
                if words[0] != "exists":
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    self.assertLess(len(done.stderr), 400)

    def test_an_unreadable_file_is_named(self):
        if os.geteuid() == 0:
            reader = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        else:
            reader = []
        tree = self.tree("t")
        (tree / "sub" / "same").chmod(0)
        for path in (self.scratch, self.tmp):
            path.chmod(0o777)
        env = self.env() | {"LARDER_CACHE_DIR": str(self.tmp / "cache"), "HOME": str(self.tmp)}
        done = subprocess.run([*reader, program("larder"), "commit", "--key", "k", self.store,
                               tree], env=env, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("sub/same'", done.stderr)
        self.assertFalse(self.rgw.s3.exists(self.bucket, "k"))

    def test_wrong_credentials_exit_5_and_stay_secret(self):
        secret = "S3cr3tS3cr3tS3cr3t"
        env = self.env() | {"AWS_SECRET_ACCESS_KEY": secret}
        done = self.larder("ls", self.store, code=5, env=env)
        self.assertNotIn(secret, done.stderr)
        soft = self.larder("ls", "--soft-fail", self.store, env=env)
        self.assertIn("warning", soft.stderr)

    def test_listing(self):
        tree = self.tree("t")
        for key in ("a", "b/1", "b/2", "c"):
            self.larder("commit", "--key", key, self.store, tree)
        listed = json.loads(self.larder("ls", "--json", self.store).stdout)
        self.assertEqual([entry["key"] for entry in listed], ["a", "b/1", "b/2", "c"])
        self.assertIn("b/1", self.larder("ls", self.store, "b/").stdout)
        self.assertNotIn("  c", self.larder("ls", self.store, "b/").stdout)
        self.assertEqual(set(self.files_of("b/1")), {"who", "sub"})


if __name__ == "__main__":
    unittest.main()
