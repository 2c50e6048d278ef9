"""Nobody reads the log: a mount serves all the same, and says later what was lost."""

import os
import socket
import subprocess
import sys
import unittest
from pathlib import Path

from larder_testlib import fuse
from larder_testlib.mount import Mount, larder
from larder_testlib.namespaces import apart
from larder_testlib.process import TempDir, spawn
from larder_testlib.programs import sanitizers

TIMEOUT = 3                          # seconds, of the mounts here
SLACK = 6 if sanitizers() else 2     # for this machine to be busy
FILES, SIZE = 8, 1_500_000           # so many bytes do not compress: frames of their own
EVERY = 20_000                       # bytes of the object, one is wrong
DEVICES = ("fuse", "null", "random", "urandom", "zero")

# Reads a file and prints how it ended; a process of its own, because it may hang.
READER = """\
import errno, sys
try:
    with open(sys.argv[1], "rb") as file:
        file.read()
    print("read")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def damaged_store(home):
    """A store whose key `k` shows FILES files, none of which can be read."""
    (home / "tree").mkdir()
    for number in range(FILES):
        (home / f"tree/{number}").write_bytes(os.urandom(SIZE))
    larder("commit", "--key=k", home / "store", home / "tree")
    data = bytearray((home / "store/k").read_bytes())
    for at in range(EVERY // 2, FILES * SIZE, EVERY):
        data[at] ^= 1
    (home / "store/k").write_bytes(data)
    return home / "store"


def read(path):
    """How a read ended; AssertionError when it takes longer than a call may."""
    child = spawn([sys.executable, "-c", READER, path], stdout=subprocess.PIPE)
    try:
        return child.popen.communicate(timeout=TIMEOUT + SLACK)[0].decode().strip()
    except subprocess.TimeoutExpired:
        child.popen.kill()
        raise AssertionError(f"a read of '{path}' hangs") from None


def fill(send):
    """Until there is no room."""
    try:
        while True:
            send(b"full " * 100)
    except BlockingIOError:
        pass


def drain(take):
    """All that is there, a string."""
    parts = []
    try:
        while part := take(1 << 16):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"\n".join(parts).decode()


def check(store, take, *words):
    """The mount's log is full: reads fail in time, and the log tells of it once drained."""
    with Mount(store, f"--timeout={TIMEOUT}s", "--cache-dir=", "--prefetch=none", *words,
               key="k", foreground=False) as mount:
        paths = sorted(mount.path.iterdir())
        for path in paths[:-1]:
            said = read(path)
            assert said == "EIO", said
        assert "larderfs" not in drain(take)
        read(paths[-1])
        said = drain(take)
        assert "lines lost here, for the log had no room: " in said, said
        assert f"'{paths[-1].name}' at byte " in said, said


class Log(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = cls.enterClassContext(TempDir())
        cls.store = damaged_store(cls.home)

    def test_a_pipe_that_nobody_reads(self):
        path = self.home / "fifo"
        os.mkfifo(path)
        with open(path, "rb", buffering=0, opener=opener) as reader, \
                open(path, "wb", buffering=0, opener=opener) as writer:
            fill(lambda data: os.write(writer.fileno(), data))
            check(self.store, lambda size: os.read(reader.fileno(), size),
                  f"--log-file={path}")

    def test_a_log_daemon_that_is_stuck(self):
        """In a mount namespace of its own, with a /dev of its own."""
        child = spawn(apart(sys.executable, __file__, "--alone", self.home, self.store),
                      stderr=subprocess.PIPE)
        said = child.popen.stderr.read().decode()
        self.assertEqual(child.wait(60), 0, said)


def opener(path, flags):
    return os.open(path, flags | os.O_NONBLOCK)


def own_dev(home):
    """A /dev with little in it, so that the socket is not the machine's."""
    dev = home / "dev"
    dev.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", dev], check=True)
    for name in DEVICES:
        (dev / name).touch()
        subprocess.run(["mount", "--bind", f"/dev/{name}", dev / name], check=True)
    subprocess.run(["mount", "--rbind", dev, "/dev"], check=True)


def with_stuck_daemon(home, store):
    """What test_a_log_daemon_that_is_stuck() runs: returns when all went well."""
    own_dev(home)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as daemon:
        daemon.bind("/dev/log")
        for _ in range(2):  # what one socket sends may be too much for it, not for the daemon
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                fill(lambda data: sender.sendto(data, "/dev/log"))
        check(store, daemon.recv)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        with_stuck_daemon(*map(Path, sys.argv[2:]))
    else:
        fuse.main()
