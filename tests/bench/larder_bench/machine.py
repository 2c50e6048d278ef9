"""What a measurement needs of the machine: cold caches, times, processes' CPU."""

import os
import resource
import subprocess
import time
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")


def drop_caches():
    """Forgets the page, dentry and inode caches (root only)."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as knob:
        knob.write("3\n")


def cpu_seconds(pids):
    """User and system time of running processes, their ended children included."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
                fields = stat.read().rpartition(")")[2].split()
            total += sum(int(field) for field in fields[11:15])
        except OSError:
            pass
    return total / TICKS


def resident_bytes(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                total += sum(int(line.split()[1]) * 1024 for line in status
                             if line.startswith("VmHWM:"))
        except OSError:
            pass
    return total


@dataclass
class Cost:
    """Of one timed run."""
    wall: float
    cpu: float
    requests: int = 0
    received: int = 0
    resident: int = 0


class Stopwatch:
    """Times a block: wall time, CPU time of children and daemons, the proxy's counts."""

    def __init__(self, proxy=None):
        self._proxy = proxy

    def start(self):
        self._before = self._proxy.stats() if self._proxy else None
        self._children = self._children_cpu()
        self._begun = time.perf_counter()

    def lap(self, pids=()):
        wall = time.perf_counter() - self._begun
        cost = Cost(wall, self._children_cpu() - self._children + cpu_seconds(pids),
                    resident=resident_bytes(pids))
        if self._proxy:
            after = self._proxy.stats()
            cost.requests = after["requests"] - self._before["requests"]
            cost.received = after["bytes_down"] - self._before["bytes_down"]
        return cost

    @staticmethod
    def _children_cpu():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime


def run(*argv, **options):
    """Runs a command quietly; its failure is an exception that holds what it said."""
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed with {done.returncode}: "
                           f"{done.stderr.decode(errors='replace')[-2000:]}")


def shell(script, **options):
    run("/bin/bash", "-o", "pipefail", "-ec", script, **options)
