"""Clears up after a test process that could not do it itself.

Runs as a program beside the test process (see process.py) in a session of its own, so
that neither ^C nor a runner that kills the test's process group reaches it. It reads
what was started from its standard input, one JSON list a line:

    ["+", "pid", PID, START]    a process; START guards against a reused pid
    ["+", "mount", PATH]        something that may get mounted at PATH
    ["+", "dir", PATH]          a temporary directory
    ["-", KIND, VALUE]          that one is gone

and waits until the input ends or the test process dies, in whatever way. Then it kills
the processes listed and every process that carries the run's mark in its environment
(daemons that detached themselves are found so), unmounts, and removes the directories.
What it still had to clear goes to standard output, one line each.

It never looks at a path below a mount point: a dead or hung mount cannot hold it up.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time

MARK = "LARDER_TESTLIB_RUN"
GONE_WITHIN = 10.0
SCANS = 20  # of all processes


def stat_fields(pid):
    """What /proc/PID/stat says behind the name (proc(5)), or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()
    except OSError:
        return None


def start_time(pid):
    """The process's start in clock ticks, or None if it is gone or a zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else None


def is_in_exec(pid):
    """True within execve(2), whose new memory has no environment yet."""
    fields = stat_fields(pid)
    if not fields:
        return False
    size, env_end = int(fields[20]), int(fields[48])
    return size > 0 and env_end == 0


def environment(pid):
    """Its first environment, empty where we may not see it; None: not yet, or not any more."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            data = environ.read()
    except PermissionError:
        return []
    except OSError:
        return None
    return None if not data and is_in_exec(pid) else data.split(b"\0")


def marked_processes(token):
    """The pids whose first environment holds this run's mark."""
    wanted = f"{MARK}={token}".encode()
    for _ in range(SCANS):
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        seen = {pid: environment(pid) for pid in pids if pid != os.getpid()}
        found = [pid for pid, lines in seen.items() if lines and wanted in lines]
        if found or None not in seen.values():
            break  # else look again: who has ended may have left a child
    return found


def kill_and_wait(pid, start, seconds=GONE_WITHIN):
    """KILLs the process, if it is still the one that started then, and sees it gone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_time(pid) != start:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], seconds)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)


def mount_points(below=None):
    """Where something is mounted, in mount order; with below, only there or under it."""
    def unescape(field):
        return field.encode("latin-1").decode("unicode_escape").encode("latin-1")

    with open("/proc/self/mountinfo", encoding="latin-1") as table:
        points = [unescape(line.split()[4]) for line in table]
    if below is None:
        return points
    below = os.fsencode(below)
    return [p for p in points if p == below or p.startswith(below.rstrip(b"/") + b"/")]


def unmount(point):
    """Takes a mount away without touching what is mounted; True when it is gone."""
    point = os.fsencode(point)
    for command in (["fusermount3", "-u"], ["fusermount3", "-uz"], ["umount", "-l"]):
        if point not in mount_points():
            return True
        try:
            subprocess.run(command + [point], stdin=subprocess.DEVNULL, timeout=GONE_WITHIN,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            pass
    return point not in mount_points()


def remove_tree(path):
    """Removes a directory, unless something is still mounted in it.

    By rm, which copes with any depth; directories that their owner may not change are
    made his first where that stopped it.
    """
    if mount_points(path):
        return False
    remove = ["rm", "-rf", "--one-file-system", "--", path]
    for command in (remove, ["chmod", "-R", "u+rwX", "--", path], remove):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        if not os.path.lexists(path):
            return True
    return False


class Ledger:
    """What has been started and not yet taken back."""

    def __init__(self):
        self.pids, self.mounts, self.dirs = {}, [], []

    def note(self, line):
        sign, kind, *rest = json.loads(line)
        if kind == "pid":
            if sign == "+":
                self.pids[rest[0]] = rest[1]
            else:
                self.pids.pop(rest[0], None)
            return
        names = self.mounts if kind == "mount" else self.dirs
        if sign == "+":
            names.append(rest[0])
        elif rest[0] in names:
            names.remove(rest[0])

    def clear(self, token):
        for pid, start in self.pids.items():
            if start is not None and kill_and_wait(pid, start):
                print(f"process {pid}")
        deadline = time.monotonic() + GONE_WITHIN
        while (left := marked_processes(token)) and time.monotonic() < deadline:
            for pid in left:
                if kill_and_wait(pid, start_time(pid)):
                    print(f"process {pid}")
        places = self.mounts + self.dirs
        for point in reversed([p for place in places for p in mount_points(place)]):
            if os.fsencode(point) in mount_points() and unmount(point):
                print(f"mount {os.fsdecode(point)}")
        for path in reversed(self.dirs):
            if os.path.lexists(path) and remove_tree(path):
                print(f"directory {path}")


def listen(ledger, owner):
    """Reads the ledger's lines until they end or the owner is dead."""
    rest = b""
    while True:
        ready, _, _ = select.select([0, owner], [], [])
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                ledger.note(line)
        elif owner in ready:
            return


def main():
    owner_pid, token = int(sys.argv[1]), sys.argv[2]
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ledger = Ledger()
    try:
        owner = os.pidfd_open(owner_pid)
    except ProcessLookupError:
        owner = 0
    os.write(1, b"ready\n")
    listen(ledger, owner)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        ledger.clear(token)
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
