"""Signs requests by hand, as the signature's description says, so that a test can get every part of it wrong."""

import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit


def encode(text: str) -> str:
    return quote(str(text), safe="-_.~")


@dataclass
class Answer:
    status: int
    body: dict
    raw: bytes

    @property
    def code(self):
        return self.body.get("Code")


class Caller:
    """One account's key against one server. Each call may replace any header after or before signing."""

    def __init__(self, endpoint: str, key_id: str, secret: str):
        self.netloc = urlsplit(endpoint).netloc or endpoint
        self.key_id, self.secret = key_id, secret

    def call(self, version: str, action: str, query=None, body=b"", *, method="POST", headers=None, after=None,
             secret=None, date_shift_seconds=0) -> Answer:  # fmt: skip
        """`headers` are signed with the rest, `after` replace signed ones afterwards, as a forger would; None takes one away."""
        query = query or {}
        when = datetime.now(timezone.utc) + timedelta(seconds=date_shift_seconds)
        signed = {
            "host": self.netloc,
            "x-acs-action": action,
            "x-acs-version": version,
            "x-acs-date": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": uuid.uuid4().hex,
            "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        }
        if body:
            signed["content-type"] = "application/x-www-form-urlencoded"
        signed |= headers or {}
        canonical_query = "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted(query.items()))
        names = sorted(signed)
        canonical = "\n".join(
            [
                method,
                "/",
                canonical_query,
                *(f"{name}:{signed[name].strip()}" for name in names),
                "",
                ";".join(names),
                signed["x-acs-content-sha256"],
            ]
        )
        to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
        signature = hmac.new((secret or self.secret).encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (
            f"ACS3-HMAC-SHA256 Credential={self.key_id},SignedHeaders={';'.join(names)},Signature={signature}"
        )
        signed = {name: value for name, value in (signed | (after or {})).items() if value is not None}
        return self.send(method, "/?" + canonical_query if canonical_query else "/", body, signed)

    def send(self, method: str, target: str, body: bytes, headers: dict) -> Answer:
        connection = HTTPConnection(self.netloc, timeout=20)
        try:
            try:
                connection.request(method, target, body=body or None, headers=headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server may answer and close before it has read a body that is too large
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        try:
            parsed = json.loads(raw)
        except ValueError:
            parsed = {}
        return Answer(response.status, parsed, raw)
