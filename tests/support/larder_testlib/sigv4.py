"""AWS Signature Version 4 for S3, signing and verifying, written for the tests alone.

It shares nothing with the product's signer, so that the two check each other.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_SKEW = 15 * 60


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    token: str | None = None


class SignatureError(Exception):
    """The request is refused; code is the S3 error code a store would answer."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def encode(text, safe=""):
    """Percent-encodes all but RFC 3986's unreserved characters; text is str or bytes."""
    return quote(text, safe=safe + "-._~")


def encode_query(pairs):
    """A query string of (name, value) pairs in the order that the signature needs."""
    encoded = sorted((encode(name), encode(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _canonical_target(target):
    path, _, query = target.partition("?")
    pairs = []
    for field in query.split("&") if query else []:
        name, _, value = field.partition("=")
        pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return encode(unquote_to_bytes(path), "/") or "/", encode_query(pairs)


def canonical_request(method, target, headers, signed, payload_hash):
    """headers: (name, value) pairs as sent; signed: lower-case names, sorted."""
    path, query = _canonical_target(target)
    lines = []
    for name in signed:
        values = [re.sub(" +", " ", v.strip()) for n, v in headers if n.lower() == name]
        lines.append(f"{name}:{','.join(values)}\n")
    return "\n".join([method, path, query, "".join(lines), ";".join(signed), payload_hash])


def signature(secret_key, date, scope, canonical):
    """date: YYYYMMDDTHHMMSSZ; scope: day/region/service/aws4_request."""
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    to_sign = "\n".join([ALGORITHM, date, scope, digest])
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def sign(credentials, method, target, headers, payload_hash, *, now=None,
         region="us-east-1", service="s3"):
    """Returns headers, a list of (name, value) that holds Host, with the signature."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = headers + [("x-amz-date", date), ("x-amz-content-sha256", payload_hash)]
    if credentials.token is not None:
        headers.append(("x-amz-security-token", credentials.token))
    signed = sorted({name.lower() for name, _ in headers})
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    canonical = canonical_request(method, target, headers, signed, payload_hash)
    value = (f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
             f"SignedHeaders={';'.join(signed)}, "
             f"Signature={signature(credentials.secret_key, date, scope, canonical)}")
    return headers + [("Authorization", value)]


_AUTHORIZATION = re.compile(
    ALGORITHM + r"\s+Credential=(?P<key>[^/]+)/(?P<scope>[^,]+),\s*"
    r"SignedHeaders=(?P<signed>[^,]+),\s*Signature=(?P<signature>[0-9a-f]{64})$")


def verify(find_credentials, method, target, headers, body_hash, *, now=None,
           region="us-east-1", service="s3", max_skew=MAX_SKEW):
    """Checks a request's signature as a strict store does; SignatureError says no.

    find_credentials: access key -> Credentials or None. headers: (name, value) pairs as
    received. body_hash: SHA-256 of the body that came, in hex.
    """
    first = {}
    for name, value in headers:
        first.setdefault(name.lower(), value.strip())
    parsed = _parse_authorization(first.get("authorization"), region, service)
    credentials = find_credentials(parsed["key"])
    if credentials is None:
        raise SignatureError("InvalidAccessKeyId", f"no such access key: {parsed['key']}")
    signed = parsed["signed"].split(";")
    _check_signed_names(signed, first)
    date = first.get("x-amz-date", "")
    _check_date(date, parsed["scope"], now, max_skew)
    if first.get("x-amz-security-token") != credentials.token:
        raise SignatureError("InvalidToken", "the session token is not the one issued")
    payload_hash = first.get("x-amz-content-sha256")
    if payload_hash is None:
        raise SignatureError("InvalidRequest", "x-amz-content-sha256 is missing")
    canonical = canonical_request(method, target, headers, signed, payload_hash)
    expected = signature(credentials.secret_key, date, parsed["scope"], canonical)
    if not hmac.compare_digest(expected, parsed["signature"]):
        raise SignatureError("SignatureDoesNotMatch", "canonical request:\n" + canonical)
    if payload_hash not in (UNSIGNED, body_hash):
        raise SignatureError("XAmzContentSHA256Mismatch",
                             f"the body hashes to {body_hash}, not {payload_hash}")


def _parse_authorization(value, region, service):
    if value is None:
        raise SignatureError("AccessDenied", "the request is not signed")
    match = _AUTHORIZATION.match(value)
    if match is None:
        raise SignatureError("AuthorizationHeaderMalformed", f"cannot read: {value}")
    scope = match["scope"].split("/")
    if len(scope) != 4 or scope[1:] != [region, service, "aws4_request"]:
        raise SignatureError("AuthorizationHeaderMalformed",
                             f"the scope '{match['scope']}' is wrong; expecting '{region}'")
    return match


def _check_signed_names(signed, headers):
    if signed != sorted(set(signed)):
        raise SignatureError("SignatureDoesNotMatch", f"SignedHeaders not sorted: {signed}")
    needed = {"host"} | {name for name in headers if name.startswith("x-amz-")}
    if missing := needed - set(signed):
        raise SignatureError("AccessDenied",
                             f"headers present but not signed: {sorted(missing)}")
    if absent := set(signed) - set(headers):
        raise SignatureError("SignatureDoesNotMatch",
                             f"headers signed but not present: {sorted(absent)}")


def _check_date(date, scope, now, max_skew):
    try:
        stamp = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise SignatureError("AccessDenied", f"bad x-amz-date: '{date}'") from None
    if not scope.startswith(date[:8] + "/"):
        raise SignatureError("SignatureDoesNotMatch", "x-amz-date is not the scope's day")
    if abs(stamp - (time.time() if now is None else now)) > max_skew:
        raise SignatureError("RequestTimeTooSkewed", f"{date} is too far from now")
