"""The cases: what a job does with a tree. Each takes the tree's path."""

import itertools
import os
import subprocess

from .machine import run, shell

PROGRAM = "for (const name of ['webpack', 'typescript', 'eslint']) require(name);"
SMALL = 128  # blocks of 512 bytes


def first_ls(tree):
    if not os.listdir(tree):
        raise RuntimeError(f"{tree} is empty")


def require(tree):
    """Starts a real program: node loads webpack, typescript and eslint."""
    run("node", "-e", PROGRAM, env={"NODE_PATH": str(tree), "PATH": os.environ["PATH"]})


def walk(tree):
    """Looks at every entry."""
    run("find", str(tree), "-printf", "%p %m %s %T@ %l\\n")


def read_all(tree):
    """Reads every byte, in directory order, as tar does. A pipe, because GNU tar reads
    nothing when it sees /dev/null."""
    shell('tar -cf - -C "$1" . | cat >/dev/null', tree)


def read_small(tree):
    """Reads every file of at most 64 KiB."""
    shell(f'cd "$1" && find . -type f -size -{SMALL + 1} -print0 | '
          "tar -cf - --null -T - | cat >/dev/null", tree)


def read_big(tree):
    """Reads the one big file in the tree from begin to end."""
    run("dd", f"if={tree}/big", "of=/dev/null", "bs=1M", "status=none")


class Scattered:
    """Four programs at once read every 97th file. Which ones those are is found in the
    tree that was published, so that nothing but reading is measured."""

    def __init__(self, tree, step=97):
        found = subprocess.run(["find", ".", "-type", "f", "-print0"], cwd=tree, check=True,
                               capture_output=True).stdout
        self._names = b"\0".join(sorted(found.split(b"\0"))[1::step])

    def __call__(self, tree):
        run("xargs", "-0", "-P", "4", "-n", "40", "cat", "--", cwd=tree, input=self._names)


def build(project, target, change=None):
    """What a job builds, where nothing has changed, or a variable that its program holds."""
    env = os.environ | ({"BENCH_CHANGE": change} if change else {})
    said = run("cargo", "build", "--target-dir", str(target), cwd=project, env=env)
    compiled = [line.split()[1] for line in said.splitlines()
                if line.lstrip().startswith("Compiling")]
    if compiled != (["bench"] if change else []):
        raise RuntimeError(f"cargo compiled {compiled}")


class ChangedBuild:
    """A build after a change, another one each time."""

    _numbers = itertools.count(1)

    def __init__(self, project):
        self._project = project

    def __call__(self, target):
        build(self._project, target, f"change {next(self._numbers)}")
