"""A whole store as directories of keys, and what becomes of names that are none."""

import errno
import json
import os
import resource
import stat
import subprocess
import threading
import time
import unittest

from larder_testlib import fuse
from larder_testlib.mount import Mount, MountError, larder
from larder_testlib.origin import Origin, s3_error
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.sigv4 import Credentials

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")
BUCKET = "the-bucket"


def status(mount):
    return json.loads(os.getxattr(mount.path, "user.larder.status"))


class MountedStore(unittest.TestCase):
    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.origin = self.enterContext(Origin([CREDENTIALS]))
        self.env = self.origin.env(CREDENTIALS)
        self.store = f"s3://{BUCKET}/prefix"
        self.tree = self.home / "tree"
        self.tree.mkdir()

    def commit(self, key, **files):
        for path in self.tree.iterdir():
            path.unlink()
        for name, content in files.items():
            (self.tree / name).write_text(content)
        larder("commit", "--key", key, "--force", self.store, self.tree, env=self.env)

    def mount(self, *words, **more):
        return self.enterContext(Mount(self.store, *words, env=self.env, **more))

    def asked(self):
        """What was asked of the store since the last time: methods and paths."""
        with self.origin.lock:
            asked = [(request.method, request.target) for request in self.origin.requests]
        self.origin.forget()
        return asked

    def assert_errno(self, number, act, *words):
        with self.assertRaises(OSError) as caught:
            act(*words)
        self.assertEqual(errno.errorcode[caught.exception.errno], errno.errorcode[number])

    def test_keys_are_directories(self):
        self.commit("plain", file="one")
        self.commit("linux/x86/npm", file="two")
        self.commit("linux/arm", file="three")
        self.asked()
        mount = self.mount()
        self.assertEqual(self.asked(), [])  # mounting asks nothing
        self.assertEqual(sorted(os.listdir(mount.path)), ["linux", "plain"])
        self.assertEqual(len(self.asked()), 1)
        for entry in os.scandir(mount.path):
            self.assertTrue(entry.is_dir())
            os.stat(entry.path)
        self.assertEqual(self.asked(), [])  # listed names are known
        self.assertEqual((mount.path / "plain/file").read_text(), "one")
        self.assertEqual(len(self.asked()), 1)  # the archive is small: it came whole
        self.assertEqual((mount.path / "linux/x86/npm/file").read_text(), "two")
        self.assertEqual((mount.path / "linux/arm/file").read_text(), "three")
        self.assertEqual(sorted(os.listdir(mount.path / "linux")), ["arm", "x86"])
        self.assertEqual(status(mount)["store"], self.store)

    def test_one_request_from_nothing_to_the_first_listing(self):
        self.commit("k", a="1", b="2")
        self.asked()
        mount = self.mount(key="k")
        self.assertEqual(sorted(os.listdir(mount.path)), ["a", "b"])
        asked = self.asked()
        self.assertEqual([method for method, _ in asked], ["GET"])

    def test_misses(self):
        self.commit("linux/npm", file="x")
        mount = self.mount()
        self.asked()
        self.assert_errno(errno.ENOENT, os.stat, mount.path / "nothing")
        self.assertEqual(len(self.asked()), 2)  # as a key, and as a directory of keys
        for _ in range(20):
            self.assert_errno(errno.ENOENT, os.stat, mount.path / "nothing")
        self.assertEqual(self.asked(), [])  # remembered
        self.assert_errno(errno.ENOENT, os.stat, mount.path / "linux/nothing")
        self.assert_errno(errno.ENOENT, os.stat, mount.path / "linux/npm/nothing")
        self.assert_errno(errno.ENAMETOOLONG, os.stat, mount.path / ("n" * 256))

    def test_a_miss_is_remembered_for_seconds_only(self):
        mount = self.mount()
        self.assert_errno(errno.ENOENT, os.stat, mount.path / "later")
        self.commit("later", file="x")
        wait_until((mount.path / "later/file").exists, "the miss to be forgotten", 15)

    def test_a_listed_key_that_has_gone(self):
        self.commit("k", file="x")
        data = self.origin.objects(BUCKET)["prefix/k"]
        for look, number in (os.listdir, errno.ESTALE), (self.stat_below, errno.ENOENT):
            with self.subTest(look), Mount(self.store, env=self.env) as mount:
                self.origin.put(BUCKET, "prefix/k", data)
                self.assertEqual(os.listdir(mount.path), ["k"])
                self.origin.remove(BUCKET, "prefix/k")
                self.asked()
                self.assert_errno(number, look, mount.path / "k")
                self.assertEqual(len(self.asked()), 1)
                wait_until(lambda: not (mount.path / "k").exists(),
                           "the kernel to forget the name", 4)
                self.assert_errno(errno.ENOENT, os.listdir, mount.path / "k")
                self.assert_errno(errno.ENOENT, self.stat_below, mount.path / "k")
                self.assertEqual(self.asked(), [])  # remembered
                self.origin.put(BUCKET, "prefix/k", data)
                wait_until((mount.path / "k/file").exists, "the miss to be forgotten", 15)

    @staticmethod
    def stat_below(key):
        os.stat(key / "file")

    def test_a_listed_key_that_has_gone_is_no_empty_directory(self):
        self.commit("k", file="x")
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path), ["k"])
        key = os.open(mount.path / "k", os.O_RDONLY)
        self.addCleanup(os.close, key)
        self.origin.remove(BUCKET, "prefix/k")
        self.asked()
        copied = subprocess.run(["cp", "-r", mount.path / "k", self.home / "copy"],
                                capture_output=True, timeout=60, check=False)
        self.assertEqual(copied.returncode, 1)
        for _ in range(3):  # who has it open may go on asking
            self.assert_errno(errno.ESTALE, os.listdir, key)
        self.assertEqual(len(self.asked()), 1)

    def test_known_names_follow_the_store(self):
        """What was looked up, and never read, is not believed for ever."""
        for key in ("k0", "k1", "dir/k"):
            self.commit(key, file="x")
        mount = self.mount()
        self.assertEqual(sorted(os.listdir(mount.path)), ["dir", "k0", "k1"])
        os.stat(mount.path / "k1")
        os.stat(mount.path / "dir")
        data = self.origin.objects(BUCKET)["prefix/dir/k"]
        for key in ("k1", "dir/k"):
            self.origin.remove(BUCKET, f"prefix/{key}")
        # each look makes the kernel keep a name that is found for five seconds more
        wait_until(lambda: not (mount.path / "k1").exists(), "the key to be gone", 20)
        wait_until(lambda: os.listdir(mount.path) == ["k0"], "the listing to be renewed", 20)
        wait_until(lambda: not (mount.path / "dir").exists(), "the directory to be gone", 20)
        self.origin.put(BUCKET, "prefix/dir", data)
        wait_until((mount.path / "dir/file").exists, "the key to be found", 20)

    def test_the_path_to_an_open_key_stays(self):
        """The store has nothing in that directory any more, and a listing says so."""
        for key in ("k0", "npm/k", "gone/k"):
            self.commit(key, file="x")
        mount = self.mount()
        file = self.enterContext(open(mount.path / "npm/k/file", encoding="utf-8"))
        self.assertEqual(file.read(), "x")
        os.stat(mount.path / "gone")
        for key in ("npm/k", "gone/k"):
            self.origin.remove(BUCKET, f"prefix/{key}")
        self.assertEqual(os.listdir(mount.path), ["k0"])
        # the other one shows when the kernel asks for names anew: it has kept them since later
        wait_until(lambda: not (mount.path / "gone").exists(), "the directory to be gone", 20)
        self.asked()
        self.assertEqual((mount.path / "npm/k/file").read_text(), "x")
        self.assertEqual(self.asked(), [])

    def test_a_known_directory_that_became_a_key(self):
        self.commit("dir/k", file="x")
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path / "dir"), ["k"])
        self.origin.put(BUCKET, "prefix/dir", self.origin.objects(BUCKET)["prefix/dir/k"])

        def is_the_key():
            return os.listdir(mount.path) == ["dir"] and \
                os.listdir(mount.path / "dir") == ["file"]
        wait_until(is_the_key, "the listing to be renewed", 20)

    def test_a_copy_of_a_listed_key_can_be_written(self):
        """cp asks for the mode before it reads, when the key is listed and not open yet."""
        self.commit("k", file="x")
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path), ["k"])
        subprocess.run(["cp", "-r", mount.path / "k", self.home / "copy"], timeout=60, check=True)
        self.assertEqual(stat.S_IMODE(os.stat(self.home / "copy").st_mode) & 0o700, 0o700)
        self.assertEqual((self.home / "copy/file").read_text(), "x")

    def test_a_listed_key_is_archived_without_a_word(self):
        """GNU tar warns of a directory that grows, or whose ctime changes, while it is read."""
        self.commit("k", file="x")
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path), ["k"])
        done = subprocess.run(["tar", "-C", mount.path, "-cf", self.home / "k.tar", "k"],
                              capture_output=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_a_listed_key_is_packed_as_it_is(self):
        self.tree.chmod(0o750)
        self.commit("k", file="x")
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path), ["k"])
        os.stat(mount.path / "k")
        larder("commit", "--key", "again", self.store, mount.path / "k", env=self.env)
        objects = self.origin.objects(BUCKET)
        self.assertEqual(objects["prefix/again"], objects["prefix/k"])

    def test_listed_keys_are_packed_as_they_are(self):
        self.tree.chmod(0o750)
        self.commit("k", file="x")
        packed = os.stat(self.tree)
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path), ["k"])
        folder = self.home / "folder"
        larder("commit", "--key", "all", folder, mount.path, env=self.env)
        larder("restore", "--key", "all", folder, self.home / "out", env=self.env)
        unpacked = os.stat(self.home / "out/k")
        self.assertEqual(stat.S_IMODE(unpacked.st_mode), 0o750)
        self.assertEqual(unpacked.st_mtime_ns, packed.st_mtime_ns)

    def test_listed_keys_below_another_file_system_are_packed_as_they_are(self):
        self.tree.chmod(0o750)
        self.commit("k", file="x")
        packed = os.stat(self.tree)
        point = self.home / "project/deps"
        point.mkdir(parents=True)
        self.mount(path=point)
        self.assertEqual(os.listdir(point), ["k"])
        folder = self.home / "folder"
        larder("commit", "--key", "all", folder, point.parent, env=self.env)
        larder("restore", "--key", "all", folder, self.home / "out", env=self.env)
        unpacked = os.stat(self.home / "out/deps/k")
        self.assertEqual(stat.S_IMODE(unpacked.st_mode), 0o750)
        self.assertEqual(unpacked.st_mtime_ns, packed.st_mtime_ns)

    def test_opening_a_key_ends_what_was_said_of_it(self):
        """By itself the kernel would ask again after a second."""
        self.tree.chmod(0o750)
        self.commit("k0", file="x")
        data = self.origin.objects(BUCKET)["prefix/k0"]
        names = [f"k{number}" for number in range(5)]  # while the listing is good
        for name in names:
            self.origin.put(BUCKET, f"prefix/{name}", data)
        mount = self.mount()
        self.assertEqual(sorted(os.listdir(mount.path)), names)

        def is_shown_in_time(key):
            end = time.monotonic() + 0.8
            os.stat(key)
            self.assertEqual((key / "file").read_text(), "x")
            while stat.S_IMODE(os.stat(key).st_mode) != 0o750:
                if time.monotonic() > end:
                    return False
            return time.monotonic() <= end
        # on a busy machine some may be late
        self.assertTrue(any(is_shown_in_time(mount.path / name) for name in names))

    def test_a_key_that_has_gone_holds_up_nobody(self):
        """Where the kernel is told to forget a name it waits for who looks up another one in
        that directory, deaf to all signals, and everybody else for it."""
        for key in ("gone", "kept"):
            self.commit(key, file="x")
        mount = self.mount("--timeout=20s")
        self.assertEqual(sorted(os.listdir(mount.path)), ["gone", "kept"])
        os.stat(mount.path / "gone")
        self.origin.remove(BUCKET, "prefix/gone")
        go, answer = threading.Event(), self.origin.answer
        self.addCleanup(go.set)

        def answer_late(request):
            if "slow" in request.target:
                go.wait(60)
            return answer(request)
        self.origin.answer = answer_late
        slow = spawn(["stat", mount.path / "slow"], stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL)
        self.addCleanup(slow.wait, 60)
        self.addCleanup(go.set)
        wait_until(lambda: status(mount)["waiting"], "the slow name to be asked for")
        self.assert_errno(errno.ENOENT, self.stat_below, mount.path / "gone")
        for words, code in ((["ls", mount.path], 0), (["cat", mount.path / "kept/file"], 0),
                            (["stat", mount.path / "another"], 1)):
            with self.subTest(words):
                done = subprocess.run(words, capture_output=True, timeout=10, check=False)
                self.assertEqual(done.returncode, code)
        self.assertTrue(slow.alive())

    def test_a_new_key_comes_into_the_listing(self):
        self.commit("one", file="x")
        mount = self.mount()
        self.assertEqual(os.listdir(mount.path), ["one"])
        self.commit("two", file="x")
        wait_until(lambda: sorted(os.listdir(mount.path)) == ["one", "two"],
                   "the listing to be renewed", 15)

    def test_refused(self):
        self.commit("k", file="x")
        env = dict(self.env, AWS_SECRET_ACCESS_KEY="wrong")
        with self.assertRaises(MountError) as caught:
            self.enterContext(Mount(self.store, key="k", env=env))
        self.assertIn("ended with 5", str(caught.exception))
        with Mount(self.store, env=env) as mount:
            self.assert_errno(errno.EACCES, os.listdir, mount.path)
            self.assert_errno(errno.EACCES, os.stat, mount.path / "k")

    def test_access_denied_is_a_miss(self):
        mount = self.mount()
        self.origin.fail_next(s3_error(403, "AccessDenied"), 100)
        self.assert_errno(errno.ENOENT, os.stat, mount.path / "k")
        self.assertIn("denies access to 'k'", mount.log())

    def test_access_denied_is_told_once(self):
        mount = self.mount()
        self.origin.fail_next(s3_error(403, "AccessDenied"), 100)

        def asked_again():
            self.assert_errno(errno.ENOENT, os.stat, mount.path / "k")
            with self.origin.lock:
                return sum(request.target.endswith("/k")
                           for request in self.origin.requests) >= 3
        wait_until(asked_again, "the store to be asked twice more", 30)
        self.assertEqual(mount.log().count("denies access to 'k'"), 1)

    def test_access_denied_to_a_listed_key(self):
        self.commit("k", file="x")
        for look, number in (os.listdir, errno.ESTALE), (self.stat_below, errno.ENOENT):
            with self.subTest(look), Mount(self.store, env=self.env) as mount:
                self.assertEqual(os.listdir(mount.path), ["k"])
                self.origin.fail_next(s3_error(403, "AccessDenied"), 100)
                self.assert_errno(number, look, mount.path / "k")
                self.assertEqual(mount.log().count("denies access to 'k'"), 1)
                self.asked()

    def test_what_is_no_archive(self):
        self.origin.put(BUCKET, "prefix/junk", os.urandom(5000))
        self.origin.put(BUCKET, "prefix/empty", b"")
        mount = self.mount()
        for name in ("junk", "empty"):
            self.assert_errno(errno.EIO, os.listdir, mount.path / name)
            self.assertIn(f"'{name}'", mount.log())
            self.asked()
            for _ in range(4):
                self.assert_errno(errno.EIO, os.stat, mount.path / name)
            self.assertEqual(self.asked(), [])  # remembered
        with self.assertRaises(MountError) as caught:
            self.enterContext(Mount(self.store, key="junk", env=self.env))
        self.assertIn("ended with 4", str(caught.exception))

    def test_many_keys(self):
        for number in range(2500):
            self.origin.put(BUCKET, f"prefix/key-{number:05}", b"x")
        mount = self.mount()
        self.asked()
        began = time.monotonic()
        names = sorted(os.listdir(mount.path))
        self.assertEqual(names, [f"key-{number:05}" for number in range(2500)])
        self.assertEqual(len(self.asked()), 3)  # pages of a thousand
        for name in names:
            if time.monotonic() - began > 4:
                break  # after five seconds the store is asked anew
            os.stat(mount.path / name)
        self.assertEqual(self.asked(), [])

    def test_many_long_keys_have_a_status(self):
        """An xattr has 64 KiB at most, and in JSON a quote takes two bytes."""
        self.commit("k", file="x")
        data = self.origin.objects(BUCKET)["prefix/k"]
        folder = "/".join(['"' * 240] * 4)
        mount = self.mount()
        for number in range(45):
            key = f"{folder}/{number}"
            self.origin.put(BUCKET, f"prefix/{key}", data)
            self.assertEqual((mount.path / key / "file").read_text(), "x")
        told = status(mount)
        self.assertEqual(told["keys_known"], 45)
        self.assertIn(len(told["keys"]), range(10, 40))
        for key in told["keys"]:
            self.assertTrue(key["open"])
            self.assertTrue(key["key"].startswith(folder))
        summary = os.getxattr(mount.path, "user.larder.summary").decode()
        self.assertIn("daemon      larderfs", summary)

    def test_a_folder_is_a_store_too(self):
        self.commit("k", file="x")
        self.assertEqual(os.listdir(self.home / "tree"), ["file"])
        data = self.origin.objects(BUCKET)["prefix/k"]
        folder = self.home / "folder"
        folder.mkdir()
        (folder / "k").write_bytes(data)
        mount = self.enterContext(Mount(folder))
        self.assertEqual((mount.path / "k/file").read_text(), "x")

    def test_a_folder_may_have_more_keys_than_open_files_are_usual(self):
        folder = self.home / "folder"
        folder.mkdir()
        self.commit("k", file="x")
        data = self.origin.objects(BUCKET)["prefix/k"]
        for number in range(100):
            (folder / f"k{number}").write_bytes(data)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        mount = self.enterContext(Mount(folder))
        for number in range(100):
            self.assertEqual((mount.path / f"k{number}/file").read_text(), "x")


if __name__ == "__main__":
    fuse.main()
