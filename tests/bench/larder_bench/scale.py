"""How cost grows: many files, a large archive, many keys, many readers, many mounts.

    tools/bench --scale [--groups entries,large,...] [--json FILE]

Each group is a series that grows, so that the table shows what doubles and what stays.
Times are of this machine and this link; memory, requests and bytes are Larder's own.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager

from larder_testlib.faultproxy import FaultProxy
from larder_testlib.mount import Mount, environment
from larder_testlib.origin import Origin
from larder_testlib.process import TempDir, forget_mount, note_mount
from larder_testlib.programs import program
from larder_testlib.rgw import Rgw

from . import inputs, scale_inputs
from .machine import cpu_seconds, drop_caches, run
from .scale_inputs import GIB

BUCKET = "scale"
RANDOM_READS = 200
RANDOM_BYTES = 4096


# -- looking at processes

def memory(pid):
    """(resident now, resident at most) in bytes."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        fields = dict(line.split(":", 1) for line in status)
    return tuple(int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))


def command(*argv, env=None):
    """Runs larder; (seconds, CPU seconds, most resident bytes, what it printed).

    The peak is looked up while it runs: rusage's would begin with this process's own.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        child = subprocess.Popen([program("larder"), *map(str, argv)], env=environment(env),
                                 stdout=out, stderr=said)
        while child.poll() is None:
            with contextlib.suppress(OSError, KeyError):
                peak = memory(child.pid)[1]
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.005)
        took, usage = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        for file in (out, said):
            file.seek(0)
        if child.returncode:
            raise RuntimeError(f"larder {argv[0]} ended with {child.returncode}: {said.read()}")
        cpu = usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime
        return took, cpu, peak, out.read()


class Lap:
    """Seconds, the daemon's CPU seconds, and a server's counts, of one step after another."""

    def __init__(self, pids, counts):
        self._pids, self._counts = pids, counts
        self._facts = self._now()

    def _now(self):
        return (time.perf_counter(), cpu_seconds(self._pids()), *self._counts())

    def __call__(self):
        before, self._facts = self._facts, self._now()
        return tuple(after - b for after, b in zip(self._facts, before))


def walk(tree):
    """Looks at every entry; how many there are."""
    done = subprocess.run(["find", str(tree), "-printf", "%s %T@\\n"], check=True,
                          capture_output=True)
    return done.stdout.count(b"\n")


def read_files(paths):
    """Reads files whole; the bytes there were."""
    total = 0
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        while got := len(os.read(fd, 1 << 20)):
            total += got
        os.close(fd)
    return total


def files_of(tree):
    return [os.path.join(parent, name) for parent, _, names in os.walk(tree)
            for name in names if not os.path.islink(os.path.join(parent, name))]


def read_by_processes(shares):
    """A process for each share of paths, all let go at once: [seconds each took], total."""
    ready, go = os.pipe()[0:2], os.pipe()
    children = []
    for share in shares:
        result, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go[1])
            os.write(ready[1], b".")
            os.read(go[0], 1)
            begun = time.perf_counter()
            status = 0
            try:
                read_files(share)
            except OSError:
                status = 1
            os.write(told, f"{time.perf_counter() - begun}".encode())
            os._exit(status)
        os.close(told)
        children.append((pid, result))
    for _ in children:
        os.read(ready[0], 1)
    begun = time.perf_counter()
    os.close(go[1])
    failed = sum(os.waitpid(pid, 0)[1] != 0 for pid, _ in children)
    total = time.perf_counter() - begun
    took = [float(os.read(result, 64)) for _, result in children]
    for fd in (*ready, go[0], *(result for _, result in children)):
        os.close(fd)
    if failed:
        raise RuntimeError(f"{failed} readers failed")
    return took, total


@contextmanager
def small_tmpfs(size):
    with TempDir("larder-scale-") as place:
        note_mount(place)
        run("mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=0", "tmpfs", str(place))
        try:
            yield place
        finally:
            run("umount", "-l", str(place))
            forget_mount(place)


# -- the groups; each yields rows

class Scale:
    def __init__(self, options, stack):
        self.options, self._stack = options, stack
        self._rgw = self._proxy = self._names = None

    @property
    def rgw(self):
        if self._rgw is None:
            self._rgw = self._stack.enter_context(Rgw())
            self._rgw.make_bucket(BUCKET)
        return self._rgw

    @property
    def proxy(self):
        if self._proxy is None:
            self._proxy = self._stack.enter_context(FaultProxy(self.rgw.endpoint))
        return self._proxy

    def env(self, direct=False):
        return self.rgw.env(self.rgw.endpoint if direct else self.proxy.endpoint)

    def proxy_counts(self):
        stats = self.proxy.stats()
        return stats["requests"], stats["bytes_down"]

    def entries(self):
        """One archive of more and more files, on a local network."""
        self.proxy.profile("lan")
        for count in self.options.entries:
            with small_tmpfs("80%") as place:
                tree = scale_inputs.many_files(place / "tree", count)
                commit = command("commit", "--key", f"entries-{count}", f"s3://{BUCKET}", tree,
                                 env=self.env(direct=True))
            yield {"files": count, "commit s": commit[0], "commit CPU s": commit[1], "commit peak MB": commit[2] / 1e6,
                   **self._entries_mounted(f"entries-{count}")}

    def _entries_mounted(self, key):
        if not self.options.keep_caches:
            drop_caches()
        requests, received = self.proxy_counts()
        begun = time.perf_counter()
        with Mount(f"s3://{BUCKET}", "--prefetch=none", key=key, env=self.env()) as mount:
            os.listdir(mount.path)
            opened = time.perf_counter() - begun
            lap = Lap(mount.pids, self.proxy_counts)
            after = self.proxy_counts()
            pid, = mount.pids()
            status = json.loads(os.getxattr(mount.path, "user.larder.status"))
            idle, peak = memory(pid)
            found = walk(mount.path)
            walked, walked_cpu, *_ = lap()
            again, _ = memory(pid)
        return {"entries": found, "open s": opened, "requests": after[0] - requests,
                "open MB": (after[1] - received) / 1e6,
                "bytes an entry": status["keys"][0]["memory_bytes"] / found,
                "resident MB": idle / 1e6, "peak MB": peak / 1e6, "walk s": walked,
                "walk CPU s": walked_cpu, "after it MB": again / 1e6}

    def large(self):
        """One archive of more and more bytes, made as they are asked for."""
        for size in self.options.gigabytes:
            body = scale_inputs.LargeArchive(size)
            with Origin() as origin:
                origin.put(BUCKET, "large", body)
                yield {"GiB": size, "stored GB": body.size / 1e9,
                       **self._large_mounted(origin, body)}

    def _large_mounted(self, origin, body):
        def counts():
            with origin.lock:
                return len(origin.requests), sum(r.sent for r in origin.requests)

        env = {"AWS_ENDPOINT_URL_S3": origin.endpoint, "AWS_REGION": "us-east-1"}
        begun = time.perf_counter()
        with Mount(f"s3://{BUCKET}", "--no-sign-request", "--prefetch=none", key="large",
                   env=env) as mount:
            os.listdir(mount.path)
            opened, first = time.perf_counter() - begun, counts()
            pid, = mount.pids()
            idle, _ = memory(pid)
            lap = Lap(mount.pids, counts)
            self._read_at_random(mount.path, body)
            random_s, _, requests, received = lap()
            middle, _ = memory(pid)
            read_files([mount.path / body.name(body.files - 1)])
            whole_s, whole_cpu, *_ = lap()
            after, peak = memory(pid)
        return {"open s": opened, "requests": first[0], "open MB": first[1] / 1e6,
                "resident MB": idle / 1e6, "random read ms": random_s / RANDOM_READS * 1e3,
                "requests each": requests / RANDOM_READS,
                "MB each": received / RANDOM_READS / 1e6, "then MB": middle / 1e6,
                "1 GiB in a row, MB/s": GIB / whole_s / 1e6, "CPU s": whole_cpu,
                "finally MB": after / 1e6, "peak MB": peak / 1e6}

    @staticmethod
    def _read_at_random(tree, body, seed=1):
        dice = random.Random(seed)
        for _ in range(RANDOM_READS):
            file, offset = dice.randrange(body.files), dice.randrange(GIB - RANDOM_BYTES)
            fd = os.open(tree / body.name(file), os.O_RDONLY)
            got = os.pread(fd, RANDOM_BYTES, offset)
            os.close(fd)
            if got != body.content(file, offset, RANDOM_BYTES):
                raise RuntimeError(f"wrong bytes of file {file} at {offset}")

    def keys(self):
        """Stores of more and more keys: a folder, and a bucket behind CLOUD."""
        with TempDir("larder-scale-") as place:
            tree = scale_inputs.many_files(place / "tree", 20)
            command("commit", "--key", "one", place / "store", tree)
            archive = place / "store" / "one"
            for count in self.options.keys:
                with small_tmpfs("50%") as folder:
                    scale_inputs.folder_of_keys(folder, count, archive)
                    yield {"keys": count, "store": "folder",
                           **self._keys_seen(str(folder), None, lambda: (0, 0), count)}
            self.proxy.profile("cloud")
            for count in self.options.keys:
                bucket = self.rgw.make_bucket(f"keys-{count}")
                self._fill(bucket, count, archive.read_bytes())
                yield {"keys": count, "store": "bucket, CLOUD",
                       **self._keys_seen(f"s3://{bucket}", self.env(), self.proxy_counts,
                                         count)}

    def _fill(self, bucket, count, archive):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            scale_inputs.bucket_of_keys(
                pool, lambda key, data: self.rgw.s3.put(bucket, key, data), count, archive)

    def _keys_seen(self, store, env, counts, count):
        before = counts()
        listed = command("ls", store, env=env)
        requests = counts()[0] - before[0]
        told = listed[3].count(b"\n")
        if told != count:
            raise RuntimeError(f"larder ls told {told} of {count} keys")
        return {"larder ls s": listed[0], "its requests": requests, "ls CPU s": listed[1],
                "ls peak MB": listed[2] / 1e6, **self._key_found(store, env, counts, count),
                **self._keys_mounted(store, env, counts, count)}

    @staticmethod
    def _key_found(store, env, counts, count):
        """One key on a mount that has listed nothing, and the newest by its prefix."""
        before, begun = counts(), time.perf_counter()
        with Mount(store, env=env) as mount:
            os.listdir(mount.path / scale_inputs.key_name(count // 2))
            one, one_requests = time.perf_counter() - begun, counts()[0] - before[0]
        before, begun = counts(), time.perf_counter()
        with Mount(store, "--fallback-key=npm-3-", key="none", env=env) as mount:
            os.listdir(mount.path)
            newest, requests = time.perf_counter() - begun, counts()[0] - before[0]
        return {"one key s": one, "one key requests": one_requests, "fallback s": newest,
                "fallback requests": requests}

    @staticmethod
    def _keys_mounted(store, env, counts, count):
        with Mount(store, env=env) as mount:
            pid, = mount.pids()
            idle, _ = memory(pid)
            lap = Lap(mount.pids, counts)
            names = os.listdir(mount.path)
            ls_s, _, ls_requests, _ = lap()
            listed, _ = memory(pid)
            with os.scandir(mount.path) as found:
                seen = sum(entry.stat().st_nlink > 0 for entry in found)
            stat_s, stat_cpu, *_ = lap()
            statted, peak = memory(pid)
        if len(names) != count or seen != count:
            raise RuntimeError(f"ls told {len(names)} of {count} keys, ls -l {seen}")
        return {"mount, ls s": ls_s, "mount requests": ls_requests,
                "bytes a key": (listed - idle) / count, "ls -l s": stat_s,
                "ls -l CPU s": stat_cpu, "bytes a key seen": (statted - idle) / count,
                "peak MB": peak / 1e6}

    # -- a real tree

    def tree(self):
        """Publishes the real tree once; its files' paths."""
        if self._names is None:
            self._publish_tree()
            with Mount(f"s3://{BUCKET}", key="tree", env=self.env(direct=True)) as mount:
                self._names = [os.path.relpath(path, mount.path)
                               for path in files_of(mount.path)]
        return self._names

    def _publish_tree(self):
        if self.options.archive:
            with open(self.options.archive, "rb") as body:
                self.rgw.s3.put(BUCKET, "tree", body)
            return
        tree = self.options.node_modules or inputs.node_modules(self.options.inputs)[0]
        command("commit", "--key", "tree", f"s3://{BUCKET}", tree, env=self.env(direct=True))

    def resident(self):
        """A real tree, read whole."""
        names = self.tree()
        self.proxy.profile("cloud")
        for ahead in ("none", "auto"):
            with Mount(f"s3://{BUCKET}", f"--prefetch={ahead}", key="tree",
                       env=self.env()) as mount:
                pid, = mount.pids()
                idle, _ = memory(pid)
                lap = Lap(mount.pids, self.proxy_counts)
                read = read_files(mount.path / name for name in names)
                took, cpu, requests, received = lap()
                after, peak = memory(pid)
                yield {"prefetch": ahead, "read MB": read / 1e6, "s": took, "CPU s": cpu,
                       "requests": requests, "fetched MB": received / 1e6,
                       "opened MB": idle / 1e6, "after it MB": after / 1e6,
                       "peak MB": peak / 1e6}

    def readers(self):
        """Processes that each read another file of a real tree at the same time."""
        names = self.tree()
        self.proxy.profile("cloud")
        for count in self.options.readers:
            chosen = random.Random(count).sample(names, count)
            with Mount(f"s3://{BUCKET}", key="tree", env=self.env()) as mount:
                lap = Lap(mount.pids, self.proxy_counts)
                took, total = read_by_processes([[mount.path / name] for name in chosen])
                _, cpu, requests, received = lap()
                _, peak = memory(mount.pids()[0])
                yield {"readers": count, "all done s": total,
                       "median s": statistics.median(took), "slowest s": max(took),
                       "fastest s": min(took), "requests": requests,
                       "fetched MB": received / 1e6, "CPU s": cpu, "peak MB": peak / 1e6}

    def mounts(self):
        """Mounts of one key that share a cache, each read whole at the same time."""
        names = self.tree()
        self.proxy.profile("cloud")
        one = None
        for count in self.options.mounts:
            with TempDir("larder-scale-") as cache, ExitStack() as stack:
                mounts = [stack.enter_context(Mount(
                    f"s3://{BUCKET}", key="tree", cache=cache, env=self.env()))
                    for _ in range(count)]
                shares = [[mount.path / name for name in names] for mount in mounts]
                lap = Lap(lambda: [pid for mount in mounts for pid in mount.pids()],
                          self.proxy_counts)
                took, total = read_by_processes(shares)
                _, cpu, requests, received = lap()
                peaks = [memory(mount.pids()[0])[1] for mount in mounts]
            one = one or max(received, 1)
            yield {"mounts": count, "all done s": total, "slowest/fastest": max(took) / min(took),
                   "requests": requests, "fetched MB": received / 1e6,
                   "times one mount's": received / one, "CPU s": cpu,
                   "peak MB each": statistics.mean(peaks) / 1e6}


GROUPS = ("entries", "large", "keys", "resident", "readers", "mounts")


# -- telling

def cell(value):
    if isinstance(value, float):
        return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows):
    """Markdown."""
    names = list(rows[0])
    lines = [names, ["---:"] * len(names)]
    lines += [[cell(row[name]) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def series(text):
    return [int(word) for word in text.split(",")]


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/bench --scale", description=__doc__)
    parser.add_argument("--groups", default=",".join(GROUPS))
    parser.add_argument("--entries", type=series, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--gigabytes", type=series, default=[1, 10, 50])
    parser.add_argument("--keys", type=series, default=[1_000, 10_000, 100_000])
    parser.add_argument("--readers", type=series, default=[1, 10, 50, 200])
    parser.add_argument("--mounts", type=series, default=[1, 2, 4, 8])
    parser.add_argument("--node-modules", type=pathlib.Path, help="a tree that is there")
    parser.add_argument("--archive", type=pathlib.Path,
                        help="of such a tree, as 'larder commit' made it")
    parser.add_argument("--inputs", type=pathlib.Path,
                        default=pathlib.Path("build-bench/inputs"))
    parser.add_argument("--keep-caches", action="store_true",
                        help="do not drop the kernel's caches")
    parser.add_argument("--json", type=pathlib.Path)
    return parser.parse_args(words)


def main(words=None):
    options = parse(words)
    results = {}
    with ExitStack() as stack:
        scale = Scale(options, stack)
        for group in options.groups.split(","):
            rows = results[group] = []
            measure = getattr(scale, group)
            print(f"\n{group}: {measure.__doc__}", file=sys.stderr, flush=True)
            for row in measure():
                rows.append(row)
                print("  " + ", ".join(f"{name}: {cell(value)}"
                                       for name, value in row.items()),
                      file=sys.stderr, flush=True)
    for group, rows in results.items():
        print(f"\n### {group}\n\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
