"""The cases: what a job does with a tree. Each takes the tree's path."""

import os
import subprocess

from .machine import run, shell

PROGRAM = """
for (const name of ['webpack', 'typescript', 'eslint']) require(name);
"""


def first_ls(tree):
    if not os.listdir(tree):
        raise RuntimeError(f"{tree} is empty")


def require(tree):
    """Starts a real program: node loads webpack, typescript and eslint."""
    run("node", "-e", PROGRAM, env={"NODE_PATH": tree, "PATH": os.environ["PATH"]})


def walk(tree):
    """Looks at every entry."""
    run("find", tree, "-printf", "%p %m %s %T@ %l\\n")


def read_all(tree):
    """Reads every byte, in directory order, as tar does. A pipe, because GNU tar reads
    nothing when it sees /dev/null."""
    shell('tar -cf - -C "$1" . | cat >/dev/null'.replace("$1", str(tree)))


def read_big(tree):
    """Reads the one big file in the tree from begin to end."""
    run("dd", f"if={tree}/big", "of=/dev/null", "bs=1M", "status=none")


def read_scattered(tree):
    """Four threads read every 97th file."""
    names = subprocess.run(["find", tree, "-type", "f"], capture_output=True, check=True,
                           text=True).stdout.splitlines()[::97]
    run("xargs", "-d", "\\n", "-P", "4", "-n", "64", "cat", input="\n".join(names).encode())


COLD = {"first ls": first_ls, "require": require, "walk": walk, "read all": read_all}
WARM = {"walk": walk, "require": require, "read all": read_all}
