"""What is measured at scale: trees of many files, an archive of any size, stores of many
keys."""

import bisect
import hashlib
import random
import shutil
import struct
import tarfile

from larder_testlib.httpd import Body

MIB, GIB = 1 << 20, 1 << 30
FILES_A_DIRECTORY = 50
LINKS_MOST = 50_000  # names of one inode; ext4 allows 65,000


def many_files(tree, count, seed=1):
    """A tree of that many small files of text, named and sized as in a node_modules."""
    dice = random.Random(seed)
    words = [f"{dice.randrange(1 << 30):x}" for _ in range(2000)]
    directory = None
    for number in range(count):
        if number % FILES_A_DIRECTORY == 0:
            package = number // FILES_A_DIRECTORY
            directory = tree / f"group-{package // 100:03d}" / f"package-{package:05d}"
            directory.mkdir(parents=True)
        name = f"{dice.choice(words)}{number % FILES_A_DIRECTORY:02d}.js"
        begin = dice.randrange(len(words) - 60)
        with open(f"{directory}/{name}", "w", encoding="ascii") as out:
            out.write(" ".join(words[begin:begin + dice.randrange(10, 60)]))
    return tree


# -- an archive that is never stored

def raw_frame(content):
    """A zstd frame (RFC 8878) of raw blocks: what does not compress."""
    blocks = [content[i:i + (128 << 10)] for i in range(0, len(content), 128 << 10)]
    parts = [struct.pack("<IBI", 0xFD2FB528, 0xA0, len(content))]
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        parts += [(len(block) << 3 | last).to_bytes(3, "little"), block]
    return b"".join(parts)


def skippable(magic, content):
    return struct.pack("<II", magic, len(content)) + content


class LargeArchive(Body):
    """An archive (docs/format.md) of files of 1 GiB whose bytes are made when they are read.

    Each frame of content is 1 MiB of noise that ends in the frame's own number, so no two
    are the same, and what is read tells where it was.
    """
    FRAMES_A_FILE = GIB // MIB

    def __init__(self, files, seed=1):
        self.files = files
        self._noise = random.Random(seed).randbytes(MIB - 8)
        self._before = raw_frame(self._noise + bytes(8))[:-8]
        self._hashed = hashlib.sha256(self._before)
        self._small = {0: self._header(None), self._end: raw_frame(bytes(1024))}
        self._small |= {self._first(file) - 1: self._header(file) for file in range(files)}
        self._lay_out()

    @property
    def _end(self):
        return 1 + self.files * (self.FRAMES_A_FILE + 1)

    def _first(self, file):
        """The first frame of a file's content; its header is the one before."""
        return 2 + file * (self.FRAMES_A_FILE + 1)

    @staticmethod
    def name(file):
        return f"file-{file:03d}"

    @classmethod
    def _header(cls, file):
        info = tarfile.TarInfo("./" if file is None else cls.name(file))
        info.type = tarfile.DIRTYPE if file is None else tarfile.REGTYPE
        info.size = 0 if file is None else GIB
        info.mode = 0o755 if file is None else 0o644
        return raw_frame(info.tobuf(tarfile.USTAR_FORMAT))

    def _stored(self, frame):
        small = self._small.get(frame)
        return small or self._before + struct.pack("<Q", frame)

    def _digest(self, frame):
        if frame in self._small:
            return hashlib.sha256(self._small[frame]).digest()
        state = self._hashed.copy()
        state.update(struct.pack("<Q", frame))
        return state.digest()

    def _sizes(self, frame):
        """(stored, raw)."""
        small = self._small.get(frame)
        if small is None:
            return len(self._before) + 8, MIB
        return len(small), struct.unpack_from("<I", small, 5)[0]

    def _lay_out(self):
        sizes = [self._sizes(frame) for frame in range(self._end + 1)]
        self._offsets, places = [0], [0]
        for stored, raw in sizes:
            self._offsets.append(self._offsets[-1] + stored)
            places.append(places[-1] + raw)
        index = skippable(0x184D2A51, raw_frame(self._index(sizes, places)))
        table = b"".join(struct.pack("<II", *pair) for pair in [*sizes, (len(index), 0)])
        footer = struct.pack("<IBI", len(sizes) + 1, 0, 0x8F92EAB1)
        self._tail = index + skippable(0x184D2A5E, table + footer)
        self.size = self._offsets[-1] + len(self._tail)

    def _index(self, sizes, places):
        files = range(self.files)
        names = [self.name(file).encode() for file in files]
        columns = [
            (1, "<H", [0o40755] + [0o100644 for _ in files]),
            (2, "<I", [0] + [0 for _ in files]),
            (3, "<B", [0, *map(len, names)]),
            (5, "<q", [0] + [0 for _ in files]),
            (6, "<I", [0] + [0 for _ in files]),
            (7, "<Q", [self.files] + [GIB for _ in files]),
            (8, "<Q", [1] + [places[self._first(file)] for file in files]),
        ]
        sections = {number: b"".join(struct.pack(form, value) for value in values)
                    for number, form, values in columns}
        sections[4] = b"".join(names)
        sections[13] = b"".join(struct.pack("<II", *pair) for pair in sizes)
        sections[14] = b"".join(map(self._digest, range(len(sizes))))
        head = struct.pack("<8sIIQQQQ", b"LARDERIX", 1, len(sections), self.files + 1,
                           len(sizes), places[-1], 0)
        table, body, at = b"", b"", 48 + 32 * len(sections)
        for number, content in sorted(sections.items()):
            table += struct.pack("<IIQQQ", number, 0, at + len(body), len(content), 0)
            body += content + bytes(-len(content) % 8)
        return head + table + body

    def read(self, offset, length):
        parts, end = [], min(offset + length, self.size)
        while offset < end:
            frame = bisect.bisect_right(self._offsets, offset) - 1
            stored = self._tail if frame > self._end else self._stored(frame)
            begin = offset - self._offsets[frame]
            parts.append(stored[begin:begin + end - offset])
            offset += len(parts[-1])
        return b"".join(parts)

    def content(self, file, offset, length):
        """What a file holds there."""
        parts, end = [], offset + length
        while offset < end:
            frame = self._first(file) + offset // MIB
            begin = offset % MIB
            block = self._noise + struct.pack("<Q", frame)
            parts.append(block[begin:begin + end - offset])
            offset += len(parts[-1])
        return b"".join(parts)


# -- many keys

FAMILIES = 10  # of keys that begin alike, as those of ten projects would


def key_name(number):
    return f"npm-{number % FAMILIES}-{number:06d}"


def folder_of_keys(folder, count, archive):
    """A folder store in which each key is the one small archive."""
    source = None
    for number in range(count):
        name = folder / key_name(number)
        if number % LINKS_MOST == 0:
            shutil.copy(archive, name)
            source = name
        else:
            name.hardlink_to(source)


def bucket_of_keys(pool, put, count, archive):
    """The same in a bucket, the last key last. pool: a thread pool; put(key, bytes)."""
    for _ in pool.map(lambda number: put(key_name(number), archive), range(count - 1)):
        pass
    put(key_name(count - 1), archive)
