"""Running `larder` as a user would, in a home and an environment of the test's own."""

import os
import subprocess
from pathlib import Path

from larder_testlib.programs import program

# What would reach a command from outside the test.
_FOREIGN = ("LARDER_", "AWS_", "XDG_", "SOURCE_DATE_EPOCH", "HTTP", "http", "NO_PROXY",
            "no_proxy", "ALL_PROXY", "all_proxy")
_OF_THE_TESTS = ("LARDER_BUILD", "LARDER_TEST_VALGRIND")


class Result:
    """How a run ended: .code (negative for a signal), .out and .err as text."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.decode(errors="replace")
        self.err = done.stderr.decode(errors="replace")

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Cli:
    """larder with HOME at `home`; `env` adds variables."""

    def __init__(self, home, env=None):
        self.home = Path(home)
        self.env = {name: value for name, value in os.environ.items()
                    if name in _OF_THE_TESTS or not name.startswith(_FOREIGN)}
        self.env |= {"HOME": str(self.home), "LC_ALL": "C.UTF-8",
                     "AWS_EC2_METADATA_DISABLED": "true",
                     # ThreadSanitizer would wait a second at each end of a process.
                     "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "")
                     + " atexit_sleep_ms=0"} | (env or {})
        self.path = program("larder")

    def run(self, *words, env=None, seconds=60, **popen):
        """Runs it to its end. TimeoutExpired when that takes longer than `seconds`."""
        popen = {"stdin": subprocess.DEVNULL, "cwd": self.home} | popen
        return Result(subprocess.run([self.path, *map(str, words)], capture_output=True,
                                     env=self.env | (env or {}), timeout=seconds, **popen))

    def start(self, *words, env=None, **popen):
        """Popen of it, its standard output and error in pipes unless told otherwise."""
        popen = {"stdin": subprocess.DEVNULL, "cwd": self.home, "stdout": subprocess.PIPE,
                 "stderr": subprocess.PIPE} | popen
        return subprocess.Popen([self.path, *map(str, words)], env=self.env | (env or {}),
                                **popen)
