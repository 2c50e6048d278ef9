"""`larder` on a folder store, without a mount: words, outcomes, exit codes."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tarfile
import unittest
from pathlib import Path

from larder_testlib.cli import Cli
from larder_testlib.process import TempDir, wait_until
from larder_testlib.programs import sanitizers

# What is wrong, and a word that the sentence must hold.
USAGE_ERRORS = [
    ("frob", "'frob'"),
    ("ls --nope", "'--nope'"),
    ("ls -Z", "'-Z'"),
    ("ls --key", "'--key'"),
    ("ls --json=yes", "'--json=yes'"),
    ("ls --key=", "--key"),
    ("ls a b c", "'c'"),
    ("ls ./none", "/none'"),
    ("ls bucket://x", "bucket://x"),
    ("ls s3://", "s3://"),
    ("ls s3://UPPER", "UPPER"),
    ("exists --key a s3//bucket", "'s3//bucket'"),
    ("exists --key a HTTPS//host", "'HTTPS//host'"),
    ("ls http://user:secret@host/", "http://"),
    ("ls --timeout never ./store", "'never'"),
    ("ls --timeout 0 ./store", "0"),
    ("ls --retries -1 ./store", "-1"),
    ("ls --concurrency 0 ./store", "0"),
    ("ls --cache-size much ./store", "'much'"),
    ("ls --endpoint-url ftp://x ./store", "ftp://x"),
    ("ls --region b/c ./store", "b/c"),
    ("ls --re x ./store", "'--re'"),
    ("exists ./store", "--key"),
    ("exists --key a ./store more", "'more'"),
    ("exists --key ../a ./store", "'../a'"),
    ("exists --key /a ./store", "'/a'"),
    ("exists --key a//b ./store", "'a//b'"),
    ("exists --key .larder/x ./store", ".larder"),
    ("exists --force --key a ./store", "'--force'"),
    ("commit", "DIR"),
    ("commit ./store tree", "--key"),
    ("commit --key a s3://bucket", "directory"),
    ("commit --key a ./store none", "'none'"),
    ("commit --key a ./store file", "'file'"),
    ("commit --key a ./store tree more", "'more'"),
    ("commit --key a --level 0 ./store tree", "'0'"),
    ("commit --key a --level 20 ./store tree", "'20'"),
    ("commit --key a --level 3x ./store tree", "'3x'"),
    ("commit --key a --force --fail-if-exists ./store tree", "--fail-if-exists"),
    ("commit --key a --force --unsafe-overwrite ./store tree", "--unsafe-overwrite"),
    ("commit --key a --prefetch all ./store tree", "'--prefetch'"),
    ("verify ./store", "--key"),
    ("probe ./store more", "'more'"),
    ("restore", "DIR"),
    ("restore ./store out", "--key"),
    ("restore --key a s3://bucket", "directory"),
    ("restore --key a ./store out more", "'more'"),
    ("restore --key a --exclude x ./store out", "'--exclude'"),
    ("key", "TEMPLATE"),
    ("key {{nope}}", "'nope'"),
    ("key {{os", "'}}'"),
    ("key {{checksum'none'}}", "'none'"),
    ("key ../x", "'../x'"),
    ("key a b", "'b'"),
    ("umount", "MOUNTPOINT"),
    ("umount tree", "tree'"),
    ("umount none", "none'"),
    ("umount tree more", "'more'"),
    ("umount --timeout 1 tree", "'--timeout'"),
    ("status", "MOUNTPOINT"),
    ("status tree", "'tree'"),
    ("status none", "'none'"),
    ("mount", "MOUNTPOINT"),
    ("mount --key a s3://bucket", "directory"),
    ("mount ./store tree more", "'more'"),
    ("mount --key a/../b ./store tree", "'a/../b'"),
]


def files_below(path):
    return sorted(str(p.relative_to(path)) for p in Path(path).rglob("*") if not p.is_dir())


class OnAFolder(unittest.TestCase):
    def setUp(self):
        self.home = TempDir()
        self.addCleanup(self.home.remove)
        self.cli = Cli(self.home.path)
        self.store = self.home.path / "store"
        self.tree = self.home.path / "tree"
        (self.tree / "sub").mkdir(parents=True)
        (self.tree / "sub" / "hello").write_text("hello, world\n" * 1000)
        (self.tree / "empty").touch()
        (self.tree / "link").symlink_to("sub/hello")
        (self.home.path / "file").touch()

    def commit(self, *words, code=0, **how):
        result = self.cli.run("commit", *words, "./store", "tree", **how)
        self.assertEqual(result.code, code, result)
        return result

    # --- usage -----------------------------------------------------------------------

    def test_wrong_words_are_one_sentence_and_exit_2(self):
        for words, named in USAGE_ERRORS:
            with self.subTest(words=words):
                result = self.cli.run(*words.split())
                self.assertEqual(result.code, 2, result)
                self.assertEqual(result.out, "")
                self.assertRegex(result.err, r"\Alarder: error: [^\n]+[^.\n]\n\Z")
                self.assertIn(named, result.err)
        self.assertFalse(self.store.exists())

    def test_wrong_variables_are_named(self):
        for name, value in (("LARDER_TIMEOUT", "soon"), ("LARDER_CONCURRENCY", "0"),
                            ("AWS_ENDPOINT_URL", "nowhere"), ("LARDER_STORE", "x"),
                            ("LARDER_KEY", "../x")):
            with self.subTest(name=name):
                env = {"LARDER_KEY": "a", name: value}
                result = self.cli.run("exists", env=env)
                self.assertEqual(result.code, 2, result)
                self.assertEqual(result.err.count("\n"), 1)
        result = self.commit("--key", "a", "--reproducible", code=2,
                             env={"SOURCE_DATE_EPOCH": "yesterday"})
        self.assertIn("SOURCE_DATE_EPOCH", result.err)

    def test_a_key_is_made_from_a_template(self):
        (self.home.path / "lock").write_text("abc")
        result = self.cli.run("key", 'x-{{ os }}-{{ env "A" }}-{{ checksum "l*k" }}',
                              env={"A": "v"})
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.out, r"\Ax-linux-v-ba7816bf[0-9a-f]{56}\n\Z")
        self.assertEqual(json.loads(self.cli.run("key", "--json", "a").out), {"key": "a"})

    def test_soft_fail_is_for_failures_not_for_mistakes(self):
        self.assertEqual(self.cli.run("ls", "--soft-fail", "a", "b", "c").code, 2)
        self.store.write_text("not a folder")
        hard = self.cli.run("ls", "./store")
        soft = self.cli.run("ls", "--soft-fail", "./store")
        self.assertEqual((hard.code, soft.code), (1, 0), (hard, soft))
        self.assertIn("warning:", soft.err)

    def test_version_and_no_words(self):
        self.assertRegex(self.cli.run("--version").out, r"\Alarder \d+\.\d+\.\d+\n\Z")
        self.assertEqual(self.cli.run().code, 2)

    def test_a_reader_that_goes_away_is_no_crash(self):
        self.commit("--key", "a")
        read, write = os.pipe()
        os.close(read)
        child = subprocess.run([self.cli.path, "ls", "./store"], stdout=write,
                               stderr=subprocess.PIPE, env=self.cli.env,
                               cwd=self.home.path, timeout=60)
        os.close(write)
        self.assertEqual(child.returncode, 128 + signal.SIGPIPE)
        self.assertEqual(child.stderr, b"")

    def test_a_full_standard_output_is_told(self):
        self.commit("--key", "a")
        for keys in (1, 2000):
            self.have_keys(keys)
            with open("/dev/full", "w", encoding="utf-8") as full:
                child = subprocess.run([self.cli.path, "ls", "./store"], stdout=full,
                                       stderr=subprocess.PIPE, env=self.cli.env,
                                       cwd=self.home.path, timeout=60)
            self.assertEqual(child.returncode, 1)
            self.assertEqual(child.stderr, b"larder: error: cannot write to standard output: "
                                           b"No space left on device\n")

    @unittest.skipIf(sanitizers() == "thread", "its _exit(2) writes out standard output first")
    def test_one_signal_ends_what_waits_for_its_reader(self):
        """While it lists, and when only the last of it is left to be written."""
        self.have_keys(200)
        for words in (["ls", "./store"], ["key", "a"]):
            with self.subTest(words=words):
                read, write = os.pipe()
                self.addCleanup(os.close, read)
                size = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
                os.write(write, bytes(size))
                child = self.cli.start(*words, stdout=write)
                os.close(write)
                self.addCleanup(child.communicate)
                self.addCleanup(child.kill)
                waits = Path(f"/proc/{child.pid}/wchan")
                wait_until(lambda: "pipe_write" in waits.read_text(), "the pipe was full")
                child.terminate()
                self.assertEqual(child.wait(timeout=60), 128 + signal.SIGTERM)

    def have_keys(self, count):
        """So many keys at least in the store."""
        self.store.mkdir(exist_ok=True)
        for number in range(count):
            (self.store / f"key-{number}").touch()

    def test_a_reader_that_has_seen_enough_is_no_failure_worth_words(self):
        """Of keys and of files: it ends as whom SIGPIPE ends."""
        for number in range(2000):
            (self.tree / f"file-{number}").touch()
        self.commit("--key", "many")
        self.have_keys(2000)
        for words in (["--json"], [], ["--key", "many"], ["--key", "many", "--json"]):
            with self.subTest(words=words):
                child = self.cli.start("ls", *words, "./store")
                child.stdout.close()
                self.assertEqual((child.stderr.read(), child.wait(timeout=60)),
                                 (b"", 128 + signal.SIGPIPE))
                child.stderr.close()

    # --- publishing --------------------------------------------------------------------

    def test_the_first_writer_wins(self):
        first = json.loads(self.commit("--key", "a/b", "--json").out)
        self.assertEqual(first["outcome"], "published")
        self.assertEqual(first["size"], (self.store / "a/b").stat().st_size)
        self.assertEqual((first["files"], first["entries"]), (2, 5))
        before = (self.store / "a/b").read_bytes()
        (self.tree / "more").write_text("more")
        second = json.loads(self.commit("--key", "a/b", "--json").out)
        self.assertEqual(second["outcome"], "already-published")
        self.assertEqual(second["etag"], first["etag"])
        self.assertEqual(self.commit("--key", "a/b", "--fail-if-exists", code=7).out, "")
        self.assertEqual((self.store / "a/b").read_bytes(), before)
        third = json.loads(self.commit("--key", "a/b", "--json", "--force").out)
        self.assertNotEqual(third["identity"], first["identity"])
        self.assertEqual(files_below(self.store), ["a/b"])

    def test_the_object_is_a_tarball(self):
        self.commit("--key", "a", "--exclude", "empty")
        tar = subprocess.run(["tar", "--zstd", "-tf", self.store / "a"], check=True,
                             capture_output=True, text=True).stdout
        self.assertEqual(tar.splitlines(), ["./", "link", "sub/", "sub/hello"])

    def test_the_same_tree_is_the_same_bytes(self):
        one = json.loads(self.commit("--key", "one", "--json").out)
        two = json.loads(self.commit("--key", "two", "--json").out)
        self.assertEqual(one["identity"], two["identity"])
        self.assertEqual((self.store / "one").read_bytes(), (self.store / "two").read_bytes())

    def test_reproducible_forgets_the_times(self):
        def identity(key, **how):
            out = self.commit("--key", key, "--reproducible", "--json", **how).out
            return json.loads(out)["identity"]
        one = identity("one")
        os.utime(self.tree / "empty", (1, 1))
        self.assertEqual(identity("two"), one)
        self.assertNotEqual(identity("three", env={"SOURCE_DATE_EPOCH": "86400"}), one)
        raw = subprocess.run(["zstd", "-dc", self.store / "three"], check=True,
                             capture_output=True).stdout
        (self.home.path / "three.tar").write_bytes(raw)
        with tarfile.open(self.home.path / "three.tar") as tar:
            self.assertEqual({member.mtime for member in tar}, {86400})

    def test_output_is_appended_for_the_ci_system(self):
        out = self.home.path / "out"
        out.write_text("before=1\n")
        self.commit("--key", "a", "--output", out)
        self.commit("--key", "a", "--output", out)
        self.cli.run("exists", "--key", "b", "--output", out, "./store")
        lines = out.read_text().splitlines()
        self.assertEqual(lines[0:3], ["before=1", "cache-hit=false", "cache-matched-key=a"])
        self.assertRegex(lines[3], r"\Aidentity=[0-9a-f]{64}\Z")
        size = (self.store / "a").stat().st_size
        self.assertEqual(lines[5:8],
                         [f"size={size}", "cache-hit=true", "cache-matched-key=a"])
        self.assertEqual(lines[-1], "cache-hit=false")

    def test_what_cannot_be_packed_is_left_out_aloud(self):
        os.mkfifo(self.tree / "fifo")
        result = self.commit("--key", "a", "--json")
        self.assertIn("fifo'", result.err)
        self.assertIn("warning:", result.err)
        self.assertEqual(json.loads(result.out)["left_out"], 1)
        self.assertEqual(self.commit("--key", "b", "--quiet").err, "")

    def test_a_key_below_a_key_is_refused(self):
        self.commit("--key", "a")
        result = self.commit("--key", "a/b", code=1)
        self.assertIn("'a/b'", result.err)
        self.assertEqual(files_below(self.store), ["a"])

    def test_the_default_store_is_a_folder_of_ones_own(self):
        self.assertEqual(self.cli.run("ls").out, "")
        self.assertEqual(self.cli.run("ls").code, 0)
        self.assertEqual(self.cli.run("exists", "--key", "a").code, 3)
        first = self.cli.run("commit", "--key", "a", "tree")
        self.assertEqual(first.code, 0)
        self.assertIn(".local/share/larder'", first.err)
        self.assertTrue((self.home.path / ".local/share/larder/a").is_file())
        env = {"XDG_DATA_HOME": str(self.home.path / "data")}
        self.assertEqual(self.cli.run("commit", "--key", "a", "tree", env=env).code, 0)
        self.assertTrue((self.home.path / "data/larder/a").is_file())
        env = {"LARDER_STORE": "./named", "LARDER_KEY": "b"}
        self.assertEqual(self.cli.run("commit", "tree", env=env).code, 0)
        self.assertTrue((self.home.path / "named/b").is_file())

    def test_a_signal_leaves_nothing(self):
        # Enough that packing cannot be over before the signal comes.
        with open(self.tree / "large", "wb") as large:
            large.truncate(64 << 30)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                child = self.cli.start("commit", "--key", "k/a", "./store", "tree")
                wait_until(self.store.exists, "the commit began")
                child.send_signal(number)
                out, err = child.communicate(timeout=60)
                self.assertEqual(child.returncode, 128 + number, err)
                self.assertIn(b"'k/a'", err)
                self.assertEqual(out, b"")
                self.assertEqual(files_below(self.store), [])
                shutil.rmtree(self.store)

    def test_a_killed_commit_leaves_no_key(self):
        with open(self.tree / "large", "wb") as large:
            large.truncate(64 << 30)
        child = self.cli.start("commit", "--key", "a", "./store", "tree")
        wait_until(self.store.exists, "the commit began")
        child.kill()
        child.communicate(timeout=60)
        self.assertEqual(self.cli.run("ls", "./store").out, "")
        (self.tree / "large").unlink()
        self.commit("--key", "a")
        self.assertEqual(files_below(self.store), ["a"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_it_works_for_those_who_are_not_root(self):
        for path in (self.home.path, self.tree):
            os.chown(path, 65534, 65534)
        who = {"user": 65534, "group": 65534, "extra_groups": []}
        self.commit("--key", "a", **who)
        self.commit("--key", "a", "--force", **who)
        self.assertEqual(files_below(self.store), ["a"])
        os.chmod(self.store, 0o555)
        result = self.commit("--key", "b", code=1, **who)
        self.assertIn("./store"[2:], result.err)
        (self.tree / "sub").chmod(0o700)
        result = self.commit("--key", "c", code=1, **who)
        self.assertEqual(files_below(self.store), ["a"])

    # --- progress ----------------------------------------------------------------------

    def long_commit(self, *words, **popen):
        """A commit that ends only when it is interrupted, and works when nobody else does."""
        with open(self.tree / "large", "wb") as large:
            large.truncate(8 << 40)
        child = self.cli.start("commit", "--key", "a", *words, "./store", "tree",
                               preexec_fn=lambda: os.nice(19), **popen)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        return child

    PROGRESS = rb"larder: packing: [\d.]+ [KMG]iB of 8\.0 TiB, [\d.]+ [KMG]iB/s, [^\r]+ left"

    def test_progress_is_one_line_on_a_terminal(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        child = self.long_commit(stderr=slave)
        os.close(slave)
        seen = b""
        while len(re.findall(rb"\r\x1b\[K" + self.PROGRESS, seen)) < 3:
            seen += os.read(master, 4096)
        self.assertNotIn(b"\n", seen)
        child.send_signal(signal.SIGINT)
        while b"interrupted" not in seen:
            seen += os.read(master, 4096)
        self.assertRegex(seen, rb"\r\x1b\[Klarder: error: interrupted")

    def test_progress_is_a_line_now_and_then_elsewhere(self):
        quiet = self.long_commit("--quiet")
        child = self.long_commit()
        line = b""
        while not re.fullmatch(self.PROGRESS + rb"\n", line):
            line = child.stderr.readline()
            self.assertRegex(line, rb"\Alarder: packing: [^\r]*\n\Z")
        quiet.send_signal(signal.SIGINT)
        self.assertEqual(quiet.stderr.read().count(b"\n"), 1)

    # --- restoring ---------------------------------------------------------------------

    def restore(self, *words, code=0, **how):
        result = self.cli.run("restore", *words, "./store", "out", **how)
        self.assertEqual(result.code, code, result)
        return result

    def test_restore_gives_the_tree_back(self):
        os.link(self.tree / "sub" / "hello", self.tree / "again")
        os.utime(self.tree / "sub" / "hello", ns=(0, 1234567890123456789))
        (self.tree / "sub").chmod(0o750)
        self.commit("--key", "a")
        found = json.loads(self.restore("--key", "a", "--json").out)
        self.assertTrue(found["hit"])
        out = self.home.path / "out"
        self.assertEqual(files_below(out), files_below(self.tree))
        self.assertEqual((out / "sub/hello").read_text(), "hello, world\n" * 1000)
        self.assertEqual((out / "sub").stat().st_mode & 0o7777, 0o750)
        self.assertEqual((out / "again").stat().st_mtime_ns, 1234567890123456789)
        self.assertEqual((out / "again").stat().st_ino, (out / "sub/hello").stat().st_ino)
        self.assertEqual(os.readlink(out / "link"), "sub/hello")
        again = self.restore("--key", "a", code=2)
        self.assertIn("not empty", again.err)
        self.assertEqual(self.cli.run("restore", "--key", "a", "./store", "file").code, 2)
        shutil.rmtree(out)
        stood_in = self.restore("--key", "b", "--fallback-key", "a")
        self.assertTrue(stood_in.out.startswith("a: restored in place of 'b': "), stood_in)

    def test_restore_fetches_what_the_cache_lacks(self):
        self.commit("--key", "a")
        first = json.loads(self.restore("--key", "a", "--json").out)
        self.assertGreater(first["fetched_bytes"], 0)
        shutil.rmtree(self.home.path / "out")
        second = json.loads(self.restore("--key", "a", "--json").out)
        self.assertEqual(second["fetched_bytes"], 0)
        shutil.rmtree(self.home.path / "out")
        third = json.loads(self.restore("--key", "a", "--json", "--cache-dir", "").out)
        self.assertEqual(third["fetched_bytes"], first["fetched_bytes"])

    def test_restore_goes_on_without_a_cache(self):
        self.commit("--key", "a")
        cache = self.home.path / "cache"
        cache.mkdir()
        cache.chmod(0o777)
        result = self.restore("--key", "a", "--cache-dir", cache)
        self.assertIn("chmod 700", result.err)
        self.assertEqual(files_below(cache), [])

    def test_restore_falls_back_to_the_newest(self):
        for number, key in enumerate(("npm-2", "npm-1", "npmx-3", "cargo-9")):
            self.commit("--key", key)
            os.utime(self.store / key, (1000 + number, 1000 + number))
        out = self.home.path / "facts"
        found = json.loads(self.restore("--key", "npm-0", "--fallback-key", "yarn-",
                                        "--fallback-key", "npm-", "--json",
                                        "--output", out).out)
        self.assertEqual((found["hit"], found["matched_key"]), (False, "npm-1"))
        self.assertEqual(out.read_text().splitlines()[:2],
                         ["cache-hit=false", "cache-matched-key=npm-1"])

    def test_a_miss_is_no_failure_unless_asked_for(self):
        result = self.restore("--key", "none")
        self.assertFalse((self.home.path / "out").exists())
        self.assertEqual(result.err, "")
        self.restore("--key", "none", "--fallback-key", "no-", "--fail-on-miss", code=3)

    def test_a_damaged_object_restores_nothing(self):
        with open(self.tree / "noise", "wb") as noise:
            noise.write(os.urandom(4 << 20))
        self.commit("--key", "a")
        with open(self.store / "a", "r+b") as file:
            file.seek(2 << 20)
            file.write(b"damage")
        result = self.restore("--key", "a", code=4)
        self.assertIn("'a'", result.err)
        self.assertEqual(sorted(p.name for p in self.home.path.iterdir()
                                if not p.name.startswith(".")), ["file", "store", "tree"])
        self.restore("--key", "a", "--soft-fail")

    # --- looking -----------------------------------------------------------------------

    def test_ls_shows_keys_in_order(self):
        for key in ("b", "a-b", "a/b", "a0"):
            self.commit("--key", key)
        listed = json.loads(self.cli.run("ls", "--json", "./store").out)
        self.assertEqual([entry["key"] for entry in listed], ["a-b", "a/b", "a0", "b"])
        self.assertEqual(listed[0]["size"], (self.store / "a-b").stat().st_size)
        text = self.cli.run("ls", "./store", "a").out.splitlines()
        self.assertEqual([line.split()[-1] for line in text], ["a-b", "a/b", "a0"])
        self.assertEqual(int(text[0].split()[0]), listed[0]["size"])
        self.assertEqual(self.cli.run("ls", "--json", "./store", "zz").out, "[]\n")

    def test_ls_shows_the_files_inside_a_key(self):
        self.commit("--key", "a")
        inside = json.loads(self.cli.run("ls", "--key", "a", "--json", "./store").out)
        self.assertEqual([(f["name"], f["type"]) for f in inside],
                         [("empty", "file"), ("link", "symlink"), ("sub", "directory")])
        self.assertEqual(inside[1]["target"], "sub/hello")
        below = json.loads(
            self.cli.run("ls", "--key", "a", "--json", "./store", "/sub/").out)
        self.assertEqual([(f["name"], f["size"]) for f in below], [("hello", 13000)])
        text = self.cli.run("ls", "--key", "a", "./store", "link").out
        self.assertTrue(text.endswith("link -> sub/hello\n"), text)
        self.assertEqual(self.cli.run("ls", "--key", "a", "./store", "none").code, 3)
        long = self.cli.run("ls", "--key", "a", "./store", "sub" + "/" * 5000 + "none")
        self.assertEqual((long.code, long.out), (3, ""), long)
        self.assertEqual(self.cli.run("ls", "--key", "b", "./store").code, 3)

    def test_a_name_cannot_drive_the_terminal(self):
        (self.tree / "\x1b[31mred\n").touch()
        (self.tree / "\x9b31mred as well").symlink_to("\x9b31m")
        self.commit("--key", "a")
        text = self.cli.run("ls", "--key", "a", "./store").out
        self.assertIn("?[31mred?", text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x9b", text)
        self.assertIn("??31mred as well -> ??31m\n", text)

    def test_exists_answers_by_exit_status(self):
        self.assertEqual(self.cli.run("exists", "--key", "a", "./store").code, 3)
        self.commit("--key", "a")
        found = self.cli.run("exists", "--key", "a", "./store")
        self.assertEqual((found.code, found.err), (0, ""))
        missed = self.cli.run("exists", "--key", "b", "./store")
        self.assertEqual((missed.code, missed.err), (3, ""))
        self.assertTrue(json.loads(
            self.cli.run("exists", "--json", "--key", "a", "./store").out)["exists"])

    def findings(self, *words, code=0, **how):
        result = self.cli.run("doctor", "--json", *words, **how)
        self.assertEqual(result.code, code, result)
        return {f["what"]: f for f in json.loads(result.out)}

    def test_doctor_looks_at_a_folder(self):
        result = self.cli.run("doctor", "./store")
        self.assertIn("does not exist", result.out)
        self.assertFalse(self.store.exists())
        self.commit("--key", "a")
        found = {f["what"]: f for f in json.loads(
            self.cli.run("doctor", "--json", "./store").out)}
        for what in ("cache", "store", "list", "read", "write"):
            self.assertEqual(found[what]["level"], "ok", found[what])
        self.assertIn("'a'", found["read"]["text"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_doctor_knows_where_a_folder_can_be_made(self):
        self.home.path.chmod(0o755)
        who = {"user": 65534, "group": 65534, "extra_groups": []}
        for owner, level in ((0, "note"), (65534, "ok")):
            os.chown(self.home.path, owner, owner)
            told = self.cli.run("doctor", "--json", "./store/below", **who).out
            write, = (f for f in json.loads(told) if f["what"] == "write")
            self.assertEqual(write["level"], level, write)
            if level == "note":
                self.assertIn(f"'{self.home.path}' may not be written to", write["text"])

    def test_a_folder_behind_a_link_to_nothing(self):
        self.store.symlink_to("nothing")
        for store in ("./store", "./store/below"):
            with self.subTest(store):
                said = self.cli.run("commit", "--key", "a", store, "tree")
                self.assertEqual(said.code, 1, said)
                self.assertIn("cannot make the store's folder", said.err)
                found = self.findings(store, code=1)
                self.assertEqual(found["store"]["level"], "failed")
                self.assertIn(f"'{self.store}' is a symbolic link to what is not there",
                              found["store"]["text"])
                self.assertNotIn("write", found)

    def test_doctor_names_what_is_wrong(self):
        cache = self.home.path / "cache"
        cache.mkdir()
        cache.chmod(0o777)
        self.store.write_text("not a folder")
        found = self.findings("--cache-dir", cache, "./store", code=1)
        self.assertIn("chmod 700", found["cache"]["text"])
        self.assertEqual(found["store"]["level"], "failed")
        self.assertNotIn("list", found)
        found = self.findings("--no-sign-request", "bucket://nonsense", code=1)
        self.assertIn("bucket://", found["store"]["text"])

    def test_doctor_tells_where_credentials_were_looked_for(self):
        words = ("--endpoint-url", "http://127.0.0.1:1", "--retries", "0", "s3://bucket")
        found = self.findings(*words, code=5)
        self.assertEqual(found["credentials"]["level"], "failed")
        self.assertIn("AWS_ACCESS_KEY_ID", found["credentials"]["text"])
        env = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "hidden"}
        found = self.findings(*words, code=1, env=env)
        self.assertIn("environment", found["credentials"]["text"])
        self.assertNotIn("hidden", str(found))
        self.assertEqual(found["store"]["level"], "failed")

    def test_probe_trusts_link(self):
        self.store.mkdir()
        result = self.cli.run("probe", "--json", "./store")
        self.assertEqual(result.code, 0, result)
        self.assertEqual(json.loads(result.out)["put"], "atomic")


if __name__ == "__main__":
    unittest.main()
