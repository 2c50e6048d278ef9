"""Measuring: each case with each contender, from nothing or warm, into results."""

import shutil
import sys
from contextlib import contextmanager

from larder_testlib.process import TempDir

from . import cases, contenders
from .figures import DOWNLOAD, LARDER, LOCAL_COLD, LOCAL_WARM
from .machine import Stopwatch, drop_caches, memory_bytes, shell


class Bench:
    """results: {case: {contender's name: [cost of a round]}}. failures: what did not work,
    a line each; the run goes on."""

    def __init__(self, place, keep_caches=False):
        self.place, self.proxy = place, place.proxy
        self.keep_caches = keep_caches
        self.results, self.failures = {}, []

    def note(self, case, name, cost):
        self.results.setdefault(case, {}).setdefault(name, []).append(cost)
        print(f"  {case}: {name}: {cost.wall:.3f} s, cpu {cost.cpu:.2f} s, "
              f"{cost.requests} requests, {cost.received / 1e6:.1f} MB",
              file=sys.stderr, flush=True)

    @contextmanager
    def attempt(self, what):
        """Notes what fails within, and goes on behind it."""
        try:
            yield
        except Exception as error:  # whatever it was, the others still count
            self.failures.append(f"{what}: {error}")
            print(f"  FAILED: {self.failures[-1]}", file=sys.stderr, flush=True)

    def forget(self):
        """What a new machine does not know."""
        if not self.keep_caches:
            drop_caches()

    @contextmanager
    def begun(self, contender, begin):
        """A cold start: (tree, the running stopwatch), taken down afterwards."""
        self.forget()
        watch = Stopwatch(self.proxy)
        try:
            yield begin(), watch
        finally:
            contender.end()

    def cold(self, contender, begin, actions, name=None):
        """Each of the actions {case: function}, from nothing. Where beginning brings all
        there is, it happens once, and counts for each."""
        if contender.eager:
            self._cold_once(contender, begin, actions)
            return
        for case, action in actions.items():
            what = name or contender.name
            with self.attempt(f"{case}: {what}"), \
                    self.begun(contender, begin) as (tree, watch):
                action(tree)
                self.note(case, what, watch.lap(contender.pids()))

    def _cold_once(self, contender, begin, actions):
        with self.attempt(f"{', '.join(actions)}: {contender.name}"), \
                self.begun(contender, begin) as (tree, watch):
            begun = watch.lap()
            for case, action in actions.items():
                watch = Stopwatch(self.proxy)
                action(tree)
                self.note(case, contender.name, begun + watch.lap())

    def warm(self, contender, begin, actions, times=1, name=None):
        """Each action once untimed, then timed, at one mount; the link is out of it."""
        with self.attempt(f"warm: {contender.name}"), self.begun(contender, begin) as (tree, _):
            for case, action in actions.items():
                action(tree)
                for _ in range(times):
                    pids = contender.pids()
                    watch = Stopwatch(pids=pids)
                    action(tree)
                    self.note(case, name or contender.name, watch.lap(pids))

    # -- the groups of cases

    def local(self, local, begin, actions):
        """The tree on the disk, from nothing and warm: what overheads are counted from."""
        self.cold(local, begin, actions, name=LOCAL_COLD)
        self.warm(local, begin, actions, name=LOCAL_WARM)

    def download(self, case, label):
        """One object, by a plain parallel download."""
        with self.attempt(f"{case}: {DOWNLOAD}"), TempDir("larder-bench-") as work:
            self.forget()
            watch = Stopwatch(self.proxy)
            contenders.parallel_download(self.place, label, work)
            self.note(case, DOWNLOAD, watch.lap())

    def second_key(self, larder, label, other):
        """What a machine that has read one key fetches to read the next one."""
        with self.attempt("second key"), TempDir("larder-bench-") as cache:
            def begin(key):
                return larder.begin(key, cache=cache)
            with self.begun(larder, lambda: begin(label)) as (tree, _):
                cases.read_all(tree)
            for case, key in (("the same key", label), ("what differs by 1 %", other)):
                with self.begun(larder, lambda key=key: begin(key)) as (tree, watch):
                    cases.read_all(tree)
                    self.note(f"cloud: read all, cached {case}", LARDER, watch.lap(larder.pids()))

    def publish(self, name, command, tree, env):
        """command gets the tree, a folder of its own and the object's name."""
        with self.attempt(f"publish: {name}"), TempDir("larder-bench-") as work:
            cases.read_all(tree)  # what is timed is not this machine's disk
            watch = Stopwatch(self.proxy)
            shell(command, tree, work, "published", env=env)
            self.note("cloud: publish", name, watch.lap())
            self.place.rgw.s3.delete(self.place.bucket, "published")

    def restore(self, contender, label):
        with self.attempt(f"restore: {contender.name}"), \
                self.begun(contender, lambda: contender.begin(label)) as (_, watch):
            self.note("cloud: restore", contender.name, watch.lap())

    def bytes_per_entry(self, larder, label, entries):
        """Private memory of a daemon whose whole tree the kernel has looked at, less that
        of one with a tree of nothing."""
        held = {}
        for key in ("empty", label):
            with self.begun(larder, lambda key=key: larder.begin(key)) as (tree, _):
                cases.walk(tree)
                held[key] = memory_bytes(larder.pids(), "RssAnon")
        return (held[label] - held["empty"]) / entries


def publishers(place, larder_program):
    """{name: (command for Bench.publish)}."""
    aws = f"{contenders.AWS} --endpoint-url {place.proxy.endpoint} s3 cp --only-show-errors"
    tar = 'tar -cf - -C "$1" . | zstd -q -3 -T0'
    found = {LARDER: f'"{larder_program}" commit --quiet --key "$3" {place.store} "$1"'}
    if shutil.which(contenders.AWS):
        found["tar | zstd -T0, aws s3 cp"] = (
            f'{tar} -o "$2/x" && {aws} "$2/x" "{place.store}/$3"')
        found["tar | zstd -T0 | aws s3 cp -"] = f'{tar} | {aws} - "{place.store}/$3"'
    return found
