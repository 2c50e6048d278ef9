"""The results as a chart: an SVG of horizontal bars, a panel for each case."""

import html

from .report import median

COLUMNS = 2
BAR, GAP = 15, 4         # height of a bar, and what is between two
NAME, LENGTH = 176, 190  # widths: of the names, of the longest bar
PANEL = NAME + LENGTH + 72
MARGIN, HEAD = 20, 58

STYLE = """
text { font: 12px 'DejaVu Sans', Verdana, sans-serif; fill: #3b4048 }
.title { font-size: 16px; font-weight: bold; fill: #16191d }
.under { fill: #6c737d }
.case { font-size: 13px; font-weight: bold; fill: #16191d }
.larder { fill: #16785a } .local { fill: #c9b458 } .theirs { fill: #b4bcc6 }
text.larder { font-weight: bold }
"""


def kind(name):
    if name.startswith("larder"):
        return "larder"
    return "local" if name.startswith(("local", "tmpfs")) else "theirs"


def _text(x, y, what, css, anchor="start"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" class="{css}" text-anchor="{anchor}">'
            f'{html.escape(what)}</text>')


def with_local(results):
    """The panels: {case: {name: wall}}; the local tree's times beside those over a link."""
    panels = {}
    for case, contenders in results.items():
        group, _, name = case.partition(": ")
        if group == "local":
            continue
        panel = {who: median(costs) for who, costs in contenders.items()}
        if group in ("lan", "cloud", "wan"):
            local = results.get(f"local: {name}", {})
            panel |= {who: median(costs) for who, costs in local.items()}
        if len(panel) > 1:  # one bar alone tells nothing
            panels[case] = dict(sorted(panel.items(), key=lambda item: item[1]))
    return panels


def _panel(case, walls, x, y):
    parts = [_text(x, y + 14, case, "case")]
    longest = max(walls.values()) or 1
    y += 24
    for name, wall in walls.items():
        css, bar = kind(name), max(1, LENGTH * wall / longest)
        parts.append(_text(x + NAME, y + 12, name, css if css == "larder" else "", "end"))
        parts.append(f'<rect class="{css}" x="{x + NAME + 8}" y="{y}" width="{bar:.0f}" '
                     f'height="{BAR}" rx="2"/>')
        parts.append(_text(x + NAME + 14 + bar, y + 12, f"{wall:.2f} s", ""))
        y += BAR + GAP
    return "".join(parts)


def _height(walls):
    return 24 + len(walls) * (BAR + GAP) + 22


def svg(results, title):
    """Panels go to whichever column is shorter."""
    below = [HEAD] * COLUMNS
    parts = []
    for case, walls in with_local(results).items():
        column = below.index(min(below))
        parts.append(_panel(case, walls, MARGIN + column * (PANEL + MARGIN), below[column]))
        below[column] += _height(walls)
    width, height = MARGIN + COLUMNS * (PANEL + MARGIN), max(below)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
            f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>'
            + _text(MARGIN, 28, "Seconds until a job is done", "title")
            + _text(MARGIN, 46, title, "under")
            + "".join(parts) + "</svg>\n")
