"""Draws a terminal's text as an SVG picture: terminal.py TEXT >PICTURE.

Lines that begin with "$ " are what was typed, with "# " what is told to the reader; the
rest is what was printed. docs/terminal.svg is made so from docs/terminal.txt, which is
pasted from a run against radosgw behind the fault proxy:

    tests/support/serve --profile cloud rgw -- bash
"""
import html
import sys

CHARACTER, LINE, MARGIN = 7.83, 18, 16  # pixels; the font is 13 high
COLOURS = {"$ ": "#7ee787", "# ": "#8b949e"}
PRINTED, GROUND = "#e6edf3", "#0d1117"


def draw(text):
    lines = text.rstrip("\n").split("\n")
    width = round(max(map(len, lines)) * CHARACTER + 2 * MARGIN)
    height = len(lines) * LINE + 2 * MARGIN
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" role="img" aria-label="larder in a terminal">')
    yield f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>'
    yield ('<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" '
           f'fill="{PRINTED}" xml:space="preserve">')
    for number, line in enumerate(lines):
        colour = COLOURS.get(line[:2])
        fill = f' fill="{colour}"' if colour else ""
        if line:
            yield (f'<text x="{MARGIN}" y="{MARGIN + number * LINE + 13}"{fill}>'
                   f"{html.escape(line, quote=False)}</text>")
    yield "</g>\n</svg>"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        print("\n".join(draw(file.read())))


if __name__ == "__main__":
    main()
