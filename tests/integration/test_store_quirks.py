"""Publishing to and reading from S3 stores that misbehave: nothing is overwritten unseen,
nobody is told a wrong outcome, and no wrong byte is handed on."""

import json
import os
import signal
import subprocess
import unittest

from larder_testlib.cli import Cli
from larder_testlib.origin import SILENCE, Origin, s3_error
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("key0000000000000000", "secret-secret-secret-secret-secret")
BUCKET = "ci-cache"


class Quirks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        place = cls.enterClassContext(TempDir("larder-quirks-"))
        cls.small = cls.tree(place / "small", 1000)
        cls.large = cls.tree(place / "large", 20 << 20)

    @staticmethod
    def tree(top, size):
        top.mkdir()
        (top / "noise").write_bytes(os.urandom(size))
        return top

    def setUp(self):
        self.home = TempDir("larder-quirks-")
        self.addCleanup(self.home.remove)
        self.origin = self.enterContext(Origin([KEYS]))
        self.quirks = self.origin.quirks
        self.store = f"s3://{BUCKET}"
        self.cli = Cli(self.home.path, self.origin.env(KEYS) | {
            "AWS_ENDPOINT_URL_S3": self.origin.endpoint,
            "TMPDIR": str(self.folder("tmp"))})

    def folder(self, name):
        path = self.home.path / name
        path.mkdir(exist_ok=True)
        return path

    def run_larder(self, *words, code=0):
        done = self.cli.run(*words)
        self.assertEqual(done.code, code, done)
        return done

    def commit(self, tree, *words, code=0, key="k"):
        done = self.run_larder("commit", "--json", *words, "--key", key, self.store, tree,
                               code=code)
        return json.loads(done.out)["outcome"] if code == 0 else done.err

    def probe(self, *words, code=0):
        done = self.run_larder("probe", "--json", *words, self.store, code=code)
        answer = json.loads(done.out)
        return answer["put"], answer["complete"]

    def keys(self):
        return sorted(key for key in self.origin.objects(BUCKET)
                      if not key.startswith(".larder/"))

    def asked(self, method, word):
        return [r for r in self.origin.requests if r.method == method and word in r.target]

    # -- what is denied

    def test_a_denied_key_is_a_miss_with_one_warning(self):
        self.commit(self.small)
        for words, code in ((("exists", "--key", "k", self.store), 3),
                            (("ls", "--key", "k", self.store), 3),
                            (("verify", "--key", "k", self.store), 3),
                            (("restore", "--key", "k", self.store, self.folder("to")), 0)):
            with self.subTest(words[0]):
                self.origin.fail_next(s3_error(403, "AccessDenied"), 9)
                done = self.run_larder(*words, code=code)
                self.assertEqual(done.err.count("denies access to 'k'"), 1, done)
                self.origin.forget()
                self.assertNotIn("denies", self.run_larder(*words).err)

    # -- what a probe finds

    def test_a_good_store_is_found_good(self):
        self.assertEqual(self.probe(), ("atomic", "atomic"))
        self.assertEqual(list(self.origin.objects(BUCKET)), [])
        self.assertEqual(self.origin.uploads(BUCKET), [])

    def test_ignored_conditions_are_found_out(self):
        self.quirks.put_condition = self.quirks.complete_condition = "ignore"
        self.assertEqual(self.probe(code=6), ("no", "no"))

    def test_a_refusal_as_not_implemented_is_no(self):
        self.quirks.put_condition = self.quirks.complete_condition = 501
        self.assertEqual(self.probe(code=6), ("no", "no"))

    def test_racing_writers_that_both_win_are_found_out(self):
        self.quirks.put_condition = self.quirks.complete_condition = "race"
        self.assertEqual(self.probe(), ("sequential", "sequential"))

    def test_the_answer_is_kept(self):
        self.quirks.complete_condition = "ignore"
        self.assertEqual(self.probe(), ("atomic", "no"))
        self.origin.forget()
        self.assertEqual(self.commit(self.small), "published")
        self.assertEqual(self.asked("PUT", ".larder"), [])

    # -- publishing

    def test_the_first_publication_probes_by_itself(self):
        self.quirks.put_condition = "ignore"
        self.assertIn("--unsafe-overwrite", self.commit(self.small, code=6))
        self.assertEqual(self.keys(), [])

    def test_a_store_that_only_races_is_not_trusted(self):
        self.quirks.put_condition = "race"
        self.probe()
        self.commit(self.small, code=6)
        self.assertEqual(self.commit(self.small, "--unsafe-overwrite"), "published")

    def test_a_store_that_only_races_is_found_out_by_the_first_publication(self):
        self.quirks.put_condition = "race"
        self.assertIn("--unsafe-overwrite", self.commit(self.small, code=6))
        self.assertEqual([key for key in self.origin.objects(BUCKET) if "probe-" in key], [])

    def test_a_store_that_is_too_busy_for_a_race_is_published_to(self):
        self.origin.fail_next(s3_error(503, "SlowDown"), count=100,
                              matches=lambda r: r.method == "PUT" and "probe-" in r.target)
        self.assertEqual(self.commit(self.small), "published")
        self.assertNotEqual(self.asked("PUT", ".larder/probe-"), [])
        self.origin.forget()
        self.assertEqual(self.commit(self.small, key="next"), "published")
        self.assertEqual(self.asked("PUT", ".larder"), [])

    def test_unsafe_overwriting_goes_on_where_the_probe_fails(self):
        self.origin.fail_next(s3_error(503, "SlowDown"), count=100,
                              matches=lambda r: "larder/probe" in r.target)
        self.commit(self.small, code=1)
        self.assertEqual(self.commit(self.small, "--unsafe-overwrite"), "published")

    def test_a_store_that_takes_no_writes(self):
        for status in (405, 501):
            with self.subTest(status):
                self.origin.forget()
                self.origin.fail_next(s3_error(status, "NotImplemented"), count=100,
                                      matches=lambda r: r.method == "PUT")
                for words in ((), ("--unsafe-overwrite",), ("--force",)):
                    said = self.commit(self.small, *words, code=1)
                    self.assertIn("does not take writes", said)
                    self.assertNotIn("--unsafe-overwrite", said)

    def test_no_advice_where_it_was_followed(self):
        self.probe()
        self.quirks.put_condition = 501
        self.assertIn("--unsafe-overwrite", self.commit(self.small, code=6))
        self.assertNotIn("--unsafe", self.commit(self.small, "--unsafe-overwrite", code=6))

    def test_no_races_where_nothing_can_be_removed(self):
        self.origin.fail_next(s3_error(403, "AccessDenied"), count=100,
                              matches=lambda r: r.method == "DELETE")
        self.assertEqual(self.commit(self.small), "published")
        self.assertEqual(self.asked("PUT", ".larder/probe-"), [])

    def test_one_request_after_the_other_is_no_race(self):
        self.quirks.put_condition = self.quirks.complete_condition = "race"
        self.assertEqual(self.commit(self.small, "--concurrency", "1"), "published")
        self.assertEqual(self.asked("PUT", ".larder/probe-"), [])

    def test_a_probe_races_whatever_the_concurrency(self):
        self.quirks.put_condition = self.quirks.complete_condition = "race"
        self.assertEqual(self.probe("--concurrency", "1"), ("sequential", "sequential"))

    def test_no_races_where_no_version_can_be_removed(self):
        self.origin.versioned = True
        self.origin.fail_next(s3_error(403, "AccessDenied"), count=100,
                              matches=lambda r: r.method == "DELETE" and "versionId" in r.target)
        self.assertEqual(self.commit(self.small), "published")
        self.assertEqual(len(self.asked("DELETE", ".larder/probe-removed")), 1)
        self.assertEqual(self.asked("PUT", ".larder/probe-"), [])

    def test_304_means_that_it_exists(self):
        self.assertEqual(self.commit(self.small), "published")
        self.quirks.put_condition = 304
        self.origin.fail_next(s3_error(404, "NoSuchKey"),
                              matches=lambda r: r.method == "HEAD" and r.path.endswith("/k"))
        self.assertEqual(self.commit(self.small), "already-published")

    def test_a_lost_answer_is_still_our_success(self):
        self.probe()
        self.quirks.lose_answers = 1
        self.assertEqual(self.commit(self.small), "published")
        self.assertEqual(self.keys(), ["k"])

    def test_conflicts_are_waited_out(self):
        self.probe()
        self.origin.fail_next(s3_error(409, "ConditionalRequestConflict"), count=2,
                              matches=lambda r: r.method == "PUT" and r.path.endswith("/k"))
        self.assertEqual(self.commit(self.small), "published")

    def test_where_only_put_is_conditional_it_is_one_put(self):
        self.quirks.complete_condition = "ignore"
        self.probe()
        self.origin.forget()
        self.assertEqual(self.commit(self.large), "published")
        self.assertEqual(self.asked("POST", "upload"), [])
        self.assertEqual(list(self.folder("tmp").iterdir()), [])

    # -- in parts

    def in_parts(self):
        """A store that is known to honour the condition on Complete."""
        self.assertEqual(self.probe(), ("atomic", "atomic"))
        self.origin.forget()

    def is_complete(self, request):
        return request.method == "POST" and "uploadId" in request.target

    def assert_no_uploads(self):
        self.assertEqual(self.origin.uploads(BUCKET), [])

    def test_large_objects_go_in_parts(self):
        self.in_parts()
        self.assertEqual(self.commit(self.large), "published")
        self.assertEqual(len(self.asked("PUT", "partNumber")), 3)
        self.run_larder("verify", "--key", "k", self.store)
        self.assert_no_uploads()

    def test_a_loser_in_parts_leaves_nothing(self):
        self.in_parts()
        self.commit(self.small)
        self.origin.fail_next(s3_error(404, "NoSuchKey"),
                              matches=lambda r: r.method == "HEAD")
        self.assertEqual(self.commit(self.large), "already-published")
        self.assert_no_uploads()

    def test_an_error_behind_a_200_is_an_error(self):
        self.in_parts()
        self.quirks.complete_error = "InternalError"
        self.quirks.blank_before_complete = 1000
        self.assertIn("complete", self.commit(self.large, code=1))
        self.assertEqual(self.keys(), [])
        self.assert_no_uploads()

    def test_an_error_behind_a_200_may_hide_a_success(self):
        self.in_parts()
        self.quirks.complete_error = "InternalError"
        self.quirks.complete_stores = True
        self.assertEqual(self.commit(self.large), "published")

    def test_a_lost_answer_to_complete(self):
        self.in_parts()
        self.quirks.lose_answers = 1
        self.assertEqual(self.commit(self.large), "published")
        self.assert_no_uploads()

    def test_a_conflict_on_complete_is_packed_again(self):
        self.in_parts()
        self.origin.fail_next(s3_error(409, "ConditionalRequestConflict"),
                              matches=self.is_complete)
        self.assertEqual(self.commit(self.large), "published")
        self.assertEqual(len(self.asked("POST", "uploads")), 2)
        self.assert_no_uploads()

    def interrupted(self, number):
        """A signal while the store has not answered for a part that it has been sent."""
        self.in_parts()
        self.origin.fail_next(SILENCE, matches=lambda r: "partNumber=2" in r.target)
        writer = spawn([self.cli.path, "commit", "--key", "k", self.store, self.large],
                       env=self.cli.env, stderr=subprocess.PIPE)
        self.addCleanup(writer.kill)
        wait_until(lambda: self.asked("PUT", "partNumber=2"), "the part is sent", child=writer)
        self.assertEqual([key for key, _ in self.origin.uploads(BUCKET)], ["k"])
        writer.send(number)
        _, said = writer.popen.communicate(timeout=30)
        self.assertEqual(writer.popen.returncode, 128 + number, said)
        self.assert_no_uploads()
        self.assertEqual(self.keys(), [])
        self.assertEqual(list(self.folder("tmp").iterdir()), [])

    def test_terminated_among_its_parts(self):
        self.interrupted(signal.SIGTERM)

    def test_interrupted_among_its_parts(self):
        self.interrupted(signal.SIGINT)

    # -- listing

    def test_many_pages(self):
        self.quirks.max_keys = 3
        names = [f"n/{i:02}" for i in range(10)] + ["a b+c%", "z"]
        for name in names:
            self.origin.put(BUCKET, name, b"x")
        listed = json.loads(self.run_larder("ls", "--json", self.store).out)
        self.assertEqual([entry["key"] for entry in listed], sorted(names))

    def test_the_newest_of_many_pages(self):
        self.quirks.max_keys = 3
        self.commit(self.small, key="source")
        source = self.origin.stored(BUCKET, "source")
        for number in range(20):  # the newest on a page in the middle
            key = f"npm-{number:02}"
            stored = self.origin.put(BUCKET, key, source.body, source.headers)
            stored.modified -= 1000 + (number - 11) ** 2
        for key in ("npm", "npn-1", "nnpm-1", "x/npm-1"):  # newer, and not asked for
            self.origin.put(BUCKET, key, source.body, source.headers)
        done = self.run_larder("restore", "--json", "--key", "npm-none", "--fallback-key",
                               "npm-", self.store, self.home.path / "out")
        self.assertEqual(json.loads(done.out)["matched_key"], "npm-11")
        self.assertEqual(len(self.asked("GET", "list-type")), 7)

    # -- a store that wants to be left alone for a day

    def refuse_for_a_day(self, matches):
        self.origin.fail_next(
            s3_error(503, "SlowDown", headers=[("Retry-After", "86400")]), 100, matches)

    def test_nobody_waits_for_a_day(self):
        self.in_parts()
        self.refuse_for_a_day(lambda r: "partNumber" in r.target)
        self.assertIn("again in 86400 s", self.commit(self.large, code=1))
        self.assert_no_uploads()
        self.origin.forget()
        self.commit(self.small)
        self.refuse_for_a_day(lambda r: r.path.endswith("/k"))
        for words in (["verify", "--key", "k", self.store],
                      ["restore", "--key", "k", self.store, self.home.path / "out"]):
            self.assertIn("again in 86400 s", self.run_larder(*words, code=1).err)

    # -- reading

    def test_ranges_that_lie_are_never_believed(self):
        self.commit(self.large)
        for ranges in ("ignore", "shifted", "mislabelled", "shorter", "cut", "total",
                       "unlabelled"):
            with self.subTest(ranges=ranges):
                self.quirks.ranges = ranges
                self.run_larder("verify", "--retries", "1", "--cache-dir", "", "--key", "k",
                                self.store, code=1)
        self.quirks.ranges = "honour"
        self.run_larder("verify", "--key", "k", self.store)

    def test_what_came_whole_needs_no_ranges(self):
        self.commit(self.small)
        self.quirks.ranges = "ignore"
        self.origin.forget()
        for words in (["verify"], ["restore", self.home.path / "out"]):
            self.run_larder(words[0], "--cache-dir", "", "--key", "k", self.store, *words[1:])
        self.assertEqual(len(self.asked("GET", "/k")), 2)

    def test_etags_that_bind_nothing_are_refused(self):
        self.commit(self.large)
        for etags, word in (("weak", "weak ETag"), ("none", "no ETag")):
            with self.subTest(etags=etags):
                self.quirks.etags = etags
                done = self.run_larder("verify", "--key", "k", self.store, code=1)
                self.assertIn(word, done.err)

    # -- without the right to list, where a missing key is denied

    def unseen(self):
        self.in_parts()
        self.quirks.may_list = False

    def assert_unpublished(self, tree):
        said = self.commit(tree, code=1)
        self.assertEqual(self.keys(), [])
        self.assert_no_uploads()
        return said

    def test_conflicts_alone_are_no_sign_of_an_object(self):
        self.unseen()
        self.origin.fail_next(s3_error(409, "ConditionalRequestConflict"), count=100,
                              matches=lambda r: r.method == "PUT" and r.path.endswith("/k"))
        self.assertIn("may not be looked at", self.assert_unpublished(self.small))

    def test_an_error_behind_a_200_is_no_sign_of_an_object(self):
        self.unseen()
        self.quirks.complete_error = "InternalError"
        self.assertIn("fails to complete", self.assert_unpublished(self.large))

    def test_an_upload_that_is_gone_is_no_sign_of_an_object(self):
        self.unseen()
        self.origin.fail_next(s3_error(404, "NoSuchUpload"), matches=self.is_complete)
        self.assertIn("does not know the upload", self.assert_unpublished(self.large))

    def test_a_conflict_on_complete_is_packed_again_unseen(self):
        self.unseen()
        self.origin.fail_next(s3_error(409, "ConditionalRequestConflict"),
                              matches=self.is_complete)
        self.assertEqual(self.commit(self.large), "published")
        self.assertEqual(len(self.asked("POST", "uploads")), 2)
        self.assertEqual(self.keys(), ["k"])
        self.assert_no_uploads()

    def test_a_refusal_as_existing_is_one(self):
        self.unseen()
        for tree, request in ((self.small, "PUT"), (self.large, "POST")):
            self.origin.fail_next(
                s3_error(412, "PreconditionFailed"),
                matches=lambda r, request=request: r.header("if-none-match") is not None
                and r.method == request and r.path.endswith("/k"))
            self.assertEqual(self.commit(tree), "already-published")
        self.assert_no_uploads()


if __name__ == "__main__":
    unittest.main()
