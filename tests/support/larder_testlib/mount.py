"""Runs larder and larderfs from the build, in an environment of their own.

    with Rgw() as rgw:
        store = f"s3://{rgw.make_bucket()}"
        larder("commit", "--key", "k", store, tree, env=rgw.env())
        with Mount(store, key="k", env=rgw.env()) as mount:
            assert compare_trees(tree, mount.path) == []

A mount is always undone, and its daemon ended by its pid, whatever happens meanwhile.
Nothing here touches what is mounted, so a hung daemon hangs no test.
"""

import contextlib
import functools
import os
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import janitor
from .process import TempDir, forget_mount, note_mount, spawn, tail
from .programs import program

MOUNT_WITHIN = 60.0
END_WITHIN = 15.0

_FOREIGN = ("AWS_", "LARDER_", "XDG_")


@functools.cache
def private_home():
    """A home directory for this process's tests, removed when it ends."""
    return str(TempDir("larder-home-").path)


def environment(*changes):
    """This process's environment without what would leak into a test: settings of Larder
    and of S3 clients, proxies, the home directory. changes: dicts, the last one wins."""
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")}
    clean["HOME"] = private_home()
    clean["LC_ALL"] = "C.UTF-8"
    for change in changes:
        clean.update(change or {})
    return clean


@dataclass(frozen=True)
class Result:
    """How a command ended. Texts are decoded with surrogateescape."""
    arguments: tuple
    status: int
    out: str
    err: str


def larder(*arguments, env=None, timeout=60, ok=(0,), cwd=None, stdin=b""):
    """Runs larder; AssertionError unless its status is among ok (None: any is).

    timeout: seconds, then it is killed and AssertionError raised.
    """
    words = [os.fspath(word) for word in arguments]
    child = spawn([program("larder"), *words], env=environment(env), cwd=cwd,
                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = child.popen.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        raise AssertionError(f"larder {words} did not end within {timeout} s") from None
    finally:
        child.kill()
    result = Result(tuple(words), child.popen.returncode,
                    *(text.decode(errors="surrogateescape") for text in (out, err)))
    if ok is not None and result.status not in ok:
        raise AssertionError(f"larder {words} ended with {result.status}:\n{result.err}")
    return result


class MountError(Exception):
    """larderfs did not mount, or did not end well; the message holds its log's end."""


class Mount:
    """A mounted store; a context manager, or start() and stop() it.

    options: more words for larderfs. env: changes to environment(). cache: the cache
    directory, one of its own unless given. path: the mount point, one of its own unless
    given. foreground: False lets it detach itself, as users have it. cwd: where it is
    started, here unless given.
    """

    def __init__(self, store, *options, key=None, env=None, cache=None, path=None,
                 foreground=True, cwd=None):
        self.store, self.options, self.key, self.env = os.fspath(store), options, key, env
        self.foreground = foreground
        self._cache, self._path, self._cwd = cache, path, cwd
        self._child = self._tempdir = None
        self._killed = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, error, *_):
        self.stop(check=error is None)

    def start(self):
        """Mounts, and returns when the mount serves: its end before is a failed start."""
        self._tempdir = TempDir("larder-mount-", 0o755)
        place = self._tempdir.path
        self.path = Path(self._path or place / "mnt")
        self.cache = Path(self._cache or place / "cache")
        self.log_path = place / "log"
        self.path.mkdir(exist_ok=True)
        note_mount(self.path)
        try:
            self._launch()
            self._await_mount()
        except BaseException:
            self.stop(check=False)
            raise

    def _launch(self):
        words = [program("larderfs"), *map(os.fspath, self.options)]
        words += [f"--key={self.key}"] if self.key is not None else []
        words += ["--foreground"] if self.foreground else []
        env = environment({"LARDER_CACHE_DIR": str(self.cache)}, self.env)
        self._child = spawn([*words, "--", self.store, str(self.path)], env=env,
                            log=self.log_path, cwd=self._cwd)

    def _await_mount(self):
        deadline = time.monotonic() + MOUNT_WITHIN
        with open("/proc/self/mountinfo", "rb") as table:
            changes = select.poll()
            changes.register(table, select.POLLERR | select.POLLPRI)
            while not (self.is_mounted() and self._serves()):
                gone = not self._child.alive()
                if gone and not self.is_mounted():
                    status = self._child.popen.returncode
                    raise MountError(f"larderfs ended with {status}:\n{self.log()}")
                if time.monotonic() > deadline:
                    raise MountError(f"not mounted after {MOUNT_WITHIN} s:\n{self.log()}")
                changes.poll(20)
        if not self.foreground and (status := self._child.wait(END_WITHIN)) != 0:
            raise MountError(f"larderfs ended with {status}:\n{self.log()}")

    def _serves(self):
        """A larderfs in the foreground says so."""
        return not self.foreground or b"larderfs: mounted '" in self.log_path.read_bytes()

    def is_mounted(self):
        return os.fsencode(self.path) in janitor.mount_points()

    def log(self, lines=60):
        """The end of what larderfs wrote."""
        return tail(self.log_path, lines)

    def pids(self):
        """The daemon's, whether in the foreground or not; none when it has ended."""
        if self.foreground:
            return [self._child.pid] if self._child.alive() else []
        wanted = os.fsencode(self.path)
        return [pid for pid in janitor.marked_processes(os.environ[janitor.MARK])
                if wanted in _arguments(pid)]

    def send(self, number):
        """Sends the daemon a signal."""
        for pid in self.pids():
            os.kill(pid, number)

    def kill(self):
        """Kills the daemon as a crash would; the mount point stays, dead."""
        self._killed = True
        for pid in self.pids():
            janitor.kill_and_wait(pid, janitor.start_time(pid))

    def unmount(self):
        """Unmounts, lazily if it is busy, and waits for the daemon to end."""
        if self.is_mounted() and not janitor.unmount(self.path):
            raise MountError(f"'{self.path}' cannot be unmounted")
        self._await_end()

    def _await_end(self):
        if self.foreground:
            self._child.wait(END_WITHIN)
            return
        deadline = time.monotonic() + END_WITHIN
        while pids := self.pids():
            handle = os.pidfd_open(pids[0])
            ended = select.select([handle], [], [], max(0, deadline - time.monotonic()))[0]
            os.close(handle)
            if not ended:
                raise subprocess.TimeoutExpired("larderfs", END_WITHIN)

    def stop(self, check=True):
        """Unmounts and ends the daemon, by force if need be.

        check: MountError if it needed force or ended with another status than 0, unless
        the test killed it.
        """
        if self._tempdir is None:
            return
        trouble = self._end()
        log = self.log()
        forget_mount(self.path)
        self._tempdir.remove()
        self._child = self._tempdir = None
        if check and trouble and not self._killed:
            raise MountError(f"{trouble}:\n{log}")

    def _end(self):
        """What went wrong, or None."""
        if self._child is None:
            return None
        try:
            self.unmount()
            trouble = None
        except (MountError, subprocess.TimeoutExpired) as error:
            trouble = f"larderfs had to be killed ({error})" + "".join(
                f"\n{line}" for pid in self.pids() for line in _threads(pid))
        for pid in self.pids():
            janitor.kill_and_wait(pid, janitor.start_time(pid))
        status = self._child.kill()
        janitor.unmount(self.path)
        if trouble is None and status != 0:
            trouble = f"larderfs ended with {status}"
        return trouble


def _threads(pid):
    """What each thread of a stuck daemon is waiting in, for who reads of the failure."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            yield " ".join((task / name).read_text().strip()
                           for name in ("comm", "wchan", "syscall"))


def _arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
