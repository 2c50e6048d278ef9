"""Servers, faults and trees for Larder's integration tests and benchmarks."""

import sys

if sys.version_info < (3, 11):
    raise ImportError("larder_testlib needs Python 3.11")
