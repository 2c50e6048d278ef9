"""Every command with every wrong argument: one sentence, exit 2, nothing done. What is
tried comes from the option table (`larder help --json`), so a new option is tried too, or
wants a line here that says what a wrong value of it is. And every exit code once."""

import json
import os
import re
import signal
import socket
import subprocess
import unittest

from larder_testlib.cli import Cli, Result
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir
from larder_testlib.programs import program
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("AKIDLARDERTEST", "what-nobody-may-see")

# Values that each option refuses whatever else is said; "" is tried with all.
NUMBERS = ["-1", "x", "1x", " 1", "99999999999999999999"]
TIMES = ["0", "-1", "soon", "1y", "1e9", "99999999999999999999s"]
WRONG = {
    "key": ["/a", "a/", "a//b", "../a", "a/../b", ".larder/x", "a\nb", "x" * 1025],
    "scope": ["a:", ":a", "a//b", "../a", ".larder", ":".join("abcdefghijklmnopq")],
    "fallback-key": ["../a", "/a", "a//b", "a\nb"],
    "prefetch": ["some", "AUTO"],
    "uid": ["-1", "no-such-user", "4294967295"],
    "gid": ["-1", "no-such-group", "4294967295"],
    "log-file": ["none/log", "tree", "pipe"],
    "metrics-file": ["none/metrics", "tree"],
    "output": ["none/out", "tree"],
    "upper-dir": ["/proc/self/nothing", "file"],
    "keep-upper": [],  # wants a mount: test_writable_kept.py
    "exclude": [],     # any word is a pattern
    "level": [*NUMBERS, "0", "20"],
    "endpoint-url": ["ftp://x", "host", "http://", "http://user:secret@host"],
    "region": ["a b", "a/b"],
    "profile": [],     # known only once credentials are looked for
    "ca-bundle": [],   # opened only where TLS is spoken
    "concurrency": [*NUMBERS, "0", "1025"],
    "timeout": TIMES,
    "stall-timeout": TIMES,
    "retries": [*NUMBERS, "101"],
    "cache-dir": [],   # without a cache everything works
    "cache-size": ["-1", "x", "1q", "99999999999999999999", "99999999999T"],
}
MAY_BE_EMPTY = {"cache-dir"}  # turns the cache off

# What each command wants, and one word more.
FULL = {
    "mount": ["./store", "mnt"], "umount": ["mnt"], "commit": ["./store", "tree"],
    "restore": ["./store", "out"], "ls": ["./store", "prefix"], "exists": ["./store"],
    "verify": ["./store"], "probe": ["./store"], "key": ["template"],
    "doctor": ["./store"], "status": ["mnt"],
}
LEAST = {"mount": 1, "umount": 1, "commit": 1, "restore": 1, "key": 1, "status": 1}
WANTS_KEY = {"commit", "restore", "exists", "verify"}

# Words that exclude each other, or that want one another.
CONFLICTS = [
    ("commit", "--key a --force --fail-if-exists"),
    ("commit", "--key a --force --unsafe-overwrite"),
    ("mount", "--writable --foreground"),
    ("mount", "--upper-dir ."),
    ("mount", "--fallback-key a"),
    ("mount", "--fail-on-miss"),
]


class Usage(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.cli = Cli(self.home)
        for name in ("tree", "mnt"):
            (self.home / name).mkdir()
        (self.home / "file").write_text("content")
        os.mkfifo(self.home / "pipe")
        self.cli.run("commit", "--key", "a", "./full", "tree")
        self.commands = json.loads(self.cli.run("help", "--json").out)["commands"]
        self.before = self.everything()

    def everything(self):
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*"))

    def refused(self, *words, result=None):
        with self.subTest(words=words):
            result = result or self.cli.run(*words)
            self.assertEqual((result.code, result.out), (2, ""), result)
            self.assertRegex(result.err, r"\Alarder(fs)?: error: [^\n]+[^.\n]\n\Z")

    def words(self, name):
        return (["--key", "a"] if name in WANTS_KEY else []), FULL[name]

    def test_options(self):
        for command in self.commands:
            name, (key, full) = command["name"], self.words(command["name"])
            self.refused(name, "--frobnicate", *key, *full)
            self.refused(name, "-Z", *key, *full)
            self.refused(name, "-", "--frobnicate=1", *key, *full)
            foreign = {o["name"] for c in self.commands for o in c["options"]}
            for other in sorted(foreign - {o["name"] for o in command["options"]}):
                self.refused(name, f"--{other}", *key, *full)
        self.assertEqual(self.everything(), self.before)

    def test_values(self):
        for command in self.commands:
            name, (key, full) = command["name"], self.words(command["name"])
            for option in command["options"]:
                word = f"--{option['name']}"
                if "argument" not in option:
                    self.refused(name, f"{word}=yes", *key, *full)
                    continue
                self.refused(name, *key, *full, word)
                if "letter" in option:
                    self.refused(name, *key, *full, f"-{option['letter']}")
                if option["name"] not in MAY_BE_EMPTY:
                    self.refused(name, *key, f"{word}=", *full)
                if option["name"] in ("fallback-key", "scope", "upper-dir"):
                    key = ["--key", "a"]
                extra = ["--writable"] if option["name"] == "upper-dir" else []
                for value in WRONG[option["name"]]:
                    if option["name"] == "scope" and not key:
                        continue  # no key, no scope
                    self.refused(name, *key, *extra, f"{word}={value}", *full)
        self.assertEqual(self.everything(), self.before)

    def test_counts(self):
        self.assertEqual(set(FULL), {command["name"] for command in self.commands})
        for name, full in FULL.items():
            key, _ = self.words(name)
            self.refused(name, *key, *full, "more")
            self.refused(name, *key, "--", *full, "--more")
            if name in LEAST:
                self.refused(name, *key, *full[:LEAST[name] - 1])
            if name in WANTS_KEY:
                self.refused(name, *full)
        self.assertEqual(self.everything(), self.before)

    def test_conflicts(self):
        for name, words in CONFLICTS:
            self.refused(name, *words.split(), *FULL[name])
        self.assertEqual(self.everything(), self.before)

    def test_a_store_in_the_directorys_place(self):
        for name in ("mount", "commit", "restore"):
            for words, why in ((["mnt", "s3://b/web"], "is a store, which comes before"),
                               (["s3://b/web"], "a directory is missing after the store")):
                result = self.cli.run(name, "--key", "a", *words)
                self.refused(result=result)
                self.assertIn("'s3://b/web'", result.err)
                self.assertIn(why, result.err)
                self.assertIn(f": larder {name} --key KEY [STORE] "
                              if name != "mount" else ": larder mount [--key", result.err)

    def test_what_other_programs_call_it(self):
        for word, meant in (("unmount", "umount"), ("list", "ls"), ("frob", None)):
            result = self.cli.run(word)
            self.refused(result=result)
            self.assertIn(f"there is no command '{word}'; ", result.err)
            self.assertIn(f"; did you mean '{meant}'?" if meant else "; 'larder --help'",
                          result.err)
        self.assertEqual(self.cli.run("-V").out, self.cli.run("--version").out)
        self.assertEqual(self.cli.run("-V").code, 0)

    def test_an_epoch_is_for_reproducible(self):
        """Then it is looked at first, also where there is nothing to publish."""
        env = {"SOURCE_DATE_EPOCH": "yesterday"}
        result = self.cli.run("commit", "--reproducible", "--key", "a", "./full", "tree", env=env)
        self.refused(result=result)
        self.assertIn("SOURCE_DATE_EPOCH wants seconds since 1970, not 'yesterday'", result.err)
        result = self.cli.run("commit", "--key", "b", "./full", "tree", env=env)
        self.assertEqual((result.code, result.err), (0, ""), result)

    def test_stores(self):
        for name, full in FULL.items():
            if full[0] != "./store":
                continue
            key, _ = self.words(name)
            for store in ("ftp://x/y", "s3://", "s3://UPPER", "s3://a/../b", "http://",
                          "http://user:secret@host/", "s3://bucket?frob=1",
                          "s3://bucket?region=", "file://host/path", "./file"):
                if name == "doctor" or (store == "./file" and name != "ls"):
                    continue  # the doctor's answer; a failure of the store
                if store == "./file":
                    store = "./none"
                self.refused(name, *key, store, *full[1:])
        self.assertEqual(self.everything(), self.before)

    def test_ls_of_a_word_that_no_key_begins_with_says_so(self):
        (self.home / "folder/sub").mkdir(parents=True)
        env = {"LARDER_STORE": "./full"}
        none = f"larder: no key of '{self.home}/full' begins with "
        for words, out, err in (
                (["folder/sub"], "", f"{none}'folder/sub'; for the folder say './folder/sub'\n"),
                (["--json", "folder/"], "[]\n",
                 f"{none}'folder/'; for the folder say './folder/'\n"),
                (["file"], "", f"{none}'file'\n"), (["-q", "folder"], "", ""),
                (["./full", "folder"], "", "")):
            with self.subTest(words=words):
                result = self.cli.run("ls", *words, env=env)
                self.assertEqual((result.code, result.out, result.err), (0, out, err))
        result = self.cli.run("ls", "a", env=env)
        self.assertEqual((result.code, result.err), (0, ""), result)
        self.assertIn("begins with 'folder'; for", self.cli.run("ls", "folder").err)
        empty = self.cli.run("ls", env={"LARDER_STORE": str(self.home / "folder")})
        self.assertEqual((empty.code, empty.out, empty.err), (0, "", ""))

    def test_the_daemon_itself(self):
        mount = next(c for c in self.commands if c["name"] == "mount")

        def larderfs(*words):
            done = subprocess.run([program("larderfs"), *words], cwd=self.home,
                                  env=self.cli.env, stdin=subprocess.DEVNULL, timeout=60,
                                  capture_output=True, check=False)
            self.refused("larderfs", *words, result=Result(done))

        larderfs()
        larderfs("./store", "mnt", "more")
        larderfs("--frobnicate", "./store", "mnt")
        larderfs("-o", "frobnicate", "./store", "mnt")
        larderfs("./store", "mnt", "-o")
        larderfs("--json", "./store", "mnt")
        for option in mount["options"]:
            name = option["name"]
            if name in ("writable", "upper-dir"):
                larderfs(f"--{name}", "./store", "mnt")
                continue
            for value in WRONG[name] if "argument" in option else ["yes"]:
                key = ["--key", "a"] if name in ("fallback-key", "scope") else []
                larderfs(*key, f"--{name}={value}", "./store", "mnt")
                if not re.search(r"[\n,]", value) and "argument" in option:
                    larderfs("./store", "mnt", "-o",
                             ",".join([f"{name}={value}", *(["key=a"] if key else [])]))
        self.assertEqual(self.everything(), self.before)


class ExitCodes(unittest.TestCase):
    """Each code of the contract, as somebody meets it, and what --soft-fail makes of it."""

    def setUp(self):
        self.home = self.enterContext(TempDir())
        (self.home / "tree").mkdir()
        (self.home / "tree/file").write_bytes(os.urandom(100_000))
        self.origin = self.enterContext(Origin(credentials=[KEYS]))
        self.cli = Cli(self.home, self.origin.env(KEYS) | {"LARDER_CACHE_DIR": ""})
        self.quick = ("--retries", "0")

    def ends(self, code, *words, soft, env=None):
        """soft: what it ends with under --soft-fail."""
        for expected, more in ((code, ()), (soft, ("--soft-fail",))):
            result = self.cli.run(words[0], *more, *words[1:], env=env)
            self.assertEqual(result.code, expected, result)
            self.assertLessEqual(result.err.count("\n"), 1, result)
            if expected != code:
                self.assertIn("warning", result.err)
        return result

    def commit(self, *words, store="s3://bucket"):
        return ("commit", *self.quick, "--key", "a", *words, store, "tree")

    def test_0_and_7_published_and_already_published(self):
        self.ends(0, *self.commit(), soft=0)
        self.ends(7, *self.commit("--fail-if-exists"), soft=7)

    def test_1_the_store_fails(self):
        self.ends(1, "exists", *self.quick, "--key", "a", "--timeout", "5s",
                  "http://127.0.0.1:1/", soft=0)

    def test_2_the_words_are_wrong(self):
        self.ends(2, "exists", "--key", "..", "s3://bucket", soft=2)

    def test_3_a_miss(self):
        self.ends(3, "exists", "--key", "a", "s3://bucket", soft=3)
        self.ends(3, "restore", "--fail-on-miss", "--key", "a", "s3://bucket", "out", soft=3)
        self.ends(0, "restore", "--key", "a", "s3://bucket", "out", soft=0)

    def test_4_what_is_no_archive(self):
        self.origin.put("bucket", "a", b"no archive" * 1000)
        for command in (("verify",), ("ls",)):
            self.ends(4, *command, "--key", "a", "s3://bucket", soft=0)
        self.ends(4, "restore", "--key", "a", "s3://bucket", "out", soft=0)

    def test_5_credentials_are_refused(self):
        env = {"AWS_SECRET_ACCESS_KEY": "another"}
        self.ends(5, "exists", "--key", "a", "s3://bucket", soft=0, env=env)
        self.ends(5, *self.commit(), soft=0, env=env)

    def test_6_no_condition_is_honoured(self):
        self.origin.quirks.put_condition = "ignore"
        self.origin.quirks.complete_condition = "ignore"
        self.ends(6, *self.commit(), soft=6)
        self.ends(6, "probe", "s3://bucket", soft=6)

    def test_124_the_deadline(self):
        silent = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        self.ends(124, "exists", "--timeout", "1s", "--key", "a", url, soft=0)

    def test_128_and_the_signal(self):
        silent = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child = self.cli.start("exists", "--soft-fail", "--timeout", "1m", "--key", "a",
                                   url)
            connection, _ = silent.accept()
            connection.recv(1)
            child.send_signal(number)
            _, err = child.communicate(timeout=60)
            connection.close()
            self.assertRegex(err.decode(), rf"\Alarder: error: .*the wait for '{url}a' was "
                                           rf"ended \({number.name}\)\n\Z")
            self.assertEqual(child.returncode, 128 + number)

    def test_a_signal_that_was_ignored_ends_nothing(self):
        """As nohup(1) has it. Of two that came, the system tells of SIGHUP first."""
        (self.home / "mnt").mkdir()
        silent = self.enterContext(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        for command, *more in (["exists"], ["mount", "--foreground", "mnt"]):
            child = self.cli.start(command, "--key", "a", url, *more, preexec_fn=(
                lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)))
            self.addCleanup(child.kill)
            connection, _ = silent.accept()
            child.send_signal(signal.SIGHUP)
            child.send_signal(signal.SIGTERM)
            _, err = child.communicate(timeout=60)
            connection.close()
            self.assertRegex(err.decode(), r"\A.*(was ended \(SIGTERM\)|ended by a signal before "
                                           r"the mount served)\n\Z")
            self.assertEqual(child.returncode, 128 + signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
