"""Everything goes wrong at once, and no reader gets a wrong byte or waits too long.

Between larderfs and a Ceph gateway stands a proxy that delays, cuts, stalls, corrupts and
refuses at random; the key is overwritten, copied onto itself, deleted and made anew; the
cache on disk is damaged. Readers (larder_testlib.chaos_reader) compare all they see.

It goes on for a while longer, and fails in the end, when something that it is there for
was never met: a kind of fault, a switch of generations, a reopening that found the same
content, a damaged chunk.

LARDER_CHAOS_SECONDS   how long (120; 30 for a build with sanitizers)
LARDER_CHAOS_SEED      of the trees, the faults and the readers; printed at the start
"""

import json
import os
import random
import subprocess
import sys
import time
import unittest
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.chaos_reader import READ_MOST
from larder_testlib.compare import compare_trees
from larder_testlib.faultproxy import FaultProxy
from larder_testlib.forget import forget
from larder_testlib.mount import Mount, larder
from larder_testlib.process import TempDir, spawn, wait_until
from larder_testlib.programs import sanitizers
from larder_testlib.rgw import Rgw
from larder_testlib.versions import make_versions

SLOWER = 3 if sanitizers() else 1
SECONDS = float(os.environ.get("LARDER_CHAOS_SECONDS") or (30 if sanitizers() else 120))
SEED = os.environ.get("LARDER_CHAOS_SEED") or str(random.SystemRandom().randrange(10**9))
VERSIONS = 4
TIMEOUT = 4            # seconds: --timeout of the mounts
SLACK = 2.5 * SLOWER   # for a busy machine
WELL_AGAIN = 60 * SLOWER
LONGER = 60 * SLOWER   # seconds at most, until everything was met
ALLOWED = {"EIO", "ESTALE", "ENOENT", "EACCES"}

RANDOM_FAULTS = dict(delay=(300, 500), cut=40, reset=20, stall=15, corrupt=40,
                     statuses={429: 20, 500: 30, 503: 40, 412: 30, 404: 5})
WORSE_FAULTS = dict(delay=(500, 2000), cut=100, reset=80, stall=60, corrupt=100,
                    statuses={429: 50, 500: 80, 503: 100, 412: 60, 404: 20})


@dataclass
class Totals:
    """What the readers of all processes met together."""
    calls: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    bytes: int = 0
    worst: dict = field(default_factory=dict)
    wrong: list = field(default_factory=list)
    late: list = field(default_factory=list)

    def add(self, report):
        self.calls += Counter(report["calls"])
        self.errors += Counter(report["errors"])
        self.bytes += report["bytes"]
        self.wrong += report["wrong"]
        self.late += report["late"]
        for call, seconds in report["worst"].items():
            self.worst[call] = max(seconds, self.worst.get(call, 0))

    def __str__(self):
        worst = ", ".join(f"{call} {seconds:.2f}" for call, seconds in self.worst.items())
        errors = ", ".join(f"{what} {count}" for what, count in sorted(self.errors.items()))
        return (f"{sum(self.calls.values())} calls, {self.bytes >> 20} MiB compared, "
                f"{sum(self.errors.values())} errors ({errors}); worst in s: {worst}")


class Events:
    """What the daemons told of themselves: the most of each number in each generation."""

    NAMES = ("reopens", "cache_damaged", "refetched", "fallback_hits", "twin_reads")

    def __init__(self):
        self.most = {}

    def look(self, mount):
        for key in json.loads(os.getxattr(mount.path, "user.larder.status"))["keys"]:
            if key["open"]:
                found = self.most.setdefault((mount.path, key["generation"]), Counter())
                found |= Counter({name: key[name] for name in self.NAMES})

    def counts(self):
        """A mount's first generation is no switch."""
        mounts = {path for path, _ in self.most}
        return sum(self.most.values(), Counter(switches=len(self.most) - len(mounts)))


class Chaos(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(SEED)
        self.home = self.enterContext(TempDir(mode=0o755))
        self.rgw = self.enterContext(Rgw())
        self.proxy = self.enterContext(FaultProxy(self.rgw.endpoint))
        self.bucket = self.rgw.make_bucket()
        self.store = f"s3://{self.bucket}"
        self.trees = self.home / "trees"
        make_versions(self.trees, VERSIONS + 1, SEED)
        (self.trees / str(VERSIONS)).rename(self.home / "last")
        self.archives = [self.commit(self.trees / str(n)) for n in range(VERSIONS)]
        self.last = self.commit(self.home / "last")
        self.done, self.events, self.mounts = Counter(), Events(), []
        self.put(0)

    def commit(self, tree):
        """The object that the tree makes, with its metadata."""
        larder("commit", "--key", "made", "--force", self.store, tree, env=self.rgw.env())
        metadata = {f"x-amz-meta-{name}": value for name, value in
                    self.rgw.s3.metadata(self.bucket, "made").items()}
        return self.rgw.s3.get(self.bucket, "made").body, metadata

    def mount(self, *words, **more):
        self.mounts.append(self.enterContext(Mount(
            self.store, f"--timeout={TIMEOUT}s", "--stall-timeout=1s", *words,
            env=self.rgw.env(self.proxy.endpoint), **more)))
        return self.mounts[-1]

    # -- what happens to the key

    def put(self, number):
        body, metadata = self.archives[number]
        self.rgw.s3.put(self.bucket, "k", body, headers=metadata)
        self.current = number

    def overwrite(self):
        self.put(self.rng.randrange(VERSIONS))

    def upload_again(self):
        body, metadata = self.archives[self.current]
        self.rgw.s3.put_multipart(self.bucket, "k", [body], headers=metadata)

    def copy_onto_itself(self):
        self.rgw.s3.copy(self.bucket, "k")

    def delete_and_recreate(self):
        self.rgw.s3.delete(self.bucket, "k")
        self.pause(2)
        self.put(self.rng.randrange(VERSIONS))

    # -- what happens on the way

    def calm(self):
        self.proxy.clear()

    def misbehave(self):
        self.proxy.random(self.rng.randrange(10**9), **RANDOM_FAULTS)

    def misbehave_badly(self):
        self.proxy.random(self.rng.randrange(10**9), **WORSE_FAULTS)

    def for_a_while(self, fault, *words):
        fault(*words)
        self.pause(TIMEOUT + 1)
        self.proxy.clear()

    def go_silent(self):
        self.for_a_while(self.rng.choice((
            self.proxy.stall, self.proxy.stall_after_headers, self.proxy.trickle,
            self.proxy.blackhole_connect, self.proxy.refuse_connect)))

    def break_off(self):
        act, *words = self.rng.choice((
            (self.proxy.reset,), (self.proxy.cut_after, 50_000), (self.proxy.reset_after, 9000),
            (self.proxy.corrupt_every, 30_000), (self.proxy.status, 503, None, 1),
            (self.proxy.status, 403, 3), (self.proxy.status, 412, 5)))
        self.for_a_while(act, *words)

    def freeze_the_store(self):
        self.rgw.freeze()
        try:
            self.pause(TIMEOUT + 1)
        finally:
            self.rgw.thaw()

    # -- what happens to the cache

    def damage_the_cache(self):
        for path in self.some_chunks():
            try:
                self.rng.choice((self.flip, self.truncate, os.unlink))(path)
            except FileNotFoundError:
                pass  # evicted meanwhile

    def forget_what_was_read(self):
        """Of open files the readers do so themselves."""
        for mount in self.mounts:
            forget(mount.path)

    def some_chunks(self):
        files = [path for cache in self.caches for path in Path(cache).rglob("*")
                 if path.is_file()]
        return self.rng.sample(files, min(len(files), 20))

    def flip(self, path):
        with open(path, "r+b", buffering=0) as file:
            at = self.rng.randrange(max(1, os.fstat(file.fileno()).st_size))
            byte = os.pread(file.fileno(), 1, at) or b"\0"
            os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << self.rng.randrange(8)]), at)

    def truncate(self, path):
        os.truncate(path, self.rng.randrange(path.stat().st_size + 1))

    # -- the run

    def pause(self, longest):
        time.sleep(self.rng.random() * longest)

    def deck(self):
        """All that may happen, in any order; what is dealt twice comes around twice."""
        acts = [self.overwrite] * 6 + [self.damage_the_cache] * 3 + [self.misbehave] * 3
        acts += [self.forget_what_was_read] * 3 + [self.calm] * 2
        acts += [self.upload_again, self.copy_onto_itself, self.go_silent, self.break_off,
                 self.delete_and_recreate, self.misbehave_badly, self.freeze_the_store]
        self.rng.shuffle(acts)
        return acts

    def let_things_happen(self):
        begin, acts = time.monotonic(), []
        while (passed := time.monotonic() - begin) < SECONDS + LONGER:
            if passed > SECONDS and not self.never_met():
                break
            acts = acts or self.deck()
            act = acts.pop()
            act()
            self.done[act.__name__] += 1
            self.pause(1.2)
            for mount in self.mounts:
                self.events.look(mount)

    def never_met(self):
        met = Counter(self.proxy.stats()["faults"]) + self.events.counts()
        return [what for what in ("switches", "reopens", "cache_damaged", "delay", "status",
                                  "cut", "reset", "stall", "corrupt") if not met[what]]

    def start_readers(self, name, *roots):
        words = [sys.executable, "-m", "larder_testlib.chaos_reader", self.trees,
                 TIMEOUT + SLACK, f"{SEED}/{name}", *roots]
        return spawn([str(word) for word in words], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE)

    def end_readers(self, child):
        out, _ = child.popen.communicate(timeout=10 * (TIMEOUT + SLACK))
        self.assertEqual(child.kill(), 0)
        return json.loads(out)

    @staticmethod
    def status(path):
        return json.loads(os.getxattr(path, "user.larder.status"))

    def test_chaos(self):
        print(f"LARDER_CHAOS_SEED={SEED}, {SECONDS:g} s", file=sys.stderr, flush=True)
        # the first cannot hold all that is read and must go on asking
        one = self.mount("--cache-size=2M", "--prefetch=none", key="k")
        two = self.mount("--cache-dir=")
        three = self.mount(key="k")
        self.caches = [one.cache, three.cache]
        roots = [one.path, two.path / "k", three.path]
        readers = [self.start_readers("keyed", one.path, three.path),
                   self.start_readers("whole", two.path / "k")]
        try:
            self.let_things_happen()
        finally:
            self.proxy.clear()
            reports = [self.end_readers(reader) for reader in readers]
        self.judge(*reports)
        for root in roots:
            self.assert_well_again(root)
        self.assert_nothing_kept()

    def judge(self, keyed, whole):
        totals = Totals()
        totals.add(keyed)
        totals.add(whole)
        strikes = self.proxy.stats()
        print(f"{totals}\nthings done: {dict(self.done)}\nrequests: {strikes['requests']}, "
              f"struck: {strikes['faults']}\nmet: {dict(self.events.counts())}",
              file=sys.stderr, flush=True)
        self.assertEqual(totals.wrong, [])
        self.assertEqual(totals.late, [])
        kinds = {what.split()[-1] for what in totals.errors}
        # where the whole store is mounted the key itself may be missing for a while
        self.assertLessEqual(kinds - {"ENOENT-of-what-is-there"}, ALLOWED)
        self.assertEqual([what for what in keyed["errors"] if what.endswith("-is-there")], [])
        self.assertGreater(totals.bytes, SECONDS * READ_MOST)
        self.assertGreater(sum(totals.errors.values()), 0)
        self.assertEqual(self.never_met(), [])

    def assert_well_again(self, root):
        """A version the mount never saw is put, and read whole through it in the end."""
        body, metadata = self.last
        self.rgw.s3.put(self.bucket, "k", body, headers=metadata)
        trees = [*self.trees.iterdir(), self.home / "last"]

        def is_whole():
            self.forget_what_was_read()
            try:
                version = os.readlink(root / "link").rpartition("-")[2]
            except OSError:
                return False
            tree, = [t for t in trees if os.readlink(t / "link").endswith("-" + version)]
            self.differences = compare_trees(tree, root)
            return not self.differences
        try:
            wait_until(is_whole, f"'{root}' reads again", WELL_AGAIN)
        except RuntimeError as error:
            self.fail(f"{error}: {self.differences[:5]}")

    def assert_nothing_kept(self):
        for mount in self.mounts:
            status = self.status(mount.path)
            pid, = mount.pids()
            files = len(os.listdir(f"/proc/{pid}/fd"))
            print(f"resident {status['resident_bytes'] >> 20} MiB, {files} descriptors, "
                  f"{[(k['generation'], k['live_generations']) for k in status['keys']]}, "
                  f"{status['retries']} retries of {status['requests']}", file=sys.stderr)
            self.assertLess(files, 150)


if __name__ == "__main__":
    fuse.main()
