"""--metrics-file: OpenMetrics text that a strict reader takes, with status's numbers; and
mount(8) and fstab(5), which start larderfs in their own way."""

import json
import os
import re
import subprocess
import unittest

from larder_testlib.cli_case import CliCase
from larder_testlib.namespaces import apart

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? ([0-9]+)")


def read_metrics(text):
    """{(sample, ((label, value), ...)): number}; AssertionError where the text is not
    what OpenMetrics 1.0 says: of each family TYPE, UNIT, HELP, and then its samples."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], lines[-2:]
    found, seen, family, kind, may_describe = {}, set(), None, None, False
    for line in lines[:-2]:
        if described := re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)", line):
            word, name, value = described.groups()
            if name != family:
                assert word == "TYPE" and name not in seen, line
                assert value in ("counter", "gauge", "info"), line
                family, kind, may_describe = name, value, True
                seen.add(name)
            else:
                assert may_describe and word != "TYPE", line
            assert word != "UNIT" or name.endswith("_" + value), line
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        may_describe = False
        suffix = {"counter": "_total", "info": "_info", "gauge": ""}[kind]
        assert sample[1] == family + suffix, (line, family)
        labels = tuple((name, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value))
                       for name, value in re.findall(LABEL, sample[2] or ""))
        assert (sample[1], labels) not in found, line
        assert kind != "info" or sample[0].endswith(" 1"), line
        found[sample[1], labels] = int(line.rpartition(" ")[2])
    return found


@unittest.skipUnless(os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK),
                     "mounting here is for root")
class Mounts(CliCase):
    def setUp(self):
        super().setUp()
        (self.path / "tree").mkdir()
        (self.path / "tree/file").write_bytes(os.urandom(100_000))

    def commit(self, key):
        self.run_code(0, "commit", "--key", key, "./store", "tree")

    def metrics(self, name="metrics.prom"):
        return read_metrics((self.path / name).read_text())

    def test_numbers_are_those_of_the_status(self):
        self.commit('odd "key" \\ here')
        # nothing is fetched on its own, that the numbers stay as they are once told
        self.run_code(0, "mount", "--prefetch", "none", "--key", 'odd "key" \\ here',
                      "--metrics-file", "metrics.prom", "--log-file", "log", "./store", "mnt")
        first = self.metrics()
        self.assertEqual(first["larder_read_bytes_total", ()], 0)
        self.assertEqual(len((self.point / "file").read_bytes()), 100_000)
        told = json.loads(self.run_code(0, "status", "--json", "mnt").out)
        self.run_code(0, "umount", "mnt")
        last = self.metrics()
        self.assertEqual(set(first), set(last))
        for name in ("requests", "retries", "received_bytes", "reads", "read_bytes"):
            self.assertEqual(last[f"larder_{name}_total", ()], told[name], name)
        key = told["keys"][0]
        label = (("key", key["key"]),)
        self.assertEqual(key["key"], 'odd "key" \\ here')
        for name in ("fetched_bytes", "touched_bytes", "cache_hits", "cache_misses",
                     "reopens"):
            self.assertEqual(last[f"larder_key_{name}_total", label], key[name], name)
        self.assertEqual(last["larder_key_size_bytes", label], key["size"])
        self.assertGreater(last["larder_key_fetched_bytes_total", label], 0)
        self.assertIn(("larder_key_info", label + (("identity", key["identity"]),
                                                   ("etag", key["etag"]))), last)
        self.assertEqual([p.name for p in self.path.glob("metrics*")], ["metrics.prom"])
        summary = [line for line in (self.path / "log").read_text().splitlines()
                   if "unmounted after" in line]
        self.assertEqual(len(summary), 1)
        self.assertIn("97.7 KiB", summary[0])

    def test_people_are_told_the_same(self):
        self.commit("a")
        self.run_code(0, "mount", "--prefetch", "none", "--key", "a", "./store", "mnt")
        self.assertEqual(len((self.point / "file").read_bytes()), 100_000)
        text = self.run_code(0, "status", "mnt").out
        key, = json.loads(self.run_code(0, "status", "--json", "mnt").out)["keys"]
        for line in (f"store       {self.path}/store", "key         a",
                     f"identity    {key['identity']}", f"etag        {key['etag']}",
                     "generation  1 \\(1 live\\), 0 reopens", "holds       2 entries in .+iB",
                     "fetched     .+iB; from the cache 0 of \\d+ chunks",
                     "requests    \\d+, 0 retries, .+ received",
                     "reads       \\d+, 97.7 KiB, 0 failed; 0 waiting",
                     "daemon      larderfs .+, pid \\d+, up \\d+ s, .+ resident"):
            self.assertRegex(text, f"(?m)^{line}$")
        self.run_code(0, "umount", "mnt")

    def test_a_whole_store_has_metrics_too(self):
        self.commit("a")
        self.commit("b")
        self.run_code(0, "mount", "--quiet", "--metrics-file", "m", "--log-file", "log",
                      "./store", "mnt")
        self.assertEqual(self.metrics("m")["larder_keys", ()], 0)
        for key in ("a", "b"):
            (self.point / key / "file").read_bytes()
        self.run_code(0, "umount", "mnt")
        last = self.metrics("m")
        keys = {labels[0][1] for name, labels in last if name == "larder_key_entries"}
        self.assertLessEqual(keys, {"a", "b"})
        self.assertEqual(last["larder_read_bytes_total", ()], 200_000)
        self.assertEqual((self.path / "log").read_text(), "", "--quiet")

    def test_a_file_that_cannot_be_written_is_refused(self):
        self.commit("a")
        result = self.run_code(2, "mount", "--metrics-file", "none/m", "./store", "mnt")
        self.assertIn("'none/m'", result.err)
        self.assertEqual(result.err.count("\n"), 1)
        self.assertFalse(os.path.ismount(self.point))

    def test_what_is_no_file_stays(self):
        self.commit("a")
        for name in ("fifo", "link"):
            if name == "fifo":
                os.mkfifo(self.path / "fifo")
            else:
                (self.path / "link").symlink_to("fifo")
            result = self.run_code(2, "mount", "--key", "a", "--metrics-file", name,
                                   "./store", "mnt")
            self.assertRegex(result.err, r"\A.*/fifo': it is no regular file\n\Z")
            self.assertTrue((self.path / "fifo").is_fifo())
            self.assertFalse(os.path.ismount(self.point))
        self.assertTrue((self.path / "link").is_symlink())

    def test_what_came_to_be_no_file_stays(self):
        self.commit("a")
        self.run_code(0, "mount", "--key", "a", "--metrics-file", "m", "--log-file", "log",
                      "./store", "mnt")
        os.mkfifo(self.path / "fifo")
        os.rename(self.path / "fifo", self.path / "m")
        self.run_code(0, "umount", "mnt")
        self.assertTrue((self.path / "m").is_fifo())
        self.assertIn("/m': it is no regular file\n", (self.path / "log").read_text())

    def test_nothing_beside_it_is_touched(self):
        self.commit("a")
        folder = self.path / "numbers"
        folder.mkdir()
        (folder / "m.tmp").write_text("somebody's\n")
        (folder / "link").symlink_to("m")
        self.run_code(0, "mount", "--key", "a", "--metrics-file", "numbers/link", "./store",
                      "mnt")
        self.run_code(0, "umount", "mnt")
        self.assertEqual(sorted(os.listdir(folder)), ["link", "m", "m.tmp"])
        self.assertEqual((folder / "m.tmp").read_text(), "somebody's\n")
        self.assertTrue((folder / "link").is_symlink())
        self.assertEqual((folder / "m").stat().st_mode & 0o7777, 0o644)
        self.assertGreater(self.metrics("numbers/m")["larder_requests_total", ()], 0)

    # --- mount(8) ----------------------------------------------------------------------

    def mount(self, file, *words):
        """mount(8) as it finds larderfs: by /sbin/mount.fuse.larderfs, else mount.fuse,
        which looks in PATH. In a mount namespace, so that nothing stays installed. Then compares file with what was committed."""
        script = """
            set -e
            mount --bind "$BIN" /usr/local/bin
            "$@"
            cmp "$FILE" tree/file
            grep " $PWD/mnt " /proc/self/mounts
            ./tools/larder umount mnt
            ! grep " $PWD/mnt " /proc/self/mounts"""
        tools = self.path / "tools"
        tools.mkdir(exist_ok=True)
        for name, where in (("larder", "tools/larder"), ("larderfs", "fs/larderfs")):
            if not (tools / name).exists():
                subprocess.run(["cp", f"{os.environ['LARDER_BUILD']}/{where}", tools],
                               check=True)
        done = subprocess.run(
            apart("sh", "-c", script, "sh", *words), cwd=self.path,
            env=self.cli.env | {"BIN": str(tools), "FILE": file}, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done.stdout

    @unittest.skipUnless(os.environ.get("LARDER_BUILD"), "needs the build directory")
    def test_mount_8_starts_larderfs(self):
        self.commit("a")
        line = self.mount("mnt/file", "mount", "-t", "fuse.larderfs", f"{self.path}/store",
                          "mnt", "-o", "key=a,noexec,uid=12,allow_other")
        self.assertIn("fuse.larderfs", line)
        self.assertIn("noexec", line)

    @unittest.skipUnless(os.environ.get("LARDER_BUILD"), "needs the build directory")
    def test_a_line_of_fstab(self):
        self.commit("a")
        (self.path / "fstab").write_text(
            f"{self.path}/store {self.point} fuse.larderfs "
            "noauto,nofail,_netdev,x-systemd.automount,timeout=20s,cache-dir= 0 0\n")
        line = self.mount("mnt/a/file", "mount", "-T", self.path / "fstab",
                          self.point)
        self.assertIn("fuse.larderfs", line)
        self.assertIn("ro,", line)


if __name__ == "__main__":
    unittest.main()
