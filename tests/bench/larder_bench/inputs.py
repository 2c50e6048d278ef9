"""The trees that are published: made on the spot, kept between runs.

node_modules: `npm install` of a large set, where npm is there; else a tree of the same
shape, said so in the results. cargo target: a debug and a release build against Debian's
crates, where cargo is there. big: one file of 1 GB that does not compress.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess

from .machine import run

PACKAGES = ["webpack", "typescript", "eslint", "jest", "react", "react-dom", "next",
            "@angular/cli", "@angular/core", "@babel/core", "@babel/preset-env", "rollup",
            "vite", "gatsby", "mocha", "karma", "lodash", "rxjs", "express", "prettier",
            "@mui/material", "@mui/icons-material", "date-fns", "aws-sdk", "core-js"]
BIG_BYTES = 1_000_000_000
REGISTRY = pathlib.Path("/usr/share/cargo/registry")
CRATES = ["serde", "serde_json", "regex", "rayon", "chrono", "rand"]


def node_modules(folder):
    """(tree, how it was made)."""
    tree = folder / "npm" / "node_modules"
    if tree.is_dir():
        return tree, "npm install"
    if not shutil.which("npm"):
        return generated(folder / "generated"), "generated"
    tree.parent.mkdir(parents=True)
    manifest = {"name": "bench", "private": True,
                "dependencies": {name: "*" for name in PACKAGES}}
    (tree.parent / "package.json").write_text(json.dumps(manifest))
    run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps",
        cwd=tree.parent)
    return tree, "npm install"


def generated(tree, packages=3000, seed=1):
    """50,000 small files of text in packages, for machines without npm."""
    if tree.is_dir():
        return tree
    dice = random.Random(seed)
    words = [f"{dice.randrange(1 << 30):x}" for _ in range(5000)]
    for package in range(packages):
        for directory in ("", "lib", "dist/cjs"):
            place = tree / f"package-{package:04d}" / directory
            place.mkdir(parents=True, exist_ok=True)
            for number in range(6):
                size = int(dice.lognormvariate(6, 1.2)) // 6
                text = " ".join(dice.choices(words, k=size))
                (place / f"file{number}.js").write_text(text + "\n")
    return tree


def differing(tree, target, share=0.01, seed=2):
    """A copy of the tree with that share of its files changed."""
    if target.is_dir():
        return target
    run("cp", "-a", str(tree), str(target))
    files = sorted(p for p in target.rglob("*") if p.is_file() and not p.is_symlink())
    for path in random.Random(seed).sample(files, int(len(files) * share)):
        path.chmod(0o644)
        with open(path, "ab") as out:
            out.write(b"\n// changed\n")
    return target


def big(folder):
    tree = folder / "big"
    if not tree.is_dir():
        tree.mkdir(parents=True)
        with open(tree / "big", "wb") as out:
            dice = random.Random(3)
            for _ in range(BIG_BYTES // 1_000_000):
                out.write(dice.randbytes(1_000_000))
    return tree


def cargo_project(folder):
    """The project's folder with a built target, or None without cargo or its crates."""
    project = folder / "cargo"
    if (project / "target").is_dir():
        return project
    if not shutil.which("cargo") or not REGISTRY.is_dir():
        return None
    (project / "src").mkdir(parents=True)
    (project / ".cargo").mkdir()
    (project / ".cargo/config.toml").write_text(
        '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\n'
        f'directory = "{REGISTRY}"\n[net]\noffline = true\n')
    (project / "Cargo.toml").write_text(
        '[package]\nname = "bench"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n'
        + "".join(f'{crate} = "*"\n' for crate in CRATES))
    (project / "src/main.rs").write_text(
        'fn main() { println!("{}", regex::Regex::new("a+").unwrap().is_match("a")); }\n')
    for options in ([], ["--release"]):
        built = subprocess.run(["cargo", "build", *options], cwd=project, check=False,
                               capture_output=True)
        if built.returncode:
            shutil.rmtree(project)
            return None
    return project


def facts(tree):
    """Entries and bytes, for the report."""
    entries = size = 0
    for _, directories, files, fd in os.fwalk(tree):
        entries += len(directories) + len(files)
        size += sum(os.stat(name, dir_fd=fd, follow_symlinks=False).st_size for name in files)
    return {"entries": entries, "bytes": size}
