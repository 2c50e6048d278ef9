"""An S3-like store in memory that misbehaves as it is told.

    with Origin() as origin:
        origin.quirks.put_condition = "ignore"
        run(["larder", "commit", "--endpoint-url", origin.endpoint, ...])
        assert "key" in origin.objects("bucket")

Without a quirk it is a well-behaved store: conditional PUT and Complete, ranges, If-Match,
listing, multipart, copies, versions. Buckets need not be made. Given credentials it
verifies every signature, its own way (sigv4.py).
"""

import array
import base64
import hashlib
import os
import random
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.sax.saxutils import escape

from . import sigv4
from .httpd import DROP, SILENCE, Answer, Body, BytesBody, HttpServer, Slice

__all__ = ["DROP", "SILENCE", "Answer", "Body", "BytesBody", "FileBody", "Origin",
           "PatternBody", "Quirks", "s3_error"]


class FileBody(Body):
    """An object that is a file, sparse perhaps."""

    def __init__(self, path):
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._file).st_size

    def read(self, offset, length):
        return os.pread(self._file, length, offset)

    def __del__(self):
        os.close(self._file)


class PatternBody(Body):
    """Any size of bytes that tell where they stand: each 8 are their own offset, little
    endian. parts: {offset: bytes} that stand instead."""

    def __init__(self, size, parts=None):
        self.size = size
        self.parts = dict(parts or {})

    def read(self, offset, length):
        length = max(0, min(length, self.size - offset))
        first = offset // 8 * 8
        words = array.array("Q", range(first, offset + length + 8, 8))
        data = bytearray(words.tobytes()[offset - first:offset - first + length])
        for at, part in self.parts.items():
            begin, end = max(at, offset), min(at + len(part), offset + length)
            if begin < end:
                data[begin - offset:end - offset] = part[begin - at:end - at]
        return bytes(data)


@dataclass
class Stored:
    body: Body
    etag: str
    headers: list
    modified: float
    version: str


@dataclass
class Upload:
    bucket: str
    key: str
    headers: list
    parts: dict = field(default_factory=dict)


@dataclass
class Quirks:
    """How the store misbehaves; as created, it does not.

    put_condition, complete_condition: If-None-Match and If-Match on PUT and on
    CompleteMultipartUpload are taken as
        "honour"  they should be; "ignore"  if they were not there;
        "race"    they should be, but looked at before the body is stored, so that of
                  writers at the same time several win;
        a status  an answer with it, 501 or 304 for instance.
    lose_answers: after so many of the next stored objects the connection is closed.
    complete_error: an S3 error code: Complete answers 200 and then this error.
    complete_stores: whether it has stored the object nevertheless.
    blank_before_complete: bytes of white space before Complete's XML.
    ranges: what a Range gets:
        "honour"; "ignore"  200 and everything; "shifted"  a Content-Range that begins
        one byte later than asked, with the bytes of that; "mislabelled"  the right bytes
        under such a Content-Range; "shorter"  a true 206 of fewer bytes than asked;
        "cut"  a body that ends before its Content-Length; "total"  a Content-Range with
        another total size; "unlabelled"  206 without Content-Range.
    etags: "strong", "weak", "changing" (another with each answer), "none", or "empty".
    if_match: "honour" or "ignore", of GET and HEAD.
    max_keys: the most entries on a page of a listing.
    may_list: else a key that is not there is denied, as it is without s3:ListBucket.
    regions: {bucket: region}: a request signed for another is sent there with
    region_status: 301, 307 or 400.
    """
    put_condition: str | int = "honour"
    complete_condition: str | int = "honour"
    lose_answers: int = 0
    complete_error: str | None = None
    complete_stores: bool = False
    blank_before_complete: int = 0
    ranges: str = "honour"
    etags: str = "strong"
    if_match: str = "honour"
    max_keys: int = 1000
    may_list: bool = True
    regions: dict = field(default_factory=dict)
    region_status: int = 301


def s3_error(status, code, message="As the test asked.", extra="", headers=()):
    """An S3 error answer, also for HttpServer.fail_next()."""
    body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
            f"<Message>{escape(message)}</Message>{extra}<RequestId>1</RequestId></Error>")
    return Answer(status, [("Content-Type", "application/xml"), *headers], body.encode())


class S3Failure(Exception):
    def __init__(self, *args, **kwargs):
        super().__init__(*args)
        self.answer = s3_error(*args, **kwargs)


def _xml(text):
    return Answer(200, [("Content-Type", "application/xml")],
                  f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode())


class Origin(HttpServer):
    """credentials: a list of sigv4.Credentials, or a function from an access key to one;
    None lets everybody in. versioned: old versions stay, as in a versioned bucket."""

    def __init__(self, credentials=None, region="us-east-1", versioned=False, tls=False):
        super().__init__(tls)
        self.quirks, self.region, self.versioned = Quirks(), region, versioned
        self.expired = set()
        self._credentials = credentials
        self._stores, self._uploads = {}, {}
        self._numbers = random.Random(1)
        self._racing = threading.Condition(self.lock)

    # -- looking in, and preparing, from the test

    def objects(self, bucket):
        """{key: bytes} of the newest versions, objects in memory only."""
        with self.lock:
            return {key: versions[-1].body.read(0, versions[-1].body.size)
                    for key, versions in self._stores.get(bucket, {}).items()
                    if versions[-1] is not None}

    def stored(self, bucket, key):
        """The newest version, a Stored, or None."""
        with self.lock:
            versions = self._stores.get(bucket, {}).get(key)
            return versions[-1] if versions else None

    def put(self, bucket, key, body, headers=()):
        """Stores an object: bytes or a Body."""
        with self.lock:
            return self._store(bucket, key, body, list(headers))

    def touch(self, bucket, key):
        """Another ETag for the same content, as a copy onto itself can give."""
        with self.lock:
            stored = self.stored(bucket, key)
            self._store(bucket, key, stored.body, stored.headers, f'"{self._numbers.randbytes(16).hex()}-1"')

    def remove(self, bucket, key):
        with self.lock:
            self._stores.get(bucket, {}).pop(key, None)

    def uploads(self, bucket):
        """[(key, upload id)] of the unfinished multipart uploads."""
        with self.lock:
            return [(u.key, name) for name, u in self._uploads.items() if u.bucket == bucket]

    def env(self, credentials):
        """What a child's environment needs to use this store with these credentials."""
        return {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            **({"AWS_SESSION_TOKEN": credentials.token} if credentials.token else {}),
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    # -- answering

    def answer(self, request):
        try:
            bucket, key = self._locate(request)
            self._authenticate(request, bucket)
            if not key:
                return self._bucket(request, bucket)
            handler = getattr(self, "_object_" + request.method.lower(), None)
            if handler is None:
                raise S3Failure(405, "MethodNotAllowed")
            return handler(request, bucket, key)
        except S3Failure as failure:
            request.notes["error"] = failure.args[1]
            return failure.answer

    @staticmethod
    def _locate(request):
        host = (request.header("host") or "").rpartition(":")[0]
        path = unquote(request.path, errors="surrogateescape")[1:]
        if host.endswith(".localhost"):
            return host.removesuffix(".localhost"), path
        bucket, _, key = path.partition("/")
        return bucket, key

    def _authenticate(self, request, bucket):
        if self._credentials is None:
            return
        known = self._credentials
        find = known if callable(known) else {c.access_key: c for c in known}.get
        region = self.quirks.regions.get(bucket, self.region)
        digest = hashlib.sha256(request.body).hexdigest()
        try:
            sigv4.verify(find, request.method, request.target, request.headers, digest,
                         now=self.now(), region=region)
        except sigv4.SignatureError as error:
            request.notes["signature"] = str(error)
            if error.code == "AuthorizationHeaderMalformed" and bucket in self.quirks.regions:
                raise self._other_region(bucket, region) from None
            status = 400 if error.code in ("AuthorizationHeaderMalformed", "InvalidRequest",
                                           "XAmzContentSHA256Mismatch", "InvalidToken") else 403
            raise S3Failure(status, error.code, str(error)) from None
        if request.header("authorization").split("Credential=")[1].split("/")[0] in self.expired:
            raise S3Failure(400, "ExpiredToken", "The provided token has expired.")

    def _other_region(self, bucket, region):
        status = self.quirks.region_status
        headers = [("x-amz-bucket-region", region)]
        if status == 400:
            return S3Failure(400, "AuthorizationHeaderMalformed",
                             f"the region is wrong; expecting '{region}'",
                             f"<Region>{region}</Region>", headers)
        endpoint = f"{bucket}.s3.{region}.amazonaws.com"
        if status == 307:
            headers.append(("Location", f"{self.endpoint}/{bucket}/elsewhere"))
        code = "PermanentRedirect" if status == 301 else "TemporaryRedirect"
        return S3Failure(status, code, "Another endpoint has this bucket.",
                         f"<Endpoint>{endpoint}</Endpoint><Bucket>{bucket}</Bucket>", headers)

    # -- storing

    def _new_version(self):
        return base64.urlsafe_b64encode(self._numbers.randbytes(18)).decode()

    def _new_etag(self):
        return f'"{self._numbers.randbytes(16).hex()}"'

    def _store(self, bucket, key, body, headers, etag=None):
        body = body if isinstance(body, Body) else BytesBody(bytes(body))
        if etag is None:
            etag = self._new_etag()
            if isinstance(body, BytesBody):
                etag = f'"{hashlib.md5(body.data, usedforsecurity=False).hexdigest()}"'
        stored = Stored(body, etag, headers, self.now(), self._new_version())
        versions = self._stores.setdefault(bucket, {}).setdefault(key, [])
        if not self.versioned:
            versions.clear()
        versions.append(stored)
        return stored

    def _condition_holds(self, request, bucket, key):
        stored = self.stored(bucket, key)
        if_none_match, if_match = request.header("if-none-match"), request.header("if-match")
        if if_none_match is not None and stored is not None:
            return not _etag_listed(stored.etag, if_none_match)
        if if_match is not None:
            return stored is not None and _etag_listed(stored.etag, if_match)
        return True

    def _store_if(self, quirk, request, bucket, key, body, headers, etag=None):
        """Stores under the request's condition, as the quirk says."""
        conditional = request.header("if-none-match") or request.header("if-match")
        with self.lock:
            if conditional and isinstance(quirk, int):
                raise S3Failure(quirk, {501: "NotImplemented", 409: "ConditionalRequestConflict"}
                                .get(quirk, "PreconditionFailed"))
            if conditional and quirk != "ignore" and not self._condition_holds(
                    request, bucket, key):
                raise S3Failure(412, "PreconditionFailed")
            if conditional and quirk == "race":
                # whoever else is in the same gap comes in before this one stores
                self._racing.wait(0.1)
            stored = self._store(bucket, key, body, headers, etag)
            self._racing.notify_all()
            if self.quirks.lose_answers > 0:
                self.quirks.lose_answers -= 1
                return stored, True
        return stored, False

    @staticmethod
    def _kept_headers(request):
        kept = ("content-type", "cache-control", "content-encoding")
        return [(name, value) for name, value in request.headers
                if name.lower() in kept or name.lower().startswith("x-amz-meta-")]

    def _object_put(self, request, bucket, key):
        if "uploadId" in request.query:
            return self._put_part(request)
        if request.header("x-amz-copy-source") is not None:
            return self._copy(request, bucket, key)
        stored, lost = self._store_if(self.quirks.put_condition, request, bucket, key,
                                      request.body, self._kept_headers(request))
        return DROP if lost else Answer(200, self._identity_headers(stored))

    def _copy(self, request, bucket, key):
        source = unquote(request.header("x-amz-copy-source")).lstrip("/").partition("/")
        with self.lock:
            stored = self.stored(source[0], source[2])
            if stored is None:
                raise S3Failure(404, "NoSuchKey")
            replaced = request.header("x-amz-metadata-directive") == "REPLACE"
            if (bucket, key) == (source[0], source[2]) and not replaced:
                raise S3Failure(400, "InvalidRequest", "a copy onto itself changes nothing")
            headers = self._kept_headers(request) if replaced else stored.headers
            made = self._store(bucket, key, stored.body, headers)
        return _xml(f"<CopyObjectResult><ETag>{escape(made.etag)}</ETag></CopyObjectResult>")

    def _object_delete(self, request, bucket, key):
        with self.lock:
            if "uploadId" in request.query:
                if self._uploads.pop(request.query["uploadId"], None) is None:
                    raise S3Failure(404, "NoSuchUpload")
            elif self.versioned and key in self._stores.get(bucket, {}):
                self._stores[bucket][key].append(None)
            else:
                self.remove(bucket, key)
        return Answer(204)

    # -- multipart

    def _object_post(self, request, bucket, key):
        if "uploads" in request.query:
            return self._create_upload(request, bucket, key)
        if "uploadId" in request.query:
            return self._complete(request, bucket, key)
        raise S3Failure(405, "MethodNotAllowed")

    def _create_upload(self, request, bucket, key):
        with self.lock:
            name = self._new_version()
            self._uploads[name] = Upload(bucket, key, self._kept_headers(request))
        return _xml(f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket>"
                    f"<Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
                    "</InitiateMultipartUploadResult>")

    def _upload(self, request):
        upload = self._uploads.get(request.query["uploadId"])
        if upload is None:
            raise S3Failure(404, "NoSuchUpload")
        return upload

    def _put_part(self, request):
        with self.lock:
            self._upload(request).parts[int(request.query["partNumber"])] = request.body
        digest = hashlib.md5(request.body, usedforsecurity=False).hexdigest()
        return Answer(200, [("ETag", f'"{digest}"')])

    @staticmethod
    def _join_parts(upload, document):
        """The parts that the document lists, in its order, and the object's ETag."""
        bodies, digests = [], b""
        for part in ElementTree.fromstring(document):
            fields = {child.tag.rpartition("}")[2]: child.text for child in part}
            body = upload.parts.get(int(fields["PartNumber"]))
            digest = hashlib.md5(body or b"", usedforsecurity=False)
            if body is None or fields["ETag"].strip('"') != digest.hexdigest():
                raise S3Failure(400, "InvalidPart")
            bodies.append(body)
            digests += digest.digest()
        whole = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        return b"".join(bodies), f'"{whole}-{len(bodies)}"'

    def _complete(self, request, bucket, key):
        quirks, lost = self.quirks, False
        with self.lock:
            upload = self._upload(request)
            body, etag = self._join_parts(upload, request.body)
        blank = " " * quirks.blank_before_complete
        if quirks.complete_error is None or quirks.complete_stores:
            _, lost = self._store_if(quirks.complete_condition, request, bucket, key, body,
                                     upload.headers, etag)
            with self.lock:
                self._uploads.pop(request.query["uploadId"], None)
        if lost:
            return DROP
        if quirks.complete_error is not None:
            return _xml(f"{blank}<Error><Code>{quirks.complete_error}</Code>"
                        "<Message>As the test asked.</Message></Error>")
        return _xml(f"{blank}<CompleteMultipartUploadResult><Bucket>{bucket}</Bucket>"
                    f"<Key>{escape(key)}</Key><ETag>{escape(etag)}</ETag>"
                    "</CompleteMultipartUploadResult>")

    # -- reading

    def _etag(self, stored):
        kind = self.quirks.etags
        if kind == "weak":
            return "W/" + stored.etag
        if kind == "changing":
            with self.lock:
                return self._new_etag()
        return {"none": None, "empty": ""}.get(kind, stored.etag)

    def _identity_headers(self, stored):
        etag = self._etag(stored)
        headers = [("ETag", etag)] if etag is not None else []
        if self.versioned:
            headers.append(("x-amz-version-id", stored.version))
        return headers

    def _find(self, request, bucket, key):
        with self.lock:
            versions = self._stores.get(bucket, {}).get(key, [])
            wanted = request.query.get("versionId")
            if wanted is not None:
                versions = [v for v in versions if v is not None and v.version == wanted]
            if not versions or versions[-1] is None:
                if not self.quirks.may_list:
                    raise S3Failure(403, "AccessDenied")
                raise S3Failure(404, "NoSuchVersion" if wanted else "NoSuchKey")
            return versions[-1]

    def _object_head(self, request, bucket, key):
        return self._object_get(request, bucket, key)

    def _object_get(self, request, bucket, key):
        stored = self._find(request, bucket, key)
        if_match, if_none_match = request.header("if-match"), request.header("if-none-match")
        headers = self._identity_headers(stored) + stored.headers + [
            ("Accept-Ranges", "bytes"),
            ("Last-Modified", time.strftime("%a, %d %b %Y %H:%M:%S GMT",
                                            time.gmtime(stored.modified)))]
        if self.quirks.if_match == "honour" and if_match is not None and not _etag_listed(
                stored.etag, if_match):
            raise S3Failure(412, "PreconditionFailed")
        if if_none_match is not None and _etag_listed(stored.etag, if_none_match):
            return Answer(304, headers)
        byte_range = request.header("range")
        if byte_range is None or self.quirks.ranges == "ignore":
            return Answer(200, headers, stored.body)
        return self._range(stored.body, headers, byte_range)

    def _range(self, body, headers, byte_range):
        span = _parse_range(byte_range, body.size)
        if span is None:
            return Answer(200, headers, body)
        begin, end = span
        if begin >= end:
            raise S3Failure(416, "InvalidRange", extra=f"<ActualObjectSize>{body.size}"
                            "</ActualObjectSize>",
                            headers=[("Content-Range", f"bytes */{body.size}")])
        quirk = self.quirks.ranges
        if quirk == "shorter":
            end = begin + (end - begin + 1) // 2
        if quirk == "shifted":
            begin, end = begin + 1, min(end + 1, body.size)
        part, label, total = Slice(body, begin, end - begin), begin, body.size
        length = part.size
        if quirk == "cut":
            part = Slice(body, begin, part.size // 2)
        label += quirk == "mislabelled"
        total += quirk == "total"
        if quirk != "unlabelled":
            headers = headers + [("Content-Range",
                                  f"bytes {label}-{label + length - 1}/{total}")]
        return Answer(206, headers, part, length)

    # -- buckets

    def _bucket(self, request, bucket):
        query = request.query
        if request.method == "GET" and "uploads" in query:
            entries = "".join(f"<Upload><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
                              "</Upload>" for key, name in self.uploads(bucket))
            return _xml(f"<ListMultipartUploadsResult>{entries}</ListMultipartUploadsResult>")
        if request.method == "GET":
            return self._list(bucket, query)
        region = self.quirks.regions.get(bucket, self.region)
        return Answer(200 if request.method in ("PUT", "HEAD") else 204,
                      [("x-amz-bucket-region", region)])

    def _list(self, bucket, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = max(query.get("continuation-token", ""), query.get("start-after", ""))
        limit = min(int(query.get("max-keys", 1000)), self.quirks.max_keys)
        with self.lock:
            found = {key: versions[-1] for key, versions in self._stores.get(bucket, {}).items()
                     if versions[-1] is not None and key.startswith(prefix)}
        groups = {}
        for key in found:
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            groups.setdefault(key if cut < 0 else key[:cut + len(delimiter)], cut >= 0)
        names = sorted((name for name in groups if name > after),
                       key=lambda name: name.encode(errors="surrogateescape"))
        page, more = names[:limit], len(names) > limit
        by_url = query.get("encoding-type") == "url"
        shown = (lambda name: sigv4.encode(name, "/")) if by_url else escape
        entries = "".join(self._list_entry(shown(name), groups[name], found.get(name))
                          for name in page)
        token = ""
        if more:
            token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        return _xml(f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount>"
                    f"{'<EncodingType>url</EncodingType>' if by_url else ''}"
                    f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
                    "</ListBucketResult>")

    @staticmethod
    def _list_entry(shown, is_prefix, stored):
        if is_prefix:
            return f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"
        modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.modified))
        return (f"<Contents><Key>{shown}</Key><LastModified>{modified}</LastModified>"
                f"<ETag>{escape(stored.etag)}</ETag><Size>{stored.body.size}</Size></Contents>")


def _etag_listed(etag, condition):
    """Whether an If-Match or If-None-Match value names the ETag."""
    listed = [entry.strip().removeprefix("W/") for entry in condition.split(",")]
    return "*" in listed or etag in listed


def _parse_range(value, size):
    """(begin, end) of a single byte range; None for what a server ignores (RFC 9110)."""
    unit, _, spec = value.partition("=")
    first, dash, last = spec.strip().partition("-")
    if unit != "bytes" or not dash or "," in spec or not (first + last).isdigit():
        return None
    if not first:
        return max(0, size - int(last)), size if int(last) else 0
    end = min(int(last) + 1, size) if last else size
    return (int(first), end) if int(first) < size else (size, size)
