"""Results as text, as JSON, and as tables of a Markdown page."""

import json
import statistics
from dataclasses import asdict

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"


def median(costs, field="wall"):
    return statistics.median(getattr(cost, field) for cost in costs)


def rows(results):
    """A dict for each case and contender: medians over the rounds, and the spread."""
    for case, contenders in results.items():
        for name, costs in contenders.items():
            walls = [cost.wall for cost in costs]
            yield {"case": case, "contender": name, "runs": len(costs),
                   "wall_s": median(costs), "wall_min_s": min(walls),
                   "wall_max_s": max(walls), "cpu_s": median(costs, "cpu"),
                   "requests": median(costs, "requests"),
                   "received_bytes": median(costs, "received"),
                   "sent_bytes": median(costs, "sent"),
                   "resident_bytes": median(costs, "resident")}


def table(results):
    lines = [f"{'case':36} {'contender':26} {'wall s':>8} {'min':>7} {'max':>7} {'cpu s':>7}"
             f" {'requests':>8} {'MB':>8}"]
    last = None
    for row in rows(results):
        case = "" if row["case"] == last else row["case"]
        moved = row["received_bytes"] + row["sent_bytes"]
        lines.append(f"{case:36} {row['contender']:26} {row['wall_s']:8.3f}"
                     f" {row['wall_min_s']:7.3f} {row['wall_max_s']:7.3f}"
                     f" {row['cpu_s']:7.2f} {row['requests']:8.0f} {moved / 1e6:8.1f}")
        last = row["case"]
    return "\n".join(lines)


def _verdict(figure):
    return {None: "not measured", True: "met", False: "NOT MET"}[figure.met]


def _value(figure):
    return "" if figure.value is None else f"{figure.value:.3g}"


def figure_table(figures):
    lines = [f"{'figure':68} {'value':>7} {'must':>6} {'hope':>6}"]
    for figure in figures:
        lines.append(f"{figure.what:68} {_value(figure):>7} {figure.bound(figure.must):>6}"
                     f" {figure.bound(figure.hope):>6}  {_verdict(figure)}")
    return "\n".join(lines)


def as_json(facts, results, figures, failures):
    return json.dumps({
        "facts": facts, "results": list(rows(results)), "failures": failures,
        "figures": [asdict(figure) | {"met": figure.met} for figure in figures],
    }, indent=1)


def summary(facts):
    return (f"node_modules of {facts['files']:,} files, {facts['bytes'] / 1e6:,.0f} MB; "
            f"{facts['processors']} processors, Linux {facts['kernel']}")


def markdown(facts, results, figures, picture=None):
    """picture: the chart's path, as seen from the page."""
    lines = [f"![Seconds for each case]({picture})", ""] if picture else []
    lines += [f"Measured with {summary(facts)}.", "",
              "| figure | value | must | hope for | |", "|---|---|---|---|---|"]
    lines += [f"| {f.what} | {_value(f)} | {f.bound(f.must)} | {f.bound(f.hope)} | "
              f"{_verdict(f)} |" for f in figures]
    lines += ["", "| case | contender | wall, s | spread, s | CPU, s | requests | MB |",
              "|---|---|---|---|---|---|---|"]
    last = None
    for row in rows(results):
        moved = row["received_bytes"] + row["sent_bytes"]
        name = row["contender"].replace("|", "\\|")
        lines.append(f"| {'' if row['case'] == last else row['case']} | {name} |"
                     f" {row['wall_s']:.2f} | {row['wall_min_s']:.2f} to"
                     f" {row['wall_max_s']:.2f} | {row['cpu_s']:.2f} |"
                     f" {row['requests']:.0f} | {moved / 1e6:.1f} |")
        last = row["case"]
    return "\n".join(lines)


def put_between_marks(page, text):
    """Replaces what stands between the page's two marks."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"'{page}' has no '{BEGIN}' and '{END}'")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")
