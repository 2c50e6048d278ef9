"""Finds every difference between two directory trees.

Both are walked by directory descriptors, so paths may be longer than PATH_MAX, and no
symbolic link is followed.
"""

import errno
import os
import resource
import stat

PIECE = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def compare_trees(expected, actual, *, content=True, mtime=True, xattrs=True, owner=False,
                  root=True, specials=False):
    """A list of differences, one sentence each, empty when the trees are equal.

    Compared are names, types, modes, sizes, times, link targets, content, user.*
    attributes, which names share an inode, and how many do. owner: uid and gid, too.
    root: the two directories themselves, too. specials: expect FIFOs, sockets and devices
    to be there; without, that they are missing from actual.
    """
    _allow_many_files()
    walk = _Comparison(content, mtime, xattrs, owner, specials)
    fds = [os.open(path, _DIRECTORY) for path in (expected, actual)]
    if root:
        walk.compare_node(b".", *(_Node(fd, b".") for fd in fds))
    walk.compare_directories(*fds)
    return walk.differences


def _allow_many_files():
    """A very deep tree keeps a descriptor open for each level."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 100_000 if hard == resource.RLIM_INFINITY else min(hard, 100_000)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _show(path):
    return ascii(os.fsdecode(path))[1:-1]


class _Node:
    """An entry of a directory."""

    def __init__(self, directory, name):
        self.directory, self.name = directory, name
        self.stat = os.stat(name, dir_fd=directory, follow_symlinks=False)
        self.kind = stat.S_IFMT(self.stat.st_mode)

    def target(self):
        return os.readlink(self.name, dir_fd=self.directory)

    def open(self, flags=os.O_RDONLY):
        return os.open(self.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.directory)

    def xattrs(self):
        """The user.* attributes, whatever the mode says of reading."""
        handle = self.open(os.O_PATH)
        try:
            path = f"/proc/self/fd/{handle}"
            return {name: os.getxattr(path, name) for name in os.listxattr(path)
                    if name.startswith("user.")}
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return {}
            raise
        finally:
            os.close(handle)


_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
          stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device",
          stat.S_IFBLK: "device"}
_HELD = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


class _Comparison:
    def __init__(self, content, mtime, xattrs, owner, specials):
        self.differences = []
        self.content, self.mtime, self.xattrs = content, mtime, xattrs
        self.owner, self.specials = owner, specials
        self.inodes = {}   # of expected -> of actual, and its first name
        self.reverse = {}

    def note(self, path, text):
        self.differences.append(f"{_show(path)}: {text}")

    # -- directories, without recursion: the deepest have thousands of levels

    def compare_directories(self, expected, actual):
        """Takes over both descriptors."""
        stack = [(b"", expected, actual, self._children(b"", expected, actual))]
        while stack:
            path, one, two, children = stack[-1]
            child = next(children, None)
            if child is None:
                os.close(one)
                os.close(two)
                stack.pop()
                continue
            below = os.path.join(path, child.name)
            fds = self._open_both(below, child.directory, two, child.name)
            if fds is not None:
                stack.append((below, *fds, self._children(below, *fds)))

    def _open_both(self, path, one, two, name):
        fds = []
        try:
            for directory in (one, two):
                fds.append(os.open(name, _DIRECTORY, dir_fd=directory))
            return fds
        except OSError as error:
            for fd in fds:
                os.close(fd)
            self.note(path, f"cannot be opened: {error.strerror}")
            return None

    def _children(self, path, expected, actual):
        """Compares what two directories hold; gives the directories among it."""
        names = [self._names(path, fd) for fd in (expected, actual)]
        for name in sorted(set(names[1]) - set(names[0])):
            self.note(os.path.join(path, name), "should not exist")
        for name in sorted(names[0]):
            child = self._compare_child(path, name, expected, actual, names[1])
            if child is not None and child.kind == stat.S_IFDIR:
                yield child

    def _names(self, path, fd):
        """{name: type as readdir told it}."""
        try:
            with os.scandir(fd) as entries:
                return {os.fsencode(e.name): _told_type(e) for e in entries}
        except OSError as error:
            self.note(path or b".", f"cannot be listed: {error.strerror}")
            return {}

    def _compare_child(self, path, name, expected, actual, there):
        """The expected node when both exist and are of one kind."""
        full = os.path.join(path, name)
        one = _Node(expected, name)
        held = self.specials or one.kind in _HELD
        if name not in there:
            if held:
                self.note(full, "is missing")
            return None
        if not held:
            self.note(full, f"a {_KINDS[one.kind]} should not be there")
            return None
        try:
            two = _Node(actual, name)
            if there[name] not in (None, two.kind):
                self.note(full, "readdir tells another type than stat")
            return one if self.compare_node(full, one, two) else None
        except OSError as error:
            self.note(full, f"cannot be compared: {error.strerror}")
            return None

    # -- one entry

    def compare_node(self, path, one, two):
        """False when they are of different kinds."""
        if one.kind != two.kind:
            self.note(path, f"is a {_KINDS[two.kind]}, not a {_KINDS[one.kind]}")
            return False
        self._field(path, "mode", *(oct(stat.S_IMODE(n.stat.st_mode)) for n in (one, two)))
        if self.mtime:
            self._field(path, "mtime", one.stat.st_mtime_ns, two.stat.st_mtime_ns)
        if self.owner:
            self._field(path, "uid", one.stat.st_uid, two.stat.st_uid)
            self._field(path, "gid", one.stat.st_gid, two.stat.st_gid)
        if self.xattrs:
            self._field(path, "attributes", one.xattrs(), two.xattrs())
        if one.kind != stat.S_IFDIR:
            self._field(path, "size", one.stat.st_size, two.stat.st_size)
            self._links(path, one.stat, two.stat)
        if one.kind == stat.S_IFLNK:
            self._field(path, "target", one.target(), two.target())
        if one.kind == stat.S_IFREG and self.content:
            self._content(path, one, two)
        return True

    def _field(self, path, name, expected, actual):
        if expected != actual:
            self.note(path, f"{name} is {actual!r}, not {expected!r}")

    def _links(self, path, one, two):
        """Names that share an inode must share one there, and no others may."""
        self._field(path, "link count", one.st_nlink, two.st_nlink)
        here, there = (one.st_dev, one.st_ino), (two.st_dev, two.st_ino)
        twin, first = self.inodes.setdefault(here, (there, path))
        if twin != there:
            self.note(path, f"is not the same file as {_show(first)}")
        elif self.reverse.setdefault(there, here) != here:
            self.note(path, "is the same file as one that it should not be")

    def _content(self, path, one, two):
        with os.fdopen(one.open(), "rb", 0) as left, os.fdopen(two.open(), "rb", 0) as right:
            at = 0
            while True:
                a, b = _read_piece(left), _read_piece(right)
                if a != b:
                    self.note(path, f"content differs at byte {at + _first_difference(a, b)}")
                    return
                if not a:
                    return
                at += len(a)


def _told_type(entry):
    """What readdir said of the entry's type, None if nothing; no stat is made for it."""
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else None


def _read_piece(file):
    """A whole piece unless the file ends: reads may be short."""
    parts, length = [], 0
    while length < PIECE:
        part = file.read(PIECE - length)
        if not part:
            break
        parts.append(part)
        length += len(part)
    return b"".join(parts)


def _first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
