"""Holds the source to docs/style.md: who may include whom, and that headers stand alone.

check_layers.py TOP CC: exit 1 with a line for each breach.
"""
import pathlib
import re
import subprocess
import sys

# A room may include itself and these.
MAY_INCLUDE = {
    "fetch/base": (),
    "fetch": ("fetch/base",),
    "archive": ("fetch/base", "fetch"),
    "fs": ("fetch/base", "fetch", "archive"),
    "tools": ("fetch/base", "fetch", "archive", "fs"),
}
# All that a room may know of another one: archive/ does not know where bytes come from,
# and `larder mount` becomes larderfs.
SEES_ONLY = {
    ("archive", "fetch"): {"fetch/range_source.h", "fetch/chunk_source.h"},
    ("tools", "fs"): {"fs/program.h"},
}
FILE_LINES = 600
HEADER_LINES = 130
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def room_of(path):
    return "fetch/base" if path.startswith("fetch/base/") else path.split("/")[0]


def breaches_of_includes(name, lines):
    room = room_of(name)
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        target = found[1]
        other = room_of(target)
        if other != room and other not in MAY_INCLUDE[room]:
            yield f"{name}:{number}: {room} may not include {target}"
            continue
        seen = SEES_ONLY.get((room, other))
        if seen and target not in seen:
            yield f"{name}:{number}: {room}/ sees {other}/ only through {sorted(seen)}"


def breaches(top):
    for room in ("fetch", "archive", "fs", "tools"):
        for path in sorted((top / room).rglob("*.[ch]")):
            name = path.relative_to(top).as_posix()
            lines = path.read_text(encoding="utf-8").splitlines()
            yield from breaches_of_includes(name, lines)
            limit = HEADER_LINES if name.endswith(".h") else FILE_LINES
            if len(lines) > limit:
                yield f"{name}: {len(lines)} lines; the most is {limit}"


def headers_alone(top, compiler, flags):
    for room in ("fetch", "archive", "fs", "tools"):
        for path in sorted((top / room).rglob("*.h")):
            done = subprocess.run(
                [*compiler, "-D_GNU_SOURCE", "-std=gnu17", "-fsyntax-only", "-Wall", "-Werror",
                 f"-I{top}", *flags, "-x", "c", str(path)], capture_output=True, text=True)
            if done.returncode:
                yield f"{path.relative_to(top)} does not compile alone:\n{done.stderr}"


def main():
    top = pathlib.Path(sys.argv[1])
    compiler = sys.argv[2].split()
    flags = subprocess.run(["pkg-config", "--cflags", "fuse3", "libarchive"],
                           capture_output=True, text=True, check=True).stdout.split()
    found = list(breaches(top)) + list(headers_alone(top, compiler, flags))
    print("\n".join(found) or "every include and header is where it belongs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
