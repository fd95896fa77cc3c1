"""moto, behind a gate that looks at what moto does not: who signed a request, when, and with which second factor.

It runs with the Python of moto's own environment.  Signatures are made anew by botocore's signer and compared;
one-time codes are those of RFC 6238; the errors are AWS's, by the reference pages "Common Errors" of STS and
"Error codes for the Amazon EC2 API".  What was done, and by whom, is kept as CloudTrail has it.

StopInstances and TerminateInstances want a session that was opened with a one-time code, as the policy in the IAM
User Guide's "Enforce MFA" would have it (``aws:MultiFactorAuthPresent``).
"""

import base64
import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client

from servers.aws.totp import code_of, step_of

ACCOUNT = "123456789012"
REGIONS = ("eu-west-1", "us-east-1")
PEOPLE = ("alice", "bob")
MOST_SKEW = 300.0
WANT_MFA = frozenset({"StopInstances", "TerminateInstances"})
CONTROL = "/gate/"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_STAMP = "%Y%m%dT%H%M%SZ"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

type Environ = dict[str, Any]
type Start = Callable[..., Any]


@dataclass
class User:
    """A user of IAM, with an access key and a device for one-time codes."""

    name: str
    key: str
    secret: str
    serial: str
    seed: str
    last_step: int = 0
    """The latest step whose code was taken: it and those before are spent."""


@dataclass
class Session:
    """Temporary credentials."""

    user: User
    secret: str
    token: str
    mfa: bool
    until: float


class DeniedError(Exception):
    """An answer of AWS's that is an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


@dataclass
class Call:
    """One request, read."""

    method: str
    host: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    params: dict[str, list[str]]
    service: str = "unknown"
    region: str = "us-east-1"
    key: str = ""

    @property
    def action(self) -> str:
        return self.param("Action")

    def param(self, name: str) -> str:
        return self.params.get(name, [""])[0]


@dataclass
class Gate:
    """The WSGI application in front of moto's."""

    inner: Callable[[Environ, Start], Iterable[bytes]]
    users: dict[str, User] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    record: list[dict[str, Any]] = field(default_factory=list)
    clock: float = 0.0
    """Seconds by which AWS's clock differs from this machine's."""

    device_time: float = 0.0
    """The time, in Unix seconds, that codes are for; it stands still, so that no test is at the edge of a step."""

    lists_devices: bool = True
    """Whether people may ask IAM for their devices."""

    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        return time.time() + self.clock

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        with self.lock:
            call = _read(environ)
            if call.path.startswith(CONTROL):
                return self._control(call, start)
            return self._answer(call, environ, start)

    # -- AWS ---------------------------------------------------------------------------

    def _answer(self, call: Call, environ: Environ, start: Start) -> Iterable[bytes]:
        user: User | None = None
        session: Session | None = None
        error = ""
        try:
            user, session = self._authenticate(call)
            if call.service == "sts" and call.action == "GetSessionToken":
                status, body = 200, self._session_token(call, user, session)
            else:
                self._authorise(call, session)
                status, body = self._forward(call, environ, user)
        except DeniedError as denied:
            error, status, body = denied.code, denied.status, _error(call.service, denied)
        self.record.append(_event(call, user, session, error, status))
        date = formatdate(self.now(), usegmt=True)
        headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(body))), ("Date", date)]
        start(f"{status} X", headers)
        return [body]

    def _authenticate(self, call: Call) -> tuple[User, Session | None]:
        """Return who signed *call*, and with which session."""
        found = _AUTHORIZATION.fullmatch(call.headers.get("authorization", ""))
        if found is None:
            raise DeniedError(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
        call.key, day, call.region, call.service, names, signature = found.groups()
        self._check_scope(call, day)
        session = self.sessions.get(call.key)
        user = session.user if session else self.users.get(call.key)
        token = call.headers.get("x-amz-security-token", "")
        if user is None or (token if session is None else token != session.token):
            raise _unknown(call, "The security token included in the request is invalid.")
        secret = session.secret if session else user.secret
        if not secrets.compare_digest(_signature(call, day, names.split(";"), secret), signature):
            raise _mismatch(call, "The request signature we calculated does not match the signature you provided.")
        if session and session.until <= self.now():
            code = "RequestExpired" if call.service == "ec2" else "ExpiredToken"
            raise DeniedError(400 if call.service == "ec2" else 403, code, "The security token is expired")
        return user, session

    def _check_scope(self, call: Call, day: str) -> None:
        """Refuse a signature for another service, region or time."""
        labels = call.host.partition(":")[0].split(".")
        meant = (labels[0], labels[1] if len(labels) > 3 else "us-east-1")
        if (call.service, call.region) != meant:
            raise _mismatch(call, f"Credential should be scoped to a valid region, not '{call.region}'.")
        stamp = call.headers.get("x-amz-date", "")
        try:
            signed = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise DeniedError(400, "IncompleteSignature", "Date must be in ISO-8601 'basic format'.") from None
        if not stamp.startswith(day):
            raise _mismatch(call, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date.")
        if abs(signed - self.now()) > MOST_SKEW:
            if call.service == "ec2":
                raise DeniedError(400, "RequestExpired", "Request has expired.")
            raise DeniedError(403, "SignatureDoesNotMatch", f"Signature expired: {stamp} is now earlier than allowed")

    def _authorise(self, call: Call, session: Session | None) -> None:
        """Refuse what the user's policy, or the kind of session, does not allow."""
        if call.service == "ec2" and call.action in WANT_MFA and not (session and session.mfa):
            raise DeniedError(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
        if call.service == "iam" and not self.lists_devices:
            text = f"User: arn:aws:iam::{ACCOUNT}:user/x is not authorized to perform: iam:{call.action}"
            raise DeniedError(403, "AccessDenied", text)
        if call.service == "iam" and session and not session.mfa:
            raise DeniedError(403, "AccessDenied", "MFA is required")

    def _session_token(self, call: Call, user: User, session: Session | None) -> bytes:
        """Answer GetSessionToken (API reference of AWS STS, version 2011-06-15)."""
        if session is not None:
            raise DeniedError(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
        serial, code = call.param("SerialNumber"), call.param("TokenCode")
        seconds = int(call.param("DurationSeconds") or "43200")
        if call.param("Version") != "2011-06-15" or not 900 <= seconds <= 129_600:
            raise DeniedError(400, "ValidationError", "1 validation error detected")
        if code and not re.fullmatch(r"\d{6}", code):
            raise DeniedError(400, "ValidationError", "Value at 'tokenCode' failed to satisfy constraint")
        if serial and not re.fullmatch(r"[\w+=/:,.@-]{9,256}", serial):
            raise DeniedError(400, "ValidationError", "Value at 'serialNumber' failed to satisfy constraint")
        if code or serial:
            self._check_code(user, serial, code)
        key, until = f"ASIA{base64.b32encode(secrets.token_bytes(10)).decode()}", self.now() + seconds
        made = Session(user, secrets.token_urlsafe(30), f"FwoGZXIvYXdzE{secrets.token_hex(60)}==", bool(code), until)
        self.sessions[key] = made
        expiration = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return (
            f'<GetSessionTokenResponse xmlns="{_NAMESPACE}"><GetSessionTokenResult><Credentials>'
            f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{made.secret}</SecretAccessKey>"
            f"<SessionToken>{made.token}</SessionToken><Expiration>{expiration}</Expiration>"
            f"</Credentials></GetSessionTokenResult></GetSessionTokenResponse>"
        ).encode()

    def _check_code(self, user: User, serial: str, code: str) -> None:
        """Take a one-time code: of this step, the one before or the one after, and each once."""
        if serial != user.serial:
            text = "MultiFactorAuthentication failed, unable to validate MFA code."
            raise DeniedError(403, "AccessDenied", text)
        present = step_of(self.device_time)
        for step in (present - 1, present, present + 1):
            if step > user.last_step and secrets.compare_digest(code_of(user.seed, step), code):
                user.last_step = step
                return
        text = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
        raise DeniedError(403, "AccessDenied", text)

    def _forward(self, call: Call, environ: Environ, user: User) -> tuple[int, bytes]:
        """Let moto answer, as to the user's own key: it knows no sessions."""
        signed = call.headers["authorization"].replace(f"Credential={call.key}/", f"Credential={user.key}/")
        plain = {**environ, "HTTP_AUTHORIZATION": signed, "wsgi.input": BytesIO(call.body)}
        plain.pop("HTTP_X_AMZ_SECURITY_TOKEN", None)
        if call.action == "ListMFADevices" and not call.param("UserName"):  # then it is the caller, which moto forgets
            plain["QUERY_STRING"] = f"{call.query}&UserName={user.name}"
        said: list[str] = []
        body = b"".join(self.inner(plain, lambda status, *_: said.append(status)))
        return int(said[-1].partition(" ")[0]), body

    # -- for tests ---------------------------------------------------------------------

    def _control(self, call: Call, start: Start) -> Iterable[bytes]:
        """Do what a test asks for: it speaks to this process in no other way."""
        said = json.loads(call.body or b"{}")
        what = call.path.removeprefix(CONTROL)
        result: object = None
        if what == "reset":
            result = self._reset()
        elif what == "set":
            for name, value in said.items():
                setattr(self, name, value)
        elif what == "record":
            result = self.record
        elif what == "end":  # of every session, as an administrator ends them
            self.sessions.clear()
        elif what == "deactivate":
            self.users = {key: user for key, user in self.users.items() if user.name != said["name"]}
        else:
            raise LookupError(what)
        body = json.dumps(result).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _reset(self) -> dict[str, Any]:
        """Begin anew: alice and bob, each with a key, a device and an instance in each region, and one of nobody's."""
        Client(self.inner).post("/moto-api/reset")
        self.users, self.sessions, self.record = {}, {}, []
        self.clock, self.device_time, self.lists_devices = 0.0, time.time(), True
        instances: dict[str, str] = {}
        for name in PEOPLE:
            self._ask("iam", Action="CreateUser", UserName=name)
            made = self._ask("iam", Action="CreateAccessKey", UserName=name)
            device = self._ask("iam", Action="CreateVirtualMFADevice", VirtualMFADeviceName=name)
            serial = _text(device, "SerialNumber")
            codes = {"AuthenticationCode1": "123456", "AuthenticationCode2": "654321"}
            self._ask("iam", Action="EnableMFADevice", UserName=name, SerialNumber=serial, **codes)
            key, seed = _text(made, "AccessKeyId"), base64.b32encode(secrets.token_bytes(20)).decode()
            self.users[key] = User(name, key, _text(made, "SecretAccessKey"), serial, seed)
        for region in REGIONS:
            for owner in (*PEOPLE, ""):
                instances[f"{owner or 'nobody'}@{region}"] = self._run(region, owner)
        people = {
            one.name: {"key": f"{one.key}:{one.secret}", "serial": one.serial, "seed": one.seed}
            for one in self.users.values()
        }
        return {"people": people, "instances": instances, "device_time": self.device_time}

    def _run(self, region: str, owner: str) -> str:
        tags = [("Name", f"{owner or 'nobody'}-box")] + ([("Owner", owner)] if owner else [])
        said = {"Action": "RunInstances", "ImageId": "ami-12345678", "MinCount": "1", "MaxCount": "1"}
        said |= {"InstanceType": "t3.micro", "TagSpecification.1.ResourceType": "instance"}
        for number, (name, value) in enumerate(tags, 1):
            said |= {f"TagSpecification.1.Tag.{number}.Key": name, f"TagSpecification.1.Tag.{number}.Value": value}
        return _text(self._ask("ec2", region, **said), "instanceId")

    def _ask(self, service: str, region: str = "us-east-1", **params: str) -> bytes:
        """Ask moto, as its administrator."""
        version = {"iam": "2010-05-08", "ec2": "2016-11-15"}[service]
        host = f"ec2.{region}.amazonaws.com" if service == "ec2" else f"{service}.amazonaws.com"
        scope = f"AKIAADMIN/20200101/{region}/{service}/aws4_request"
        said = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        kind = "application/x-www-form-urlencoded"
        answer = Client(self.inner).post(
            "/",
            data=urlencode({**params, "Version": version}),
            headers={"Host": host, "Authorization": said},
            content_type=kind,
        )
        assert answer.status_code == 200, answer.get_data()
        return bytes(answer.get_data())


def _read(environ: Environ) -> Call:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    query = environ.get("QUERY_STRING", "")
    params = parse_qs(query, keep_blank_values=True)
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        params |= parse_qs(body.decode(), keep_blank_values=True)
    path = environ.get("PATH_INFO", "/")
    return Call(environ["REQUEST_METHOD"], headers.get("host", ""), path, query, headers, body, params)


def _signature(call: Call, day: str, names: list[str], secret: str) -> str:
    """Return what botocore makes of the headers that are said to be signed; all that matter have to be."""
    wanted = {"host", "x-amz-date", *(name for name in call.headers if name.startswith("x-amz-"))}
    wanted |= {"content-type"} & call.headers.keys()
    if not wanted <= set(names) or names != sorted(names):
        return ""
    url = f"https://{call.host}{call.path}" + (f"?{call.query}" if call.query else "")
    headers = {name: call.headers[name] for name in names if name in call.headers}
    request = AWSRequest(call.method, url, headers=headers, data=call.body)
    request.context["timestamp"] = call.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(call.key, secret), call.service, call.region)
    return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))


def _unknown(call: Call, message: str) -> DeniedError:
    if call.service == "ec2":
        return DeniedError(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
    return DeniedError(403, "InvalidClientTokenId", message)


def _mismatch(call: Call, message: str) -> DeniedError:
    if call.service == "ec2":
        return DeniedError(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
    return DeniedError(403, "SignatureDoesNotMatch", message)


def _error(service: str, denied: DeniedError) -> bytes:
    code, message = escape(denied.code), escape(denied.message)
    if service == "ec2":
        inside = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        return f'<?xml version="1.0" encoding="UTF-8"?><Response>{inside}<RequestID>r-1</RequestID></Response>'.encode()
    inside = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<ErrorResponse xmlns="{_NAMESPACE}">{inside}<RequestId>r-1</RequestId></ErrorResponse>'.encode()


def _event(call: Call, user: User | None, session: Session | None, error: str, status: int) -> dict[str, Any]:
    """Return the event as CloudTrail has it (its "record contents"), and the status beside it."""
    who: dict[str, Any] = {"type": "IAMUser", "accessKeyId": call.key, "userName": user.name if user else ""}
    if session:
        who["sessionContext"] = {"attributes": {"mfaAuthenticated": str(session.mfa).lower()}}
    return {
        "eventName": call.action,
        "eventSource": f"{call.service}.amazonaws.com",
        "awsRegion": call.region,
        "userIdentity": who,
        "errorCode": error,
        "status": status,
        "method": call.method,
        "query": call.query,
    }


def _text(document: bytes, tag: str) -> str:
    """Return the text of the first *tag* in a *document* of moto's."""
    for element in ET.fromstring(document).iter():  # noqa: S314 - moto's own
        if element.tag.rpartition("}")[2] == tag:
            return element.text or ""
    raise LookupError(tag)


def main() -> None:
    """Serve on the port of 127.0.0.1 that the command line names."""
    gate = Gate(DomainDispatcherApplication(create_backend_app))
    gate._reset()  # what moto imports at its first use, it has imported when a test comes
    server = make_server("127.0.0.1", int(sys.argv[1]), gate, threaded=True)
    print("The gate is open.", flush=True)  # noqa: T201 - what the tests wait for
    server.serve_forever()


if __name__ == "__main__":
    main()
