"""An upstream over TLS, as every provider is: trusted or not, whole and streamed, many calls on one connection."""

import datetime
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import MODEL, Server, until

KEY = "sk-over-tls"
LOBSTER = [{"role": "user", "content": "Say the word lobster."}]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
# Longer than a TLS record, and than what is read at once.
LONG = "lobster " * 20_000


def certificate(folder: Path) -> Path:
    """Certificate and key of 127.0.0.1 that its own holder signed, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "upstream.pem"
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*private))
    return path


class Provider:
    """Answers with keep-alive: whole with a length, streams in chunks."""

    def __init__(self, pem: Path):
        self.connections, self.keys = 0, []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                provider.connections += 1

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                provider.keys.append(self.headers["authorization"])
                self.send_response(200)
                if asked.get("stream"):
                    self.send_header("content-type", "text/event-stream")
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                    delta = {"choices": [{"index": 0, "delta": {"content": "lobster "}, "finish_reason": None}]}
                    for event in [*[delta] * 50, {"choices": [], "usage": USAGE}]:
                        self.chunk(f"data: {json.dumps(event)}\n\n")
                    self.chunk("data: [DONE]\n\n")
                    self.chunk("")
                else:
                    message = {"role": "assistant", "content": LONG}
                    choice = {"index": 0, "message": message, "finish_reason": "stop"}
                    body = json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def chunk(self, text: str):
                self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def pem(tmp_path_factory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def provider(pem):
    provider = Provider(pem)
    yield provider
    provider.close()


def client_of(server: Server, provider: Provider) -> openai.OpenAI:
    server.config.write_text(server.config.read_text().replace("http://127", "https://127"))
    server.start()
    runtime = server.runtime_with_models("tls", 1_000)
    client = openai.OpenAI(base_url=f"http://{server.agent_listen}/v1", api_key=server.person_key(runtime), max_retries=0)

    def knows() -> bool:
        try:
            return bool(client.models.list().data)
        except openai.AuthenticationError:
            return False

    until("the key to be known", knows, 10)
    return client


def test_calls_go_over_tls_and_share_a_connection(pem, provider, failures):
    port = provider.server.server_address[1]
    server = Server("none", port, KEY, variables={"SSL_CERT_FILE": str(pem)})
    try:
        client = client_of(server, provider)
        for _ in range(3):
            answer = client.chat.completions.create(model=MODEL, messages=LOBSTER)
            assert answer.choices[0].message.content == LONG and answer.usage.completion_tokens == 3
        assert provider.connections == 1
        for _ in range(3):
            stream = client.chat.completions.create(model=MODEL, messages=LOBSTER, stream=True)
            assert "".join(event.choices[0].delta.content for event in stream) == "lobster " * 50
        assert provider.keys == [f"Bearer {KEY}"] * 6
    finally:
        server.remove(keep=failures())


def test_an_upstream_that_is_not_trusted_gets_nothing(provider, failures):
    server = Server("none", provider.server.server_address[1], KEY)
    try:
        client = client_of(server, provider)
        with pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(model=MODEL, messages=LOBSTER)
        assert refused.value.status_code == 502 and refused.value.body["code"] == "upstream_unreachable"
        assert provider.keys == []
    finally:
        server.remove(keep=failures())
