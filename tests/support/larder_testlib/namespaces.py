"""Mount namespaces of their own, for tests that mount or hide what others need; and
containers.

A new mount namespace holds every mount that there is, and a FUSE daemon lives as long as
somebody holds its mount: those of tests beside this one could not end when they are told
to. So the new namespace lets go of them before anything else.
"""

import tempfile

_LET_GO = """\
awk -v tests="$0/larder-" -v keep="$1" \
        'index($2, tests) == 1 && $2 != keep { print $2 }' /proc/self/mounts |
    xargs -r umount --lazy --no-canonicalize
shift
exec "$@"
"""


def apart(*argv, keep=""):
    """The words that run argv in a mount namespace of its own; for root. keep: a mountpoint
    that it does not let go of."""
    return ["unshare", "-m", "sh", "-c", _LET_GO, tempfile.gettempdir(), str(keep),
            *map(str, argv)]


def container(*argv):
    """The same with processes of its own too: what argv starts ends with it, as what it
    mounts does."""
    return ["unshare", "-p", "-f", "--kill-child", "--mount-proc", *apart(*argv)]
