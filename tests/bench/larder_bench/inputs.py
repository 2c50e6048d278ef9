"""The trees that are published: made on the spot, kept between runs.

node_modules: `npm install` of a large set, where npm and a registry can be reached; else a
tree of the same shape, said so in the results. cargo: the project beside this package,
built against Debian's crates, where cargo is there. big: one file that does not compress.
Each is made under another name first: what has its name is whole.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

from .machine import run

PACKAGES = ["@angular/cli", "@angular/core", "@babel/core", "@babel/preset-env",
            "@mui/material", "@storybook/react", "aws-sdk", "core-js", "date-fns", "eslint",
            "express", "jest", "karma", "lodash", "mocha", "next", "parcel", "prettier",
            "react", "react-dom", "react-native", "rollup", "rxjs", "typescript", "vite",
            "vue", "webpack"]
REQUIRED = ("webpack", "typescript", "eslint")
BIG_BYTES = 1_000_000_000
REGISTRY = pathlib.Path("/usr/share/cargo/registry")
PROJECT = pathlib.Path(__file__).resolve().parent.parent / "cargo"


def say(text):
    print(text, file=sys.stderr, flush=True)


def node_modules(folder):
    """(tree, how it was made)."""
    tree = folder / "node" / "node_modules"
    if tree.is_dir():
        return tree, "npm install"
    if shutil.which("npm"):
        say(f"installing {len(PACKAGES)} packages and what they need to {tree}")
        try:
            return installed(tree), "npm install"
        except RuntimeError as error:
            say(f"npm: {error}")
    return generated(folder / "generated"), "generated"


def installed(tree):
    half = tree.parent.with_name("node.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    (half / "package.json").write_text(json.dumps(
        {"name": "bench", "private": True, "dependencies": {name: "*" for name in PACKAGES}}))
    run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund",
        "--legacy-peer-deps", cwd=half)
    half.rename(tree.parent)
    return tree


def generated(tree, packages=3000, seed=1):
    """Small files of text in packages of 18, and packages that node can load."""
    if tree.is_dir():
        return tree
    half = tree.with_name(tree.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    dice = random.Random(seed)
    words = [f"{dice.randrange(1 << 30):x}" for _ in range(5000)]
    for number in range(packages):
        name = REQUIRED[number] if number < len(REQUIRED) else f"package-{number:04d}"
        for directory in ("", "lib", "dist/cjs"):
            _write_directory(half / name / directory, dice, words)
        (half / name / "index.js").write_text("".join(
            f"require('./lib/file{file}.js');\n" for file in range(6)))
    half.rename(tree)
    return tree


def _write_directory(place, dice, words):
    place.mkdir(parents=True, exist_ok=True)
    for number in range(6):
        text = " ".join(dice.choices(words, k=int(dice.lognormvariate(6, 1.2)) // 6))
        (place / f"file{number}.js").write_text(f"// {text}\n")


def differing(tree, target, share=0.01, seed=2):
    """A copy of the tree with that share of its files changed."""
    if target.is_dir():
        return target
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    run("cp", "-a", str(tree), str(half))
    files = sorted(p for p in half.rglob("*") if p.is_file() and not p.is_symlink())
    for path in random.Random(seed).sample(files, max(1, int(len(files) * share))):
        path.chmod(0o644)
        with open(path, "ab") as out:
            out.write(b"\n// changed\n")
    half.rename(target)
    return target


def big(folder, size=BIG_BYTES):
    path = folder / "big" / "big"
    if not path.exists() or path.stat().st_size != size:
        path.parent.mkdir(parents=True, exist_ok=True)
        dice = random.Random(3)
        with open(path, "wb") as out:
            for begin in range(0, size, 1_000_000):
                out.write(dice.randbytes(min(1_000_000, size - begin)))
    return path.parent


def cargo_project(folder):
    """The project's folder with a built target; None without cargo or its crates."""
    project = folder / "cargo"
    if (project / "target").is_dir():
        return project
    if not shutil.which("cargo") or not REGISTRY.is_dir():
        say("no cargo, or no crates of Debian's: no cargo build")
        return None
    say(f"building {project}")
    run("cp", "-rT", str(PROJECT), str(project))
    built = subprocess.run(["cargo", "build", "--target-dir", "target.half"], cwd=project,
                           check=False, capture_output=True, text=True)
    if built.returncode:
        say(f"cargo: {built.stderr[-2000:]}")
        return None
    (project / "target.half").rename(project / "target")
    return project


def facts(tree):
    """Entries and bytes, for the report."""
    entries = files = size = 0
    for _, directories, names, fd in os.fwalk(tree):
        entries += len(directories) + len(names)
        files += len(names)
        size += sum(os.stat(name, dir_fd=fd, follow_symlinks=False).st_size for name in names)
    return {"entries": entries, "files": files, "bytes": size}
