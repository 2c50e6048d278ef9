"""Where the programs under test were built.

LARDER_BUILD names the build directory; meson's tests set it. Without it the programs
are looked for in PATH, as for an installed Larder.
"""

import os
import shutil

_PLACES = {
    "faultproxy": "tests/support/faultproxy/faultproxy",
    "larder": "tools/larder",
    "larderfs": "fs/larderfs",
    "packdir": "tests/support/packdir",
}


def program(name):
    """The path of a program; FileNotFoundError when there is none."""
    build = os.environ.get("LARDER_BUILD")
    path = os.path.join(build, _PLACES[name]) if build else shutil.which(name)
    if path is None or not os.access(path, os.X_OK):
        raise FileNotFoundError(f"no program '{name}' in " + (build or "PATH"))
    return path
