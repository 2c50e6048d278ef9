"""Larder beside what people use today, on this machine, in one run."""

import argparse
import os
import pathlib
import platform
import sys
from contextlib import ExitStack
from functools import partial

from larder_testlib.faultproxy import FaultProxy
from larder_testlib.process import TempDir
from larder_testlib.programs import program
from larder_testlib.rgw import Rgw

from . import cases, chart, contenders, inputs, report
from .bench import Bench, publishers
from .figures import figures

BUCKET = "bench"
GROUPS = ("trees", "warm", "big", "second", "publish", "restore", "cargo", "memory")
PROFILES = ("lan", "cloud", "wan")
CASES = ("first ls", "require", "walk", "read scattered", "read all")


def words_of(allowed):
    def parse(text):
        words = text.split(",")
        if unknown := set(words) - set(allowed):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not of "
                                             f"{', '.join(allowed)}")
        return words
    return parse


def parse(arguments=None):
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__, epilog=(
        f"groups: {', '.join(GROUPS)}. profiles: {', '.join(PROFILES)}. "
        f"cases of the group trees: {', '.join(CASES)}."))
    parser.add_argument("--quick", action="store_true",
                        help="one round, without the slowest; for a first look")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--groups", type=words_of(GROUPS), default=GROUPS)
    parser.add_argument("--profiles", type=words_of(PROFILES))
    parser.add_argument("--cases", type=words_of(CASES), default=CASES)
    parser.add_argument("--peers", default="yes", help="yes, no, or parts of their names")
    parser.add_argument("--inputs", type=pathlib.Path, help="where inputs are made and kept",
                        default=pathlib.Path("build-bench/inputs"))
    parser.add_argument("--node-modules", type=pathlib.Path, help="a tree that is there")
    parser.add_argument("--big-bytes", type=int, default=inputs.BIG_BYTES)
    parser.add_argument("--keep-caches", action="store_true",
                        help="do not drop the kernel's caches: cold is less cold then")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--chart", type=pathlib.Path, help="write an SVG")
    parser.add_argument("--markdown", type=pathlib.Path,
                        help="put the tables between this page's two marks")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.profiles = options.profiles or (PROFILES[1:] if options.quick else PROFILES)
    options.inputs = options.inputs.resolve()
    return options


class Run:
    """One run: who takes part with what trees, and the order of things."""

    def __init__(self, options, place):
        self.options, self.place = options, place
        self.bench = Bench(place, options.keep_caches)
        self.larder = contenders.Larder(place)
        self.no_prefetch = contenders.LarderNoPrefetch(place)
        self.local = contenders.Local(place)
        self.tmpfs = contenders.Tmpfs(place)
        self.peers = [peer for kind in contenders.PEERS if self.wants(peer := kind(place))]
        self.facts = {"processors": len(os.sched_getaffinity(0)),
                      "kernel": platform.release()}

    def wants(self, peer):
        peers = self.options.peers
        if self.options.quick and isinstance(peer, contenders.S3fsSquash):
            return False
        return peer.available() and (peers == "yes" or peers != "no" and any(
            part in peer.name for part in peers.split(",")))

    def does(self, group):
        return group in self.options.groups

    # -- before the rounds

    def prepare(self):
        options = self.options
        if options.node_modules:
            self.node, self.facts["node_modules"] = options.node_modules.resolve(), "given"
        else:
            self.node, self.facts["node_modules"] = inputs.node_modules(options.inputs)
        self.facts |= inputs.facts(self.node)
        self.project = inputs.cargo_project(options.inputs) if self.does("cargo") else None
        self.give("node", self.node, [self.larder, self.local, *self.peers])
        self.facts["node_object_bytes"] = self.place.stored("node")
        if self.project:
            self.give("cargo", self.project / "target",
                         [self.larder, self.local, *self.peers])
            self.facts["cargo_object_bytes"] = self.place.stored("cargo")
        if self.does("second"):
            self.give("other", inputs.differing(
                self.node, options.inputs / "differing" / self.node.parent.name),
                [self.larder])
            self.facts["other_object_bytes"] = self.place.stored("other")
        if self.does("warm"):
            self.tmpfs.publish("node", self.node)
        if self.does("memory"):
            with TempDir("larder-bench-") as empty:
                self.give("empty", empty, [self.larder])
        if self.does("big"):
            tree = inputs.big(options.inputs, options.big_bytes)
            self.give("big", tree, [self.larder, self.tmpfs])
            self.place.upload("big.plain", tree / "big")
        actions = {"first ls": cases.first_ls, "require": cases.require, "walk": cases.walk,
                   "read scattered": cases.Scattered(self.node), "read all": cases.read_all}
        self.actions = {name: actions[name] for name in options.cases}

    def give(self, label, tree, contestants):
        for contender in contestants:
            inputs.say(f"publishing {label} for {contender.name}")
            contender.publish(label, tree)

    # -- a round; the order turns, so that nobody is always first

    def round(self, number):
        for group in self.options.groups:
            inputs.say(f" {group}")
            with self.bench.attempt(group):
                getattr(self, group)(number)
            self.save()

    @staticmethod
    def turned(things, number):
        things = list(things)
        number %= len(things) or 1
        return things[number:] + things[:number]

    def cold(self, field, label, actions, number):
        for contender in self.turned(field, number):
            self.bench.cold(contender, partial(contender.begin, label), actions)

    def whole(self, number):
        """Whether what takes long and decides little is done in this round."""
        return number == 0 and not self.options.quick

    def trees(self, number):
        for profile in self.options.profiles:
            self.place.proxy.profile(profile)
            actions = {f"{profile}: {name}": action for name, action in self.actions.items()
                       if profile == "cloud" or self.whole(number)
                       or not name.startswith("read")}
            self.cold([self.larder, *self.peers], "node", actions, number)
            self.cold([self.no_prefetch], "node", {
                case: action for case, action in actions.items()
                if case.endswith(("first ls", "require"))}, number)
        self.bench.local(self.local, partial(self.local.begin, "node"), {
            f"local: {name}": action for name, action in self.actions.items()})

    def warm(self, number):
        self.place.proxy.profile("none")
        others = [peer for peer in self.peers if isinstance(
            peer, (contenders.AwsLoop, contenders.RcloneSquash)) and self.whole(number)]
        for contender in self.turned([self.larder, self.local, self.tmpfs, *others], number):
            self.bench.warm(contender, partial(contender.begin, "node"), {
                "warm: walk": cases.walk, "warm: require": cases.require,
                "warm: read small": cases.read_small}, times=2)

    def big(self, number):
        self.place.proxy.profile("lan")
        ways = [partial(self.cold, [self.larder], "big", {"lan: read 1 GB": cases.read_big},
                        number),
                partial(self.bench.download, "lan: read 1 GB", "big.plain")]
        for measure in self.turned(ways, number):
            measure()
        for contender in self.turned([self.larder, self.tmpfs], number):
            self.bench.warm(contender, partial(contender.begin, "big"),
                            {"warm: read 1 GB": cases.read_big}, times=3)

    def second(self, number):
        self.place.proxy.profile("cloud")
        if number == 0:  # what matters here are bytes, and they are the same each time
            self.bench.second_key(self.larder, "node", "other")

    def publish(self, number):
        self.place.proxy.profile("cloud")
        ways = publishers(self.place, program("larder"))
        for name in self.turned(ways, number):
            self.bench.publish(name, ways[name], self.node, self.place.env())

    def restore(self, number):
        self.place.proxy.profile("cloud")
        field = [contenders.LarderRestore(self.place),
                 *(peer for peer in self.peers if peer.eager)]
        for contender in self.turned(field, number):
            self.bench.restore(contender, "node")

    def cargo(self, number):
        if not self.project:
            return
        self.place.proxy.profile("cloud")
        actions = {"no-op": partial(cases.build, self.project),
                   "incremental": cases.ChangedBuild(self.project)}
        for contender in self.turned([self.larder, *self.peers], number):
            self.bench.cold(contender, partial(contender.begin_writable, "cargo"), {
                f"cloud: cargo build, {name}": action for name, action in actions.items()})
        self.bench.local(self.local, partial(self.local.begin_writable, "cargo"), {
            f"local: cargo build, {name}": action for name, action in actions.items()})

    def memory(self, number):
        self.place.proxy.profile("none")
        if number == 0:
            self.facts["bytes_per_entry"] = self.bench.bytes_per_entry(
                self.no_prefetch, "node", self.facts["entries"])

    # -- behind them

    def save(self):
        """What there is so far: a run that is cut short leaves what it measured."""
        options, results = self.options, self.bench.results
        found = figures(results, self.facts)
        if options.json:
            options.json.write_text(
                report.as_json(self.facts, results, found, self.bench.failures) + "\n")
        if options.chart:
            options.chart.write_text(chart.svg(results, report.summary(self.facts)))
        if options.markdown:
            picture = options.chart and os.path.relpath(options.chart, options.markdown.parent)
            report.put_between_marks(
                options.markdown, report.markdown(self.facts, results, found, picture))

    def tell(self):
        print(report.table(self.bench.results), "",
              report.figure_table(figures(self.bench.results, self.facts)), sep="\n")
        for failure in self.bench.failures:
            print(f"FAILED: {failure}")


def main():
    options = parse()
    with ExitStack() as stack:
        rgw = stack.enter_context(Rgw(memory_gib=12))
        proxy = stack.enter_context(FaultProxy(rgw.endpoint))
        rgw.make_bucket(BUCKET)
        rgw.make_public(BUCKET)  # curl does not sign
        run = Run(options, contenders.Place(rgw, BUCKET, proxy, options.inputs / "images"))
        stack.callback(run.tmpfs.finish)
        run.prepare()
        for number in range(options.rounds):
            inputs.say(f"round {number + 1} of {options.rounds}")
            run.round(number)
        run.tell()
    return 1 if run.bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
