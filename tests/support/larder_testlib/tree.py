"""Random directory trees, the same for the same seed.

    seed = make_tree(path)          # prints the seed
    make_tree(other_path, seed)     # the same tree again

Everything that an archive can hold is in it: empty, small, large and sparse files, empty
and very deep directories (paths past 4096 bytes), symbolic links that point somewhere,
nowhere and to themselves, hard links, user.* attributes, odd modes, times with
nanoseconds from 1970 to 2262, names of 255 bytes, names that are no UTF-8 and names that
trouble shells. Nothing here uses a path as a whole, so none can be too long.
"""

import contextlib
import errno
import os
import random
import socket
import stat
from dataclasses import dataclass

LAST_TIME = 2**63 - 1  # nanoseconds: April 2262
DEEP_LEVELS = 18       # of 255-byte names: 4608 bytes

_NAMES = [
    b"plain", b".hidden", b"...", b" ", b"two words", b"new\nline", b"tab\t", b"quote'\"",
    b"back\\slash", b"star*?[x]", b"-rf", b"$HOME", b"%41", b"a;b&c|d", b"\xff\xfe\x80",
    b"latin-\xe9", "n\u00e4\u00efve".encode(), "na\u0308i\u0308ve".encode(),
    "\u65e5\u672c\u8a9e".encode(), "\U0001f980".encode(), b"CASE", b"case", b"\x01\x7f",
    b"x" * 255, b"\xc3" * 255, b"trailing.", b"a.tar.gz", b"#comment", b"~",
]

_FILE_MODES = [0o644, 0o755, 0o600, 0o444, 0o400, 0o777, 0o000, 0o111, 0o222, 0o640]
_DIR_MODES = [0o755, 0o700, 0o555, 0o777, 0o500, 0o711]


@dataclass
class TreeOptions:
    """entries: about how many; big: bytes of the largest files with content.

    sparse: the size of the sparse file; deep: with a path past 4096 bytes; specials: with
    a FIFO and a socket, which no archive holds.
    """
    entries: int = 200
    big: int = 3 << 20
    sparse: int = 40 << 20
    deep: bool = True
    xattrs: bool = True
    specials: bool = False


def make_tree(path, seed=None, options=None, **changes):
    """Fills a directory, which is made if need be, and returns the seed.

    changes: fields of TreeOptions.
    """
    if seed is None:
        seed = random.SystemRandom().randrange(2**32)
    print(f"random tree: seed {seed}", flush=True)
    options = options or TreeOptions(**changes)
    os.makedirs(path, exist_ok=True)
    _Maker(seed, options).fill(os.fsencode(path))
    return seed


class _Directory:
    """A directory that is being filled: its descriptor, and what becomes of it at last."""

    def __init__(self, fd, parent, name, mode, mtime):
        self.fd, self.parent, self.name, self.mode, self.mtime = fd, parent, name, mode, mtime
        self.names = set()


class _Maker:
    def __init__(self, seed, options):
        self.random, self.options = random.Random(seed), options
        self.directories = []
        self.files = []  # (directory, name): what a hard link can name
        self.contents = []
        self.xattrs = options.xattrs
        self.readable = 0 if os.geteuid() == 0 else 0o400

    def fill(self, path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        root = _Directory(fd, None, b".", 0o755, self._time())
        self.directories.append(root)
        try:
            self._certain(root)
            while self.options.entries > 0:
                self._entry(self.random.choice(self.directories[-40:]))
        finally:
            for directory in reversed(self.directories):
                self._settle(directory)

    def _settle(self, directory):
        """Its last touch, after its children's: attributes, mode, time."""
        self._set_xattrs(directory.fd, 0.2)
        os.fchmod(directory.fd, directory.mode)
        os.utime(directory.fd, ns=(directory.mtime, directory.mtime))
        os.close(directory.fd)

    # -- what every tree has

    def _certain(self, root):
        for maker in (self._empty_file, self._small_file, self._big_file, self._sparse_file,
                      self._same_content, self._hard_link, self._hard_link, self._symlink,
                      self._long_symlink, self._own_symlink, self._directory):
            maker(root, self._name(root))
        for name in _NAMES:
            self._small_file(root, self._new_name(root, name))
        if self.options.deep:
            self._deep(root)
        if self.options.specials:
            os.mkfifo(self._name(root), 0o644, dir_fd=root.fd)
            self._socket(root)

    def _deep(self, root):
        directory = root
        for level in range(DEEP_LEVELS):
            name = self._new_name(directory, b"%03d" % level + b"d" * 252)
            directory = self._directory(directory, name)
        self._small_file(directory, self._new_name(directory, b"f" * 255))
        self._hard_link(directory, self._name(directory))
        self._symlink(directory, self._name(directory))

    def _socket(self, root):
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fchdir(root.fd)
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(os.fsdecode(self._new_name(root, b"a-socket")))
        finally:
            os.fchdir(here)
            os.close(here)

    # -- what it has by chance

    def _entry(self, directory):
        makers = ((self._small_file, 45), (self._directory, 20), (self._symlink, 10),
                  (self._hard_link, 8), (self._empty_file, 6), (self._same_content, 6),
                  (self._big_file, 1))
        maker, = self.random.choices([m for m, _ in makers], [w for _, w in makers])
        maker(directory, self._name(directory))

    def _new_name(self, directory, name):
        directory.names.add(name)
        self.options.entries -= 1
        return name

    def _name(self, directory):
        """A name that the directory does not have yet."""
        while True:
            kind = self.random.random()
            if kind < 0.15:
                name = self.random.choice(_NAMES)[:240] + b"%d" % self.random.randrange(1000)
            elif kind < 0.2:
                name = self.random.randbytes(self.random.randrange(1, 100))
                name = name.replace(b"/", b"_").replace(b"\0", b"0")
            else:
                name = b"%x" % self.random.getrandbits(32)
            if name not in directory.names and name not in (b".", b".."):
                return self._new_name(directory, name)

    def _time(self):
        pick = self.random.random()
        if pick < 0.7:  # the past decades
            return self.random.randrange(2_000_000_000 * 10**9)
        return self.random.choice([0, 1, 999_999_999, 2**31 * 10**9 + 5, 2**32 * 10**9 - 1,
                                   LAST_TIME, self.random.randrange(LAST_TIME)])

    def _set_xattrs(self, fd, chance):
        if not self.xattrs or self.random.random() > chance:
            return
        for _ in range(self.random.randrange(1, 4)):
            name = "user." + self.random.choice(["a", "mime_type", "larder.test", "\u00e9",
                                                 "x" * 200])
            value = self.random.randbytes(self.random.choice([0, 1, 20, 300]))
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                if error.errno != errno.ENOTSUP:
                    raise
                print("random tree: no user.* attributes here")
                self.xattrs = False
                return

    # -- the kinds

    def _content(self, size):
        """Sometimes as compressible as source code, sometimes not at all."""
        if self.random.random() < 0.4:
            return self.random.randbytes(size)
        words = [self.random.randbytes(self.random.randrange(1, 12)) for _ in range(40)]
        text = b" ".join(self.random.choices(words, k=min(size // 4, 2000) + 1))
        parts, length = [], 0
        while length < size:  # longer than a text: texts with something new between
            parts += [text, self.random.randbytes(len(text) // 8)]
            length += len(text) + len(parts[-1])
        return b"".join(parts)[:size]

    def _file(self, directory, name, write):
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600,
                     dir_fd=directory.fd)
        try:
            write(fd)
            self._set_xattrs(fd, 0.15)
            os.fchmod(fd, self.random.choice(_FILE_MODES) | self.readable)
            time = self._time()
            os.utime(fd, ns=(time, time))
        finally:
            os.close(fd)
        self.files.append((directory, name))

    def _write_file(self, directory, name, content):
        def write(fd):
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view):]

        self._file(directory, name, write)

    def _empty_file(self, directory, name):
        self._write_file(directory, name, b"")

    def _small_file(self, directory, name):
        size = int(self.random.paretovariate(0.7) * 200) % 100_000
        content = self._content(size)
        self.contents.append(content)
        self._write_file(directory, name, content)

    def _big_file(self, directory, name):
        self._write_file(directory, name,
                         self._content(self.random.randrange(self.options.big // 2,
                                                             self.options.big)))

    def _same_content(self, directory, name):
        """The content of another file, in a file of its own."""
        self._write_file(directory, name, self.random.choice(self.contents or [b"same"]))

    def _sparse_file(self, directory, name):
        size = self.options.sparse

        def write(fd):
            os.truncate(fd, size)
            for at in (0, size // 3, size - 5000):
                os.pwrite(fd, self._content(5000), at)

        self._file(directory, name, write)

    def _directory(self, directory, name):
        os.mkdir(name, 0o700, dir_fd=directory.fd)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                     dir_fd=directory.fd)
        made = _Directory(fd, directory, name, self.random.choice(_DIR_MODES), self._time())
        self.directories.append(made)
        return made

    def _link(self, directory, name, target):
        os.symlink(target, name, dir_fd=directory.fd)
        time = self._time()
        os.utime(name, ns=(time, time), dir_fd=directory.fd, follow_symlinks=False)

    def _symlink(self, directory, name):
        near = [n for d, n in self.files if d is directory]
        self._link(directory, name, self.random.choice([
            near[-1] if near else b".", b"nowhere/\xff", b"/absolute/nowhere", b"..", b"/",
            b"a" * self.random.randrange(1, 300)]))

    def _long_symlink(self, directory, name):
        self._link(directory, name, b"long/" * 819)  # 4095 bytes, the most there is

    def _own_symlink(self, directory, name):
        self._link(directory, name, name)

    def _hard_link(self, directory, name):
        if not self.files:
            self._empty_file(directory, name)
            return
        source, source_name = self.random.choice(self.files[-30:])
        os.link(source_name, name, src_dir_fd=source.fd, dst_dir_fd=directory.fd,
                follow_symlinks=False)


@contextlib.contextmanager
def _writable(path):
    """Lets the owner write to the file or directory, and puts its mode back."""
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    os.chmod(path, mode | 0o300)
    try:
        yield
    finally:
        os.chmod(path, mode)


def _replace(name, chance):
    """Removes a file and makes another beside it."""
    size = os.lstat(name).st_size
    place = os.path.dirname(name)
    with _writable(place):
        os.unlink(name)
        with open(os.path.join(place, b"new-%x" % chance.getrandbits(48)), "xb") as file:
            file.write(chance.randbytes(max(1, size)))


def _rewrite(name, chance):
    with _writable(name), open(name, "r+b") as file:
        file.write(chance.randbytes(max(1, os.lstat(name).st_size)))


def change_tree(path, seed, share=0.01):
    """Changes a share of the tree's regular files, at least one, as the next build might.

    Two in three get other content, the others are replaced by a new one of another name.
    Returns how many. Meant for ordinary trees, whose paths fit into PATH_MAX.
    """
    chance = random.Random(seed)
    files = []
    for place, directories, names in os.walk(os.fsencode(path)):
        directories.sort()
        files += [os.path.join(place, name) for name in sorted(names)]
    files = [name for name in files if stat.S_ISREG(os.lstat(name).st_mode)]
    chosen = chance.sample(files, max(1, round(share * len(files))))
    for name in chosen:
        (_replace if chance.random() < 1 / 3 else _rewrite)(name, chance)
    return len(chosen)
