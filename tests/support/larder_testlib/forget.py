"""Has the kernel forget what it keeps of a mount: the names that it has looked up, and the
content of what nobody has open; for root.

To write to /proc/sys/vm/drop_caches would take that from the mounts of all tests that run
beside this one. Linux does it, too, to a filesystem that is mounted anew in its place.
"""

import ctypes
import os

from .janitor import mount_points

_MS_REMOUNT = 32
# Those flags of statvfs(3) that are mount(2)'s as well: ro, nosuid, nodev, noexec, noatime.
_FLAGS = 1 | 2 | 4 | 8 | 1024

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


def forget(mountpoint):
    flags = os.statvfs(mountpoint).f_flag & _FLAGS
    if _libc.mount(None, os.fsencode(mountpoint), None, _MS_REMOUNT | flags, None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(mountpoint))


def forget_below(directory):
    """The same of all that is mounted there, what lies over another mount first: it holds
    names of that."""
    for point in reversed(mount_points(directory)):
        forget(point)
