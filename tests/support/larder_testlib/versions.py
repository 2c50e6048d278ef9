"""Trees that tell in every changed file which version they are, and what a reader may see.

    make_versions(directory, 6, seed)       directory/0 ... directory/5
    versions = Versions(directory)          what is in them, held in memory
    seen = versions.of("changed/3")         all versions that have the path
    seen = seen.agreeing(lambda e: e.content[at:at + len(got)] == got)

Whoever holds one file or directory narrows what it may be down with everything it sees:
when nothing is left it saw two versions, or none.
"""

import os
import random
import stat
from dataclasses import dataclass
from pathlib import Path

SHARED, CHANGED, OWN = 12, 30, 3  # small files of each kind
LARGE, LARGE_SHARED = 32 << 20, 5 << 20  # more than the daemon holds in memory

_KINDS = (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK)


@dataclass(frozen=True)
class Entry:
    """What stat, readlink, readdir and read say of a path; None where they do not apply."""
    kind: int
    mode: int
    mtime_ns: int
    size: int
    links: int
    content: bytes | None = None
    target: str | None = None
    names: frozenset | None = None

    def agrees_with(self, status):
        """Is this what a stat of it may say?"""
        mine = (self.kind, self.mode, self.mtime_ns)
        said = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_mtime_ns)
        return mine == said and (self.kind == stat.S_IFDIR or (self.size, self.links) == (
            status.st_size, status.st_nlink))


class Seen(dict):
    """{version: Entry} of what something may still be."""

    def agreeing(self, holds):
        return Seen((version, entry) for version, entry in self.items() if holds(entry))

    def among(self, versions):
        return Seen((version, self[version]) for version in self.keys() & set(versions))

    def of_kind(self, kind):
        return self.agreeing(lambda entry: entry.kind == kind)


class Versions:
    """All versions below a directory, one in each of its directories, by number."""

    def __init__(self, directory):
        self.trees = {int(path.name): _load(path) for path in Path(directory).iterdir()}
        self.paths = sorted({path for tree in self.trees.values() for path in tree})

    def of(self, path):
        return Seen((version, tree[path]) for version, tree in self.trees.items()
                    if path in tree)

    def all_have(self, path):
        return all(path in tree for tree in self.trees.values())


def _load(root):
    tree = {}
    for at, directories, files in os.walk(root):
        for name in [".", *directories, *files] if at == str(root) else directories + files:
            path = os.path.normpath(os.path.join(at, name))
            tree[os.path.relpath(path, root)] = _entry(path)
    return tree


def _entry(path):
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    assert kind in _KINDS, path
    return Entry(kind, stat.S_IMODE(status.st_mode), status.st_mtime_ns, status.st_size,
                 status.st_nlink,
                 content=Path(path).read_bytes() if kind == stat.S_IFREG else None,
                 target=os.readlink(path) if kind == stat.S_IFLNK else None,
                 names=frozenset(os.listdir(path)) if kind == stat.S_IFDIR else None)


def make_versions(directory, count, seed):
    """Makes directory/0 and so on. The same seed makes the same trees."""
    for version in range(count):
        _Tree(Path(directory) / str(version), version, seed).make()


class _Tree:
    def __init__(self, root, version, seed):
        self.root, self.version, self.seed = root, version, seed

    def make(self):
        self.root.mkdir(parents=True)
        for number in range(SHARED):
            self.file(f"same/{number}", changes=False)
        for number in range(CHANGED):
            self.file(f"changed/{number}")
        for number in range(OWN):
            self.file(f"own-{self.version}/{number}")
        self.file("deep/a/b/c/file")
        self.file("large", LARGE)
        self.file("large-same", LARGE_SHARED, changes=False)
        self.file("kind/inner" if self.version % 2 else "kind")
        os.symlink(f"target-of-{self.version}", self.root / "link")
        os.link(self.root / "changed/0", self.root / "deep/a/linked")
        self.settle()

    def file(self, name, size=None, changes=True):
        owner = self.version if changes else "every"
        rng = random.Random(f"{self.seed}/{owner}/{name}")
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size or rng.choice((0, 90, 3000, 20_000, 70_000))))
        path.chmod(0o600 | self.version % 8 if changes else 0o640)
        os.utime(path, (1, 10**6 + self.version if changes else 10**6))

    def settle(self):
        """Directories' times tell the version too."""
        for at, directories, _ in os.walk(self.root, topdown=False):
            for name in directories:
                self.touch(os.path.join(at, name))
        self.touch(self.root / "link")
        self.touch(self.root)

    def touch(self, path):
        os.utime(path, (1, 2 * 10**6 + self.version), follow_symlinks=False)
