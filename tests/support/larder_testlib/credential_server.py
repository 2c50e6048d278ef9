"""The services that hand out credentials, as a test endpoint: STS, containers, instances.

Every credential it issues is its own, so that a test can tell which one was used. The
store's side asks find(), so that Origin(credentials=server.find) knows them all:

    STS          POST / with Action=AssumeRoleWithWebIdentity
    container    GET /container...; with container_token set, Authorization must be that
    instance     PUT /latest/api/token, then GET /latest/meta-data/iam/...
"""

import json
import secrets
import time
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from .httpd import SILENCE, Answer, HttpServer
from .sigv4 import Credentials

ROLE = "larder-test-role"
_ROLE_PATH = "/latest/meta-data/iam/security-credentials/"


class CredentialServer(HttpServer):
    """lifetime: seconds until what it issues expires.

    web_identity: the token that STS takes. instance_silent: the instance service accepts
    connections and never answers, as in a network without one.
    """

    def __init__(self, lifetime=3600):
        super().__init__()
        self.lifetime = lifetime
        self.web_identity = "web-identity-token"
        self.container_token = None
        self.instance_silent = False
        self.issued = []
        self._sessions = set()

    @property
    def container_uri(self):
        return self.endpoint + "/container/credentials"

    def find(self, access_key):
        """The credentials of an access key that was issued, or None."""
        with self.lock:
            return next((c for c in self.issued if c.access_key == access_key), None)

    def _issue(self):
        fresh = Credentials("ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20),
                            secrets.token_urlsafe(600))
        with self.lock:
            self.issued.append(fresh)
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now() + self.lifetime))
        return fresh, expires

    def answer(self, request):
        if request.path.startswith("/latest/"):
            return self._instance(request)
        if request.path.startswith("/container"):
            return self._container(request)
        if request.path == "/":
            return self._sts(request)
        return Answer(404)

    def _document(self, **more):
        fresh, expires = self._issue()
        return Answer(200, [("Content-Type", "application/json")], json.dumps({
            "AccessKeyId": fresh.access_key, "SecretAccessKey": fresh.secret_key,
            "Token": fresh.token, "Expiration": expires, **more}).encode())

    def _container(self, request):
        if self.container_token not in (None, request.header("authorization")):
            return Answer(401, [], b'{"code": "Unauthorized", "message": "wrong token"}')
        return self._document(RoleArn=f"arn:aws:iam::1:role/{ROLE}")

    def _instance(self, request):
        if self.instance_silent:
            return SILENCE
        if request.method == "PUT" and request.path == "/latest/api/token":
            return self._instance_session(request)
        with self.lock:
            if request.header("x-aws-ec2-metadata-token") not in self._sessions:
                return Answer(401)
        if request.path in (_ROLE_PATH, _ROLE_PATH.rstrip("/")):
            return Answer(200, [("Content-Type", "text/plain")], ROLE.encode())
        if request.path == _ROLE_PATH + ROLE:
            return self._document(Code="Success", Type="AWS-HMAC")
        return Answer(404)

    def _instance_session(self, request):
        seconds = request.header("x-aws-ec2-metadata-token-ttl-seconds") or ""
        if not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            return Answer(400)
        token = secrets.token_urlsafe(32)
        with self.lock:
            self._sessions.add(token)
        return Answer(200, [("x-aws-ec2-metadata-token-ttl-seconds", seconds)], token.encode())

    def _sts(self, request):
        fields = {name: values[0] for name, values in parse_qs(
            request.body.decode(errors="replace")).items()} | request.query
        if fields.get("Action") != "AssumeRoleWithWebIdentity":
            return _sts_error("InvalidAction", "only AssumeRoleWithWebIdentity is served")
        missing = {"RoleArn", "RoleSessionName", "Version", "WebIdentityToken"} - set(fields)
        if missing:
            return _sts_error("ValidationError", f"missing: {sorted(missing)}")
        if fields["WebIdentityToken"] != self.web_identity:
            return _sts_error("InvalidIdentityToken", "the token is not the one expected")
        fresh, expires = self._issue()
        body = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>{fresh.access_key}</AccessKeyId>"
            f"<SecretAccessKey>{fresh.secret_key}</SecretAccessKey>"
            f"<SessionToken>{fresh.token}</SessionToken><Expiration>{expires}</Expiration>"
            f"</Credentials><AssumedRoleUser><Arn>{escape(fields['RoleArn'])}</Arn>"
            "</AssumedRoleUser></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>")
        return Answer(200, [("Content-Type", "text/xml")], body.encode())


def _sts_error(code, message):
    body = (f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
            "</Error><RequestId>1</RequestId></ErrorResponse>")
    return Answer(400, [("Content-Type", "text/xml")], body.encode())
