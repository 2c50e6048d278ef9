"""The fault proxy (tests/support/faultproxy) in front of a server.

    with Rgw() as rgw, FaultProxy(rgw.endpoint, profile="wan") as proxy:
        proxy.status(503, count=2, retry_after=1)
        run(["larder", "ls", ...], env=os.environ | rgw.env(proxy.endpoint))
        assert proxy.stats()["requests"] == 3
"""

import json
import socket
import subprocess
from urllib.parse import urlsplit

from .process import TempDir, spawn, tail
from .programs import program

REPLY_WITHIN = 30.0


class FaultProxyError(Exception):
    """The proxy refused a command, or is not there."""


class FaultProxy:
    """A running proxy; a context manager, or start() and stop() it.

    upstream: "HOST:PORT" or a URL. rtt in milliseconds, rates in bytes a second.
    """

    def __init__(self, upstream, *, rtt=None, rate=None, total_rate=None, profile=None):
        self.upstream = urlsplit(upstream).netloc if "://" in upstream else upstream
        settings = {"profile": profile, "rtt": rtt, "rate": rate, "total-rate": total_rate}
        self._options = [f"--{name}={value}" for name, value in settings.items()
                         if value is not None]
        self._child = self._tempdir = self._control = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._tempdir = TempDir("larder-proxy-")
        self.log_path = self._tempdir.path / "log"
        try:
            self._launch(self._tempdir.path / "control")
        except BaseException:
            self._close()
            raise

    def _launch(self, path):
        with open(self.log_path, "wb") as log:
            self._child = spawn([program("faultproxy"), f"--upstream={self.upstream}",
                                 f"--control={path}", *self._options],
                                stdout=subprocess.PIPE, stderr=log)
        line = self._child.popen.stdout.readline()
        if not line:
            raise FaultProxyError(f"no proxy: {tail(self.log_path)}")
        self.port = int(line)
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(REPLY_WITHIN)
        self._control.connect(str(path))
        self._replies = self._control.makefile("rb")

    def stop(self):
        """Ends the proxy; FaultProxyError if it ended by itself or with an error."""
        status, text = self._close()
        if status != 0:
            raise FaultProxyError(f"the proxy ended with {status}: {text}")

    def _close(self):
        if self._control is not None:
            self._control.close()
        status = self._child.stop() if self._child is not None else 0
        text = tail(self.log_path) if self._tempdir is not None else ""
        if self._tempdir is not None:
            self._tempdir.remove()
        self._child = self._tempdir = self._control = None
        return status, text

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._child.pid

    def command(self, *words):
        """Sends one command and returns the reply's line; errors are raised."""
        self._control.sendall(" ".join(str(word) for word in words).encode() + b"\n")
        reply = self._replies.readline().decode()
        if not reply.endswith("\n"):
            raise FaultProxyError(f"the proxy is gone: {tail(self.log_path)}")
        if reply.startswith("error "):
            raise FaultProxyError(reply[6:].strip())
        return reply.strip()

    # -- the link

    def rtt(self, milliseconds):
        self.command("rtt", milliseconds)

    def rate(self, bytes_per_second):
        """For each connection, each way; 0 for no limit."""
        self.command("rate", bytes_per_second)

    def total_rate(self, bytes_per_second):
        """For all connections together, each way; 0 for no limit."""
        self.command("total-rate", bytes_per_second)

    def profile(self, name):
        """Sets round trip and rates to those of "lan", "cloud", "wan" or "none"."""
        self.command("profile", name)

    # -- faults of connections

    def stall(self):
        """Goes silent: connections are accepted, nothing is passed on, until resume()."""
        self.command("stall")

    def tls_stall(self):
        """The same, under the name of what a TLS client sees."""
        self.command("tls-stall")

    def stall_after_headers(self):
        """Passes the heads of responses and nothing of their bodies, until resume()."""
        self.command("stall-after-headers")

    def resume(self):
        self.command("resume")

    def trickle(self, bytes_per_second=1):
        self.command("trickle", bytes_per_second)

    def reset(self):
        """RST to all running connections, once."""
        self.command("reset")

    def cut_after(self, count):
        """Closes each connection after so many bytes of responses; 0: instead of one."""
        self.command("cut-after", count)

    def reset_after(self, count):
        """The same by RST."""
        self.command("reset-after", count)

    def corrupt_every(self, count):
        """Flips a bit in each so many bytes of objects' content; 0 for never."""
        self.command("corrupt-every", count)

    def blackhole_connect(self):
        """New connections are neither made nor refused."""
        self.command("blackhole-connect")

    def refuse_connect(self):
        self.command("refuse-connect")

    # -- faults of requests

    def status(self, code, count=None, retry_after=None):
        """Answers the next count requests itself, all of them unless given."""
        words = [code]
        if count is not None or retry_after is not None:
            words.append(2**64 - 1 if count is None else count)
        if retry_after is not None:
            words.append(retry_after)
        self.command("status", *words)

    def random(self, seed, delay=None, statuses=None, **permille):
        """Strikes requests at random, the same for the same seed.

        permille: of cut, reset, stall, corrupt; statuses: {code: permille}; delay:
        (permille, longest in milliseconds).
        """
        rules = [f"{name}={value}" for name, value in permille.items()]
        rules += [f"{code}={value}" for code, value in (statuses or {}).items()]
        if delay is not None:
            rules.append(f"delay={delay[0]}:{delay[1]}")
        self.command("random", seed, *rules)

    def only(self, *methods, text=""):
        """Faults of requests strike only these methods (all if none) and targets that
        hold the text."""
        self.command("only", ",".join(methods) or "*", text)

    def clear(self):
        """No faults; the link's settings stay."""
        self.command("clear")

    # -- counting

    def log(self, on=True):
        self.command("log", "on" if on else "off")

    def stats(self):
        """Counters since the start or reset_stats(), and the log if it is on."""
        return json.loads(self.command("stats"))

    def reset_stats(self):
        self.command("reset-stats")

    def requests(self):
        """The log: a dict for each request, in the order of their arrival."""
        return self.stats()["log"]
