"""A guest without an agent: enrols and links as a real one does, and reports what a test tells it to.

With `--driver none` the server makes no sandboxes and so no enrolment tokens; the test puts one into the database, as
reconciliation would.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.client import HTTPConnection

import websocket
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PROTOCOL = 1


class Guest:
    def __init__(self, server, database, runtime: str):
        self.runtime, self.key = runtime, Ed25519PrivateKey.generate()
        token = secrets.token_hex(20)
        until = int((time.time() + 600) * 1000)
        database.execute(
            "INSERT INTO guest (runtime_id, enroll_token_hash, enroll_until_ms, epoch, replica_id) "
            f"VALUES ('{runtime}', '{hashlib.sha256(token.encode()).hexdigest()}', {until}, 0, '')"
        )
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        connection = HTTPConnection(server.agent_listen, timeout=20)
        body = {"protocol": PROTOCOL, "token": token, "public_key": base64.b64encode(public).decode()}
        connection.request("POST", "/guest/v1/enroll", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 200, answer
        self.virtual_key = json.loads(answer)["virtual_key"]
        connection.close()
        self.desired = {}
        self.heard = threading.Condition()
        self.socket = websocket.create_connection(f"ws://{server.agent_listen}/guest/v1/link", timeout=20)
        self.hello()
        threading.Thread(target=self.serve, daemon=True).start()

    def hello(self):
        nonce = self.receive()["nonce"]
        boot = secrets.token_hex(8)
        signature = self.key.sign(f"creel-guest-hello\n{nonce}\n{self.runtime}\n{boot}".encode())
        self.send(
            type="hello", protocol=PROTOCOL, runtime_id=self.runtime, boot_id=boot, guest_version="0",
            features=["commands"], signature=base64.b64encode(signature).decode(),
        )  # fmt: skip
        assert self.receive()["type"] == "welcome"

    def receive(self) -> dict:
        return json.loads(self.socket.recv())

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def serve(self):
        """Takes wishes down and does what is asked, until the link ends."""
        while True:
            try:
                message = self.receive()
            except (OSError, ValueError, websocket.WebSocketException):
                return
            if message["type"] == "desired":
                with self.heard:
                    self.desired = message
                    self.heard.notify_all()
            elif message["type"] == "invoke":
                outcome = self.outcome(message["request"], message["timeout_ms"])
                self.send(type="invocation_result", invocation_id=message["id"], outcome=outcome)

    @staticmethod
    def outcome(request: dict, timeout_ms: int) -> dict:
        """Says again what it was told; a command is `echo WORDS`, or `echo timeout` for the milliseconds it has."""
        if request["kind"] == "command":
            said = request["script"].removeprefix("echo ").replace("timeout", str(timeout_ms))
            failed = {"how": "failed", "message": "as it was told"}
            end = failed if said == "fail" else {"how": "exited", "code": 0}
            return {"kind": "ran", "end": end, "output": base64.b64encode(said.encode()).decode(), "dropped": 0}
        text = request["message"]
        return {"kind": "failed", "message": text} if "fail" in text else {"kind": "replied", "text": text}

    def report(self, status: str = "Running", version: str | None = "2026.9.6", error: str | None = None, starts: int = 1):
        self.send(
            type="observation", status=status, version=version, pid=1, starts=starts, memory_limited=True,
            last_error=error,
        )  # fmt: skip

    def wait_for(self, what, seconds: float = 10) -> dict:
        """The wish, once `what(wish)` is true."""
        with self.heard:
            assert self.heard.wait_for(lambda: self.desired and what(self.desired), seconds), self.desired
            return self.desired

    def receipt(self, error: str | None = None, behind: int = 0):
        generation = self.desired["generation"]
        self.send(type="receipt", desired=generation, observed=generation - behind, error=error)

    def close(self):
        self.socket.close()
