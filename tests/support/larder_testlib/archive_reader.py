"""Reads and proves Larder archives, written from docs/format.md alone.

    archive = Archive.open(path)
    archive.prove()                # raises FormatError at the first byte that is wrong
    archive.entry(b"a/b").size
    archive.content(archive.entry(b"a/b"))

prove() derives the whole tar anew from the index and the files' contents, header by
header, and compares it with the one in the frames; so it is the page's second
implementation, for writers as well as for readers.
"""

import hashlib
import mmap
import stat
import struct
from dataclasses import dataclass, field

from larder_testlib import tar_expected
from larder_testlib.zstd import Seekable, decompress_frame, has_checksum

DIGESTS, INDEX, IDENTITY = 0x184D2A50, 0x184D2A51, 0x184D2A54
_REQUIRED = {1, 2, 3, 4, 5, 6, 7, 8, 13, 14}
_KNOWN = _REQUIRED | {9, 10, 11, 12, 15}


class FormatError(Exception):
    """The archive is not what docs/format.md says."""


def _check(condition, text):
    if not condition:
        raise FormatError(text)


@dataclass
class Entry:
    number: int
    parent: int
    name: bytes
    mode: int
    mtime_s: int
    mtime_ns: int  # the nanoseconds beside the seconds
    size: int
    place: int
    uid: int = 0
    gid: int = 0
    primary: int = None  # the entry whose inode this is another name of
    target: bytes = b""
    xattrs: dict = field(default_factory=dict)
    digest: bytes = b""
    children: range = range(0)

    @property
    def is_directory(self):
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self):
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self):
        return stat.S_ISLNK(self.mode)


@dataclass
class Frame:
    stored: int
    raw: int
    digest: bytes
    offset: int  # in the object
    place: int   # in the tar


class Archive:
    def __init__(self, data):
        self.data = data
        self.seekable = Seekable(data)
        stored = self._find_index()
        self.identity = hashlib.sha256(stored).hexdigest()
        self.stored_index_size = len(stored)
        self._parse(decompress_frame(stored))

    @classmethod
    def open(cls, path):
        with open(path, "rb") as file:
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    # -- reading

    def _find_index(self):
        """Backwards over the entries without content, as a reader of a tail would."""
        i = len(self.seekable.entries) - 1
        while i >= 0 and self.seekable.entries[i][1] == 0:
            magic, content = self.seekable.skippable(i)
            if magic == INDEX:
                return content
            i -= 1
        raise FormatError("there is no index")

    def _parse(self, raw):
        magic, version, sections, count, frames, self.tar_size, flags = struct.unpack_from(
            "<8sIIQQQQ", raw)
        _check(magic == b"LARDERIX" and version == 1 and flags == 0, "another index")
        self.sections = self._sections(raw, sections)
        _check(_REQUIRED <= set(self.sections) <= _KNOWN, "sections are missing or unknown")
        self._parse_frames(frames)
        self._parse_entries(count)
        self._parse_links()
        self._parse_targets()
        self._parse_xattrs()
        self._parse_children()
        self._parse_outer()

    def _sections(self, raw, count):
        found, end, last = {}, 48 + 32 * count, 0
        for i in range(count):
            number, flags, offset, length, zero = struct.unpack_from(
                "<IIQQQ", raw, 48 + 32 * i)
            _check(number > last and zero == 0 and flags in (0, 1), "the table of sections")
            _check(offset % 8 == 0 and not any(raw[end:offset]), f"place of section {number}")
            found[number] = raw[offset:offset + length]
            _check(len(found[number]) == length, f"section {number} is cut short")
            end, last = offset + length, number
        _check(end == len(raw), "something follows the sections")
        return found

    def _column(self, number, code, count):
        column = struct.unpack(f"<{count}{code}", self.sections[number])
        return column

    def _parse_frames(self, count):
        sizes = self._column(13, "I", 2 * count)
        digests, offset, place, self.frames = self.sections[14], 0, 0, []
        _check(len(digests) == 32 * count, "frame digests")
        for i in range(count):
            stored, raw = sizes[2 * i:2 * i + 2]
            self.frames.append(Frame(stored, raw, digests[32 * i:32 * i + 32], offset, place))
            offset, place = offset + stored, place + raw
        _check(place == self.tar_size, "the frames do not make up the tar")

    def _parse_entries(self, count):
        lengths, names, ends = self.sections[3], self.sections[4], [0]
        _check(len(lengths) == count and lengths[0] == 0 and all(lengths[1:]), "name lengths")
        for length in lengths:
            ends.append(ends[-1] + length)
        columns = zip(self._column(2, "I", count), self._column(1, "H", count),
                      self._column(5, "q", count), self._column(6, "I", count),
                      self._column(7, "Q", count), self._column(8, "Q", count))
        self.entries = [
            Entry(i, parent, names[ends[i]:ends[i + 1]], mode, seconds, ns, size, place)
            for i, (parent, mode, seconds, ns, size, place) in enumerate(columns)]
        _check(ends[-1] == len(names), "names")
        self.has_owners = 9 in self.sections
        if self.has_owners:
            for entry, owner in zip(self.entries, struct.iter_unpack("<II", self.sections[9])):
                entry.uid, entry.gid = owner

    def _parse_links(self):
        last = -1
        for number, primary in struct.iter_unpack("<II", self.sections.get(11, b"")):
            one, two = self.entries[number], self.entries[primary]
            _check(number > last and number != primary, "the order of links")
            _check((one.mode, one.mtime_s, one.mtime_ns, one.size, one.place, one.uid, one.gid)
                   == (two.mode, two.mtime_s, two.mtime_ns, two.size, two.place, two.uid,
                       two.gid), f"link {number} does not repeat {primary}")
            one.primary, last = primary, number
        for entry in self.entries:
            _check(entry.primary is None or self.entries[entry.primary].primary is None,
                   "a link to a link")

    def _parse_targets(self):
        for entry in self.entries:
            if entry.is_symlink:
                entry.target = self.sections[10][entry.place:entry.place + entry.size]
                _check(1 <= len(entry.target) == entry.size <= 4095, "a symlink's target")

    def _parse_xattrs(self):
        raw, at, last = self.sections.get(12, b""), 0, (-1, b"")
        while at < len(raw):
            number, name_len, value_len, zero = struct.unpack_from("<IIII", raw, at)
            name = raw[at + 16:at + 16 + name_len]
            value = raw[at + 16 + name_len:at + 16 + name_len + value_len]
            _check(zero == 0 and (number, name) > last, "the order of xattrs")
            _check(name.startswith(b"user."), "an xattr's name")
            _check(self.entries[number].primary is None, "xattrs of a hard link")
            self.entries[number].xattrs[name] = value
            last = number, name
            end = at + 16 + name_len + value_len
            at = (end + 7) // 8 * 8
            _check(not any(raw[end:at]), "padding of xattrs")

    def _parse_children(self):
        first = 1
        for entry in self.entries:
            if not entry.is_directory:
                continue
            _check(entry.place == (first if entry.size else 0), "a directory's first child")
            entry.children = range(first, first + entry.size)
            names = [self.entries[child].name for child in entry.children]
            _check(names == sorted(set(names)), "the order of children")
            for child in entry.children:
                _check(self.entries[child].parent == entry.number < child, "a parent")
            first += entry.size
        _check(first == len(self.entries), "entries without a directory")

    def _parse_outer(self):
        self.outer = {}
        for i in range(0, len(self.sections.get(15, b"")), 64):
            number, _, offset, length, raw, digest = struct.unpack_from(
                "<IIQQQ32s", self.sections[15], i)
            stored = bytes(self.data[offset:offset + length])
            _check(hashlib.sha256(stored).digest() == digest, f"digest of section {number}")
            _check(struct.unpack("<II", self.data[offset - 8:offset])
                   == (0x184D2A4F + number, length), f"place of section {number}")
            self.outer[number] = decompress_frame(stored)
            _check(len(self.outer[number]) == raw, f"size of section {number}")
        digests = self.outer.get(1, b"")
        _check(len(digests) in (0, 16 * len(self.entries)), "number of content digests")
        for entry in self.entries:
            entry.digest = digests[16 * entry.number:16 * entry.number + 16]

    # -- asking

    def path(self, entry):
        """From the root, without a slash before or behind; b"" is the root."""
        parts = []
        while entry.number:
            parts.append(entry.name)
            entry = self.entries[entry.parent]
        return b"/".join(reversed(parts))

    def entry(self, path):
        """KeyError when there is none."""
        here = self.entries[0]
        for name in filter(None, path.split(b"/")):
            here = next((self.entries[i] for i in here.children
                         if self.entries[i].name == name), None)
            if here is None:
                raise KeyError(path)
        return here

    def in_tar_order(self):
        """Depth first, children by name."""
        stack = [0]
        while stack:
            entry = self.entries[stack.pop()]
            yield entry
            stack.extend(reversed(entry.children))

    def content(self, entry):
        return self.seekable.read(entry.place, entry.size)

    def nlink(self, entry):
        inode = entry.number if entry.primary is None else entry.primary
        return 1 + sum(e.primary == inode for e in self.entries)

    # -- proving

    def prove(self, contents=True):
        """Everything that the page says and __init__ has not looked at. contents=False
        leaves the files' bytes alone: for archives of many GiB."""
        self._prove_seek_table()
        self._prove_frames(contents)
        self._prove_cuts()
        if contents:
            self._prove_tar()

    def _prove_seek_table(self):
        count = len(self.frames)
        _check(self.seekable.entries[:count] == [(f.stored, f.raw) for f in self.frames],
               "seek table and index differ")
        rest = [self.seekable.skippable(i)
                for i in range(count, len(self.seekable.entries))]
        magics = [magic for magic, _ in rest]
        _check(magics == [DIGESTS, IDENTITY, INDEX], f"behind the frames: {magics}")
        (_, told), (_, index) = rest[1:]
        _check(hashlib.sha256(index).digest() == told, "the identity is another")

    def _prove_frames(self, contents):
        for i, frame in enumerate(self.frames):
            stored = bytes(self.seekable.stored(i))
            _check(hashlib.sha256(stored).digest() == frame.digest, f"digest of frame {i}")
            _check(not has_checksum(stored), f"frame {i} has a checksum")
            if contents:
                _check(len(decompress_frame(stored)) == frame.raw, f"size of frame {i}")

    def _members(self):
        return [(entry, tar_expected.member(self, entry)) for entry in self.in_tar_order()]

    def _prove_cuts(self):
        members = [(m.path, len(m.header), m.content) for _, m in self._members()]
        wanted = tar_expected.frame_sizes(members)
        _check([f.raw for f in self.frames] == wanted, "frames are cut elsewhere")

    def _prove_tar(self):
        at = 0
        for entry, member in self._members():
            header = self.seekable.read(at, len(member.header))
            _check(header == member.header, f"the header of {self.path(entry)!r}")
            at += len(header)
            if entry.is_file and entry.primary is None:
                _check(entry.place == at, f"the place of {self.path(entry)!r}")
                self._prove_content(entry)
                at += (entry.size + 511) // 512 * 512
            elif not entry.is_file:
                _check(not any(entry.digest), f"a digest of {self.path(entry)!r}")
        _check(self.tar_size == at + 1024, "the tar's size")
        _check(not any(self.seekable.read(at, 1024)), "the tar's end")

    def _prove_content(self, entry):
        padding = -entry.size % 512
        content = self.seekable.read(entry.place, entry.size + padding)
        _check(not any(content[entry.size:]), f"padding of {self.path(entry)!r}")
        digest = hashlib.sha256(content[:entry.size]).digest()[:16]
        if entry.size > tar_expected.LARGE_FILE:
            digest = bytes(16)
        _check(digest == entry.digest, f"content digest of {self.path(entry)!r}")
