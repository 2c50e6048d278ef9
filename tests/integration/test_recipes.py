"""The CI recipes of tools/ci, each run as its system would run it: a miss, a hit, a
fallback, a failed job. And what else starts larderfs for people: tools/ci/install, the
systemd unit."""

import os
import re
import shlex
import shutil
import subprocess
import unittest

import yaml

from larder_testlib import fuse
from larder_testlib.cli import Cli
from larder_testlib.janitor import mount_points
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir
from larder_testlib.programs import program
from larder_testlib.recipes import CI, Buildkite, GitHub, GitLab, Job
from larder_testlib.sigv4 import Credentials

KEYS = Credentials("AKIDLARDERTEST", "what-nobody-may-see")
OURS = ("LARDER_STORE", "LARDER_JOB_KEY", "LARDER_JOB_PATH")


class Place(unittest.TestCase):
    """A workspace, a folder store, and larder in PATH."""

    def setUp(self):
        self.home = self.enterContext(TempDir())
        self.cli = Cli(self.home)
        self.addCleanup(self.clear_away)
        self.work = self.home / "work"
        self.work.mkdir()
        self.store = self.home / "store"
        binaries = self.home / "bin"
        binaries.mkdir()
        for name in ("larder", "larderfs"):
            (binaries / name).symlink_to(program(name))
        self.env = self.cli.env | {"PATH": f"{binaries}:{os.environ['PATH']}"}

    def clear_away(self):
        for point in reversed(mount_points(self.home)):
            subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)

    def keys(self):
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*")
                      if path.is_file()) if self.store.exists() else []

    def files(self, key):
        listed = self.cli.run("ls", "--key", key, self.store).out.splitlines()
        return [line.split()[-1] for line in listed]


class Recipe:
    """What holds for each system; start() makes one."""

    tells_outputs = False
    stops_between = False  # the container, between the job and what comes after

    def job(self, **more):
        return Job(**{"store": f"file://{self.store}", "path": "modules",
                      "key": 'npm-{{ checksum "lock" }}', "fallback_keys": ["npm-"]} | more)

    def run_job(self, lock, command, status=0, **more):
        (self.work / "lock").write_text(lock)
        shutil.rmtree(self.work / "modules", ignore_errors=True)
        outcome = self.start().run(self.job(**more), command)
        self.assertEqual(outcome.status, status, outcome.log)
        self.assertEqual(mount_points(self.home), [], outcome.log)
        self.assertEqual(list((self.home / ".cache/larder").glob("larder-overlay-*")), [])
        self.assertEqual(list((self.home / ".local/state/larder").iterdir()), [])
        return outcome

    def told(self, outcome, hit, matched=None):
        if self.tells_outputs:
            self.assertEqual(outcome.outputs["cache-hit"], hit)
            self.assertEqual(outcome.outputs["cache-matched-key"], matched or "")
            self.assertEqual(bool(re.fullmatch("[0-9a-f]{64}",
                                               outcome.outputs["identity"])), bool(matched))

    def test_from_a_miss_to_a_hit(self):
        outcome = self.run_job("1", "test -d modules; test ! -e modules/a; touch modules/a")
        self.told(outcome, "false")
        first, = self.keys()
        self.assertRegex(first, r"^npm-[0-9a-f]{64}$")
        self.assertEqual(self.files(first), ["a"])
        outcome = self.run_job("1", "mountpoint modules && touch modules/b && rm modules/a")
        self.told(outcome, "true", first)
        self.assertEqual(self.keys(), [first])
        self.assertEqual(self.files(first), ["a"])
        outcome = self.run_job("2", "test -e modules/a && touch modules/c && echo 3 >lock")
        self.told(outcome, "false", first)
        second, = set(self.keys()) - {first}
        self.assertEqual(self.files(second), ["a", "c"])
        self.told(self.run_job("2", "test -e modules/c"), "true", second)

    def test_a_fallback_may_be_a_folder_of_keys(self):
        self.run_job("1", "touch modules/a", key='main/{{ checksum "lock" }}')
        self.run_job("1", "test -e modules/a", key='topic/{{ checksum "lock" }}',
                     fallback_keys=['{{ env "NO_TOPIC" "topic" }}/', "main/"])

    def test_a_failed_job_publishes_nothing(self):
        self.run_job("1", "touch modules/a; exit 3", status=3)
        self.assertEqual(self.keys(), [])

    def test_another_key_is_not_published_anew(self):
        """Read-only, a job cannot turn the fallback's content into its own."""
        self.run_job("1", "touch modules/a", writable=False)
        self.run_job("2", "test -e modules/a; ! touch modules/b", writable=False)
        self.assertEqual(len(self.keys()), 1)

    def test_what_is_written_may_be_kept_elsewhere(self):
        self.run_job("1", "touch modules/a")
        for place, directory in (("layers", "~/layers"), ("scratch", f"{self.home}/scratch")):
            self.run_job("1", f"touch modules/b && ls {self.home}/{place}/larder-overlay-*",
                         upper_dir=directory)
            self.assertEqual(list((self.home / place).iterdir()), [])
        self.run_job("1", "! touch modules/b", upper_dir="/scratch", writable=False)

    def test_what_is_no_longer_mounted_is_not_published(self):
        self.run_job("1", "touch modules/a")
        published = self.keys()
        outcome = self.run_job("2", "larder umount modules")
        self.assertIn("'modules' is no longer mounted", outcome.log)
        self.assertEqual(self.keys(), published)

    def test_a_store_out_of_reach_only_slows_the_job(self):
        self.run_job("1", "touch modules/a",
                     store="s3://none?endpoint=http://127.0.0.1:1&region=x")
        outcome = self.run_job("1", "false", status=1,
                               store="s3://none?endpoint=http://127.0.0.1:1&region=x")
        self.assertIn("warning", outcome.log)

    def test_a_wrong_key_ends_the_job_at_once(self):
        outcome = self.start().run(self.job(key='{{ checksum "none" }}'), "touch ran")
        self.assertNotEqual(outcome.status, 0)
        self.assertIn("'none'", outcome.log)
        self.assertFalse((self.work / "ran").exists())
        self.assertEqual(self.keys(), [])

    def test_a_publication_that_fails_hard_is_told_and_left(self):
        with Origin(credentials=[KEYS]) as origin:
            origin.quirks.put_condition = origin.quirks.complete_condition = "ignore"
            self.env |= origin.env(KEYS)
            (self.work / "modules").mkdir()
            done = self.cli.run("commit", "--unsafe-overwrite", "--key", "npm-0",
                                "s3://bucket", "modules", cwd=self.work, env=origin.env(KEYS))
            self.assertEqual(done.code, 0, done)
            outcome = self.run_job("1", "mountpoint modules", store="s3://bucket",
                                   status=6)
        self.assertIn("--unsafe-overwrite", outcome.log)

    def test_what_a_job_leaves_running_is_no_reason_to_fail(self):
        self.run_job("1", "touch modules/a")
        outcome = self.run_job("1", "cd modules; sleep 600 >/dev/null 2>&1 & echo $! >../pid")
        if not self.stops_between:
            self.addCleanup(os.kill, int((self.work / "pid").read_text()), 9)
        self.assertIn("in use", outcome.log)

    def test_a_daemon_that_is_long_in_ending_is_no_reason_to_fail(self):
        """As larder says it when it has waited its ten seconds: unmounted, and 124."""
        slow = self.home / "bin/larder"
        slow.unlink()
        slow.write_text(f"""#!/bin/sh
            '{program("larder")}' "$@" || exit
            [ "$1" != umount ] || exit 124
        """)
        slow.chmod(0o755)
        self.run_job("1", "touch modules/a")
        self.run_job("1", "mountpoint modules")

    def test_a_path_in_the_home_directory(self):
        for command in ('touch ~/"a cache"/a', 'test -e ~/"a cache"/a'):
            self.run_job("1", command, path="~/a cache", fallback_keys=[])
            shutil.rmtree(self.home / "a cache")
        self.assertEqual(len(self.keys()), 1)


class OnGitHub(Recipe, Place):
    tells_outputs = True

    def start(self):
        return GitHub(self.work, self.env)

    def test_without_always_it_stays_mounted(self):
        """The commit step does not run after a failure then; the runner is thrown away."""
        outcome = self.start().run(self.job(key="k"), "touch modules/a; exit 3", always=False)
        self.assertEqual(outcome.status, 3)
        self.assertEqual(self.keys(), [])


class InGitLab(Recipe):
    def start(self):
        return GitLab(self.work, self.env, self.stops_between)

    def test_a_job_may_end_elsewhere(self):
        self.run_job("1", "touch modules/a; cd /")
        self.assertEqual(len(self.keys()), 1)

    def test_a_cancelled_job_publishes_nothing(self):
        """Its shell is sent a signal, and runs its trap, with the $? of what went well."""
        self.run_job("1", "touch modules/a; kill -TERM $BASHPID", status=1)
        self.assertEqual(self.keys(), [])


class OnGitLab(InGitLab, Place):
    def test_a_killed_job_leaves_nothing_mounted(self):
        self.run_job("1", "touch modules/a")
        self.run_job("1", "mountpoint modules; kill -KILL $BASHPID", status=128 + 9)


class OnGitLabInDocker(InGitLab, Place):
    stops_between = True


class OnBuildkite(Recipe, Place):
    def start(self):
        return Buildkite(self.work, self.env)

    def test_by_any_name(self):
        for number, (location, tells) in enumerate((
                ("tools/ci/buildkite", False), ("OWNER/larder-buildkite-plugin", True),
                ("OWNER/my-cache", True))):
            system = Buildkite(self.work, self.env, location, tells)
            outcome = system.run(self.job(key=f"k{number}"), "touch modules/a")
            self.assertEqual(outcome.status, 0, outcome.log)
            self.assertEqual(self.files(f"k{number}"), ["a"])
            shutil.rmtree(self.work / "modules")

    def test_nothing_leaks_into_the_command(self):
        outcome = self.run_job("1", "true")
        self.assertEqual([name for name in OURS if name in outcome.seen], [])

    def test_one_fallback_key_needs_no_list(self):
        self.run_job("1", "touch modules/a")
        (self.work / "lock").write_text("2")
        shutil.rmtree(self.work / "modules")
        outcome = self.start().run(self.job(fallback_keys=[]), "test -e modules/a",
                                   **{"fallback-keys": "npm-"})
        self.assertEqual(outcome.status, 0, outcome.log)

    def test_without_a_checkout_there_is_nothing_to_leave(self):
        system = self.start()
        system.hooks_env = system.configuration({"path": "modules", "key": "k"})
        system.hooks_env["BUILDKITE_BUILD_CHECKOUT_PATH"] = str(self.home / "none")
        self.assertEqual(system.hook("pre-exit"), 0, system.log)


OF_STEPS = {"env", "id", "if", "name", "with"}  # GitHub's own


def block_below(lines, number):
    """The lines after lines[number] that belong to the same item of a YAML list."""
    def depth(line):
        return len(line) - len(line.lstrip())
    for line in lines[number + 1:]:
        less = depth(line) - depth(lines[number])
        if line.strip() and (less < 0 or less == 0 and line.lstrip().startswith("-")):
            return
        yield line


class Documented(unittest.TestCase):
    """What the documents tell people to write is what the recipes read."""

    def examples(self, place):
        """[(match of the place, the options below it)] in README and docs/."""
        top = CI.parents[1]
        for path in (top / "README.md", *sorted((top / "docs").rglob("*.md"))):
            lines = path.read_text().splitlines()
            for number, line in enumerate(lines):
                if match := re.search(place, line):
                    names = [re.match(r" *([a-z-]+): ?", below)
                             for below in block_below(lines, number)]
                    yield match, {name[1] for name in names if name} - OF_STEPS

    def test_github(self):
        found = list(self.examples(r"uses: OWNER/larder/tools/ci/github/(\w+)@"))
        self.assertGreaterEqual(len(found), 2)
        for match, names in found:
            action = yaml.safe_load((CI / "github" / match[1] / "action.yml").read_text())
            self.assertLessEqual(names, set(action["inputs"]))
            self.assertLessEqual({name for name, about in action["inputs"].items()
                                  if about.get("required")}, names)

    def test_buildkite(self):
        schema = yaml.safe_load((CI / "buildkite" / "plugin.yml").read_text())
        for _, names in self.examples(r"- \S+/buildkite(?:#\S+)?:$"):
            self.assertLessEqual(names, set(schema["configuration"]["properties"]))
            self.assertLessEqual(set(schema["configuration"]["required"]), names)


class Pasted(Place):
    """The shell scripts of the documents, as somebody pastes them."""

    NPM = '#!/bin/sh\ntouch "node_modules/$1"; [ "$1" != "$NPM_FAILS" ] || exit 9\n'

    def scripts(self):
        """[(page, script)]: every indented block that runs a job's tests."""
        top = CI.parents[1]
        for page in ("README.md", "docs/howto/shell.md"):
            text = (top / page).read_text()
            for block in re.findall(r"(?:^(?:    .*)?\n)+", text, re.MULTILINE):
                if "npm test" in block:
                    yield page, block

    def paste(self, script, lock, fails):
        """Runs it in a fresh workspace, with this store; how it ended."""
        script = re.sub(r"LARDER_STORE=\S+", f"LARDER_STORE={self.store}", script)
        script = script.replace("/usr/share/larder/ci", str(CI))
        shutil.rmtree(self.work)
        self.work.mkdir()
        (self.work / "package-lock.json").write_text(lock)
        env = self.env | {"LARDER_STORE": str(self.store), "NPM_FAILS": fails}
        done = subprocess.run(["bash", "-c", script], env=env, cwd=self.work, timeout=60,
                              capture_output=True, text=True, check=False)
        self.assertEqual(mount_points(self.home), [], done)
        return done

    def test_only_what_has_succeeded_is_published(self):
        npm = self.home / "bin/npm"
        npm.write_text(self.NPM)
        npm.chmod(0o755)
        scripts = list(self.scripts())
        self.assertEqual([page for page, _ in scripts],
                         ["README.md"] + 2 * ["docs/howto/shell.md"])
        for number, (page, script) in enumerate(scripts):
            self.store = self.home / f"store{number}"
            with self.subTest(page, script=script):
                for lock, published in (("1", 0), ("2", 1)):  # nothing, a fallback
                    for fails in ("install", "test"):
                        done = self.paste(script, lock, fails)
                        self.assertEqual(done.returncode, 9, done)
                        self.assertEqual(len(self.keys()), published, done)
                    done = self.paste(script, lock, "nothing")
                    self.assertEqual(done.returncode, 0, done)
                    self.assertEqual(len(self.keys()), published + 1, done)


class Others(Place):
    def test_the_steps_want_their_words(self):
        env = self.env | {"LARDER_STORE": "s", "LARDER_JOB_PATH": "p", "LARDER_JOB_KEY": "k"}
        for words, missing in (((), ""), (("frob",), ""), (("end",), "LARDER_JOB_KEY")):
            done = subprocess.run([CI / "job", *words], env=env | {missing or "_": ""},
                                  cwd=self.work, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1 if missing else 2, done)
            self.assertEqual(done.stderr.count("\n"), 1, done)
            self.assertIn(missing, done.stderr)

    def test_somebody_elses_mount_is_left_alone(self):
        """A path that is a volume of its container's: on a miss, and below a hit."""
        env = self.env | {"LARDER_STORE": f"file://{self.store}", "LARDER_JOB_KEY": "k",
                          "LARDER_JOB_PATH": "modules"}
        volume = self.work / "modules"
        name = os.fsencode(volume)  # as mountinfo has it
        volume.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", volume], check=True)
        for mounted in (1, 2):
            for step, mounts in (("begin", mounted), ("end", mounted), ("leave", 1)):
                done = subprocess.run([CI / "job", step], env=env, cwd=self.work, timeout=60,
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done)
                self.assertEqual(mount_points(self.home).count(name), mounts, done)

    def test_no_example_begins_by_deleting_what_is_there(self):
        for path in CI.rglob("*"):
            if path.is_file():
                with self.subTest(path=path):
                    self.assertNotIn("npm ci", path.read_text())

    def test_install_leaves_an_installed_larder_alone(self):
        done = subprocess.run([CI / "install"], env=self.env, cwd=self.work, timeout=60,
                              capture_output=True, text=True, check=True)
        self.assertEqual((done.stdout, done.stderr), ("", ""))

    @unittest.skipIf(shutil.which("larder"), "a larder is installed here")
    def test_install_tells_what_meson_said(self):
        meson = self.home / "fakes" / "meson"
        meson.parent.mkdir()
        meson.write_text("#!/bin/sh\necho 'ERROR: too old'; exit 3\n")
        meson.chmod(0o755)
        env = os.environ | {"PATH": f"{meson.parent}:{os.environ['PATH']}"}
        done = subprocess.run([CI / "install"], env=env, cwd=self.work, timeout=60,
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (3, "", "ERROR: too old\n"))

    def unit(self):
        """The unit with the build's programs in it, and a configuration beside it."""
        text = (CI / "systemd" / "larder@.service.in").read_text()
        text = text.replace("@bindir@", str(self.home / "bin"))
        text = text.replace("/etc/larder", str(self.home))
        (self.home / "larder@.service").write_text(text)
        (self.home / "cache.conf").write_text(
            f"STORE={self.store}\nMOUNTPOINT={self.home}/mnt\n"
            "OPTIONS=--allow-other --timeout 20\n")
        return text

    def test_systemd_takes_the_unit(self):
        self.unit()
        done = subprocess.run(["systemd-analyze", "verify", "--man=no",
                               self.home / "larder@.service"], capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def directive(self, text, name):
        """A line's words, as systemd makes them: ${X} is a word, $X as many as it has."""
        env = dict(line.split("=", 1)
                   for line in (self.home / "cache.conf").read_text().splitlines())
        words = []
        for word in shlex.split(re.search(rf"^{name}=(.*)$", text, re.MULTILINE)[1]):
            match = re.fullmatch(r"\$(\w+)", word)
            words += env[match[1]].split() if match else [
                re.sub(r"\$\{(\w+)\}", lambda found: env[found[1]], word)]
        return words

    def test_the_unit_starts_and_stops_a_mount(self):
        """Type=forking: mounted when the first process has ended. Stopped also after a
        crash."""
        text = self.unit()
        self.assertIn("\nType=forking\n", text)
        point = self.home / "mnt"
        point.mkdir()
        (self.work / "file").touch()
        self.assertEqual(self.cli.run("commit", "--key", "a", self.store, self.work).code, 0)
        for crash in (False, True):
            subprocess.run(self.directive(text, "ExecStart"), env=self.env, check=True,
                           stdin=subprocess.DEVNULL, timeout=60)
            self.assertTrue((point / "a/file").exists())
            if crash:
                told = self.cli.run("status", "--json", point).out
                os.kill(int(re.search(r'"pid":(\d+)', told)[1]), 9)
            subprocess.run(self.directive(text, "ExecStop"), env=self.env, check=True,
                           timeout=60)
            self.assertEqual(mount_points(self.home), [])


if __name__ == "__main__":
    fuse.main()
