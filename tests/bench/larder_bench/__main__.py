"""tools/bench: publishes the inputs, then runs every case with every contender in turn."""

import argparse
import pathlib
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager

from larder_testlib.faultproxy import FaultProxy
from larder_testlib.process import TempDir, note_mount, forget_mount
from larder_testlib.programs import program
from larder_testlib.rgw import Rgw

from . import cases, contenders, inputs, report
from .machine import Stopwatch, drop_caches, run, shell

BUCKET = "bench"


class Bench:
    def __init__(self, options, rgw, proxy):
        self.options, self.rgw, self.proxy = options, rgw, proxy
        self.place = contenders.Place(rgw, BUCKET, proxy, options.inputs)
        self.results = {}

    def note(self, case, name, cost):
        self.results.setdefault(case, {}).setdefault(name, []).append(cost)
        print(f"  {case}: {name}: {cost.wall:.3f} s, {cost.requests} requests, "
              f"{cost.received / 1e6:.1f} MB", file=sys.stderr, flush=True)

    @contextmanager
    def begun(self, contender, label, **options):
        """A cold start: (tree, the running stopwatch), taken down afterwards."""
        drop_caches()
        watch = Stopwatch(self.proxy)
        watch.start()
        try:
            yield contender.begin(label, **options), watch
        finally:
            contender.end()

    def cold(self, contender, label, profile, name, action):
        with self.begun(contender, label) as (tree, watch):
            action(tree)
            self.note(f"{profile}: {name}", contender.name, watch.lap(contender.pids()))

    def warm(self, contender, label, actions):
        """Each action once untimed, then timed; the link does not matter any more."""
        with self.begun(contender, label) as (tree, _):
            for name, action in actions.items():
                action(tree)
                watch = Stopwatch()
                watch.start()
                action(tree)
                self.note(f"warm {name}", contender.name, watch.lap())

    # -- the groups

    def trees(self, field, label, profiles):
        for profile in profiles:
            self.proxy.profile(profile)
            for contender in field:
                for name, action in cases.COLD.items():
                    self.cold(contender, label, profile, name, action)

    def single(self, profile, label):
        """One file of 1 GB, against a plain parallel download of it."""
        self.proxy.profile(profile)
        self.cold(contenders.Larder(self.place), label, profile, "read 1 GB",
                  cases.read_big)
        with TempDir("larder-bench-") as work:
            drop_caches()
            watch = Stopwatch(self.proxy)
            watch.start()
            contenders.parallel_download(self.place, "big.plain", work / "big", 10)
            self.note(f"{profile}: read 1 GB", "10 connections to a file", watch.lap())

    def second_key(self, label, other):
        """What a machine that has read one key fetches to read the next one."""
        self.proxy.profile("cloud")
        larder = contenders.Larder(self.place)
        with TempDir("larder-bench-") as cache:
            with self.begun(larder, label, cache=cache) as (tree, _):
                cases.read_all(tree)
            for name, key in (("the same key again", label), ("1 % differs", other)):
                with self.begun(larder, key, cache=cache) as (tree, watch):
                    cases.read_all(tree)
                    self.note(f"cached, then {name}", larder.name, watch.lap())

    def publishing(self, tree, number):
        self.proxy.profile("cloud")
        drop_caches()
        cases.read_all(tree)  # warm: what is timed is not this machine's disk
        env = self.place.env()
        watch = Stopwatch(self.proxy)
        watch.start()
        run(program("larder"), "commit", "--key", f"publish-{number}", f"s3://{BUCKET}",
            str(tree), env=env)
        self.note("cloud: publish", "larder", watch.lap())
        with TempDir("larder-bench-") as work:
            watch.start()
            shell(f"tar -cf - -C '{tree}' . | zstd -q -3 -T0 -o '{work}/x' && "
                  f"aws --endpoint-url {self.proxy.endpoint} s3 cp --quiet '{work}/x' "
                  f"s3://{BUCKET}/publish-{number}.tar.zst", env=env)
            self.note("cloud: publish", "tar, zstd -T0, aws s3 cp", watch.lap())

    def restoring(self, label):
        self.proxy.profile("cloud")
        for contender in (contenders.LarderRestore(self.place),
                          contenders.Untar(self.place),
                          contenders.ParallelUntar(self.place)):
            with self.begun(contender, label) as (_, watch):
                self.note("cloud: restore", contender.name, watch.lap())

    def cargo(self, project, field):
        """A build that has nothing to do, over an overlay of the mounted target."""
        self.proxy.profile("cloud")
        for contender in field:
            with self.begun(contender, "cargo") as (tree, watch), \
                    TempDir("larder-bench-overlay-") as work, \
                    overlay(tree, work) as merged:
                done = subprocess.run(
                    ["cargo", "build", "--target-dir", str(merged)], cwd=project,
                    capture_output=True, text=True, check=True)
                cost = watch.lap(contender.pids())
                if "Compiling" in done.stderr:
                    raise RuntimeError(f"cargo built anew:\n{done.stderr}")
                self.note("cloud: no-op cargo build", contender.name, cost)


@contextmanager
def overlay(lower, work):
    for name in ("upper", "work", "merged"):
        (work / name).mkdir()
    merged = work / "merged"
    note_mount(merged)
    run("mount", "-t", "overlay", "overlay", "-o",
        f"lowerdir={lower},upperdir={work}/upper,workdir={work}/work", str(merged))
    try:
        yield merged
    finally:
        run("umount", str(merged))
        forget_mount(merged)


# -- the figures that must be reached

def figures(results, object_bytes):
    """(what, ratio, bound, met) for each case that was measured."""
    found = []

    def wall(case, name):
        return report.median(results[case][name])

    def theirs(case):
        return min(report.median(costs) for name, costs in results[case].items()
                   if not name.startswith(("larder", "local", "tmpfs")))

    def add(what, value, bound, at_least=False):
        met = value >= bound if at_least else value <= bound
        found.append((what, value, f"{'>=' if at_least else '<='} {bound}", met))

    def attempt(function):
        try:
            function()
        except (KeyError, ValueError, statistics.StatisticsError):
            pass  # that case was not measured

    def overhead(case):
        local = wall("warm require", "local ext4")
        add(f"{case}, overhead against the fastest contender's",
            (wall(case, "larder") - local) / (theirs(case) - local), 0.5)

    attempt(lambda: add("cloud: first ls, faster than the fastest contender",
                        theirs("cloud: first ls") / wall("cloud: first ls", "larder"), 3, True))
    attempt(lambda: add("cloud: first ls, requests", report.median(
        results["cloud: first ls"]["larder"], "requests"), 1))
    attempt(lambda: overhead("cloud: require"))
    attempt(lambda: overhead("wan: require"))
    attempt(lambda: add("require with --prefetch none, of the object's bytes", report.median(
        results["cloud: require"]["larder --prefetch none"], "received") / object_bytes, 0.10))
    attempt(lambda: add("cloud: walk, faster than the fastest contender",
                        theirs("cloud: walk") / wall("cloud: walk", "larder"), 4, True))
    attempt(lambda: add("cloud: read all against the faster download + untar + read",
                        wall("cloud: read all", "larder") / min(
                            wall("cloud: read all", name) for name in
                            ("curl + untar", "10 connections + untar")), 0.8))
    for case, bound in (("walk", 1.3), ("read all", 1.5)):
        attempt(lambda: add(f"warm {case} against local ext4",
                            wall(f"warm {case}", "larder") /
                            wall(f"warm {case}", "local ext4"), bound))
    attempt(lambda: add("warm read of 1 GB, speed against tmpfs",
                        wall("warm read 1 GB", "tmpfs") / wall("warm read 1 GB", "larder"),
                        0.6, True))
    attempt(lambda: add("lan: read 1 GB, speed against a parallel download",
                        wall("lan: read 1 GB", "10 connections to a file") /
                        wall("lan: read 1 GB", "larder"), 0.8, True))
    attempt(lambda: add("cloud: no-op cargo build against the fastest contender",
                        wall("cloud: no-op cargo build", "larder") /
                        theirs("cloud: no-op cargo build"), 0.5))
    attempt(lambda: add("cloud: publish against tar, zstd -T0, aws s3 cp",
                        wall("cloud: publish", "larder") /
                        wall("cloud: publish", "tar, zstd -T0, aws s3 cp"), 0.9))
    attempt(lambda: add("a second key that differs by 1 %, of the object's bytes",
                        report.median(results["cached, then 1 % differs"]["larder"],
                                      "received") / object_bytes, 0.10))
    attempt(lambda: add("cloud: restore against the faster download + untar",
                        wall("cloud: restore", "larder restore") / theirs("cloud: restore"),
                        0.8))
    return found


def parse():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profiles", default="cloud,wan", help="of lan, cloud, wan")
    parser.add_argument("--groups", default="trees,warm,big,second,publish,restore,cargo")
    parser.add_argument("--peers", default="yes", choices=("yes", "no"))
    parser.add_argument("--inputs", type=pathlib.Path,
                        default=pathlib.Path("build-bench/inputs"))
    parser.add_argument("--node-modules", type=pathlib.Path, help="a tree that is there")
    parser.add_argument("--cargo-project", type=pathlib.Path, help="one that is built")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--chart", type=pathlib.Path)
    return parser.parse_args()


def main():
    options = parse()
    groups = set(options.groups.split(","))
    options.inputs = options.inputs.resolve()
    if options.node_modules:
        tree, made = options.node_modules, "given"
    else:
        tree, made = inputs.node_modules(options.inputs)
    project = options.cargo_project or (
        inputs.cargo_project(options.inputs) if "cargo" in groups else None)
    with ExitStack() as stack:
        rgw = stack.enter_context(Rgw())
        proxy = stack.enter_context(FaultProxy(rgw.endpoint))
        rgw.make_bucket(BUCKET)
        rgw.make_public(BUCKET)
        bench = Bench(options, rgw, proxy)
        everyone = [kind(bench.place) for kind in contenders.ALL]
        field = [c for c in everyone if c.available() and (
            options.peers == "yes" or isinstance(c, (contenders.Larder, contenders.Local)))]
        for contender in field:
            print(f"publishing for {contender.name}", file=sys.stderr, flush=True)
            contender.publish("node", tree)
            if project and "cargo" in groups:
                contender.publish("cargo", project / "target")
            if "big" in groups and isinstance(
                    contender, (contenders.Larder, contenders.Local, contenders.Tmpfs)):
                contender.publish("big", inputs.big(options.inputs))
        stored = int(rgw.s3.head(BUCKET, "node").headers["Content-Length"])
        if "big" in groups:
            with open(inputs.big(options.inputs) / "big", "rb") as body:
                rgw.s3.put(BUCKET, "big.plain", body)
        if "second" in groups:
            contenders.Larder(bench.place).publish(
                "other", inputs.differing(tree, options.inputs / "differing"))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            profiles = options.profiles.split(",")
            remote = [c for c in field if not isinstance(c, contenders.Tmpfs)]
            if "trees" in groups:
                bench.trees(remote, "node", profiles)
                for profile in profiles:
                    proxy.profile(profile)
                    bench.cold(contenders.LarderNoPrefetch(bench.place), "node", profile,
                               "require", cases.require)
            if "warm" in groups:
                proxy.profile("none")
                for contender in field:
                    bench.warm(contender, "node", cases.WARM)
            if "big" in groups:
                bench.single("lan", "big")
                for contender in field:
                    if isinstance(contender, (contenders.Larder, contenders.Tmpfs)):
                        bench.warm(contender, "big", {"read 1 GB": cases.read_big})
            if "second" in groups:
                bench.second_key("node", "other")
            if "publish" in groups:
                bench.publishing(tree, number)
            if "restore" in groups:
                bench.restoring("node")
            if "cargo" in groups and project:
                bench.cargo(project, remote)
    facts = {"node_modules": made, "node_modules_object_bytes": stored, **inputs.facts(tree)}
    ratios = figures(bench.results, stored)
    title = f"{facts['entries']:,} entries, {facts['bytes'] / 1e6:.0f} MB; seconds, median"
    print(report.table(bench.results), "", report.ratio_lines(ratios), sep="\n")
    if options.json:
        options.json.write_text(report.as_json(facts, bench.results, ratios) + "\n")
    if options.chart:
        options.chart.write_text(report.chart(bench.results, title))
    return 0


if __name__ == "__main__":
    sys.exit(main())
