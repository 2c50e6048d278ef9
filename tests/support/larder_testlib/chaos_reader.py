"""Readers of a mount whose store does not hold still: threads of a process of its own.

    python3 -m larder_testlib.chaos_reader VERSIONS SECONDS SEED MOUNTPOINT...

They look at everything in all ways until standard input ends, compare each byte, stat,
listing and link with what the versions hold, time each call, and then print one line of
JSON: calls, bytes, errors by call and errno, the worst time of each call, what was wrong,
and which calls took longer than SECONDS.
"""

import contextlib
import errno
import json
import mmap
import os
import random
import stat
import sys
import threading
import time
from collections import Counter

from .versions import Versions

THREADS = 4        # for each mountpoint
HELD_MOST = 8      # open files that each keeps
READ_MOST = 128 << 10
DIRECT_MOST = 64 << 10
REST = 0.01        # seconds, between two looks at most
TOLD_MOST = 20     # lines of each kind of trouble


class Wrong(Exception):
    """What a call gave belongs to no version, or to another one than before."""


class Account:
    """What all threads of this process met."""

    def __init__(self, longest):
        self.longest = longest
        self.lock = threading.Lock()
        self.calls, self.errors, self.bytes = Counter(), Counter(), 0
        self.worst, self.wrong, self.late = {}, [], []

    def note(self, call, seconds, what, error="", size=0):
        with self.lock:
            self.calls[call] += 1
            self.bytes += size
            self.worst[call] = max(seconds, self.worst.get(call, 0))
            if error:
                self.errors[f"{call} {error}"] += 1
            if seconds > self.longest:
                self.late.append(f"{call} {what}: {seconds:.2f} s")

    def note_wrong(self, text):
        with self.lock:
            self.wrong.append(text)

    def report(self):
        with self.lock:
            return {"calls": self.calls, "errors": self.errors, "bytes": self.bytes,
                    "worst": self.worst, "wrong": self.wrong[:TOLD_MOST],
                    "wrongs": len(self.wrong), "late": self.late[:TOLD_MOST],
                    "lates": len(self.late)}


class Held:
    """An open file and what it may be. It stays one version for as long as it is open."""

    def __init__(self, path, fd, seen):
        self.path, self.fd, self.seen = path, fd, seen

    def narrow(self, holds, what):
        left = self.seen.agreeing(holds)
        if not left:
            raise Wrong(f"{what} of '{self.path}', so far of {sorted(self.seen)}, is of none")
        self.seen = left


class Reader:
    def __init__(self, account, versions, root, seed):
        self.account, self.versions, self.root = account, versions, root
        self.rng = random.Random(seed)
        self.held = []
        self.page = mmap.mmap(-1, DIRECT_MOST)

    def run(self, stop):
        acts = [self.look_at_file] * 6 + [self.look_again] * 4 + [self.look_at_directory] * 2
        acts += [self.stat, self.stat, self.list, self.link, self.look_directly]
        while not stop.is_set():
            try:
                self.rng.choice(acts)()
            except Wrong as wrong:
                self.account.note_wrong(f"{self.root}: {wrong}")
            except OSError:
                pass  # counted where it was met
            stop.wait(self.rng.random() * REST)
        for held in self.held:
            os.close(held.fd)

    def timed(self, call, what, act, *words, **more):
        begin = time.monotonic()
        number, result = 0, None
        try:
            result = act(*words, **more)
            return result
        except OSError as error:
            number = error.errno
            raise
        finally:
            size = len(result) if isinstance(result, bytes) else 0
            self.account.note(call, time.monotonic() - begin, what,
                              self.name_of(number, what), size)

    def name_of(self, number, path):
        """What the errno is counted as: none when some version answers so by right."""
        if number == 0 or (number == errno.ENOTDIR and path.startswith("kind")):
            return ""
        if number == errno.ENOENT and self.versions.all_have(path):
            return "ENOENT-of-what-is-there"
        return errno.errorcode.get(number, str(number))

    # -- what is looked at

    def some_path(self, kind, everywhere=False):
        while True:
            path = self.rng.choice(self.versions.paths)
            if kind == stat.S_IFREG and self.rng.random() < 0.5:
                path = self.rng.choice(("large", "large-same"))  # most of the bytes
            seen = self.versions.of(path).of_kind(kind)
            if seen and not (everywhere and len(seen) < len(self.versions.trees)):
                return path, seen

    def open(self, path, seen, flags=os.O_RDONLY, dir_fd=None):
        name = os.path.join(self.root, path) if dir_fd is None else os.path.basename(path)
        return Held(path, self.timed("open", path, os.open, name, flags | os.O_NOFOLLOW,
                                     dir_fd=dir_fd), seen)

    def open_file(self, path, seen, dir_fd=None):
        """None when another kind of thing is there, as in other versions."""
        held = self.open(path, seen, dir_fd=dir_fd)
        status = self.timed("fstat", path, os.fstat, held.fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(held.fd)
            return None
        try:
            held.narrow(lambda entry: entry.agrees_with(status), "the stat")
            os.posix_fadvise(held.fd, 0, 0, self.rng.choice(
                (os.POSIX_FADV_NORMAL, os.POSIX_FADV_RANDOM, os.POSIX_FADV_DONTNEED)))
        except BaseException:
            os.close(held.fd)
            raise
        return held

    def read_some(self, held, pieces=4):
        size = next(iter(held.seen.values())).size
        for _ in range(pieces):
            offset = self.rng.randrange(size + 1)
            wanted = self.rng.choice((100, 4096, READ_MOST))
            self.read_all(held, offset, wanted)

    def read_all(self, held, offset, wanted):
        """read(2) gives what comes before a page that failed; the next one the error."""
        while True:
            got = self.timed("read", f"{held.path}@{offset}", os.pread, held.fd, wanted, offset)
            self.compare(held, offset, wanted, got)
            offset, wanted = offset + len(got), wanted - len(got)
            if not wanted or not got:
                return

    @staticmethod
    def compare(held, offset, wanted, got):
        """Nothing is read at the end of the file only."""
        end = offset + (len(got) or wanted)
        held.narrow(lambda entry: entry.content[offset:end] == got,
                    f"what {wanted} bytes at {offset} gave ({len(got)} bytes)")

    # -- ways of looking

    def look_at_file(self):
        held = self.open_file(*self.some_path(stat.S_IFREG))
        if held is None:
            return
        if len(self.held) < HELD_MOST:
            self.held.append(held)
            self.read_some(held)
            return
        try:
            self.read_some(held)
        finally:
            os.close(held.fd)

    def look_again(self):
        """A file that is held: it is what it was, whatever is under its name by now."""
        if not self.held:
            return
        held = self.rng.choice(self.held)
        if self.rng.random() < 0.1:
            self.held.remove(held)
            os.close(held.fd)
            return
        if self.rng.random() < 0.5:
            os.posix_fadvise(held.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        status = self.timed("fstat", held.path, os.fstat, held.fd)
        held.narrow(lambda entry: entry.agrees_with(status), "the stat")
        self.read_some(held)

    def look_directly(self):
        """Past the page cache."""
        path, seen = self.some_path(stat.S_IFREG, everywhere=True)
        held = self.open(path, seen, os.O_RDONLY | os.O_DIRECT)
        with contextlib.closing(os.fdopen(held.fd, "rb", 0)):
            offset = self.rng.randrange(0, max(entry.size for entry in seen.values()) + 1, 4096)
            got = self.timed("direct read", f"{path}@{offset}", self.read_directly, held.fd,
                             offset)
            self.compare(held, offset, DIRECT_MOST, got)

    def read_directly(self, fd, offset):
        return self.page[:os.preadv(fd, [self.page], offset)]

    def look_at_directory(self):
        """All that is below an open directory is of its version, and listed whole."""
        path, seen = self.some_path(stat.S_IFDIR)
        if path == ".":
            return  # the key's own directory changes its version
        held = self.open(path, seen, os.O_RDONLY)
        try:
            status = self.timed("fstat", path, os.fstat, held.fd)
            if stat.S_ISDIR(status.st_mode):
                held.narrow(lambda entry: entry.agrees_with(status), "the stat")
                self.look_below(held)
        finally:
            os.close(held.fd)

    def look_below(self, held):
        names = frozenset(self.timed("list", held.path, os.listdir, held.fd))
        held.narrow(lambda entry: entry.names == names, f"the listing {sorted(names)}")
        for name in self.rng.sample(sorted(names), min(4, len(names))):
            path = os.path.join(held.path, name)
            seen = self.versions.of(path).among(held.seen)
            if not seen.of_kind(stat.S_IFREG):
                continue
            child = self.open_file(path, seen, dir_fd=held.fd)
            if child is None:
                raise Wrong(f"'{path}' is no file below a directory of {sorted(held.seen)}")
            try:
                self.read_some(child, 2)
            finally:
                os.close(child.fd)
            held.seen = held.seen.among(child.seen)

    def stat(self):
        path = self.rng.choice(self.versions.paths)
        status = self.timed("stat", path, os.lstat, os.path.join(self.root, path))
        if not self.versions.of(path).agreeing(lambda entry: entry.agrees_with(status)):
            raise Wrong(f"the stat of '{path}' is of no version: {status}")

    def list(self):
        path, seen = self.some_path(stat.S_IFDIR)
        try:
            names = frozenset(self.timed("list", path, os.listdir,
                                         os.path.join(self.root, path)))
        except NotADirectoryError:
            return
        if not seen.agreeing(lambda entry: entry.names == names):
            raise Wrong(f"the listing of '{path}' is of no version: {sorted(names)}")

    def link(self):
        target = self.timed("readlink", "link", os.readlink, os.path.join(self.root, "link"))
        if not self.versions.of("link").agreeing(lambda entry: entry.target == target):
            raise Wrong(f"the link leads to '{target}'")


def main(directory, longest, seed, *roots):
    account, versions = Account(float(longest)), Versions(directory)
    stop = threading.Event()
    threads = [threading.Thread(target=Reader(account, versions, root, f"{seed}/{root}/{n}").run,
                                args=(stop,)) for root in roots for n in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(account.report()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
