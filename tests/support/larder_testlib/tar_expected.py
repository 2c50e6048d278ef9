"""The tar that docs/format.md says an entry must become, and where it must be cut."""

from dataclasses import dataclass

KIB = 1024
LARGE_FILE = 256 * KIB


@dataclass
class Member:
    path: bytes
    header: bytes
    content: int  # bytes


def _octal(number, width):
    return b"%0*o\0" % (width - 1, number)


def _ustar(typeflag, name, *, size=0, mode=0o644, uid=0, gid=0, mtime=0, link=b"", prefix=b""):
    block = bytearray(512)

    def put(at, data):
        block[at:at + len(data)] = data

    put(0, name[:100])
    put(100, _octal(mode, 8))
    put(108, _octal(uid if uid <= 2097151 else 0, 8))
    put(116, _octal(gid if gid <= 2097151 else 0, 8))
    put(124, _octal(size if size < 8 << 30 else 0, 12))
    put(136, _octal(mtime if 0 <= mtime < 8**11 else 0, 12))
    put(156, typeflag)
    put(157, link[:100])
    put(257, b"ustar\00000")
    put(345, prefix)
    put(148, b" " * 8)
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)


def _padded(data):
    return data + bytes(-len(data) % 512)


def _split(path):
    """(prefix, name), or None when the path fits into neither."""
    if len(path) <= 100:
        return b"", path
    for at in range(min(155, len(path) - 2), 0, -1):
        if path[at:at + 1] == b"/":
            return (path[:at], path[at + 1:]) if len(path) - at - 1 <= 100 else None
    return None


def _record(key, value):
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    while len(str(length)) + rest != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _decimal(seconds, nanoseconds):
    total = seconds * 10**9 + nanoseconds
    sign, total = (b"-", -total) if total < 0 else (b"", total)
    text = b"%d.%09d" % divmod(total, 10**9)
    return sign + text.rstrip(b"0").rstrip(b".")


def _is_ascii(text):
    return all(byte < 0x80 for byte in text)


def _long_member(typeflag, text):
    body = text + b"\0"
    return _ustar(typeflag, b"././@LongLink", size=len(body)) + _padded(body)


def _type_and_target(archive, entry):
    if entry.primary is not None:
        return b"1", tar_path(archive, archive.entries[entry.primary])
    if entry.is_symlink:
        return b"2", entry.target
    return (b"5" if entry.is_directory else b"0"), b""


def tar_path(archive, entry):
    path = archive.path(entry)
    return path + b"/" if entry.is_directory and path else path or b"./"


def _own_records(entry, size):
    """What only the first name of an inode says."""
    records = b""
    if size >= 8 << 30:
        records += _record(b"size", b"%d" % size)
    if entry.mtime_ns or not 0 <= entry.mtime_s < 8**11:
        records += _record(b"mtime", _decimal(entry.mtime_s, entry.mtime_ns))
    for key, number in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if number > 2097151:
            records += _record(key, b"%d" % number)
    for name in sorted(entry.xattrs):
        key = name.replace(b"%", b"%25").replace(b"=", b"%3D")
        records += _record(b"SCHILY.xattr." + key, entry.xattrs[name])
    return records


def member(archive, entry):
    """The entry's headers and how much content follows."""
    typeflag, target = _type_and_target(archive, entry)
    path, split = tar_path(archive, entry), _split(tar_path(archive, entry))
    size = entry.size if typeflag == b"0" else 0
    before, records = b"", b""
    if len(target) > 100:
        if _is_ascii(target):
            records = _record(b"linkpath", target)
        else:
            before = _long_member(b"K", target)
    if split is None:
        if _is_ascii(path):
            records = _record(b"path", path) + records
        else:
            before += _long_member(b"L", path)
    if typeflag != b"1":
        records += _own_records(entry, size)
    if records:
        before += _ustar(b"x", b"././@PaxHeader", size=len(records)) + _padded(records)
    prefix, name = split or (b"", path)
    header = before + _ustar(typeflag, name, size=size, mode=entry.mode & 0o7777, uid=entry.uid,
                             gid=entry.gid, mtime=entry.mtime_s, link=target, prefix=prefix)
    return Member(path, header, size)


def _cuts(path):
    """Directories, and one path in thirty-two."""
    if path.endswith(b"/"):
        return True
    h = 0xCBF29CE484222325
    for byte in path:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return (h ^ h >> 32) * 0x9E3779B97F4A7C15 % 2**64 < 2**59


def frame_sizes(members):
    """The frames' bytes of tar, from (path, header length, content length) of each member."""
    sizes, running = [], 0
    for path, header, content in members:
        large = content > LARGE_FILE
        unit = header if large else header + (content + 511) // 512 * 512
        if running and (running + unit > 512 * KIB or (running >= 32 * KIB and _cuts(path))):
            sizes.append(running)
            running = 0
        running += unit
        if large:
            sizes.append(running)
            running = 0
            pieces, rest = divmod(content, KIB * KIB)
            sizes += [KIB * KIB] * pieces + ([(rest + 511) // 512 * 512] if rest else [])
    return sizes + ([running] if running else []) + [1024]
