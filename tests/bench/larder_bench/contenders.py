"""The contenders: each brings a published tree to a path, its own way.

publish() is done once, to the gateway itself. begin() is what a job does first, through
the proxy, and returns the path of the tree; end() takes everything away.
"""

import json
import os
import shutil
import signal
import subprocess

from larder_testlib import janitor
from larder_testlib.process import TempDir, forget_mount, note_mount, spawn, wait_until
from larder_testlib.programs import program

from .machine import run, shell

MOUNTED_WITHIN = 60.0


class Place:
    """What all share: the gateway, the bucket, the proxy's address, a scratch folder."""

    def __init__(self, rgw, bucket, proxy, scratch):
        self.rgw, self.bucket, self.proxy, self.scratch = rgw, bucket, proxy, scratch

    def env(self, direct=False):
        endpoint = self.rgw.endpoint if direct else self.proxy.endpoint
        return os.environ | self.rgw.env(endpoint)

    def url(self, name):
        return f"{self.proxy.endpoint}/{self.bucket}/{name}"


class Contender:
    name = ""

    def __init__(self, place):
        self.place = place
        self._dir = None

    def available(self):
        return True

    def publish(self, label, tree):
        pass

    def begin(self, label):
        raise NotImplementedError

    def pids(self):
        return []

    def end(self):
        if self._dir:
            self._dir.remove()
        self._dir = None

    def fresh(self):
        self._dir = TempDir("larder-bench-")
        return self._dir.path


class Larder(Contender):
    name = "larder"
    options = ()

    def publish(self, label, tree):
        run(program("larder"), "commit", "--force", "--key", label,
            f"s3://{self.place.bucket}", str(tree), env=self.place.env(direct=True))

    def begin(self, label, cache=None):
        work = self.fresh()
        self._mnt = work / "mnt"
        self._mnt.mkdir()
        env = self.place.env() | {"LARDER_CACHE_DIR": str(cache or work / "cache")}
        note_mount(self._mnt)
        run(program("larder"), "mount", *self.options, "--key", label,
            f"s3://{self.place.bucket}", str(self._mnt), env=env)
        return self._mnt

    def pids(self):
        return [json.loads(os.getxattr(self._mnt, "user.larder.status"))["pid"]]

    def end(self):
        run(program("larder"), "umount", str(self._mnt))
        forget_mount(self._mnt)
        super().end()


class LarderNoPrefetch(Larder):
    name = "larder --prefetch none"
    options = ("--prefetch", "none")


class LarderRestore(Contender):
    name = "larder restore"

    def publish(self, label, tree):
        pass  # Larder's own archive serves

    def begin(self, label):
        work = self.fresh()
        env = self.place.env() | {"LARDER_CACHE_DIR": str(work / "cache")}
        run(program("larder"), "restore", "--key", label, f"s3://{self.place.bucket}",
            str(work / "tree"), env=env)
        return work / "tree"


class Untar(Contender):
    """One connection, unpacked as it arrives."""
    name = "curl + untar"

    def publish(self, label, tree):
        with TempDir("larder-bench-") as work:
            shell(f"tar -cf - -C '{tree}' . | zstd -q -3 -T0 -o '{work}/x'")
            with open(f"{work}/x", "rb") as body:
                self.place.rgw.s3.put(self.place.bucket, f"{label}.tar.zst", body)

    def begin(self, label):
        tree = self.fresh() / "tree"
        tree.mkdir()
        shell(f"curl -sf '{self.place.url(label + '.tar.zst')}' | tar --zstd -xf - -C '{tree}'")
        return tree


class ParallelUntar(Untar):
    """Ten connections into a file, then unpacked, as the cache actions do."""
    name = "10 connections + untar"
    connections = 10

    def publish(self, label, tree):
        pass  # the same object

    def begin(self, label):
        work = self.fresh()
        (work / "tree").mkdir()
        parallel_download(self.place, f"{label}.tar.zst", work / "object", self.connections)
        run("tar", "--zstd", "-xf", str(work / "object"), "-C", str(work / "tree"))
        return work / "tree"


def parallel_download(place, name, path, connections):
    """Downloads an object in ranges, with one curl for each."""
    size = int(place.rgw.s3.head(place.bucket, name).headers["Content-Length"])
    piece = -(-size // connections)
    with open(path, "wb") as out:
        out.truncate(size)
    script = " & ".join(
        f"curl -sf -r {i * piece}-{min(size, (i + 1) * piece) - 1} '{place.url(name)}'"
        f" | dd of='{path}' bs=1M seek={i * piece} oflag=seek_bytes conv=notrunc"
        " iflag=fullblock status=none"
        for i in range(connections) if i * piece < size)
    shell(script + " & wait")


class Squash(Contender):
    """A squashfs image, read through a file system that mounts the bucket."""

    def publish(self, label, tree):
        with TempDir("larder-bench-") as work:
            run("mksquashfs", str(tree), f"{work}/x", "-comp", "zstd", "-quiet",
                "-no-progress")
            with open(f"{work}/x", "rb") as body:
                self.place.rgw.s3.put(self.place.bucket, f"{label}.squashfs", body)

    def mount_bucket(self, work, point):
        raise NotImplementedError

    def begin(self, label):
        work = self.fresh()
        self._points = [work / "bucket", work / "mnt"]
        self._children = []
        for point in self._points:
            point.mkdir()
        self._mount(self._points[0], self.mount_bucket(work, self._points[0]))
        self._mount(self._points[1], [
            "squashfuse_ll", "-f", str(self._points[0] / f"{label}.squashfs"),
            str(self._points[1])])
        return self._points[1]

    def _mount(self, point, argv):
        note_mount(point)
        child = spawn(argv, env=self.place.env(), stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL)
        self._children.append(child)
        wait_until(lambda: os.path.ismount(point), f"a mount by {argv[0]}",
                   MOUNTED_WITHIN, child)

    def pids(self):
        return [child.popen.pid for child in self._children]

    def end(self):
        for point, child in reversed(list(zip(self._points, self._children))):
            janitor.unmount(str(point))
            child.stop(signal.SIGTERM)
            forget_mount(point)
        super().end()


class RcloneSquash(Squash):
    name = "rclone mount + squashfuse"

    def available(self):
        return shutil.which("rclone") and shutil.which("squashfuse_ll")

    def mount_bucket(self, work, point):
        env = self.place.env()
        settings = ",".join([
            "provider=Ceph", f"access_key_id={env['AWS_ACCESS_KEY_ID']}",
            f"secret_access_key={env['AWS_SECRET_ACCESS_KEY']}",
            f"endpoint='{self.place.proxy.endpoint}'"])
        return ["rclone", "mount", "--read-only", "--vfs-cache-mode", "full",
                "--cache-dir", str(work / "cache"), "--config", "/dev/null",
                f":s3,{settings}:{self.place.bucket}", str(point)]


class S3fsSquash(Squash):
    name = "s3fs + squashfuse"

    def available(self):
        return shutil.which("s3fs") and shutil.which("squashfuse_ll")

    def publish(self, label, tree):
        pass  # the same object

    def mount_bucket(self, work, point):
        return ["s3fs", self.place.bucket, str(point), "-f", "-o",
                f"url={self.place.proxy.endpoint},use_path_request_style,ro,"
                f"use_cache={work / 'cache'},parallel_count=10"]


class Local(Contender):
    """The tree as it is, on the disk: what there is to be lost."""
    name = "local ext4"

    def publish(self, label, tree):
        self._trees = getattr(self, "_trees", {}) | {label: tree}

    def begin(self, label):
        return self._trees[label]


class Tmpfs(Contender):
    name = "tmpfs"

    def publish(self, label, tree):
        self._base = getattr(self, "_base", None) or TempDir("larder-bench-tmpfs-")
        if not os.path.ismount(self._base.path):
            note_mount(self._base.path)
            run("mount", "-t", "tmpfs", "-o", "size=6g", "tmpfs", str(self._base.path))
        run("cp", "-a", str(tree), str(self._base.path / label))

    def begin(self, label):
        return self._base.path / label


ALL = [Larder, Untar, ParallelUntar, RcloneSquash, S3fsSquash, Local, Tmpfs]
