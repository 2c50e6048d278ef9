"""Results as a table, as JSON and as a chart."""

import html
import json
import statistics

BAR = 16      # height of a chart's bar, pixels
WIDTH = 520   # of the longest bar
LABEL = 210   # columns for names, pixels


def median(costs, field="wall"):
    return statistics.median(getattr(cost, field) for cost in costs)


def rows(results):
    """(case, contender, median wall, spread, cpu, requests, bytes) of {case: {name: costs}}."""
    for case, contenders in results.items():
        for name, costs in contenders.items():
            walls = [cost.wall for cost in costs]
            yield (case, name, median(costs), min(walls), max(walls), median(costs, "cpu"),
                   median(costs, "requests"), median(costs, "received"))


def table(results):
    lines = [f"{'case':34} {'contender':28} {'wall s':>8} {'min':>7} {'max':>7} {'cpu s':>7}"
             f" {'requests':>8} {'MB':>8}"]
    last = None
    for case, name, wall, low, high, cpu, requests, received in rows(results):
        lines.append(f"{case if case != last else '':34} {name:28} {wall:8.3f} {low:7.3f}"
                     f" {high:7.3f} {cpu:7.2f} {requests:8.0f} {received / 1e6:8.1f}")
        last = case
    return "\n".join(lines)


def ratio_lines(ratios):
    lines = [f"{'figure':66} {'ratio':>8} {'must':>8}"]
    for name, value, bound, met in ratios:
        word = "" if met is None else "  met" if met else "  NOT MET"
        lines.append(f"{name:66} {value:8.3f} {bound:>8}{word}")
    return "\n".join(lines)


def as_json(facts, results, ratios):
    return json.dumps({
        "machine": facts,
        "results": [dict(zip(("case", "contender", "wall_median_s", "wall_min_s", "wall_max_s",
                              "cpu_median_s", "requests", "received_bytes"), row))
                    for row in rows(results)],
        "ratios": [dict(zip(("figure", "ratio", "must", "met"), row)) for row in ratios],
    }, indent=1)


def chart(results, title):
    """An SVG of horizontal bars, grouped by case; each group has its own scale."""
    parts, y = [], 44
    for case, contenders in results.items():
        parts.append(f'<text x="8" y="{y}" class="case">{html.escape(case)}</text>')
        y += 8
        longest = max(median(costs) for costs in contenders.values()) or 1
        for name, costs in contenders.items():
            wall = median(costs)
            bar = max(1, WIDTH * wall / longest)
            kind = "ours" if name.startswith("larder") else "theirs"
            parts.append(
                f'<text x="{LABEL}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>'
                f'<rect class="{kind}" x="{LABEL + 8}" y="{y}" width="{bar:.0f}" '
                f'height="{BAR - 3}"/>'
                f'<text x="{LABEL + 14 + bar:.0f}" y="{y + 12}">{wall:.2f} s</text>')
            y += BAR
        y += 26
    width = LABEL + WIDTH + 90
    style = ("text{font:12px sans-serif;fill:#333}.case{font-weight:bold}"
             ".ours{fill:#2a7f62}.theirs{fill:#b8bfc6}rect.page{fill:#fff}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" '
            f'viewBox="0 0 {width} {y}"><style>{style}</style>'
            f'<rect class="page" width="{width}" height="{y}"/>'
            f'<text x="8" y="20" class="case">{html.escape(title)}</text>'
            + "".join(parts) + "</svg>\n")
