"""The benchmark: Larder beside what people use today, in one run (see tools/bench)."""
