"""`larder mount --writable`: written to as a local directory is, published, and gone."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from larder_testlib.forget import forget_below
from larder_testlib.process import freeze, wait_until
from larder_testlib.janitor import mount_points
from larder_testlib.namespaces import apart
from larder_testlib.origin import Origin
from larder_testlib.sigv4 import Credentials
from larder_testlib.cli_case import mounts_at
from larder_testlib.writable import WritableCase

CREDENTIALS = Credentials("AKIDEXAMPLE", "secret/key")

# Capabilities of root in a container that was given no others.
DOCKERS_RIGHTS = ["audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod",
                  "net_bind_service", "net_raw", "setfcap", "setgid", "setpcap", "setuid",
                  "sys_chroot"]
CARGO = shutil.which("cargo")


class Writable(WritableCase):
    def write_as_npm_does(self, top):
        """The same changes to any copy of the tree."""
        (top / "new/sub").mkdir(parents=True)
        (top / "new/sub/file").write_text("new\n")
        (top / "gone").unlink()
        shutil.rmtree(top / "gone-dir")
        os.rename(top / "lib/deep", top / "lib/deeper")
        os.rename(top / "lib/index.js", top / "lib/main.js")
        os.chmod(top / "lib/main.js", 0o755)
        os.link(top / "lib/main.js", top / "linked")
        with open(top / "lib/deeper/one", "a", encoding="utf-8") as file:
            file.write("two\n")
        temporary = top / "lib/.index.tmp"
        temporary.write_text("replaced\n")
        os.replace(temporary, top / "lib/index.js")
        (top / "bin").unlink()
        (top / "bin").symlink_to("lib/main.js")

    def test_two_versions_are_not_published(self):
        self.assert_two_versions_are_refused(self.point, "--key", "a")

    def test_two_versions_of_one_key_among_many_are_not_published(self):
        self.assert_two_versions_are_refused(self.point / "a")

    def test_two_versions_of_a_key_that_status_does_not_tell_of_are_not_published(self):
        origin = self.enterContext(Origin([CREDENTIALS]))
        store, env = "s3://the-bucket/w", origin.env(CREDENTIALS) | {"LARDER_CACHE_DIR": ""}
        keys = [f"k{number}" for number in range(50)]
        same = os.urandom(4 << 20)
        (self.tree / "same").write_bytes(same)
        self.run_ok("commit", "--key", "k0", store, "tree", env=env)
        data = origin.objects("the-bucket")["w/k0"]
        for key in keys:
            origin.put("the-bucket", f"w/{key}", data)
        (self.tree / "gone").unlink()
        self.run_ok("commit", "--key", "other", store, "tree", env=env)
        self.run_ok("mount", "--writable", "--prefetch", "none", store, "mnt", env=env)
        with contextlib.ExitStack() as uses:
            for key in keys:
                uses.enter_context(os.scandir(self.point / key))
            told = json.loads(self.run_ok("status", "--json", "mnt").out)
            self.assertEqual((told["keys_known"], told["overwrites"]), (50, 0))
            secret = (set(keys) - {key["key"] for key in told["keys"]}).pop()
            origin.put("the-bucket", f"w/{secret}", origin.objects("the-bucket")["w/other"])
            self.assertEqual((self.point / secret / "same").read_bytes(), same)
            told = json.loads(self.run_ok("status", "--json", "mnt").out)
            self.assertEqual(told["overwrites"], 1)
            forget_below(self.path)
            self.assert_refused(4, "more than one version", "commit", "--key", "b", store, "mnt",
                                env=env)
            self.assertNotIn("w/b", origin.objects("the-bucket"))
        self.run_ok("umount", "mnt")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's caches are for root")
    def test_another_version_that_is_found_by_packing_is_not_published(self):
        self.run_ok("mount", "--writable", "./store", "mnt")
        (self.point / "a/new").write_text("new\n")
        self.forget_keys()
        self.run_ok("commit", "--key", "b", "./store", "mnt")
        self.assertEqual(set(self.keys()), {"a", "b"})
        self.forget_keys()
        (self.tree / "gone").write_text("another version's\n")
        self.run_ok("commit", "--force", "--key", "a", "./store", "tree")
        for directory in ("mnt", "mnt/a", "mnt/a/lib"):
            self.assert_refused(4, "more than one version", "commit", "--key", "c", "./store",
                                directory)
        self.assertEqual(set(self.keys()), {"a", "b"})
        self.run_ok("commit", "--key", "b", "./store", "mnt")  # is there: nothing to be packed
        self.run_ok("umount", "mnt")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's caches are for root")
    def test_another_version_within_what_is_packed_is_not_published(self):
        modules = self.path / "project/modules"
        modules.mkdir(parents=True)
        self.run_ok("mount", "--writable", "./store", modules)
        commit = ("commit", "--key", "c", "./store")
        self.run_ok("commit", "--key", "b", "./store", "project")
        self.forget_keys(modules)
        (self.tree / "gone").write_text("another version's\n")
        self.run_ok("commit", "--force", "--key", "a", "./store", "tree")
        for attempt in ("found by packing", "known before"):
            with self.subTest(attempt):
                self.assert_refused(4, f"what is mounted on '{modules}' was overwritten in its "
                                       "store meanwhile, and shows more than one version",
                                    *commit, "project")
        self.assertEqual(set(self.keys()), {"a", "b"})
        self.assert_refused(4, "more than one version", *commit, "--exclude", "/modules/a",
                            "project")
        self.assert_refused(4, "more than one version", *commit, "project",  # which is no cache
                            env={"LARDER_CACHE_DIR": f"{self.path}/project"})
        self.run_ok(*commit, "--exclude", "modules/", "project")
        self.run_ok("umount", modules)

    @unittest.skipUnless(os.geteuid() == 0, "mounting is for root")
    def test_what_is_not_mounted_whole_is_published(self):
        self.run_ok("mount", "--key", "a", "./store", "mnt")
        place = self.path / "place"
        place.mkdir()
        subprocess.run(["mount", "--bind", self.point / "lib", place], check=True)
        self.run_ok("commit", "--key", "b", "./store", "place/deep")
        (self.path / "project").mkdir()
        (self.path / "project/file").touch()
        subprocess.run(["mount", "--bind", self.point / "gone", self.path / "project/file"],
                       check=True)
        self.run_ok("commit", "--key", "c", "./store", "project")
        self.assertEqual(set(self.keys()), {"a", "b", "c"})
        for name in ("place", "project/file"):
            self.assert_refused(2, f"'{name}' is not a mount of larderfs", "status", name)

    @unittest.skipUnless(os.geteuid() == 0, "mounting is for root")
    def test_what_is_not_mounted_whole_tells_of_another_version_too(self):
        origin = self.enterContext(Origin([CREDENTIALS]))
        store, env = "s3://the-bucket/w", origin.env(CREDENTIALS) | {"LARDER_CACHE_DIR": ""}
        (self.tree / "lib/same").write_bytes(os.urandom(4 << 20))
        place = self.path / "project/place"
        place.mkdir(parents=True)
        for directory in ("project", "project/place", "project/place/deep/.."):
            with self.subTest(directory):
                (self.tree / "gone").write_text("gone\n")
                self.run_ok("commit", "--force", "--key", "a", store, "tree", env=env)
                self.run_ok("mount", "--prefetch", "none", "--key", "a", store, "mnt", env=env)
                subprocess.run(["mount", "--bind", self.point / "lib", place], check=True)
                (self.tree / "gone").write_text("another version's\n")
                self.run_ok("commit", "--force", "--key", "a", store, "tree", env=env)
                self.assert_refused(4, f"what is mounted on '{place}' was overwritten in its "
                                       "store while it was packed; try again\n",
                                    "commit", "--key", "b", store, directory, env=env)
                self.assertNotIn("w/b", origin.objects("the-bucket"))
                subprocess.run(["umount", place], check=True)
                self.run_ok("umount", "mnt")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's caches are for root")
    def test_what_is_overwritten_while_it_is_packed_is_packed_again(self):
        self.run_ok("mount", "./store", "mnt")
        (self.point / "a/gone").read_text()
        self.forget_keys()
        (self.tree / "gone").write_text("another version's\n")
        self.run_ok("commit", "--force", "--key", "a", "./store", "tree")
        commit = ("commit", "--key", "c", "./other", "mnt")
        self.assert_refused(4, f"what is mounted on '{self.point}' was overwritten in its store "
                               "while it was packed; try again\n", *commit)
        self.assertFalse((self.path / "other/c").exists())
        self.run_ok(*commit)
        self.assertTrue((self.path / "other/c").exists())
        self.run_ok("umount", "mnt")

    def keys(self):
        listed = json.loads(self.run_ok("ls", "--json", "./store").out)
        return [entry["key"] for entry in listed]

    def assert_two_versions_are_refused(self, top, *words):
        """words: of the mount, which shows key "a" as top."""
        origin = self.enterContext(Origin([CREDENTIALS]))
        store, env = "s3://the-bucket/w", origin.env(CREDENTIALS) | {"LARDER_CACHE_DIR": ""}
        same = os.urandom(4 << 20)
        (self.tree / "same").write_bytes(same)
        self.run_ok("commit", "--key", "a", store, "tree", env=env)
        self.run_ok("commit", "--key", "z", store, "tree", env=env)
        self.run_ok("mount", "--writable", "--prefetch", "none", *words, store, "mnt", env=env)
        with os.scandir(top):  # a key that is in use is not forgotten
            os.stat(top / "gone")
            (self.tree / "gone").write_text("another version's\n")
            self.run_ok("commit", "--force", "--key", "a", store, "tree", env=env)
            # where it is found out: nobody is told that by this read
            self.assertEqual((top / "same").read_bytes(), same)
            # what was looked up before fails: the kernel forgets it when it wants the memory
            forget_below(self.path)
            self.assert_refused(4, "more than one version", "commit", "--key", "b", store, "mnt",
                                env=env)
            self.assertNotIn("w/b", origin.objects("the-bucket"))
        self.run_ok("umount", "mnt")

    def test_written_published_and_mounted_again(self):
        copy = self.path / "copy"
        shutil.copytree(self.tree, copy, symlinks=True)
        self.write_as_npm_does(copy)
        self.mount()
        self.assertEqual(self.contents(self.point), self.contents(self.tree))
        self.assertEqual(self.point.stat().st_mode, self.tree.stat().st_mode)
        self.write_as_npm_does(self.point)
        self.assertEqual(self.contents(self.point), self.contents(copy))
        self.run_ok("commit", "--key", "b", "./store", "mnt")
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()
        self.run_ok("mount", "--key", "b", "./store", "mnt")
        self.assertEqual(self.contents(self.point), self.contents(copy))
        linked = (self.point / "linked").stat()
        self.assertEqual(linked.st_ino, (self.point / "lib/main.js").stat().st_ino)
        self.run_ok("umount", "mnt")
        self.run_ok("mount", "--key", "a", "./store", "mnt")
        self.assertEqual(self.contents(self.point), self.contents(self.tree))
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_links_and_modes_copy_no_content_up(self):
        self.mount()
        os.link(self.point / "big", self.point / "again")
        os.chmod(self.point / "big", 0o600)
        upper = self.homes()[0] / "upper"
        self.assertEqual((upper / "big").stat().st_size, 1 << 20)
        self.assertLess((upper / "big").stat().st_blocks * 512, 1 << 16)
        self.assertEqual((self.point / "again").read_bytes(),
                         (self.tree / "big").read_bytes())
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    def test_who_ignores_the_end_of_children_mounts_too(self):
        """As some supervisors do, and it is inherited: wait(2) then tells of no child."""
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self.run_ok("mount", "--writable", "--key", "a", "./store", "mnt", preexec_fn=ignore)
        self.assertEqual(self.contents(self.point), self.contents(self.tree))
        self.run_ok("umount", "mnt", preexec_fn=ignore)
        self.assert_nothing_left()

    def test_the_root_is_the_keys_root(self):
        """Its xattrs, too: what is published unchanged has the same identity."""
        os.setxattr(self.tree, "user.color", b"red")
        os.setxattr(self.tree, "user.empty", b"")
        self.tree.chmod(0o555)
        os.utime(self.tree, ns=(10**18, 10**18 + 7))
        self.run_ok("commit", "--key", "b", "./store", "tree")
        self.mount(key="b")
        self.assertEqual({name: os.getxattr(self.point, name)
                          for name in os.listxattr(self.point)},
                         {"user.color": b"red", "user.empty": b""})
        key, = json.loads(self.run_ok("status", "--json", "mnt").out)["keys"]
        self.run_ok("commit", "--key", "same", "--output", "out", "./store", "mnt")
        self.assertIn(f"\nidentity={key['identity']}\n", (self.path / "out").read_text())
        self.run_ok("umount", "mnt")

    def test_a_writable_store_is_published_as_it_is(self):
        """Its keys are opened by who packs them, and so are below an overlay."""
        self.tree.chmod(0o750)
        os.utime(self.tree, ns=(10**18, 10**18 + 7))
        self.run_ok("commit", "--key", "b", "./store", "tree")
        self.run_ok("mount", "--writable", "./store", "mnt")
        self.assertEqual(sorted(os.listdir(self.point)), ["a", "b"])
        self.run_ok("commit", "--key", "all", "./other", "mnt")
        self.run_ok("umount", "mnt")
        self.run_ok("restore", "--key", "all", "./other", "out")
        unpacked = (self.path / "out/b").stat()
        self.assertEqual((unpacked.st_mode & 0o7777, unpacked.st_mtime_ns), (0o750, 10**18 + 7))
        self.assertEqual(self.contents(self.path / "out/b"), self.contents(self.tree))

    def test_what_an_overlay_is_told_is_not_the_keys_to_tell(self):
        for name in ("user.overlay.opaque", "user.fuseoverlayfs.opaque"):
            os.setxattr(self.tree, name, b"y")
        self.run_ok("commit", "--key", "b", "./store", "tree")
        self.mount(key="b")
        names = os.listxattr(self.homes()[0] / "upper")
        self.assertEqual([name for name in names if name.startswith("user.")], [])
        self.assertEqual(self.contents(self.point), self.contents(self.tree))
        self.run_ok("umount", "mnt")

    def test_the_private_directory_is_private(self):
        self.mount("--upper-dir", "ours/writes")
        homes = list((self.path / "ours/writes").iterdir())
        self.assertEqual(len(homes), 1)
        self.assertEqual(homes[0].stat().st_mode & 0o7777, 0o700)
        (self.point / "new").touch()
        self.assertTrue((homes[0] / "upper/new").exists())
        self.run_ok("umount", "mnt")
        self.assertEqual(list((self.path / "ours/writes").iterdir()), [])
        self.assert_nothing_left()

    def test_status_tells_of_the_mount_below(self):
        self.mount()
        told = json.loads(self.run_ok("status", "--json", "mnt").out)
        self.assertEqual([key["key"] for key in told["keys"]], ["a"])
        self.assertIn("identity", self.run_ok("status", "mnt/").out)
        (self.path / "link").symlink_to("mnt")
        self.assertIn("identity", self.run_ok("status", "link").out)
        self.run_ok("umount", "link")

    def test_in_use_it_is_left_alone(self):
        self.mount()
        with open(self.point / "new", "w", encoding="utf-8"):
            self.assert_refused(1, "in use", "umount", "mnt")
            (self.point / "newer").touch()
            self.run_ok("umount", "--lazy", "mnt")
        self.assert_nothing_left()

    def test_who_looks_below_is_not_waited_for_after_a_signal(self):
        """And what was written is not lost sight of."""
        for words, told in ((("--keep-upper", "kept"), "what was written stays in '{}': "),
                            ((), "error: '{}' stays: ")):
            with self.subTest(words=words):
                self.mount()
                (self.point / "new").write_text("new\n")
                home, = self.homes()
                with open(home / "lower/big", "rb"):
                    child = self.cli.start("umount", *words, "mnt")
                    wait_until(lambda: mount_points(self.path) == [],
                               "only the daemon is waited for")
                    child.send_signal(signal.SIGINT)
                    out, err = child.communicate(timeout=8)
                self.assertEqual((child.returncode, out, err.count(b"\n")), (130, b"", 1), err)
                self.assertIn(told.format(home), err.decode())
                self.assertEqual((home / "upper/new").read_text(), "new\n")
                shutil.rmtree(home)

    def test_a_home_that_others_may_have_made_is_not_believed(self):
        for uid, mode in ((65534, 0o700), (os.geteuid(), 0o755)):
            with self.subTest(uid=uid, mode=mode):
                self.mount()
                (self.point / "new").touch()
                planted = self.path / f"larder-overlay-{uid}"
                for part in ("lower", "upper/planted"):
                    (planted / part).mkdir(parents=True)
                (planted / "point").symlink_to(self.point)
                self.run_ok("mount", "--key", "a", "./store", planted / "lower")
                os.chown(planted, uid, -1)
                planted.chmod(mode)
                self.run_ok("umount", "--keep-upper", f"kept-{uid}", "mnt")
                self.assertEqual(os.listdir(self.path / f"kept-{uid}"), ["new"])
                self.assertEqual(os.listdir(planted / "upper"), ["planted"])
                self.run_ok("umount", planted / "lower")
                self.assert_nothing_left()

    def test_a_miss_leaves_an_ordinary_directory(self):
        for words, code in (((), 0), (("--fail-on-miss",), 3)):
            result = self.cli.run("mount", "--writable", "--key", "none", *words,
                                  "--output", "out", "./store", "mnt")
            self.assertEqual(result.code, code, result)
            self.assertIn("'none'", result.err)
            self.assert_nothing_left()
        self.assertEqual((self.path / "out").read_text(), "cache-hit=false\n" * 2)
        (self.point / "file").touch()

    def test_what_cannot_be_had_is_refused(self):
        self.assert_refused(2, "--upper-dir", "mount", "--upper-dir", ".", "--key", "a",
                            "./store", "mnt")
        self.assert_refused(2, "--foreground", "mount", "--writable", "--foreground",
                            "./store", "mnt")
        self.assert_refused(2, "tree", "mount", "--writable", "--key", "a", "./store",
                            "tree")
        self.assert_refused(2, "'.", "mount", "--writable", "--key", "../x", "./store",
                            "mnt")
        self.mount()
        (self.point / "upper").mkdir()
        (self.path / "second").mkdir()
        self.assert_refused(2, "'mnt/upper'", "mount", "--writable", "--key", "a",
                            "--upper-dir", "mnt/upper", "./store", "second")
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    def test_a_dead_daemon_is_cleared_away(self):
        self.mount()
        pid = json.loads(self.run_ok("status", "--json", "mnt").out)["pid"]
        os.kill(pid, 9)
        result = self.cli.run("umount", "mnt")
        self.assertEqual(result.code, 0, result)
        self.assert_nothing_left()

    def test_a_stuck_daemon_is_cleared_away_unless_it_is_asked_for_content(self):
        self.mount()
        (self.point / "new").write_text("new\n")
        pid = json.loads(self.run_ok("status", "--json", "mnt").out)["pid"]
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        freeze(pid)
        self.assert_refused(124, "does not answer", "umount", "--keep-upper", "kept", "mnt")
        self.assertEqual(len(mounts_at(self.point)), 1)
        self.assertFalse((self.path / "kept").exists())
        self.assert_refused(124, "its daemon did not answer", "umount", "mnt")
        self.assert_nothing_left()

    def assert_not_mounted_on(self, why, restoring):
        """Neither mounted on nor unpacked to, which exits with `restoring`."""
        before = mounts_at(self.point)
        named = f"'{self.point}' is {why}; 'larder umount {self.point}'"
        for words, code in ((("mount", "--writable"), 2), (("mount",), 2), (("restore",), restoring)):
            with self.subTest(words=words):
                self.assert_refused(code, named, *words, "--key", "a", "./store", "mnt")
                self.assertEqual(mounts_at(self.point), before)

    def test_what_is_mounted_is_not_taken_for_a_directory_to_empty(self):
        self.mount()
        self.assert_not_mounted_on("a mount of larderfs already", 2)
        self.assertEqual(len(self.homes()), 1)
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    def test_nothing_is_mounted_on_what_a_dead_daemon_left(self):
        self.mount()
        self.kill_daemon()
        self.assert_not_mounted_on("mounted by a larderfs that is gone", 1)
        self.assert_refused(1, "is mounted by a larderfs that is gone; ", "commit", "--key",
                            "b", "./store", "mnt")
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    def test_nothing_is_written_to_a_folder_that_is_no_cache(self):
        project = self.path / "project"
        project.mkdir()
        (project / "mine").write_text("mine\n")
        result = self.cli.run("mount", "--writable", "--cache-dir", "project", "--key", "a",
                              "./store", "mnt")
        self.assertEqual(result.code, 0, result)
        self.assertIn("is no cache of Larder's", result.err)
        self.assertEqual(len(mounts_at(self.point)), 1)
        self.assertEqual(os.listdir(project), ["mine"])
        self.run_ok("umount", "mnt")

    @unittest.skipUnless(os.geteuid() == 0, "another /tmp is for root")
    def test_a_machine_without_a_place_for_an_overlay(self):
        """That is no wrong word of the person's, and --soft-fail goes on without."""
        self.assertEqual(self.in_a_namespace("""
            mount -t tmpfs none /mnt
            cp -r store /mnt; mkdir /mnt/upper /mnt/work /mnt/point
            mount -t overlay -o lowerdir=/tmp,upperdir=/mnt/upper,workdir=/mnt/work none /tmp
            unset XDG_RUNTIME_DIR; cd /mnt
            set -- mount --writable --cache-dir= --key a ./store point
            $L "$@" 2> said || echo $?
            $L "$@" --soft-fail 2>> said; echo $?
            grep -c "neither the cache directory nor" said
            """), "1\n0\n2\n")

    def test_what_an_ended_daemon_left_is_cleared_away(self):
        """It unmounts what it served, and only the overlay is left."""
        self.mount()
        self.kill_daemon(signal.SIGTERM)
        self.assertEqual(mount_points(self.path), [os.fsencode(self.point)])
        self.assert_not_mounted_on("mounted by a larderfs that is gone", 1)
        self.assert_refused(1, "is gone; 'larder umount", "status", "mnt")
        self.assert_refused(1, "is mounted by a larderfs that is gone; ", "commit", "--key",
                            "b", "./store", "mnt")
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_of_a_mount_whose_overlay_is_gone_nothing_is_thrown_away(self):
        self.mount()
        (self.point / "new").write_text("new\n")
        home, = self.homes()
        subprocess.run(["umount", self.point], check=True)
        for words in ((), ("--keep-upper", "kept"), ("--lazy",)):
            self.assert_refused(2, f"larder umount '{home}/lower', and remove '{home}'\n",
                                "umount", *words, "mnt")
        self.assertEqual((home / "upper/new").read_text(), "new\n")
        self.mount()  # what was left does not stand in the way
        self.run_ok("umount", "mnt")
        self.run_ok("umount", home / "lower")
        self.assertEqual((home / "upper/new").read_text(), "new\n")
        shutil.rmtree(home)
        self.assert_nothing_left()
        self.assert_refused(2, "is not a mount of larderfs", "umount", "mnt")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_an_overlay_that_was_moved_is_unmounted_where_it_is(self):
        job = self.path / "job"
        (job / "mnt").mkdir(parents=True)
        self.run_ok("mount", "--writable", "--key", "a", "./store", "job/mnt")
        moved = job.rename(self.path / "moved") / "mnt"
        (job / "mnt").mkdir(parents=True)
        (moved / "new").write_text("new\n")
        self.assert_refused(2, f"what was mounted on '{job}/mnt' is now on '{moved}': "
                               f"larder umount '{moved}'\n", "umount", "job/mnt")
        self.assertEqual((moved / "new").read_text(), "new\n")
        self.run_ok("umount", "moved/mnt")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_of_an_overlay_that_was_bound_the_last_place_counts(self):
        self.mount()
        too = self.path / "too"
        too.mkdir()
        subprocess.run(["mount", "--bind", self.point, too], check=True)
        (self.point / "new").write_text("new\n")
        self.assert_refused(1, f"what was mounted there is on '{too}' too: larder umount "
                               f"'{too}'\n", "umount", "--keep-upper", "kept", "mnt")
        self.assertEqual(mounts_at(self.point), [])
        (too / "newer").touch()
        self.run_ok("umount", "--keep-upper", "kept", "too")
        self.assertEqual(set(os.listdir(self.path / "kept")), {"new", "newer"})
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_an_overlay_that_the_kernel_shows_at_a_peer_goes_from_both(self):
        self.assertEqual(self.in_a_namespace("""
            mkdir real peer; mount --bind real real; mount --make-shared real
            mount --bind real peer; mkdir real/mnt
            $L mount --writable --key a ./store real/mnt > said
            grep -c " $PWD/[a-z]*/mnt overlay" /proc/self/mounts
            $L umount real/mnt
            ! grep " $PWD/[a-z]*/mnt overlay" /proc/self/mounts
            umount peer; umount real"""), "2\n")
        self.assert_nothing_left()

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_another_overlay_is_not_taken_for_ours(self):
        self.mount()
        home, = self.homes()
        subprocess.run(["umount", self.point], check=True)
        theirs = self.path / "theirs"
        for part in ("lower", "upper", "work"):
            (theirs / part).mkdir(parents=True)
        subprocess.run(["mount", "-t", "overlay", "overlay", self.point, "-o",
                        ",".join(f"{part}dir={theirs}/{part}"
                                 for part in ("lower", "upper", "work"))], check=True)
        self.assert_refused(2, "is not a mount of larderfs", "umount", "mnt")
        self.assert_refused(2, "'mnt'", "status", "mnt")
        self.assertEqual(mounts_at(self.point), ["overlay"])
        subprocess.run(["umount", self.point], check=True)
        self.run_ok("umount", home / "lower")

    @unittest.skipUnless(os.geteuid() == 0, "the kernel's overlay is for root")
    def test_two_do_not_unmount_at_once(self):
        self.mount()
        home, = self.homes()
        lock = os.open(home, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.assert_refused(1, f"another process is mounting or unmounting what is in '{home}'\n",
                            "umount", "mnt")
        self.assertEqual(len(mounts_at(self.point)), 1)
        fcntl.flock(lock, fcntl.LOCK_UN)
        self.run_ok("umount", "mnt")
        self.assert_nothing_left()

    def in_a_namespace(self, commands, *begin):
        """Runs shell commands, $L being larder, in namespaces of their own; begin: words
        that make more of these, or take rights away."""
        argv = [*begin, "sh", "-ec", commands]
        done = subprocess.run(apart(*argv) if os.geteuid() == 0 else argv, cwd=self.path,
                              env=self.cli.env | {"L": self.cli.path}, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    USE = """
        $L mount --writable --key a ./store mnt
        echo new > mnt/new; rm mnt/gone; mv mnt/lib/index.js mnt/lib/main.js
        chmod 700 mnt/lib/main.js; ln mnt/big mnt/more
        $L status --json mnt > status
        $L commit --key b ./store mnt > committed
        grep "$PWD/mnt " /proc/self/mounts
        $L umount mnt
        ! grep "$PWD/" /proc/self/mounts
        """

    def assert_used(self):
        self.assert_nothing_left()
        names = {entry["name"] for entry in json.loads(
            self.run_ok("ls", "--key", "b", "--json", "./store").out)}
        self.assertEqual(names, {*os.listdir(self.tree), "new", "more"} - {"gone"})

    @unittest.skipUnless(os.geteuid() == 0, "only root may become somebody else")
    def test_for_those_who_are_not_root(self):
        if not shutil.which("fuse-overlayfs"):
            print("no fuse-overlayfs here: not tried with it")
            return
        self.path.chmod(0o755)
        subprocess.run(["chown", "-hR", "65534:65534", self.path], check=True)
        become = "setpriv --reuid 65534 --regid 65534 --clear-groups --"
        out = self.in_a_namespace(f"""
            mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
            mkdir bin; ln -s "$(command -v fusermount3)" bin
            PATH=$PWD/bin {shutil.which("setpriv")} {become[8:]} \
                $L mount --writable --key a ./store mnt 2> refused || echo $? > code
            {become} sh -ec '{self.USE}'
            umount /dev/fuse; rm -r fuse bin""")
        self.assertIn("fuse-overlayfs", out)
        self.assertEqual((self.path / "code").read_text(), "1\n")
        refused = (self.path / "refused").read_text()
        self.assertIn("'fuse-overlayfs' is not installed", refused)
        self.assertEqual(refused.count("\n"), 1)
        self.assert_used()

    @unittest.skipUnless(os.geteuid() == 0, "only root may become somebody else")
    def test_nothing_is_told_of_a_mount_that_has_no_overlay(self):
        """Neither to a person nor to a CI system, which would skip its install step."""
        self.path.chmod(0o755)
        subprocess.run(["chown", "-hR", "65534:65534", self.path], check=True)
        self.in_a_namespace(f"""
            mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
            mkdir bin; ln -s "$(command -v fusermount3)" bin
            PATH=$PWD/bin {shutil.which("setpriv")} --reuid 65534 --regid 65534 \
                --clear-groups -- $L mount --soft-fail --writable --output out --key a \
                ./store mnt > told 2> refused
            umount /dev/fuse; rm -r fuse bin""")
        self.assertIn("cannot mount an overlay on", (self.path / "refused").read_text())
        self.assertEqual((self.path / "told").read_text(), "")
        self.assertEqual((self.path / "out").read_text(), "")
        self.assert_nothing_left()

    def test_what_a_writable_mount_tells(self):
        result = self.run_ok("mount", "--writable", "--output", "out", "--key", "none",
                             "--fallback-key", "a", "./store", "mnt")
        self.assertRegex(result.out, r"^a: mounted in place of 'none': \d+ entries in .*\n$")
        self.assertRegex((self.path / "out").read_text(),
                         r"^cache-hit=false\ncache-matched-key=a\nidentity=")
        self.run_ok("umount", "mnt")
        result = self.run_ok("mount", "--quiet", "--writable", "--output", "out", "--key",
                             "a", "./store", "mnt")
        self.assertEqual(result.out, "")
        self.assertIn("\ncache-hit=true\n", (self.path / "out").read_text())
        self.run_ok("umount", "mnt")

    def test_it_is_mounted_though_nobody_takes_the_line(self):
        for words in ((), ("--writable",)):
            for to in (">/dev/full", ">&-", "| true"):
                with self.subTest(words=words, to=to):
                    done = subprocess.run(
                        ["bash", "-o", "pipefail", "-c", f'"$0" "$@" {to}', self.cli.path,
                         "mount", *words, "--key", "a", "./store", "mnt"],
                        env=self.cli.env, cwd=self.path, capture_output=True, timeout=60)
                    self.assertEqual((done.returncode, done.stderr), (0, b""))
                    self.assertEqual((self.point / "gone").read_text(), "gone\n")
                    self.run_ok("umount", "mnt")

    def test_what_cannot_be_told_is_not_mounted(self):
        self.assert_refused(1, "'/dev/full'", "mount", "--writable", "--output", "/dev/full",
                            "--key", "a", "./store", "mnt")
        self.assert_nothing_left()

    def test_in_a_user_namespace(self):
        tried = subprocess.run(["unshare", "-Urm", "true"], check=False)
        if tried.returncode:
            print("no user namespaces here: not tried in one")
            return
        self.assertIn("userxattr", self.in_a_namespace(self.USE, "unshare", "-Urm"))
        self.assert_used()

    @unittest.skipUnless(os.geteuid() == 0, "only root can take rights away")
    def test_in_a_container(self):
        """As `docker run --device /dev/fuse --cap-add SYS_ADMIN` leaves root."""
        rights = "-all,+sys_admin" + "".join(f",+{name}" for name in DOCKERS_RIGHTS)
        out = self.in_a_namespace(self.USE, "setpriv", "--bounding-set", rights, "--inh-caps",
                                  rights)
        self.assertIn("metacopy=on", out)
        self.assert_used()

    @unittest.skipUnless(os.geteuid() == 0, "only root can take rights away")
    def test_without_the_right_the_persons_mountpoint_is_named(self):
        done = subprocess.run(["setpriv", "--bounding-set", "-sys_admin", self.cli.path, "mount",
                               "--writable", "--key", "a", "./store", "mnt"], text=True,
                              cwd=self.path, env=self.cli.env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        self.assertIn(f"larderfs: error: cannot mount on '{self.point}'", done.stderr)
        self.assertNotIn("larder-overlay", done.stderr)
        self.assert_nothing_left()

    def test_the_log_names_the_persons_mountpoint(self):
        self.mount("--log-file", "log")
        self.run_ok("umount", "mnt")
        log = (self.path / "log").read_text()
        self.assertIn(f"on '{self.point}', key 'a'", log)
        self.assertNotIn("larder-overlay", log)

    def test_ninja_builds_on(self):
        """A build directory with its times, links and log: nothing is built that is there,
        and only what changed is copied up."""
        source = self.path / "source"
        source.mkdir()
        for number in range(8):
            (source / f"{number}.c").write_text(f"int f{number}(void) {{ return 1; }}\n")
        (source / "main.c").write_text("int f0(void);\nint main(void) { return f0(); }\n")
        objects = [f"{path.stem}.o" for path in sorted(source.iterdir())]
        self.point = self.path / "target"
        self.point.mkdir()
        (self.point / "build.ninja").write_text("\n".join([
            "rule cc", " command = gcc -MMD -MF $out.d -c -o $out $in",
            " depfile = $out.d", " deps = gcc",
            "rule link", " command = gcc -o $out $in",
            *[f"build {name}: cc {source}/{name[:-2]}.c" for name in objects],
            f"build program: link {' '.join(objects)}", ""]))
        (self.point / "ballast").write_bytes(os.urandom(1 << 20))

        def build():
            """How many commands ran."""
            done = subprocess.run(["ninja", "-C", self.point, "-v"], check=True,
                                  capture_output=True, text=True)
            return len(re.findall(r"^\[\d+/\d+\]", done.stdout, re.MULTILINE))

        self.assertEqual(build(), 10)
        self.run_ok("commit", "--key", "target", "./store", self.point)
        shutil.rmtree(self.point)
        self.point.mkdir()
        self.run_ok("mount", "--writable", "--key", "target", "./store", self.point)
        self.assertEqual(build(), 0)
        (source / "0.c").write_text("int f0(void) { return 7; }\n")
        self.assertEqual(build(), 2)
        self.assertEqual(subprocess.run([self.point / "program"], check=False).returncode, 7)
        upper = self.homes()[0] / "upper"
        written = {path.name for path in upper.rglob("*")}
        self.assertLessEqual({"0.o", "program"}, written)
        self.assertFalse(written & {"ballast", "main.o", *objects[1:8]}, written)
        self.run_ok("commit", "--key", "target2", "./store", self.point)
        wanted = self.contents(self.point)
        self.run_ok("umount", self.point)
        self.assert_nothing_left()
        self.run_ok("mount", "--writable", "--key", "target2", "./store", self.point)
        self.assertEqual(self.contents(self.point), wanted)
        self.assertEqual(build(), 0)
        self.run_ok("umount", self.point)

    def test_cargo_builds_on(self):
        if not CARGO:
            print("no cargo here: nothing is built")
            return
        project = self.path / "project"
        (project / "src").mkdir(parents=True)
        (project / "Cargo.toml").write_text(
            '[package]\nname = "p"\nversion = "0.1.0"\nedition = "2021"\n')
        (project / "src/lib.rs").write_text("pub fn one() -> u8 { 1 }\n")
        (project / "src/main.rs").write_text("fn main() { println!(\"{}\", p::one()) }\n")
        env = os.environ | {"CARGO_TARGET_DIR": str(project / "target")}

        def build():
            done = subprocess.run([CARGO, "build", "--offline"], cwd=project, env=env,
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stderr.count("Compiling")

        self.assertEqual(build(), 1)
        self.run_ok("commit", "--key", "target", "./store", project / "target")
        shutil.rmtree(project / "target")
        self.point = project / "target"
        self.point.mkdir()
        self.run_ok("mount", "--writable", "--key", "target", "./store", self.point)
        self.assertEqual(build(), 0, "what is mounted is fresh")
        (project / "src/main.rs").write_text("fn main() { println!(\"{}\", 7) }\n")
        self.assertEqual(build(), 1)
        told = subprocess.run([self.point / "debug/p"], capture_output=True, text=True)
        self.assertEqual(told.stdout, "7\n")
        self.run_ok("commit", "--key", "target2", "./store", self.point)
        wanted = self.contents(self.point)
        self.run_ok("umount", self.point)
        self.assert_nothing_left()
        self.run_ok("mount", "--key", "target2", "./store", self.point)
        self.assertEqual(self.contents(self.point), wanted)
        self.run_ok("umount", self.point)


if __name__ == "__main__":
    unittest.main()
