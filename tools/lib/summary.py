"""Adds up the test logs of several builds: summary.py FAILED_BUILDS LOG...

Prints what failed or was skipped, then `N passed, N failed`. Where skipping is not
acceptable (CI is set) a skipped test counts as failed.
"""
import json
import os
import sys


def main():
    failed = int(sys.argv[1])
    passed = skipped = 0
    if failed:
        print(f"{failed} build(s) failed")
    for path in sys.argv[2:]:
        build = path.split(os.sep)[-3]
        with open(path, encoding="utf-8") as log:
            for line in log:
                test = json.loads(line)
                if test["result"] in ("OK", "EXPECTEDFAIL"):
                    passed += 1
                elif test["result"] == "SKIP":
                    skipped += 1
                    print(f"skipped: {build}: {test['name']}")
                else:
                    failed += 1
                    print(f"failed: {build}: {test['name']} ({test['result']})")
    if os.environ.get("CI") and skipped:
        print("a skipped test is a failure in CI")
        failed, skipped = failed + skipped, 0
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
