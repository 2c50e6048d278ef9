"""--scope and LARDER_SCOPE: builds share what they shall, and nothing else."""

import json
import os
import subprocess
import unittest

from larder_testlib.cli_case import CliCase


class Scopes(CliCase):
    def setUp(self):
        super().setUp()
        for name in ("main", "ours", "foreign"):
            (self.path / name).mkdir()
            (self.path / name / "whose").write_text(name)

    def run_code(self, code, *words, scope=None):
        env = {"LARDER_SCOPE": scope} if scope is not None else {}
        return super().run_code(code, *words, env=env)

    def commit(self, key, tree, *words, scope=None):
        self.run_code(0, "commit", "--key", key, *words, "./store", tree, scope=scope)

    def exists(self, key, scope):
        result = self.run_code(0, "exists", "--json", "--key", key, "./store", scope=scope)
        return json.loads(result.out)["key"]

    def restore(self, *words, scope):
        """(whose it is, cache-hit, cache-matched-key), or None for a miss."""
        target, output = self.path / "target", self.path / "output"
        self.run_code(0, "restore", *words, "--output", output, "./store", target,
                      scope=scope)
        lines = dict(line.split("=", 1) for line in output.read_text().splitlines())
        output.unlink()
        if not target.exists():
            self.assertEqual(lines, {"cache-hit": "false"})
            return None
        whose = (target / "whose").read_text()
        subprocess.run(["rm", "-r", target], check=True)
        return whose, lines["cache-hit"], lines["cache-matched-key"]

    def test_scopes_do_not_see_each_other(self):
        self.commit("k", "main", scope="main")
        self.commit("k", "ours", scope="pr-1")
        self.commit("k", "foreign", scope="pr-12")
        keys = json.loads(self.run_code(0, "ls", "--json", "./store").out)
        self.assertEqual([key["key"] for key in keys], ["main/k", "pr-1/k", "pr-12/k"])
        self.assertEqual(self.restore("--key", "k", scope="pr-1"),
                         ("ours", "true", "pr-1/k"))
        self.assertIsNone(self.restore("--key", "k", scope="pr-2"))
        self.assertIsNone(self.restore("--key", "k", "--fallback-key", "k",
                                       scope="pr"))
        self.assertIsNone(self.restore("--key", "k", scope=None))

    def test_a_trusted_scope_is_read(self):
        self.commit("k", "main", scope="main")
        self.assertEqual(self.restore("--key", "k", scope="pr-1:main"),
                         ("main", "true", "main/k"))
        self.assertEqual(self.exists("k", "pr-1:main"), "main/k")
        self.run_code(0, "verify", "--key", "k", "./store", scope="pr-1:main")
        listed = self.run_code(0, "ls", "--key", "k", "./store", scope="pr-1:main")
        self.assertIn("whose", listed.out)
        for words in (["exists"], ["verify"], ["ls"]):
            result = self.run_code(3, *words, "--key", "k", "./store", scope="pr-1")
            self.assertNotIn("main", result.out + result.err)

    def test_a_trusted_scope_is_not_written(self):
        self.commit("k", "main", scope="main")
        self.commit("k", "ours", "--force", scope="pr-1:main")
        self.assertEqual(self.restore("--key", "k", scope="pr-1:main"),
                         ("ours", "true", "pr-1/k"))
        self.assertEqual(self.restore("--key", "k", scope="main"),
                         ("main", "true", "main/k"))

    def test_the_order_of_keys(self):
        self.commit("npm-1", "main", scope="main")
        self.assertEqual(
            self.restore("--key", "npm-2", "--fallback-key", "npm-", scope="pr-1:main"),
            ("main", "false", "main/npm-1"))
        self.commit("npm-0", "ours", scope="pr-1")
        self.assertEqual(
            self.restore("--key", "npm-2", "--fallback-key", "npm-", scope="pr-1:main"),
            ("ours", "false", "pr-1/npm-0"))
        self.commit("npm-2", "main", scope="main")
        self.assertEqual(
            self.restore("--key", "npm-2", "--fallback-key", "npm-", scope="pr-1:main"),
            ("main", "true", "main/npm-2"))

    def test_exact_is_exact(self):
        self.commit("d64x", "main")
        self.assertIsNone(self.restore("--key", "d64", scope=None))
        self.assertEqual(self.restore("--key", "d6", "--fallback-key", "d64", scope=None),
                         ("main", "false", "d64x"))
        self.assertIsNone(self.restore("--key", "d6", "--fallback-key", "64", scope=None))

    def test_the_option_stands_above_the_variable(self):
        self.commit("k", "ours", "--scope", "said", scope="variable")
        self.assertEqual(self.exists("k", "said"), "said/k")

    def test_what_is_no_scope_is_refused(self):
        for scope in ("a:", ":a", "a//b", "../a", ".larder"):
            for words in (["exists"], ["restore"], ["commit"], ["mount"]):
                with self.subTest(scope=scope, command=words[0]):
                    place = [] if words == ["exists"] else ["main"]
                    result = self.run_code(2, *words, "--key", "k", "./store", *place,
                                           scope=scope)
                    self.assertEqual(result.err.count("\n"), 1, result)
                    self.assertIn(scope, result.err)

    @unittest.skipUnless(os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK),
                         "mounting here is for root")
    def test_mounts_look_in_the_same_order(self):
        self.commit("k", "main", scope="main")
        self.commit("k", "foreign")
        self.commit("l-1", "ours", scope="pr-1")
        for words, whose, hit, matched in (
                (("--key", "k"), "main", "true", "main/k"),
                (("--key", "l", "--fallback-key", "l-"), "ours", "false", "pr-1/l-1")):
            self.run_code(0, "mount", *words, "--output", "out", "./store", "mnt",
                          scope="pr-1:main")
            self.assertEqual((self.point / "whose").read_text(), whose)
            self.run_code(0, "umount", "mnt")
            self.assertEqual((self.path / "out").read_text().splitlines()[:2],
                             [f"cache-hit={hit}", f"cache-matched-key={matched}"])
            (self.path / "out").unlink()
        self.run_code(3, "mount", "--key", "k", "--fail-on-miss", "./store", "mnt",
                      scope="pr-2")
        self.run_code(0, "mount", "./store", "mnt", scope="pr-2")
        self.assertEqual(sorted(os.listdir(self.point)), ["k", "main", "pr-1"])
        self.run_code(0, "umount", "mnt")


if __name__ == "__main__":
    unittest.main()
