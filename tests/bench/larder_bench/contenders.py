"""The contenders: each brings a published tree to a path, its own way.

publish() is done once, to the gateway itself. begin() is what a job does first, through
the proxy, and returns the path of the tree; begin_writable() the same where the job is to
write; end() takes everything away, whatever state begin() left it in.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess

from larder_testlib import janitor
from larder_testlib.mount import environment
from larder_testlib.process import TempDir, forget_mount, note_mount, spawn, wait_until
from larder_testlib.programs import program

from .machine import run, shell

MOUNTED_WITHIN = 60.0
CONNECTIONS = 10
AWS = "/usr/bin/aws"  # Debian's, whatever else is in PATH


class Place:
    """What all share: the gateway, the bucket, the proxy's address, and a folder for
    images, which are kept from one run to the next."""

    def __init__(self, rgw, bucket, proxy, images):
        self.rgw, self.bucket, self.proxy, self.images = rgw, bucket, proxy, images
        self.store = f"s3://{bucket}"

    def env(self, direct=False):
        endpoint = self.rgw.endpoint if direct else self.proxy.endpoint
        return environment(self.rgw.env(endpoint))

    def url(self, name):
        return f"{self.proxy.endpoint}/{self.bucket}/{name}"

    def stored(self, name):
        """An object's size in bytes."""
        return int(self.rgw.s3.head(self.bucket, name).headers["Content-Length"])

    def upload(self, name, path):
        with open(path, "rb") as body:
            self.rgw.s3.put(self.bucket, name, body)

    def image(self, name, tree, make):
        """The file that make(path) makes of the tree; made again for another tree."""
        state = f"{tree.resolve()} {tree.stat().st_mtime_ns}".encode()
        path = self.images / f"{hashlib.sha256(state).hexdigest()[:12]}-{name}"
        if not path.exists():
            self.images.mkdir(parents=True, exist_ok=True)
            half = path.with_name(path.name + ".half")
            half.unlink(missing_ok=True)
            make(half)
            half.rename(path)
        return path


class Contender:
    """eager: all of the tree is there when begin() returns, so that what follows costs the
    same however often it begins."""
    name = ""
    eager = False

    def __init__(self, place):
        self.place = place
        self._dir = self._merged = None

    def available(self):
        return True

    def publish(self, label, tree):
        pass

    def begin(self, label):
        raise NotImplementedError

    def begin_writable(self, label):
        lower = self.begin(label)
        with_overlay = (self._dir.path if self._dir else self.fresh()) / "overlay"
        self._merged = with_overlay / "merged"
        for part in ("upper", "work", "merged"):
            (with_overlay / part).mkdir(parents=True)
        note_mount(self._merged)
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir={lower},upperdir={with_overlay}/upper,workdir={with_overlay}/work,"
            "metacopy=on", str(self._merged))
        return self._merged

    def pids(self):
        """The daemons that serve the tree."""
        return []

    def end(self):
        if self._merged:
            take_away(self._merged)
        if self._dir:
            self._dir.remove()
        self._dir = self._merged = None

    def fresh(self):
        self._dir = TempDir("larder-bench-")
        return self._dir.path


def take_away(point):
    if not janitor.unmount(point):
        raise RuntimeError(f"{point} cannot be unmounted")
    forget_mount(point)


class Larder(Contender):
    name = "larder"
    options = ()

    def publish(self, label, tree):
        run(program("larder"), "commit", "--force", "--quiet", "--key", label,
            self.place.store, str(tree), env=self.place.env(direct=True))

    def begin(self, label, cache=None, options=()):
        work = self.fresh()
        self._mnt = work / "mnt"
        self._mnt.mkdir()
        env = self.place.env() | {"LARDER_CACHE_DIR": str(cache or work / "cache")}
        note_mount(self._mnt)
        run(program("larder"), "mount", *self.options, *options, "--fail-on-miss",
            "--key", label, self.place.store, str(self._mnt), env=env)
        return self._mnt

    def begin_writable(self, label):
        return self.begin(label, options=("--writable",))

    def status(self):
        done = subprocess.run([program("larder"), "status", "--json", str(self._mnt)],
                              capture_output=True, check=True)
        return json.loads(done.stdout)

    def pids(self):
        return [self.status()["pid"]]

    def end(self):
        if self._dir and os.path.ismount(self._mnt):
            run(program("larder"), "umount", str(self._mnt))
        if self._dir:
            take_away(self._mnt)
        super().end()


class LarderNoPrefetch(Larder):
    name = "larder --prefetch none"
    options = ("--prefetch", "none")

    def publish(self, label, tree):
        pass  # Larder's own archive serves


class LarderRestore(Contender):
    name = "larder restore"
    eager = True

    def begin(self, label):
        work = self.fresh()
        env = self.place.env() | {"LARDER_CACHE_DIR": str(work / "cache")}
        run(program("larder"), "restore", "--quiet", "--key", label, self.place.store,
            str(work / "tree"), env=env)
        return work / "tree"


class Untar(Contender):
    """One connection, unpacked as it arrives."""
    name = "curl + untar"
    eager = True

    def publish(self, label, tree):
        def make(path):
            shell('tar -cf - -C "$1" . | zstd -q -3 -T0 -o "$2"', tree, path)
        self.place.upload(f"{label}.tar.zst", self.place.image(f"{label}.tar.zst", tree, make))

    def begin(self, label):
        tree = self.fresh() / "tree"
        tree.mkdir()
        shell('curl -sSf "$1" | tar --zstd -xf - -C "$2"',
              self.place.url(label + ".tar.zst"), tree)
        return tree

    def begin_writable(self, label):
        return self.begin(label)


class ParallelUntar(Untar):
    """Ten connections, then unpacked, as the cache actions do."""
    name = f"{CONNECTIONS} connections + untar"

    def publish(self, label, tree):
        pass  # the same object

    def begin(self, label):
        work = self.fresh()
        (work / "tree").mkdir()
        parts = parallel_download(self.place, f"{label}.tar.zst", work)
        shell('tree=$1; shift; cat "$@" | tar --zstd -xf - -C "$tree"', work / "tree", *parts)
        return work / "tree"


def parallel_download(place, name, folder):
    """Downloads an object in ranges, all at once, each to a file of its own; their paths."""
    size = place.stored(name)
    piece = -(-size // CONNECTIONS)
    parts, words = [], []
    for begin in range(0, size, piece):
        parts.append(folder / f"part-{len(parts)}")
        words += ["--next"] if words else []
        words += ["-sSf", "-r", f"{begin}-{min(size, begin + piece) - 1}",
                  "-o", str(parts[-1]), place.url(name)]
    run("curl", "--parallel", "--parallel-immediate", *words)
    return parts


class Squash(Contender):
    """A squashfs image of the tree."""

    def publish(self, label, tree):
        def make(path):
            run("mksquashfs", str(tree), str(path), "-comp", "zstd", "-Xcompression-level",
                "3", "-quiet", "-no-progress")
        self.place.upload(f"{label}.squashfs",
                          self.place.image(f"{label}.squashfs", tree, make))


class AwsLoop(Squash):
    """Downloaded whole, by ten connections, and mounted by the kernel."""
    name = "aws cli + loop squashfs"

    def available(self):
        return os.access(AWS, os.X_OK) and shutil.which("mksquashfs")

    def begin(self, label):
        work = self.fresh()
        self._point = work / "mnt"
        self._point.mkdir()
        run(AWS, "--endpoint-url", self.place.proxy.endpoint, "s3", "cp",
            "--only-show-errors", f"{self.place.store}/{label}.squashfs", str(work / "image"),
            env=self.place.env())
        note_mount(self._point)
        run("mount", "-t", "squashfs", "-o", "loop,ro", str(work / "image"), str(self._point))
        return self._point

    def end(self):
        if self._merged:
            take_away(self._merged)
        if self._dir:
            take_away(self._point)
        super().end()


class LazySquash(Squash):
    """Read by squashfuse through a file system that mounts the bucket."""
    program = ""

    def available(self):
        return all(map(shutil.which, (self.program, "squashfuse_ll", "mksquashfs")))

    def mount_bucket(self, work, point):
        """The words of the command that stays and serves the bucket."""
        raise NotImplementedError

    def begin(self, label):
        work = self.fresh()
        self._mounts = []
        bucket, tree = work / "bucket", work / "mnt"
        self._serve(bucket, self.mount_bucket(work, bucket))
        self._serve(tree, ["squashfuse_ll", "-f", f"{bucket}/{label}.squashfs", str(tree)])
        return tree

    def _serve(self, point, argv):
        point.mkdir()
        note_mount(point)
        child = spawn(argv, env=self.place.env(), stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
        self._mounts.append((point, child))
        wait_until(lambda: os.path.ismount(point), f"{argv[0]} has mounted", MOUNTED_WITHIN,
                   child)

    def pids(self):
        return [child.pid for _, child in self._mounts]

    def end(self):
        if self._merged:
            take_away(self._merged)
        while self._dir and self._mounts:
            point, child = self._mounts.pop()
            take_away(point)
            child.stop(signal.SIGTERM)
        super().end()


class RcloneSquash(LazySquash):
    name = "rclone + squashfuse"
    program = "rclone"

    def mount_bucket(self, work, point):
        env = self.place.env()
        settings = ",".join([
            "provider=Ceph", f"access_key_id={env['AWS_ACCESS_KEY_ID']}",
            f"secret_access_key={env['AWS_SECRET_ACCESS_KEY']}",
            f"endpoint='{self.place.proxy.endpoint}'"])
        return ["rclone", "mount", "--read-only", "--vfs-cache-mode", "full",
                "--cache-dir", str(work / "cache"), "--config", "/dev/null",
                f":s3,{settings}:{self.place.bucket}", str(point)]


class S3fsSquash(LazySquash):
    name = "s3fs + squashfuse"
    program = "s3fs"

    def mount_bucket(self, work, point):
        return ["s3fs", self.place.bucket, str(point), "-f", "-o",
                f"url={self.place.proxy.endpoint},use_path_request_style,ro,"
                f"use_cache={work / 'cache'},parallel_count={CONNECTIONS}"]


class Local(Contender):
    """The tree as it is, on the disk: what there is to be lost."""
    name = "local ext4"

    def __init__(self, place):
        super().__init__(place)
        self._trees = {}

    def publish(self, label, tree):
        self._trees[label] = tree

    def begin(self, label):
        return self._trees[label]


class Tmpfs(Contender):
    """A copy in memory."""
    name = "tmpfs"

    def __init__(self, place):
        super().__init__(place)
        self._base = None

    def end(self):
        pass  # it stays for the next round

    def publish(self, label, tree):
        if not self._base:
            self._base = self.fresh()
            note_mount(self._base)
            run("mount", "-t", "tmpfs", "-o", "size=6g", "tmpfs", str(self._base))
        run("cp", "-a", str(tree), str(self._base / label))

    def begin(self, label):
        return self._base / label

    def finish(self):
        if self._base:
            take_away(self._base)
            super().end()


OURS = (Larder, LarderNoPrefetch, LarderRestore)
PEERS = (Untar, ParallelUntar, RcloneSquash, S3fsSquash, AwsLoop)
