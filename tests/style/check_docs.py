"""Holds README.md and docs/ to what there is: links, options, sentences, the terminal.

check_docs.py TOP LARDER: exit 1 with a line for each breach.
"""
import json
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Code: indented or fenced lines, and what stands between backticks.
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    .*$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"\blarder ([a-z]+)\b([^|;&\n]*)")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
# Options of other programs that the pages speak of.
OTHERS = {"cap-add", "device", "security-opt", "tmpfs", "xattrs"}
STRING = r'"((?:[^"\\\n]|\\.)*)"'
LITERAL = re.compile(rf"{STRING}(?:\s*{STRING})*")
DIRECTIVE = re.compile(r"%[-+ 0#]*\d*(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j)?[a-zA-Z]")


def pages(top):
    return [top / "README.md", top / "CONTRIBUTING.md", *sorted((top / "docs").rglob("*.md"))]


def anchors(text):
    """A heading's anchor, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}


def links(page):
    """Relative ones, as (path, anchor)."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def broken_links(top):
    for page in pages(top):
        for target, anchor in links(page):
            name = f"{page.relative_to(top)}: {target.relative_to(top)}"
            if not target.exists():
                yield f"{name} is not there"
            elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
                yield f"{name} has no heading for #{anchor}"


def unreachable(top):
    seen, new = set(), [top / "README.md"]
    while new:
        page = new.pop()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            new += [target for target, _ in links(page)]
    for page in pages(top):
        if page not in seen:
            yield f"{page.relative_to(top)} cannot be reached from README.md"


def code(text):
    yield from FENCED.findall(text)
    rest = FENCED.sub("", text)
    yield from INDENTED.findall(rest)
    yield from SPAN.findall(INDENTED.sub("", rest))


def wrong_options(top, larder):
    told = json.loads(subprocess.run([larder, "help", "--json"], capture_output=True,
                                     check=True, text=True).stdout)
    options = {c["name"]: {o["name"] for o in c["options"]} for c in told["commands"]}
    every = set().union(*options.values()) | OTHERS | {"version", "json"}
    options["help"] = {"json", "completion"}
    for page in pages(top):
        if page.name == "performance.md":
            continue  # of tools/bench
        for piece in code(page.read_text(encoding="utf-8")):
            where = f"{page.relative_to(top)}: '{piece.strip()[:60]}'"
            for command, words in COMMAND.findall(piece):
                if command not in options:
                    yield f"{where}: there is no larder {command}"
                    continue
                for option in OPTION.findall(words):
                    if option not in options[command] | {"help"}:
                        yield f"{where}: larder {command} has no --{option}"
            if piece.startswith("--") and OPTION.match(piece)[1] not in every:
                yield f"{where}: there is no such option"


def sentences(top):
    """All that the programs could print, with … for what is put in."""
    for room in ("fetch", "archive", "fs", "tools"):
        for path in (top / room).rglob("*.c"):
            for literal in LITERAL.finditer(path.read_text(encoding="utf-8")):
                text = "".join(re.findall(STRING, literal[0])).replace('\\"', '"')
                yield DIRECTIVE.sub("…", text)


def wrong_sentences(top):
    known = list(sentences(top))
    page = top / "docs" / "troubleshooting.md"
    for heading in re.findall(r"^### `(.*)`$", page.read_text(encoding="utf-8"), re.MULTILINE):
        if not any(heading in sentence for sentence in known):
            yield f"{page.relative_to(top)}: no program says {heading}"


def stale_terminal(top):
    """One run's text, in three places."""
    sys.path.insert(0, str(top / "tools" / "lib"))
    from terminal import draw
    text = (top / "docs" / "terminal.txt").read_text(encoding="utf-8")
    picture = (top / "docs" / "terminal.svg").read_text(encoding="utf-8")
    if picture != "\n".join(draw(text)) + "\n":
        yield "docs/terminal.svg is not what tools/lib/terminal.py makes of docs/terminal.txt"
    if f"```\n{text}```\n" not in (top / "README.md").read_text(encoding="utf-8"):
        yield "README.md does not show docs/terminal.txt"


def main():
    top, larder = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    found = [*broken_links(top), *unreachable(top), *wrong_options(top, larder),
             *wrong_sentences(top), *stale_terminal(top)]
    print("\n".join(found) or "every link, option and sentence in the docs is there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
