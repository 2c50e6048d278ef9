"""What every server of the tests has in common: a directory, ports, children, a log."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from .ports import PortBlock
from .process import TempDir, spawn, tail

ATTEMPTS = 5
START_WITHIN = 60.0


# radosgw exits with EADDRINUSE, at times before its log tells of it.
_PORT_LOST = re.compile(r"ddress already in use|'radosgw' ended with 98 ")


class StartError(Exception):
    """A server did not come up; the message holds the ends of its logs."""


@dataclass(frozen=True)
class Access:
    """A line of a server's access log. path is decoded and has no query."""
    method: str
    target: str
    status: int
    range: str | None
    size: int
    agent: str | None
    if_match: str | None = None
    if_none_match: str | None = None

    @property
    def path(self):
        return unquote(urlsplit(self.target).path)

    @property
    def query(self):
        return urlsplit(self.target).query


class Server:
    """A server in a private directory on random ports; a context manager.

    Subclasses bring it up in _launch(), with self.dir, self.port (the first of PORTS) and
    self.logs (a directory) set, and raise RuntimeError when that fails.
    """

    NAME = "server"
    PORTS = 1
    DIR_MODE = 0o700
    scheme = "http"

    def __init__(self):
        self.children = {}
        self._ports = self._tempdir = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def endpoint(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self):
        """Starts it; another block of ports is taken when one was lost to a stranger."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start_once()
                return
            except BaseException as error:
                lost = isinstance(error, StartError) and _PORT_LOST.search(str(error))
                self.stop()
                if not lost or attempt == ATTEMPTS:
                    raise

    def _start_once(self):
        self._ports = PortBlock(self.PORTS)
        self._tempdir = TempDir(f"larder-{self.NAME}-", self.DIR_MODE)
        self.dir, self.port = self._tempdir.path, self._ports.base
        self.logs = self.dir / "log"
        self.logs.mkdir()
        try:
            self._launch()
        except (RuntimeError, OSError) as error:
            raise StartError(f"{error}\n{self.log_tails()}") from error

    def _launch(self):
        raise NotImplementedError

    def stop(self):
        """Kills its processes, by pid, and removes its directory."""
        for child in self.children.values():
            child.kill()
        self.children.clear()
        if self._tempdir is not None:
            self._tempdir.remove()
        if self._ports is not None:
            self._ports.close()
        self._tempdir = self._ports = None

    def daemon(self, *argv):
        """Starts one of the server's processes, which stays."""
        child = spawn([str(word) for word in argv], cwd=self.dir,
                      log=self.logs / f"{argv[0].rpartition('/')[2]}.out")
        self.children[child.name] = child
        return child

    def freeze(self):
        """Stops the server in its tracks: it accepts and never answers, until thaw()."""
        for child in self.children.values():
            child.freeze()

    def thaw(self):
        for child in self.children.values():
            child.thaw()

    def log_tails(self):
        """The ends of all logs, for an error message."""
        return "\n".join(f"--- {path.name}\n{tail(path, 12)}"
                         for path in sorted(self.logs.iterdir()) if path.stat().st_size)
