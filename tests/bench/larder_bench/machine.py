"""What a measurement needs of the machine: cold caches, times, processes' CPU and memory."""

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


def memory_bytes(pids, field):
    """A size from proc(5)'s status, of all these processes: VmHWM, RssAnon."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                total += sum(int(line.split()[1]) * 1024 for line in status
                             if line.startswith(field + ":"))
        except OSError:
            pass
    return total


@dataclass
class Cost:
    """Of one timed run. cpu: what the commands and the contender's daemons used; received,
    sent: bytes on the link; resident: the most that the daemons held."""
    wall: float
    cpu: float
    requests: int = 0
    received: int = 0
    sent: int = 0
    resident: int = 0

    def __add__(self, other):
        return Cost(self.wall + other.wall, self.cpu + other.cpu,
                    self.requests + other.requests, self.received + other.received,
                    self.sent + other.sent, max(self.resident, other.resident))


class Stopwatch:
    """Runs from its making. pids: daemons that run already, whose past is not counted."""

    def __init__(self, proxy=None, pids=()):
        self._proxy = proxy
        self._stats = proxy.stats() if proxy else None
        self._cpu = _children_cpu() + cpu_seconds(pids)
        self._begun = time.perf_counter()

    def lap(self, pids=()):
        """What has been used so far, the daemons' part included."""
        wall = time.perf_counter() - self._begun
        cost = Cost(wall, _children_cpu() + cpu_seconds(pids) - self._cpu,
                    resident=memory_bytes(pids, "VmHWM"))
        if self._proxy:
            after = self._proxy.stats()
            cost.requests = after["requests"] - self._stats["requests"]
            cost.received = after["bytes_down"] - self._stats["bytes_down"]
            cost.sent = after["bytes_up"] - self._stats["bytes_up"]
        return cost


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
    return done.stderr.decode(errors="replace")


def shell(script, *arguments, **options):
    """Runs a script for bash, whose $1 and so on are the arguments."""
    return run("/bin/bash", "-o", "pipefail", "-euc", script, "bash",
               *map(str, arguments), **options)
