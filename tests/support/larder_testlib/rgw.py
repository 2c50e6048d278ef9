"""A Ceph RADOS Gateway from Debian's packages: one mon, one in-memory osd, radosgw.

    with Rgw() as rgw:
        bucket = rgw.make_bucket()
        rgw.s3.put(bucket, "key", b"content")
        run(["larder", "ls", f"s3://{bucket}"], env=os.environ | rgw.env())

It starts from nothing in about a second, keeps all state in a private directory and on
a random block of loopback ports, and needs: ceph-mon ceph-osd radosgw python3-rados.
"""

import itertools
import json
import re
import secrets
import signal
import subprocess
import uuid

from .process import spawn, wait_until
from .s3 import S3, Credentials
from .server import START_WITHIN, Access, Server

_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}]
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {osd_min}
ms bind port max = {osd_max}
ms bind msgr1 = false
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
keyring = {dir}/keyring
run dir = {dir}/run
admin socket = {dir}/run/$name.asok
pid file =
crash dir = {dir}/log
log file = {dir}/log/$name.log
log to stderr = false
mon cluster log file = {dir}/log/cluster.log
heartbeat file =
ms type = async+posix
# without authentication there is no session key, so msgr2's secure mode cannot work
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms client mode = crc
ms service mode = crc
ms cluster mode = crc
ms async op threads = 2
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
rgw rados pool pg num min = 4
[mon]
mon data = {dir}/mon
mon allow pool size one = true
mon allow pool delete = true
mon max pg per osd = 2000
mon warn on pool no redundancy = false
auth allow insecure global id reclaim = true
mon data avail warn = 1
mon data avail crit = 0
paxos propose interval = 0.02
paxos min wait = 0.01
[osd]
osd data = {dir}/osd
osd objectstore = memstore
memstore device bytes = {memory}
osd op num shards = 2
osd op num threads per shard = 2
osd scrub begin hour = 0
osd max scrubs = 0
osd class update on start = false
osd heartbeat grace = 600
osd fast shutdown = true
osd pg max concurrent snap trims = 0
[client]
rgw data = {dir}/rgw
# without tcp_nodelay every small answer on a kept connection takes 43 ms
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw dns name = localhost
rgw enable usage log = false
rgw enable ops log = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw run sync thread = false
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw num control oids = 1
rgw gc max objs = 1
rgw lc max objs = 1
rgw usage max shards = 1
rgw thread pool size = {threads}
rgw gc obj min wait = 60
rgw gc processor period = 60
rgw init timeout = 60
# level 1 has the access log that Rgw.access_log() reads
debug rgw = 1/1
"""

# The osd must be made known to the mon. librados starts threads, so this runs apart.
_NEW_OSD = """\
import json, sys, rados
cluster = rados.Rados(conffile=sys.argv[1], rados_id="admin")
cluster.connect(timeout=15)
command = {"prefix": "osd new", "uuid": sys.argv[2], "format": "json"}
status, _, message = cluster.mon_command(json.dumps(command), b"", timeout=30)
sys.exit(f"osd new: {status} {message}" if status else 0)
"""


class Rgw(Server):
    """A running gateway; a context manager, or start() and stop() it.

    memory_gib: the most that objects may take; threads: requests served at a time.
    """

    NAME = "rgw"
    PORTS = 20

    def __init__(self, memory_gib=8, threads=64):
        super().__init__()
        self.memory_gib, self.threads = memory_gib, threads
        self.region = "us-east-1"
        self.credentials = Credentials("LARDERTEST" + secrets.token_hex(5).upper(),
                                       secrets.token_hex(20))
        self._frozen = False
        self._names = itertools.count(1)

    def _launch(self):
        self._fsid = str(uuid.uuid4())
        self._write_configuration()
        try:
            self._start_mon_and_osd()
            self._make_user("test", self.credentials)
            self._start_gateway()
        except subprocess.SubprocessError as error:
            raise RuntimeError(str(error)) from error

    def stop(self):
        """Ends the daemons; all their state is in memory, so they are killed."""
        super().stop()
        self._frozen = False

    def _write_configuration(self):
        for name in ("mon", "osd", "rgw", "run"):
            (self.dir / name).mkdir()
        (self.dir / "keyring").touch()
        text = _CONF.format(dir=self.dir, fsid=self._fsid, port=self.port,
                            mon_port=self.port + 1, osd_min=self.port + 2,
                            osd_max=self.port + self.PORTS - 1, threads=self.threads,
                            memory=self.memory_gib << 30)
        (self.dir / "ceph.conf").write_text(text)

    def _start_mon_and_osd(self):
        monmap = self.dir / "monmap"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a",
                  f"[v2:127.0.0.1:{self.port + 1}]", monmap, conf=False)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._daemon("ceph-mon", "-i", "a", "-f")
        osd = str(uuid.uuid4())
        made = self._begin("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd,
                           "--no-mon-config")
        self._run("/usr/bin/python3", "-c", _NEW_OSD, self.dir / "ceph.conf", osd, conf=False)
        self._finish(made, "ceph-osd --mkfs")
        self._daemon("ceph-osd", "-i", "0", "-f")

    def _start_gateway(self):
        gateway = self._daemon("radosgw", "-n", "client.rgw", "-f")
        probe = S3(self.endpoint, None, timeout=1)
        try:
            wait_until(lambda: self._answers(probe), "the gateway answered", START_WITHIN,
                       gateway)
        finally:
            probe.close()
        self.s3 = self.client()

    @staticmethod
    def _answers(probe):
        try:
            return probe.request("GET", query=[("marker", "")], ok=range(100, 600)).status
        except OSError:
            return None

    def _make_user(self, name, credentials):
        # waits by itself until the osd is up, and makes the zone and its pools
        self._run("radosgw-admin", "user", "create", "--uid", name, "--display-name", name,
                  "--access-key", credentials.access_key, "--max-buckets", "10000",
                  "--secret-key", credentials.secret_key)

    def _begin(self, *argv, conf=True):
        command = [str(word) for word in argv]
        if conf:
            command[1:1] = ["-c", str(self.dir / "ceph.conf")]
        return spawn(command, log=self.logs / "commands.out", cwd=self.dir)

    def _finish(self, child, what):
        try:
            status = child.wait(START_WITHIN)
        finally:
            child.kill()
        if status != 0:
            raise RuntimeError(f"'{what}' failed with status {status}")

    def _run(self, *argv, conf=True):
        self._finish(self._begin(*argv, conf=conf), " ".join(map(str, argv[:3])))

    def _daemon(self, name, *arguments):
        return self.daemon(name, "-c", self.dir / "ceph.conf", *arguments)

    # -- using it

    def client(self, credentials=None, timeout=60):
        """Another S3 client for this gateway, of the main user unless told."""
        return S3(self.endpoint, credentials or self.credentials, self.region, timeout)

    def anonymous(self):
        """A client that does not sign."""
        return S3(self.endpoint, None, self.region)

    def add_user(self, name):
        """Makes a second user, who may do nothing with the first one's buckets."""
        credentials = Credentials("LARDERTEST" + secrets.token_hex(5).upper(),
                                  secrets.token_hex(20))
        self._make_user(name, credentials)
        return credentials

    def make_bucket(self, name=None, versioned=False):
        """Makes a bucket, of a new name unless one is given, and returns its name."""
        name = name or f"bucket-{next(self._names)}"
        self.s3.make_bucket(name, versioned)
        return name

    def make_public(self, bucket):
        """Lets everybody read and list the bucket."""
        statement = {"Effect": "Allow", "Principal": "*",
                     "Action": ["s3:GetObject", "s3:ListBucket"],
                     "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
        self.s3.set_policy(bucket, json.dumps({"Version": "2012-10-17",
                                               "Statement": [statement]}))

    def env(self, endpoint=None):
        """What a child's environment needs to use this gateway and nothing else.

        endpoint: the gateway as seen through a proxy.
        """
        return {
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ENDPOINT_URL_S3": endpoint or self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def freeze(self):
        """Stops the osd in its tracks: requests are accepted and never answered."""
        self.children["ceph-osd"].freeze()
        self._frozen = True

    def thaw(self):
        self.children["ceph-osd"].thaw()
        self._frozen = False

    def stop_gateway(self):
        """Ends radosgw, so that connections are refused; the objects stay.

        It is asked to, not killed: the osd would hold a dead one's watches for 30 s, and
        the next one's first change to a bucket would wait for them.
        """
        self.children.pop("radosgw").stop(signal.SIGTERM)

    def restart_gateway(self):
        """Starts radosgw again, on the same port."""
        if "radosgw" in self.children:
            self.stop_gateway()
        self._start_gateway()

    # -- the access log

    def access_log(self, seconds=5.0):
        """Every request answered so far, as a list of Access in the log's order.

        A client can hold its answer before the gateway has logged it, so this waits until
        all that were begun are logged; while the osd is frozen it does not wait.
        """
        path = self.logs / "client.rgw.log"
        if self._frozen:
            return parse_access_log(path.read_text(errors="replace"))[0]
        marker = f"/?marker={secrets.token_hex(8)}"
        probe = S3(self.endpoint, None)
        probe._exchange("GET", marker, [("host", "127.0.0.1")], b"")
        probe.close()

        def settled():
            done, open_requests = parse_access_log(path.read_text(errors="replace"))
            seen = any(access.target == marker for access in done)
            return done if seen and not open_requests else None

        done = wait_until(settled, "the gateway's access log was complete", seconds)
        return [access for access in done if not access.target.startswith("/?marker=")]


_BOOTED = re.compile(r" process radosgw, pid \d+$")
_STARTED = re.compile(r" ====== starting new request req=(0x[0-9a-f]+) =====")
_ANSWERED = re.compile(
    r' beast: (0x[0-9a-f]+): \S+ - .*? \[[^]]+\] "(\S+) (\S+) HTTP/[0-9.]+" (\d+) (\d+) '
    r'(?:-|".*?") (-|".*?") (\S+) latency=')


def parse_access_log(text):
    """A radosgw log's answered requests and the number of those still unanswered.

    A request's address in the log is that of its memory, used again by later ones. A
    gateway that was killed and started again answers none of those before.
    """
    done, begun = [], {}
    for line in text.splitlines():
        if match := _STARTED.search(line):
            begun[match[1]] = begun.get(match[1], 0) + 1
        elif _BOOTED.search(line):
            begun.clear()
        elif match := _ANSWERED.search(line):
            address, method, target, status, size, agent, byte_range = match.groups()
            if begun.get(address, 0) > 1:
                begun[address] -= 1
            else:
                begun.pop(address, None)
            done.append(Access(method, target, int(status),
                               None if byte_range == "-" else byte_range, int(size),
                               None if agent == "-" else agent.strip('"')))
    return done, sum(begun.values())
