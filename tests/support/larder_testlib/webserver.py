"""Plain HTTP servers from Debian's packages that take GET with ranges and PUT.

    with Apache() as web:
        (web.root / "key").write_bytes(b"content")
        url = web.endpoint + "/key"
        ...
        assert [a.range for a in web.access_log()] == ["bytes=-1048576"]
"""

import http.client
import json
import os
import re
import secrets
import shutil
import ssl

from .process import wait_until
from .server import START_WITHIN, Access, Server
from .tls import make_certificate

_MARK = "/.marker-"


class WebServer(Server):
    """root is the directory that it serves and that PUT writes to."""

    DIR_MODE = 0o711  # its workers may run as another user

    def _launch(self):
        self.root = self.dir / "root"
        self.root.mkdir(mode=0o755)
        self._configure()
        child = self.daemon(*self._command())
        wait_until(self._answers, "it answered", START_WITHIN, child)

    def _configure(self):
        raise NotImplementedError

    def _command(self):
        raise NotImplementedError

    def _connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def request(self, method, target, body=None, headers=None):
        """One request on its own connection: status, headers, body."""
        connection = self._connect()
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _answers(self):
        try:
            return self.request("GET", _MARK + "start")[0]
        except OSError:
            return None

    def access_log(self, seconds=5.0):
        """Every request answered so far, as a list of Access in the log's order.

        A client can hold its answer before it is logged: a marker is sent and waited for,
        and whatever _settled() asks for besides.
        """
        marker = _MARK + secrets.token_hex(8)
        self.request("GET", marker)

        def complete():
            accesses = self._read_log()
            seen = any(access.target == marker for access in accesses)
            return accesses if seen and self._settled() else None

        accesses = wait_until(complete, "the access log was complete", seconds)
        return [access for access in accesses if not access.target.startswith(_MARK)]

    def _settled(self):
        return True

    def _read_log(self):
        raise NotImplementedError


_APACHE_MODULES = "/usr/lib/apache2/modules"

_APACHE_CONF = """\
ServerName localhost
ServerRoot {dir}
Listen 127.0.0.1:{port}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dav_module {modules}/mod_dav.so
LoadModule dav_fs_module {modules}/mod_dav_fs.so
LoadModule log_forensic_module {modules}/mod_log_forensic.so
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 64
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Timeout 60
PidFile {dir}/pid
ErrorLog {logs}/error.log
LogFormat "%r\\t%>s\\t%B\\t%{{Range}}i\\t%{{If-Match}}i\\t%{{If-None-Match}}i\\t\
%{{User-Agent}}i" tests
CustomLog {logs}/access.log tests
ForensicLog {logs}/forensic.log
DavLockDB {dir}/locks/db
DocumentRoot {dir}/root
EnableMMAP off
FileETag {etag}
<Directory {dir}/root>
    Require all granted
    Dav On
</Directory>
"""


class Apache(WebServer):
    """Apache with mod_dav. Needs the package apache2 (or apache2-bin alone).

    etag: FileETag's arguments. "Digest" gives strong ETags of the content; "MTime Size",
    Apache's own default, gives weak ones while a file is fresh.
    """

    NAME = "apache"

    def __init__(self, etag="Digest"):
        super().__init__()
        self.etag = etag

    def _configure(self):
        user = ""
        (self.dir / "locks").mkdir()
        if os.geteuid() == 0:  # as root it insists on another user for its workers
            user = "User www-data\nGroup www-data"
            for path in (self.dir / "locks", self.root):
                shutil.chown(path, "www-data", "www-data")
        (self.dir / "apache.conf").write_text(_APACHE_CONF.format(
            dir=self.dir, logs=self.logs, port=self.port, etag=self.etag, user=user,
            modules=_APACHE_MODULES))

    def _command(self):
        # one process, so that no worker outlives a killed parent
        return ["/usr/sbin/apache2", "-X", "-f", self.dir / "apache.conf"]

    def _settled(self):
        """Whether every request that was begun ("+") has also ended ("-")."""
        starts = [line[:1] for line in (self.logs / "forensic.log").read_bytes().split(b"\n")]
        return starts.count(b"+") == starts.count(b"-")

    def _read_log(self):
        lines = (self.logs / "access.log").read_text(errors="replace").splitlines()
        return [access for line in lines if (access := _apache_access(line)) is not None]


def _apache_access(line):
    request, status, size, *fields = line.split("\t")
    words = request.split(" ")
    if len(words) != 3 or len(fields) != 4:
        return None
    byte_range, if_match, if_none_match, agent = (
        None if field == "-" else re.sub(r"\\(.)", r"\1", field) for field in fields)
    return Access(words[0], words[1], int(status), byte_range, int(size), agent, if_match,
                  if_none_match)


_NGINX_CONF = """\
daemon off;
master_process off;
pid {dir}/pid;
error_log {logs}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format tests escape=json '{{"method": "$request_method", "target": "$request_uri", '
        '"status": $status, "size": $body_bytes_sent, "range": "$http_range", '
        '"if_match": "$http_if_match", "if_none_match": "$http_if_none_match", '
        '"agent": "$http_user_agent"}}';
    access_log {logs}/access.log tests;
    default_type application/octet-stream;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {dir}/tmp/body;
    proxy_temp_path {dir}/tmp/proxy;
    fastcgi_temp_path {dir}/tmp/fastcgi;
    uwsgi_temp_path {dir}/tmp/uwsgi;
    scgi_temp_path {dir}/tmp/scgi;
    server {{
        listen 127.0.0.1:{port} {tls};
        root {dir}/root;
        location / {{
            dav_methods PUT DELETE MKCOL;
            create_full_put_path on;
        }}
    }}
}}
"""


class Nginx(WebServer):
    """nginx with its DAV module, which every package of it in Debian has (nginx-light).

    tls: serve https with a certificate whose authority is self.ca.
    """

    NAME = "nginx"

    def __init__(self, tls=False):
        super().__init__()
        self.tls = tls
        self.scheme = "https" if tls else "http"

    def _configure(self):
        tls = ""
        (self.dir / "tmp").mkdir()
        if self.tls:
            self.ca, key = make_certificate(self.dir)
            tls = f"ssl; ssl_certificate {self.ca}; ssl_certificate_key {key}"
        (self.dir / "nginx.conf").write_text(_NGINX_CONF.format(
            dir=self.dir, logs=self.logs, port=self.port, tls=tls))

    def _command(self):
        return ["/usr/sbin/nginx", "-c", self.dir / "nginx.conf", "-e",
                self.logs / "error.log"]

    def _connect(self):
        if not self.tls:
            return super()._connect()
        context = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5,
                                           context=context)

    def _read_log(self):
        lines = (self.logs / "access.log").read_text().splitlines()
        return [_nginx_access(json.loads(line)) for line in lines]


def _nginx_access(fields):
    return Access(**{name: value if value != "" else None for name, value in fields.items()})
