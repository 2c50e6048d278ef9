"""A small S3 client for tests: prepares buckets and looks into them.

Path style, own signatures (sigv4.py), one kept connection a thread, nothing retried.
"""

import hashlib
import http.client
import io
import select
import threading
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from . import sigv4
from .sigv4 import Credentials

BLOCK = 1 << 20


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def etag(self):
        return self.headers.get("ETag")

    @property
    def version_id(self):
        return self.headers.get("x-amz-version-id")

    @property
    def error_code(self):
        """The S3 error code in the body, or None."""
        try:
            root = _xml(self.body)
        except ElementTree.ParseError:
            return None
        return root.findtext("Code") if root.tag == "Error" else None


class S3Error(Exception):
    def __init__(self, request, response):
        super().__init__(f"{request}: {response.status} {response.error_code} "
                         f"{response.body[:300]!r}")
        self.response, self.code = response, response.error_code


@dataclass
class Listing:
    """A whole LIST, all pages together; objects: dicts of the elements' texts."""
    objects: list = field(default_factory=list)
    prefixes: list = field(default_factory=list)

    @property
    def keys(self):
        return [entry["Key"] for entry in self.objects]


def _xml(body):
    """Parses XML and drops the namespaces."""
    root = ElementTree.fromstring(body)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _texts(element):
    return {child.tag: child.text or "" for child in element}


class _Connection(http.client.HTTPConnection):
    """Closes itself when its thread or its client is gone."""

    def __del__(self):
        self.close()

    def is_stale(self):
        """Whether the server has closed it while it was idle."""
        return self.sock is not None and bool(select.select([self.sock], [], [], 0)[0])


class S3:
    """A client for one endpoint. credentials None sends unsigned requests.

    Calls raise S3Error unless the status is 2xx or among ok (where a call takes it);
    extra request headers are passed as a dict.
    """

    def __init__(self, endpoint, credentials, region="us-east-1", timeout=60):
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not an http:// endpoint: '{endpoint}'")
        self.endpoint, self.region, self.timeout = endpoint, region, timeout
        self.host, self.port = parts.hostname, parts.port or 80
        self.credentials = credentials
        self._local = threading.local()

    # -- requests

    def request(self, method, bucket="", key="", *, query=(), headers=None, body=b"",
                ok=(), region=None):
        """One signed request. body: bytes or a seekable binary file."""
        target = "/" + bucket + ("/" + sigv4.encode(key, "/") if key else "")
        if query:
            target += "?" + sigv4.encode_query(query)
        length, digest = _measure(body)
        fields = [("host", f"{self.host}:{self.port}")] + list((headers or {}).items())
        if self.credentials is not None:
            fields = sigv4.sign(self.credentials, method, target, fields, digest,
                                region=region or self.region)
        if length or method in ("PUT", "POST"):
            fields.append(("content-length", str(length)))
        response = self._exchange(method, target, fields, body)
        if not 200 <= response.status < 300 and response.status not in ok:
            raise S3Error(f"{method} {target}", response)
        return response

    def _exchange(self, method, target, fields, body):
        connection = getattr(self._local, "connection", None)
        if connection is not None and connection.is_stale():
            connection.close()
            connection = None
        if connection is None:
            connection = _Connection(self.host, self.port, timeout=self.timeout,
                                     blocksize=BLOCK)
            self._local.connection = connection
        try:
            return self._send(connection, method, target, fields, body)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _send(connection, method, target, fields, body):
        if hasattr(body, "seek"):
            body.seek(0)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in fields:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())

    def close(self):
        """Closes the calling thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    # -- objects

    def put(self, bucket, key, body=b"", *, headers=None, ok=()):
        return self.request("PUT", bucket, key, body=body, headers=headers, ok=ok)

    def get(self, bucket, key, *, range=None, version_id=None, headers=None, ok=()):
        headers = dict(headers or {})
        if range is not None:
            headers["range"] = range
        return self.request("GET", bucket, key, headers=headers, ok=ok,
                            query=_version(version_id))

    def head(self, bucket, key, *, version_id=None, headers=None, ok=()):
        return self.request("HEAD", bucket, key, query=_version(version_id),
                            headers=headers, ok=ok)

    def exists(self, bucket, key):
        return self.head(bucket, key, ok=(404,)).status != 404

    def delete(self, bucket, key, *, version_id=None):
        return self.request("DELETE", bucket, key, query=_version(version_id))

    def metadata(self, bucket, key):
        """The object's x-amz-meta-* headers, without that prefix."""
        headers = self.head(bucket, key).headers
        prefix = "x-amz-meta-"
        return {name.lower()[len(prefix):]: value for name, value in headers.items()
                if name.lower().startswith(prefix)}

    def copy(self, bucket, key, to_key=None, *, headers=None):
        """Copies an object; without to_key onto itself, its metadata kept.

        S3 allows a copy onto itself only with the metadata replaced, so they are sent
        again.
        """
        fields = {"x-amz-copy-source": f"/{bucket}/{sigv4.encode(key, '/')}"}
        if to_key is None:
            fields["x-amz-metadata-directive"] = "REPLACE"
            for name, value in self.metadata(bucket, key).items():
                fields["x-amz-meta-" + name] = value
        return self.request("PUT", bucket, to_key or key, headers={**fields, **(headers or {})})

    # -- listing

    def list(self, bucket, prefix="", *, delimiter="", page=None):
        """Lists all pages; page: the most entries the server shall put on one."""
        listing, token = Listing(), None
        while True:
            query = [("list-type", "2"), ("prefix", prefix)]
            query += [("delimiter", delimiter)] if delimiter else []
            query += [("max-keys", str(page))] if page else []
            query += [("continuation-token", token)] if token else []
            root = _xml(self.request("GET", bucket, query=query).body)
            listing.objects += [_texts(entry) for entry in root.findall("Contents")]
            listing.prefixes += [entry.findtext("Prefix")
                                 for entry in root.findall("CommonPrefixes")]
            if root.findtext("IsTruncated") != "true":
                return listing
            token = root.findtext("NextContinuationToken")

    def list_versions(self, bucket, prefix=""):
        """All versions, newest first by key: dicts with Key, VersionId, IsLatest, ...

        Delete markers have DeleteMarker=True.
        """
        found, after = [], []
        while True:
            query = [("versions", ""), ("prefix", prefix)] + after
            root = _xml(self.request("GET", bucket, query=query).body)
            for entry in root:
                if entry.tag in ("Version", "DeleteMarker"):
                    found.append(_texts(entry) | {"DeleteMarker": entry.tag == "DeleteMarker"})
            if root.findtext("IsTruncated") != "true":
                return found
            after = [("key-marker", root.findtext("NextKeyMarker")),
                     ("version-id-marker", root.findtext("NextVersionIdMarker"))]

    # -- multipart

    def create_upload(self, bucket, key, *, headers=None):
        """Begins a multipart upload and returns its id."""
        answer = self.request("POST", bucket, key, query=[("uploads", "")], headers=headers)
        return _xml(answer.body).findtext("UploadId")

    def upload_part(self, bucket, key, upload, number, body):
        """Uploads a part and returns its ETag."""
        query = [("partNumber", str(number)), ("uploadId", upload)]
        return self.request("PUT", bucket, key, query=query, body=body).etag

    def complete_upload(self, bucket, key, upload, etags, *, headers=None, ok=()):
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag>"
                        "</Part>" for number, etag in enumerate(etags, 1))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return self.request("POST", bucket, key, query=[("uploadId", upload)], body=body,
                            headers=headers, ok=ok)

    def abort_upload(self, bucket, key, upload):
        return self.request("DELETE", bucket, key, query=[("uploadId", upload)])

    def list_uploads(self, bucket):
        """The unfinished multipart uploads: dicts with Key, UploadId, ..."""
        root = _xml(self.request("GET", bucket, query=[("uploads", "")]).body)
        return [_texts(entry) for entry in root.findall("Upload")]

    def put_multipart(self, bucket, key, parts, *, headers=None):
        """Uploads an object from its parts' bytes, all but the last 5 MiB or more."""
        upload = self.create_upload(bucket, key, headers=headers)
        etags = [self.upload_part(bucket, key, upload, number, body)
                 for number, body in enumerate(parts, 1)]
        return self.complete_upload(bucket, key, upload, etags)

    # -- buckets

    def make_bucket(self, bucket, versioned=False):
        self.request("PUT", bucket)
        if versioned:
            self.enable_versioning(bucket)

    def enable_versioning(self, bucket):
        body = (b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                b"<Status>Enabled</Status></VersioningConfiguration>")
        self.request("PUT", bucket, query=[("versioning", "")], body=body)

    def set_policy(self, bucket, policy):
        """Sets the bucket's policy, a JSON document as str."""
        self.request("PUT", bucket, query=[("policy", "")], body=policy.encode())

    def delete_bucket(self, bucket):
        """Empties the bucket, versions and unfinished uploads included, and deletes it."""
        for upload in self.list_uploads(bucket):
            self.abort_upload(bucket, upload["Key"], upload["UploadId"])
        for entry in self.list_versions(bucket):
            self.delete(bucket, entry["Key"], version_id=entry["VersionId"])
        self.request("DELETE", bucket)


def _version(version_id):
    return [("versionId", version_id)] if version_id is not None else []


def _measure(body):
    """The length and the SHA-256 of a body."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return len(body), hashlib.sha256(body).hexdigest()
    body.seek(0)
    digest = hashlib.file_digest(body, "sha256").hexdigest()
    return body.seek(0, io.SEEK_END), digest


__all__ = ["Credentials", "Listing", "Response", "S3", "S3Error"]
