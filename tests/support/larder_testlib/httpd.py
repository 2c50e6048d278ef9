"""A small HTTP/1.1 server in threads of the test process, for servers that misbehave.

Subclasses of HttpServer implement answer(request). Every request is recorded, and the
next ones can be made to fail without the subclass's doing.
"""

import email.utils
import http.server
import socket
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from .process import TempDir
from .tls import make_certificate

PIECE = 1 << 20


class Body:
    """Content that need not exist in memory: size bytes, any of which can be read."""

    size = 0

    def read(self, offset, length):
        raise NotImplementedError


class BytesBody(Body):
    def __init__(self, data):
        self.data, self.size = data, len(data)

    def read(self, offset, length):
        return self.data[offset:offset + length]


class Slice(Body):
    """A part of another body."""

    def __init__(self, body, offset, size):
        self.body, self.offset, self.size = body, offset, size

    def read(self, offset, length):
        return self.body.read(self.offset + offset, min(length, self.size - offset))


@dataclass
class Request:
    """A request as received; status and sent are filled in with its answer."""
    method: str
    target: str
    headers: list
    body: bytes
    status: int = 0
    sent: int = 0
    notes: dict = field(default_factory=dict)

    def header(self, name):
        """The field's value, several joined by commas; None if it was not sent."""
        values = [value for n, value in self.headers if n.lower() == name]
        return ", ".join(values) if values else None

    @property
    def path(self):
        """The path as sent, percent-encoded."""
        return urlsplit(self.target).path

    @property
    def query(self):
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class Answer:
    """length: what Content-Length says where that is not the body's size.

    close: end the connection after it. Headers: (name, value) pairs.
    """
    status: int
    headers: list = field(default_factory=list)
    body: bytes | Body = b""
    length: int | None = None
    close: bool = False


# Instead of an Answer: close the connection without one; or say nothing until stopped.
DROP = object()
SILENCE = object()


@dataclass
class Failure:
    """An answer that the next count requests get which it matches."""
    answer: Answer
    count: int
    matches: object


class HttpServer:
    """A context manager. clock_offset: seconds by which the server's clock is wrong.
    address: where it is to listen, set before it starts."""

    def __init__(self, tls=False):
        self.clock_offset = 0
        self.address = ("127.0.0.1", 0)
        self.lock = threading.RLock()
        self.requests = []
        self._failures = []
        self._stopped = threading.Event()
        self._tls, self._tempdir, self._server = tls, None, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        context = None
        if self._tls:
            self._tempdir = TempDir("larder-tls-")
            self.ca, key = make_certificate(self._tempdir.path)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.ca, key)
        self._server = _Listener(self, context)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True,
                         name=type(self).__name__).start()

    def stop(self):
        if self._server is not None:
            self._stopped.set()
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None
        if self._tempdir is not None:
            self._tempdir.remove()
            self._tempdir = None

    @property
    def endpoint(self):
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def host_endpoint(self):
        """The same under a name, for bucket.localhost in the manner of virtual hosts."""
        return self.endpoint.replace("127.0.0.1", "localhost")

    def now(self):
        """The server's idea of the time."""
        return time.time() + self.clock_offset

    def hang_up(self):
        """Closes all connections that clients keep open."""
        self._server.hang_up()

    def fail_next(self, answer, count=1, matches=lambda request: True):
        """The next count requests that match get this Answer, DROP or SILENCE instead."""
        with self.lock:
            self._failures.append(Failure(answer, count, matches))

    def forget(self):
        """Forgets the recorded requests and the failures still to come."""
        with self.lock:
            self.requests.clear()
            self._failures.clear()

    def answer(self, request):
        """Returns an Answer, DROP or SILENCE. Called from many threads."""
        raise NotImplementedError

    def respond(self, request):
        with self.lock:
            self.requests.append(request)
            for failure in self._failures:
                if failure.count > 0 and failure.matches(request):
                    failure.count -= 1
                    return failure.answer
        return self.answer(request)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, owner, context):
        self.owner, self.context = owner, context
        self.open, self.open_lock = set(), threading.Lock()
        super().__init__(owner.address, _Handler)

    def process_request_thread(self, request, client_address):
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True,
                                               do_handshake_on_connect=False)
        with self.open_lock:
            self.open.add(request)
        try:
            self.finish_request(request, client_address)
        except (OSError, ValueError):
            pass  # the client went away, or the server stopped
        finally:
            with self.open_lock:
                self.open.discard(request)
            self.shutdown_request(request)

    def hang_up(self):
        with self.open_lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = PIECE

    def log_message(self, *_):
        pass

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _serve(self):
        owner = self.server.owner
        request = Request(self.command, self.path, self.headers.items(), self._read_body())
        answer = owner.respond(request)
        if answer is SILENCE:
            owner._stopped.wait()
        if answer is DROP or answer is SILENCE:
            self.close_connection = True
            return
        request.status = answer.status
        self._send(request, answer)

    def _read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, request, answer):
        body = answer.body if isinstance(answer.body, Body) else BytesBody(answer.body)
        length = body.size if answer.length is None else answer.length
        if answer.close or length != body.size:
            self.close_connection = True
        self.wfile.write(self._head(answer, length))
        if request.method == "HEAD" or answer.status in (204, 304):
            return
        while request.sent < body.size:
            piece = body.read(request.sent, PIECE)
            request.sent += len(piece)  # before the client can have it
            self.wfile.write(piece)

    def _head(self, answer, length):
        try:
            reason = HTTPStatus(answer.status).phrase
        except ValueError:
            reason = "Unknown"
        date = email.utils.formatdate(self.server.owner.now(), usegmt=True)
        fields = [("Date", date)] + answer.headers
        if answer.status not in (204, 304):
            fields.append(("Content-Length", str(length)))
        if self.close_connection:
            fields.append(("Connection", "close"))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"HTTP/1.1 {answer.status} {reason}\r\n{lines}\r\n".encode("latin-1")
