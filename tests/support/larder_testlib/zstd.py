"""zstd frames and the standard seekable format, by libzstd.

Written from RFC 8878 and the seekable format's own page, not from Larder's source: a
second pair of eyes on what it writes.
"""

import bisect
import ctypes
import struct

SKIPPABLE_FIRST = 0x184D2A50
SEEK_TABLE = 0x184D2A5E
SEEKABLE_MAGIC = 0x8F92EAB1


class ZstdError(Exception):
    """The bytes are not what they should be."""


def _library():
    library = ctypes.CDLL("libzstd.so.1")
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    library.ZSTD_decompress.restype = size
    library.ZSTD_decompress.argtypes = [pointer, size, ctypes.c_char_p, size]
    library.ZSTD_isError.argtypes = [size]
    library.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    library.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, size]
    library.ZSTD_findFrameCompressedSize.restype = size
    library.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, size]
    return library


_LIBRARY = _library()


def decompress_frame(stored):
    """The content of bytes that must be exactly one frame that tells its content's size."""
    stored = bytes(stored)
    if _LIBRARY.ZSTD_findFrameCompressedSize(stored, len(stored)) != len(stored):
        raise ZstdError("not one whole frame")
    size = _LIBRARY.ZSTD_getFrameContentSize(stored, len(stored))
    if size >= 2**64 - 2:
        raise ZstdError("a frame that does not tell its content's size")
    content = ctypes.create_string_buffer(size or 1)
    got = _LIBRARY.ZSTD_decompress(content, size, stored, len(stored))
    if _LIBRARY.ZSTD_isError(got) or got != size:
        raise ZstdError("a frame that does not decompress to what it says")
    return content.raw[:size]


def has_checksum(stored):
    """The frame header's Content_Checksum_flag."""
    return bool(stored[4] & 4)


class Seekable:
    """A file in the seekable format: random access by its seek table alone."""

    def __init__(self, data):
        self.data = data
        self.entries = list(self._entries())
        self.last = None, b""  # the frame decompressed last, and its content
        self.stored_at, self.raw_at = [0], [0]
        for stored, raw in self.entries:
            self.stored_at.append(self.stored_at[-1] + stored)
            self.raw_at.append(self.raw_at[-1] + raw)
        if self.stored_at[-1] + self.table_size != len(data):
            raise ZstdError("the seek table is of a file of another size")

    def _entries(self):
        count, descriptor, magic = struct.unpack("<IBI", self.data[-9:])
        if magic != SEEKABLE_MAGIC or descriptor & 0x7C:
            raise ZstdError("no seek table")
        width = 12 if descriptor & 0x80 else 8
        self.table_size = 8 + count * width + 9
        table = self.data[len(self.data) - self.table_size:]
        if struct.unpack("<II", table[:8]) != (SEEK_TABLE, self.table_size - 8):
            raise ZstdError("the seek table does not begin where it should")
        for i in range(count):
            yield struct.unpack_from("<II", table, 8 + i * width)

    @property
    def size(self):
        """Bytes, decompressed."""
        return self.raw_at[-1]

    def stored(self, i):
        """The bytes of entry i as they lie in the file."""
        return self.data[self.stored_at[i]:self.stored_at[i + 1]]

    def read(self, offset, length):
        """Bytes [offset, offset + length), from the frames that hold them and no others."""
        parts, end = [], offset + length
        i = bisect.bisect_right(self.raw_at, offset) - 1
        while offset < end:
            content = self._content(i)
            part = content[offset - self.raw_at[i]:end - self.raw_at[i]]
            parts.append(part)
            offset += len(part)
            i += 1
        return b"".join(parts)

    def _content(self, i):
        if self.last[0] != i:
            content = decompress_frame(self.stored(i)) if self.entries[i][1] else b""
            if len(content) != self.entries[i][1]:
                raise ZstdError(f"frame {i} is not as long as the seek table says")
            self.last = i, content
        return self.last[1]

    def skippable(self, i):
        """(magic, content) of an entry that is a skippable frame."""
        stored = bytes(self.stored(i))
        magic, length = struct.unpack("<II", stored[:8])
        if not SKIPPABLE_FIRST <= magic < SKIPPABLE_FIRST + 16 or length + 8 != len(stored):
            raise ZstdError(f"entry {i} is no skippable frame")
        return magic, stored[8:]
