"""Processes, temporary directories and mounts that never outlive the test process.

Three nets, one under the other: each context manager stops what it started; children
carry PR_SET_PDEATHSIG; and the janitor (janitor.py), a process beside this one, clears
whatever is left when this process ends, even by SIGKILL. SIGTERM and SIGHUP let the
janitor finish first and then end this process as they would have done.

LARDER_TEST_KEEP=1 in the environment keeps the temporary directories.
"""

import atexit
import contextlib
import ctypes
import json
import os
import queue
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import janitor

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

STOP_WITHIN = 10.0


class Janitor:
    """This process's end of the pipe to its janitor, which is started at first use."""

    def __init__(self):
        self._lock = threading.RLock()  # a signal's handler may come upon its own thread's
        self._process = None
        self._owner = None

    def note(self, sign, kind, *rest):
        with self._lock:
            self._start_once()
            line = json.dumps([sign, kind, *rest]).encode() + b"\n"
            self._process.stdin.write(line)

    def finish(self):
        """Lets the janitor clear up and returns what it still found, one line each."""
        with self._lock:
            if self._process is None or self._owner != os.getpid():
                return []
            process, self._process = self._process, None
            process.stdin.close()
            found = process.stdout.read().decode(errors="replace").splitlines()
            process.stdout.close()
            process.wait()
            return found

    def _start_once(self):
        if self._process is not None and self._owner == os.getpid():
            return
        self._owner = os.getpid()
        self.token = secrets.token_hex(12)
        clean = {k: v for k, v in os.environ.items() if k != janitor.MARK}
        os.environ[janitor.MARK] = self.token
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", janitor.__file__, str(self._owner), self.token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=clean, cwd="/", bufsize=0)
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the janitor of the test processes did not start")


_janitor = Janitor()


def _at_exit():
    found = [line for line in _janitor.finish() if not line.startswith("directory ")]
    if found:
        print("left to the janitor: " + ", ".join(found), file=sys.stderr)


def _on_signal(number, _frame):
    for once in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(once, signal.SIG_IGN)
    _janitor.finish()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def install_signal_handlers():
    """SIGTERM and SIGHUP clear up first, unless the test has handlers of its own. What this
    process was told to ignore (nohup, a shell's background job) it does, but not its
    children, whom tests send signals."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _on_signal)


atexit.register(_at_exit)
install_signal_handlers()


def leftovers():
    """The pids, other than this one, that this run started and that still live."""
    token = os.environ.get(janitor.MARK)
    if token is None:
        return []
    return [pid for pid in janitor.marked_processes(token) if pid != os.getpid()]


class _Spawner:
    """A thread that lives as long as the process and starts all children.

    The parent-death signal follows the thread that forked, not the process: a child
    started from a test's own thread would die with that thread.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._jobs = None
        self._owner = None

    def call(self, function):
        with self._lock:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                self._jobs = queue.SimpleQueue()
                threading.Thread(target=self._work, args=(self._jobs,), daemon=True,
                                 name="spawner").start()
        answer = queue.SimpleQueue()
        self._jobs.put((function, answer))
        result, error = answer.get()
        if error is not None:
            raise error
        return result

    @staticmethod
    def _work(jobs):
        while True:
            function, answer = jobs.get()
            try:
                answer.put((function(), None))
            except BaseException as error:
                answer.put((None, error))


_spawner = _Spawner()


def _die_with_parent(parent):
    def in_child():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)
    return in_child


def _thread_states(pid):
    """Of all its threads, as proc(5) has them."""
    states = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.add(stat.read_text().rpartition(")")[2].split()[0])
    return states


def freeze(pid):
    """Returns when it has stopped: a running thread notices the signal a little later, and
    may answer somebody until then."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _thread_states(pid) <= {"T", "t", "X", "Z"}, f"process {pid} has stopped")


class Child:
    """A process of ours: started with spawn(), stopped by its pid."""

    def __init__(self, popen, name):
        self.popen, self.name, self.pid = popen, name, popen.pid
        self._noted = True
        _janitor.note("+", "pid", self.pid, janitor.start_time(self.pid))

    def alive(self):
        return self.popen.poll() is None

    def send(self, number):
        self.popen.send_signal(number)

    def freeze(self):
        freeze(self.pid)

    def thaw(self):
        self.send(signal.SIGCONT)

    def wait(self, seconds=STOP_WITHIN):
        """The exit status, negative for a signal; subprocess.TimeoutExpired if late."""
        status = self.popen.wait(seconds)
        self._forget()
        return status

    def stop(self, number=signal.SIGTERM, seconds=STOP_WITHIN):
        """Sends the signal, KILLs when it does not help in time; the exit status."""
        if self.alive():
            # In this order: SIGCONT takes back a SIGSTOP, also that by which a leak
            # checker stops the threads of a process that ends.
            self.thaw()
            self.send(number)
            try:
                return self.wait(seconds)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
        return self.wait(None)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def _forget(self):
        if self._noted:
            self._noted = False
            _janitor.note("-", "pid", self.pid)
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


def spawn(argv, *, name=None, log=None, **popen):
    """Starts a child that dies with this process.

    log: a path that its standard output and error are appended to, where the caller
    gives no stdout or stderr. Other keywords are those of subprocess.Popen.
    """
    _janitor.note("-", "pid", 0)  # the mark must be in the environment by now
    if popen.get("env") is not None:
        popen["env"] = {**popen["env"], janitor.MARK: os.environ[janitor.MARK]}
    popen.setdefault("stdin", subprocess.DEVNULL)
    popen.setdefault("start_new_session", True)
    popen["preexec_fn"] = _die_with_parent(os.getpid())
    output = open(log, "ab") if log is not None else None
    try:
        if output is not None:
            popen.setdefault("stdout", output)
            popen.setdefault("stderr", output)
        child = _spawner.call(lambda: subprocess.Popen(argv, **popen))
    finally:
        if output is not None:
            output.close()
    return Child(child, name or os.path.basename(os.fspath(argv[0])))


class TempDir:
    """A private temporary directory, removed at the end; a context manager."""

    def __init__(self, prefix="larder-", mode=0o700):
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        _janitor_dir("+", self.path)
        self.path.chmod(mode)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        if os.environ.get("LARDER_TEST_KEEP"):
            print(f"kept: {self.path}", file=sys.stderr)
        elif janitor.remove_tree(self.path):
            _janitor_dir("-", self.path)


def _janitor_dir(sign, path):
    if not os.environ.get("LARDER_TEST_KEEP"):
        _janitor.note(sign, "dir", str(path))


def note_mount(path):
    """Has the janitor unmount the path should this process not get to it."""
    _janitor.note("+", "mount", os.fspath(path))


def forget_mount(path):
    _janitor.note("-", "mount", os.fspath(path))


def wait_until(check, what, seconds=30.0, child=None):
    """Polls check() until it is true and returns its value.

    For servers that offer nothing to wait on. Raises RuntimeError when the time is
    over, or at once when the child that should bring it about has died.
    """
    deadline = time.monotonic() + seconds
    pause = 0.001
    while not (value := check()):
        if child is not None and not child.alive():
            raise RuntimeError(f"'{child.name}' ended with {child.popen.returncode} "
                               f"before {what}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"gave up after {seconds:g} s waiting until {what}")
        select.select([], [], [], pause)
        pause = min(pause * 1.5, 0.02)
    return value


def tail(path, lines=20):
    """The last lines of a log, for an error message."""
    try:
        text = Path(path).read_text(errors="replace")
    except OSError as error:
        return f"({error})"
    return "\n".join(text.splitlines()[-lines:])
