"""The figures that Larder must reach, from what a run has measured."""

import statistics
from dataclasses import dataclass

LARDER = "larder"
NO_PREFETCH = "larder --prefetch none"
RESTORE = "larder restore"
LOCAL, LOCAL_COLD, LOCAL_WARM = "local ext4", "local ext4, cold", "local ext4, warm"
TMPFS = "tmpfs"
DOWNLOAD = "10 connections to files"
UNTAR = ("curl + untar", "10 connections + untar")


@dataclass
class Figure:
    """value is None where the run did not measure it."""
    what: str
    value: float
    must: float
    hope: float
    at_least: bool = False

    @property
    def met(self):
        if self.value is None:
            return None
        return self.value >= self.must if self.at_least else self.value <= self.must

    def bound(self, value):
        return f"{'≥' if self.at_least else '≤'} {value:g}"


class Measured:
    """Medians of a run's results, {case: {contender: costs}}. KeyError for what was not
    measured."""

    def __init__(self, results, facts):
        self._results, self.facts = results, facts

    def of(self, case, name, field="wall"):
        return statistics.median(getattr(cost, field) for cost in self._results[case][name])

    def best(self, case, among=None):
        """The fastest of these, or of all that are neither ours nor local."""
        walls = [self.of(case, name) for name in self._results[case]
                 if (name in among if among else
                     not name.startswith((LARDER, LOCAL, TMPFS)))]
        if not walls:
            raise KeyError(case)
        return min(walls)

    def speedup(self, case):
        """How many times as fast as the fastest contender."""
        return self.best(case) / self.of(case, LARDER)

    def ratio(self, case, name, ours=LARDER):
        return self.of(case, ours) / self.of(case, name)

    def overhead(self, case):
        """What Larder costs over local and warm, against what the fastest contender does."""
        local = self.of("local: " + case.partition(": ")[2], LOCAL_WARM)
        return (self.of(case, LARDER) - local) / (self.best(case) - local)

    def share(self, case, name, fact):
        """Bytes fetched, of an object's."""
        return self.of(case, name, "received") / self.facts[fact]


# (what, how it is computed, must, hope for, whether more is better)
RULES = [
    ("requests from nothing to first ls",
     lambda m: m.of("cloud: first ls", NO_PREFETCH, "requests"), 1, 1, False),
    ("first ls, cloud: times as fast as the fastest contender",
     lambda m: m.speedup("cloud: first ls"), 3, 6, True),
    ("require, cloud: overhead against the fastest contender's",
     lambda m: m.overhead("cloud: require"), 0.5, 0.2, False),
    ("require, wan: overhead against the fastest contender's",
     lambda m: m.overhead("wan: require"), 0.5, 0.2, False),
    ("bytes fetched for require without prefetch, of the object",
     lambda m: m.share("cloud: require", NO_PREFETCH, "node_object_bytes"),
     0.10, 0.05, False),
    ("walk, cloud: times as fast as the fastest contender",
     lambda m: m.speedup("cloud: walk"), 4, 8, True),
    ("read all, cloud: against the faster download + untar + read",
     lambda m: m.of("cloud: read all", LARDER) / m.best("cloud: read all", UNTAR),
     0.8, 0.5, False),
    ("warm walk against local ext4",
     lambda m: m.ratio("warm: walk", LOCAL), 1.3, 1.0, False),
    ("warm read of all small files against local ext4",
     lambda m: m.ratio("warm: read small", LOCAL), 1.5, 1.1, False),
    ("warm read of 1 GB: speed against tmpfs",
     lambda m: 1 / m.ratio("warm: read 1 GB", TMPFS), 0.6, 0.9, True),
    ("cold read of 1 GB, lan: speed against a parallel download",
     lambda m: 1 / m.ratio("lan: read 1 GB", DOWNLOAD), 0.8, 1.0, True),
    ("no-op cargo build, cloud: overhead against the fastest contender's",
     lambda m: m.overhead("cloud: cargo build, no-op"), 0.5, 0.2, False),
    ("publish against tar, zstd -T0, aws s3 cp",
     lambda m: m.of("cloud: publish", LARDER) / m.best("cloud: publish"),
     0.9, 0.5, False),
    ("second key that differs by 1 %: bytes fetched, of the object",
     lambda m: m.share("cloud: read all, cached what differs by 1 %", LARDER, "other_object_bytes"),
     0.10, 0.03, False),
    ("restore against the faster download + untar",
     lambda m: m.of("cloud: restore", RESTORE) / m.best("cloud: restore", UNTAR),
     0.8, 0.5, False),
    ("memory for an entry of a mounted archive, bytes",
     lambda m: m.facts["bytes_per_entry"], 150, 100, False),
    ("resident memory, node_modules mounted and read whole, MB",
     lambda m: m.of("cloud: read all", LARDER, "resident") / 1e6, 200, 100, False),
]


def figures(results, facts):
    measured = Measured(results, facts)
    return [Figure(what, _value(compute, measured), must, hope, at_least)
            for what, compute, must, hope, at_least in RULES]


def _value(compute, measured):
    try:
        return compute(measured)
    except KeyError:
        return None
