"""LARDER_TEST_VALGRIND=1: larder and larderfs run under valgrind, whoever starts them.

In the place of a program stands a script that runs it so. What valgrind says of any of them,
also of a daemon whose exit status nobody sees, is printed at the end of the test, which then
fails. `meson test --setup memcheckprograms --suite integration` sets it.
"""

import atexit
import functools
import os
import shutil
import sys
from pathlib import Path

from .process import TempDir

_SUPPRESSIONS = Path(__file__).parent.parent / "valgrind.supp"

# Without AES-NI and PCLMULQDQ: valgrind takes what OpenSSL's GHASH makes of them for
# uninitialised.
_SCRIPT = """#!/bin/sh
export OPENSSL_ia32cap='~0x200000200000000'
exec {valgrind} --quiet --error-exitcode=99 --vgdb=no --fair-sched=yes --leak-check=full \\
  --show-leak-kinds=definite,indirect,possible \\
  --errors-for-leak-kinds=definite,indirect,possible \\
  --suppressions='{suppressions}' --log-file='{place}/%p.log' '{program}' "$@"
"""


def wanted():
    return bool(os.environ.get("LARDER_TEST_VALGRIND"))


@functools.cache
def _place():
    """Where scripts and logs are; daemons of other users write there, too."""
    place = TempDir("larder-valgrind-", 0o1777).path
    atexit.register(_fail_if_it_spoke, place)
    return place


@functools.cache
def wrapped(path):
    """The script that stands for a program, of the same name."""
    place = _place()
    script = place / os.path.basename(path)
    script.write_text(_SCRIPT.format(place=place, program=path,
                                     suppressions=_SUPPRESSIONS,
                                     valgrind=shutil.which("valgrind")), encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def _fail_if_it_spoke(place):
    """Of system calls that it does not know it says so with -- in front."""
    said = [line for log in sorted(place.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if line.startswith("==")]
    if said:
        print("valgrind says:", *said, sep="\n", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)
