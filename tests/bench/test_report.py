"""The benchmark's arithmetic: figures from results, tables, chart, and the order of turns."""

import json
import tempfile
import unittest
import xml.etree.ElementTree
from pathlib import Path

from larder_bench import chart, report
from larder_bench.__main__ import Run, parse
from larder_bench.figures import LARDER, LOCAL_WARM, NO_PREFETCH, figures
from larder_bench.machine import Cost

FACTS = {"files": 9, "entries": 10, "bytes": 5_000_000, "processors": 2, "kernel": "6",
         "node_object_bytes": 1000, "bytes_per_entry": 120.0}


def costs(*walls, **fields):
    return [Cost(wall, wall / 2, **fields) for wall in walls]


RESULTS = {
    "cloud: first ls": {LARDER: costs(0.1), "curl + untar": costs(4.0),
                        "rclone + squashfuse": costs(0.5),
                        NO_PREFETCH: costs(0.2, requests=1)},
    "cloud: require": {LARDER: costs(9.0, 0.8, 0.7), "curl + untar": costs(4.0),
                       "s3fs + squashfuse": costs(1.8),
                       NO_PREFETCH: costs(1.0, received=40)},
    "cloud: read all": {LARDER: costs(3.0, resident=90_000_000), "curl + untar": costs(6.0),
                        "10 connections + untar": costs(5.0), "s3fs + squashfuse": costs(1)},
    "local: require": {LOCAL_WARM: costs(0.3)},
    "warm: walk": {LARDER: costs(0.3), "local ext4": costs(0.2), "tmpfs": costs(0.1)},
}


class Figures(unittest.TestCase):
    def setUp(self):
        self.found = {figure.what: figure for figure in figures(RESULTS, FACTS)}

    def figure(self, begin):
        found, = [f for what, f in self.found.items() if what.startswith(begin)]
        return found

    def check(self, begin, value, met):
        figure = self.figure(begin)
        self.assertAlmostEqual(figure.value, value)
        self.assertIs(figure.met, met)

    def test_the_fastest_is_neither_ours_nor_local(self):
        self.check("first ls, cloud", 5.0, True)

    def test_an_overhead_is_what_local_does_not_take(self):
        self.check("require, cloud", (0.8 - 0.3) / (1.8 - 0.3), True)

    def test_requests_and_bytes(self):
        self.check("requests from nothing", 1, True)
        self.check("bytes fetched for require", 0.04, True)

    def test_reading_all_is_compared_with_unpacking_alone(self):
        self.check("read all, cloud", 3 / 5, True)

    def test_a_bound_that_is_broken(self):
        self.check("warm walk", 1.5, False)

    def test_memory(self):
        self.check("memory for an entry", 120, True)
        self.check("resident memory", 90, True)

    def test_what_was_not_measured_is_not_met_nor_missed(self):
        figure = self.figure("publish")
        self.assertEqual((figure.value, figure.met), (None, None))


class Report(unittest.TestCase):
    def setUp(self):
        self.found = figures(RESULTS, FACTS)

    def test_rows_hold_medians_and_the_spread(self):
        row = next(r for r in report.rows(RESULTS)
                   if (r["case"], r["contender"]) == ("cloud: require", LARDER))
        self.assertEqual((row["wall_s"], row["wall_min_s"], row["wall_max_s"], row["runs"]),
                         (0.8, 0.7, 9.0, 3))

    def test_every_case_and_figure_is_told(self):
        told = report.markdown(FACTS, RESULTS, self.found)
        for text in (told, report.table(RESULTS) + report.figure_table(self.found)):
            for case in RESULTS:
                self.assertIn(case, text)
            for figure in self.found:
                self.assertIn(figure.what, text)
            self.assertIn("NOT MET", text)
            self.assertIn("not measured", text)

    def test_bars_in_a_name_do_not_end_its_column(self):
        piped = {"publish": {"tar | zstd": RESULTS["warm: walk"]["tmpfs"]}}
        self.assertIn("| publish | tar \\| zstd | ", report.markdown(FACTS, piped, []))

    def test_json(self):
        told = json.loads(report.as_json(FACTS, RESULTS, self.found, ["one failed"]))
        self.assertEqual(told["failures"], ["one failed"])
        self.assertEqual(len(told["results"]), sum(map(len, RESULTS.values())))
        self.assertEqual({f["what"]: f["met"] for f in told["figures"]},
                         {f.what: f.met for f in self.found})

    def test_a_page_keeps_what_is_around_the_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "page.md")
            page.write_text(f"a\n{report.BEGIN}\nold\n{report.END}\nz\n")
            report.put_between_marks(page, "new")
            self.assertEqual(page.read_text(), f"a\n{report.BEGIN}\nnew\n{report.END}\nz\n")
            page.write_text(f"a\n{report.BEGIN}\nold\n")
            with self.assertRaisesRegex(ValueError, "benchmark: end"):
                report.put_between_marks(page, "new")

    def test_the_chart_is_xml_with_a_bar_for_each_time(self):
        root = xml.etree.ElementTree.fromstring(chart.svg(RESULTS, "a < b & c"))
        bars = [r for r in root.iter("{http://www.w3.org/2000/svg}rect") if r.get("class")]
        panels = chart.with_local(RESULTS)
        self.assertEqual(len(bars), sum(map(len, panels.values())))
        self.assertIn(LOCAL_WARM, panels["cloud: require"])
        self.assertNotIn("local: require", panels)

    def test_a_page_shows_the_chart_it_is_given(self):
        self.assertIn("](benchmark.svg)",
                      report.markdown(FACTS, RESULTS, self.found, "benchmark.svg"))
        self.assertNotIn("![", report.markdown(FACTS, RESULTS, self.found))


class Order(unittest.TestCase):
    def test_everybody_is_first_once(self):
        firsts = [Run.turned("abc", number)[0] for number in range(4)]
        self.assertEqual("".join(firsts), "abca")
        self.assertEqual(sorted(Run.turned("abc", 2)), list("abc"))

    def test_quick_is_one_round_unless_told(self):
        self.assertEqual(parse(["--quick"]).rounds, 1)
        self.assertEqual(parse(["--quick", "--rounds", "2"]).rounds, 2)


if __name__ == "__main__":
    unittest.main()
