"""The way into a test file that needs FUSE: it runs, or says aloud that it cannot.

    if __name__ == "__main__":
        fuse.main()
"""

import os
import sys
import unittest

SKIP = 77  # what meson takes for skipped


def why_not():
    """A sentence when nothing can be mounted here, else None."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if os.geteuid() != 0:
        return "mounting here is for root"
    return None


def main():
    """unittest.main(), or a skip; where CI is true a skip is a failure."""
    reason = why_not()
    if reason is None:
        unittest.main()
    print(f"SKIPPED: {reason}", file=sys.stderr)
    sys.exit(1 if os.environ.get("CI") == "true" else SKIP)
