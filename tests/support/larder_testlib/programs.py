"""Where the programs under test were built.

LARDER_BUILD names the build directory; meson's tests set it. Without it the programs
are looked for in PATH, as for an installed Larder.
"""

import functools
import json
import os
import shutil
import stat
from pathlib import Path

from . import valgrind
from .process import TempDir

_PLACES = {
    "faultproxy": "tests/support/faultproxy/faultproxy",
    "larder": "tools/larder",
    "larderfs": "fs/larderfs",
    "packdir": "tests/support/packdir",
}
_WATCHED = ("larder", "larderfs")


@functools.cache
def _for_everybody(build):
    """The build, or copies of what is run as other users, too, where these cannot get to it:
    a clone in root's home."""
    top = Path(build).resolve()
    if all(place.stat().st_mode & stat.S_IXOTH for place in (top, *top.parents)):
        return build
    copy = TempDir("larder-build-", 0o755).path
    for name in _WATCHED:
        (copy / _PLACES[name]).parent.mkdir()
        shutil.copy(top / _PLACES[name], copy / _PLACES[name])
    return str(copy)


def program(name):
    """The path of a program; FileNotFoundError when there is none."""
    build = os.environ.get("LARDER_BUILD")
    if build and name in _WATCHED:
        build = _for_everybody(build)
    path = os.path.join(build, _PLACES[name]) if build else shutil.which(name)
    if path is None or not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no program '{name}' in " + (build or "PATH"))
    return valgrind.wrapped(path) if valgrind.wanted() and name in _WATCHED else path


def sanitizers():
    """What makes the programs slower and larger than they are: meson's b_sanitize for the
    build, or valgrind; "" when it is nothing."""
    if valgrind.wanted():
        return "valgrind"
    build = os.environ.get("LARDER_BUILD")
    if not build:
        return ""
    with open(os.path.join(build, "meson-info", "intro-buildoptions.json"),
              encoding="utf-8") as file:
        value, = [o["value"] for o in json.load(file) if o["name"] == "b_sanitize"]
    return "" if value == "none" else value
