"""`larder doctor` against stores that are well and that are not: one finding each, and
none of them tells a secret."""

import json
import os
import re
import shutil
import subprocess
import unittest

from larder_testlib.cli import Cli
from larder_testlib.namespaces import apart
from larder_testlib.origin import Origin, s3_error
from larder_testlib.process import TempDir
from larder_testlib.programs import program
from larder_testlib.rgw import Rgw
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("AKIDLARDERTEST", "what-nobody-may-see")


class Doctor(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        (self.home / "tree").mkdir()
        (self.home / "tree/file").write_text("content")

    def ask(self, store, env, code=0, words=()):
        """The findings as {what: finding}; the words for people tell the same."""
        cli = Cli(self.home, env)
        done = cli.run("doctor", "--retries", "0", *words, "--json", store)
        self.assertEqual(done.code, code, done)
        found = {finding["what"]: finding for finding in json.loads(done.out)}
        told = cli.run("doctor", "--retries", "0", *words, store)
        self.assertEqual(told.code, code, told)
        for finding in found.values():
            self.assertIn(finding["what"], told.out)
        for text in (done.out, done.err, told.out, told.err):
            self.assertNotIn(env.get("AWS_SECRET_ACCESS_KEY", "\0"), text)
        return found

    def level(self, found, **levels):
        self.assertEqual({what: found[what]["level"] for what in levels}, levels, found)

    def origin(self, **more):
        return self.enterContext(Origin(credentials=[KEYS], **more))

    def commit(self, store, env):
        done = Cli(self.home, env).run("commit", "--key", "a", store, "tree")
        self.assertEqual(done.code, 0, done)


class AgainstAGateway(Doctor):
    @classmethod
    def setUpClass(cls):
        cls.rgw = cls.enterClassContext(Rgw())

    def test_all_is_well(self):
        store = f"s3://{self.rgw.make_bucket()}"
        self.commit(store, self.rgw.env())
        found = self.ask(store, self.rgw.env())
        self.level(found, credentials="ok", region="ok", store="ok", clock="ok", list="ok",
                   read="ok", write="ok")
        self.assertIn("environment", found["credentials"]["text"])
        self.assertIn(self.rgw.region, found["region"]["text"])

    def test_a_wrong_secret(self):
        store = f"s3://{self.rgw.make_bucket()}"
        env = self.rgw.env() | {"AWS_SECRET_ACCESS_KEY": "wrong-but-a-secret"}
        found = self.ask(store, env, code=5)
        self.level(found, credentials="ok", store="failed")
        self.assertNotIn("list", found)

    def test_a_bucket_that_is_not_there(self):
        """The listing alone tells: a HEAD of a key there is a miss like any other."""
        found = self.ask("s3://nobody-made-this", self.rgw.env(), code=1)
        self.level(found, store="ok", list="failed", write="note")
        self.assertIn("make it", found["list"]["text"])

    def test_somebody_elses_bucket(self):
        bucket = self.rgw.make_bucket()
        self.rgw.s3.put(bucket, "a", b"x")
        other = self.rgw.add_user(f"user-{bucket}")
        env = self.rgw.env() | {"AWS_ACCESS_KEY_ID": other.access_key,
                                "AWS_SECRET_ACCESS_KEY": other.secret_key}
        found = self.ask(f"s3://{bucket}", env)
        self.level(found, credentials="ok", store="warning", list="warning", write="note")
        self.assertIn("right to list", found["store"]["text"])

    def test_a_bucket_everybody_may_read(self):
        bucket = self.rgw.make_bucket()
        self.commit(f"s3://{bucket}", self.rgw.env())
        self.rgw.make_public(bucket)
        env = {name: value for name, value in self.rgw.env().items()
               if not name.startswith("AWS_ACCESS") and not name.startswith("AWS_SECRET")}
        found = self.ask(f"s3://{bucket}", env, words=["--no-sign-request", "--cache-dir",
                                                       ""])
        self.level(found, credentials="note", store="ok", list="ok", read="ok",
                   write="note")


class AgainstAnOrigin(Doctor):
    def test_no_credentials(self):
        origin = self.origin()
        env = {name: value for name, value in origin.env(KEYS).items()
               if not name.startswith(("AWS_ACCESS", "AWS_SECRET"))}
        found = self.ask("s3://bucket", env, code=5)
        self.level(found, credentials="failed")
        told = Cli(self.home, env).run("doctor", "--retries", "0", "s3://bucket").err
        failed = sum(finding["level"] == "failed" for finding in found.values())
        self.assertIn(f"{failed} of {len(found)} findings " +
                      ("is a failure\n" if failed == 1 else "are failures\n"), told)

    def test_a_clock_that_is_off(self):
        origin = self.origin()
        origin.clock_offset = 1200
        found = self.ask("s3://bucket", origin.env(KEYS))
        self.level(found, clock="warning", store="ok")
        seconds = int(re.match(r"(\d+) s behind", found["clock"]["text"])[1])
        self.assertAlmostEqual(seconds, 1200, delta=60)

    def test_a_store_that_ignores_conditions(self):
        origin = self.origin()
        origin.quirks.put_condition = "ignore"
        origin.quirks.complete_condition = "ignore"
        found = self.ask("s3://bucket", origin.env(KEYS))
        self.level(found, write="warning")
        self.assertIn("--unsafe-overwrite", found["write"]["text"])

    def test_a_store_of_which_racing_writers_win_together(self):
        origin = self.origin()
        origin.quirks.put_condition = "race"
        found = self.ask("s3://bucket", origin.env(KEYS))
        self.level(found, write="warning")
        self.assertIn("more than one may win", found["write"]["text"])
        self.assertIn("--unsafe-overwrite", found["write"]["text"])
        self.assertEqual([key for key in origin.objects("bucket") if "probe-" in key], [])

    def test_a_condition_on_parts_alone_is_not_enough(self):
        origin = self.origin()
        origin.quirks.put_condition = "ignore"
        self.assertEqual(Cli(self.home, origin.env(KEYS)).run("probe", "s3://bucket").code, 0)
        found = self.ask("s3://bucket", origin.env(KEYS))
        self.level(found, write="warning")
        self.assertIn("--unsafe-overwrite", found["write"]["text"])

    def test_listing_and_writing_forbidden(self):
        origin = self.origin()
        origin.put("bucket", "a", b"x")
        forbidden = s3_error(403, "AccessDenied")
        origin.fail_next(forbidden, 100, lambda request: request.method == "PUT"
                         or "list-type" in request.target)
        found = self.ask("s3://bucket", origin.env(KEYS))
        self.level(found, list="warning", write="note")

    def test_the_region_is_told(self):
        origin = self.origin()
        found = self.ask("s3://bucket", origin.env(KEYS), words=["--region", "eu-west-9"],
                         code=1)
        self.assertIn("eu-west-9", found["region"]["text"])


@unittest.skipUnless(os.geteuid() == 0, "only root can take rights away")
class OnThisMachine(Doctor):
    """What a container without this or that looks like from inside."""

    def findings(self, *before, env=None, code=1):
        env = Cli(self.home).env | (env or {})
        done = subprocess.run([*before, program("larder"), "doctor", "--json", "./store"],
                              cwd=self.home, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done)
        return {finding["what"]: finding for finding in json.loads(done.stdout)}

    def says(self, finding, level, words):
        self.assertEqual(finding["level"], level, finding)
        self.assertIn(words, finding["text"])

    def test_root_that_may_mount(self):
        found = self.findings(code=0)
        self.level(found, fuse="ok", mounting="ok", larderfs="ok", cache="ok", store="ok")
        self.says(found["store"], "ok", "/store' is a folder to be made yet")
        self.commit("./store", {})
        self.says(self.findings(code=0)["store"], "ok", "/store' answers in")

    def test_without_the_right_to_mount(self):
        found = self.findings("setpriv", "--bounding-set", "-sys_admin")
        self.says(found["mounting"], "failed", "--cap-add SYS_ADMIN")
        self.level(found, fuse="ok")

    def test_without_the_device(self):
        found = self.findings(*apart("sh", "-c",
                                    'mkdir dev; mount --bind dev /dev; exec "$@"', "sh"))
        self.says(found["fuse"], "failed", "--device /dev/fuse")
        self.assertIn("'larder restore' needs none", found["fuse"]["text"])

    def test_somebody_without_fusermount3(self):
        self.home.chmod(0o777)
        found = self.findings(shutil.which("setpriv"), "--reuid", "65534", "--regid", "65534",
                              "--clear-groups", env={"PATH": "/nowhere"})
        self.says(found["mounting"], "failed", "install the package fuse3")
        self.assertIn("user_allow_other", found["allow-other"]["text"])


if __name__ == "__main__":
    unittest.main()
