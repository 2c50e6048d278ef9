"""tools/deb and tools/ci/install, as one who has neither would meet them: in a copy of this
system that is thrown away afterwards, the package is installed, used, and purged."""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.namespaces import apart
from larder_testlib.process import TempDir
from larder_testlib.recipes import CI

TOP = CI.parents[1]
BUILD_WITHIN = 900

# An overlay of the whole system in a mount namespace: what is written is gone with it.
ENTER = r"""
mount -t tmpfs none "$HERE/layers"
mkdir "$HERE/layers/upper" "$HERE/layers/work"
mount -t overlay -o "lowerdir=/,upperdir=$HERE/layers/upper,workdir=$HERE/layers/work" \
    none "$HERE/root"
mount -t tmpfs none "$HERE/root/tmp"
for place in /dev "$HERE/place" "$TOP"; do
    mkdir -p "$HERE/root$place"
    mount --rbind "$place" "$HERE/root$place"
done
mount -t proc none "$HERE/root/proc"
# or the manual pages of the whole system are indexed anew for one package's
rm -f "$HERE/root/var/lib/man-db/auto-update"
exec chroot "$HERE/root" sh -ec "cd $HERE/place; $COMMANDS"
"""

# What the programs are for, each step with the installed ones.
USE = r"""
larder --version; larderfs --version
mkdir tree; echo hello >tree/file; mkdir mnt modules
larder commit --key a ./store tree
larder mount --key a ./store mnt; cmp tree/file mnt/file; larder umount mnt
larder mount --writable --key a ./store mnt; touch mnt/new; larder umount mnt
mount -t fuse.larderfs "$PWD/store" "$PWD/mnt" -o key=a; cmp tree/file mnt/file; umount mnt
larder restore --key a ./store out; cmp tree/file out/file
export LARDER_STORE="$PWD/store" LARDER_JOB_PATH=modules LARDER_JOB_KEY=b
job=/usr/share/larder/ci/job
$job begin; touch modules/file; $job end; $job leave; rm modules/file
$job begin; test -e modules/file; $job leave
larder exists --key b
! grep "$PWD/" /proc/self/mounts
"""


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = cls.enterClassContext(TempDir())
        env = os.environ | {"DEBEMAIL": "larder@example.org"}
        done = subprocess.run([TOP / "tools" / "deb", cls.home], cwd="/", env=env,
                              stdin=subprocess.DEVNULL, timeout=BUILD_WITHIN, text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        cls.package = Path(done.stdout.splitlines()[-1])

    def inside(self, commands):
        """Runs shell commands in a copy of the system, and returns what they print."""
        here = Path(tempfile.mkdtemp(dir=self.home))
        for name in ("layers", "root", "place"):
            (here / name).mkdir()
        shutil.copy(self.package, here / "place" / "larder.deb")
        env = {"HERE": str(here), "TOP": str(TOP), "COMMANDS": commands, "HOME": f"{here}/place",
               "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
               "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(apart("sh", "-ec", ENTER), env=env, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=BUILD_WITHIN)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def unpacked(self):
        root = Path(tempfile.mkdtemp(dir=self.home))
        subprocess.run(["dpkg-deb", "-x", self.package, root], check=True)
        return root

    def test_installed_used_and_purged(self):
        ours = "find /usr /lib /etc /var/lib -xdev -name '*larder*' " \
               "-not -path '/var/lib/dpkg/*'"
        out = self.inside(f"""
            {ours} >before
            dpkg -i larder.deb
            {USE}
            bash -ec '. /usr/share/bash-completion/completions/larder; complete -p larder'
            dpkg --purge larder
            {ours} >after; cmp before after
            dpkg-query -W larder 2>&1 || true""")
        self.assertIn("complete -F _larder larder", out)
        self.assertIn("no packages found matching larder", out)

    def test_it_says_what_it_is_and_wants(self):
        fields = subprocess.run(["dpkg-deb", "-f", self.package], check=True, text=True,
                                capture_output=True).stdout
        self.assertIn("Maintainer: The Larder authors <larder@example.org>\n", fields)
        depends = re.search("^Depends: (.*)$", fields, re.MULTILINE)[1]
        for name in ("libarchive13", "libc6", "libcurl4", "libexpat1", "libfuse3-3", "fuse3",
                     "libssl3", "libzstd1"):
            self.assertRegex(depends, rf"\b{name}\b")
        # what --writable needs of those who are not root
        self.assertRegex(fields, r"(?m)^Recommends: .*\bfuse-overlayfs\b")

    def test_files_are_where_debian_has_them(self):
        root = self.unpacked()
        pages = {path.name: path for path in (root / "usr/share/man/man1").iterdir()}
        self.assertEqual(set(pages), {f"{page.name[:-4]}.gz"
                                      for page in (TOP / "docs/man").glob("*.scd")})
        for path in pages.values():
            self.assertIn(".TH", gzip.decompress(path.read_bytes()).decode())
            if shutil.which("man"):
                done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", path],
                                      capture_output=True, text=True, check=True)
                self.assertEqual(done.stderr, "")
                self.assertIn("SYNOPSIS", done.stdout)
        unit = (root / "lib/systemd/system/larder@.service").read_text()
        for program in re.findall(r"^Exec\w+=(\S+)", unit, re.MULTILINE):
            self.assertTrue(os.access(f"{root}{program}", os.X_OK), program)
        for name in ("usr/share/zsh/vendor-completions/_larder",
                     "usr/share/fish/vendor_completions.d/larder.fish",
                     "usr/share/larder/ci/buildkite/hooks/pre-exit",
                     "usr/share/larder/ci/gitlab/larder.yml",
                     "usr/share/doc/larder/copyright",
                     "usr/share/doc/larder/changelog.gz"):
            self.assertTrue((root / name).is_file(), name)
        sums = subprocess.run(["dpkg-deb", "-I", self.package, "md5sums"], check=True,
                              text=True, capture_output=True).stdout
        done = subprocess.run(["md5sum", "--check", "--quiet"], cwd=root, input=sums,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(sums.splitlines()),
                         sum(path.is_file() for path in root.rglob("*")))

    def test_the_programs_are_hardened(self):
        root = self.unpacked()
        for name in ("larder", "larderfs"):
            told = subprocess.run(["readelf", "-dW", root / "usr/bin" / name], check=True,
                                  capture_output=True, text=True).stdout
            self.assertRegex(told, r"FLAGS_1.*\bNOW\b.*\bPIE\b")

    def test_a_runner_without_it_builds_it(self):
        out = self.inside(f"""
            PATH=$PATH:/nowhere {CI}/install
            test "$(command -v larder)" = /usr/local/bin/larder
            {CI}/install
            {USE.replace("/usr/share/larder/ci/job", f"{CI}/job")}""")
        self.assertRegex(out, r"(?m)^larder \d+\.\d+\.\d+$")


if __name__ == "__main__":
    fuse.main()
