"""Several servers over one PostgreSQL, callers that come all at once, and an upstream whose every call can be told apart."""

import asyncio
import json
import os
import secrets
import subprocess
import threading
from dataclasses import dataclass

from harness import MODEL, Server, until

# Prices of the harness's model: micro-credits for a token.
INPUT_MICROS, OUTPUT_MICROS = 200, 1200
OUTPUT_TOKENS = 100


def psql(url: str, sql: str) -> str:
    done = subprocess.run(
        ["psql", url, "-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def fresh_database() -> str:
    base = os.environ.get("CREEL_TEST_POSTGRES_URL")
    assert base, "no PostgreSQL: run this by scripts/with-postgres.sh"
    name = "cluster_" + secrets.token_hex(4)
    psql(base, f"CREATE DATABASE {name}")
    return base.rsplit("/", 1)[0] + "/" + name


class Cluster:
    def __init__(self, size: int, upstream_port: int, database: str | None):
        self.database = database
        self.servers: list[Server] = []
        try:
            for _ in range(size):
                beside = self.servers[0] if self.servers else None
                server = Server("none", upstream_port, "sk-cluster", database=database, beside=beside)
                self.servers.append(server)
                server.start()
        except BaseException:
            self.remove(keep=True)
            raise

    @property
    def agent_ports(self) -> list[int]:
        return [int(server.agent_listen.rsplit(":", 1)[1]) for server in self.servers]

    def owner(self) -> Server:
        """Whose address the lease has; over SQLite there is no other."""
        if not self.database:
            return self.servers[0]
        row = psql(self.database, "SELECT address FROM ledger_owner WHERE name = 'ledger'")
        return next(server for server in self.servers if row == f"http://{server.endpoint}")

    def grant(self, micros: int):
        done = self.servers[0].admin("ledger", "grant", "--credits", f"{micros / 1e6:.6f}")
        assert done.returncode == 0, done.stderr

    def entries(self) -> list[dict]:
        done = self.servers[0].admin("ledger", "export")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def check(self):
        done = self.servers[0].admin("ledger", "check")
        assert done.returncode == 0 and "0 differences" in done.stdout, done.stdout + done.stderr

    def settled(self):
        """Once nothing is under way, all of it is rows."""
        if self.database:
            left = lambda: psql(self.database, "SELECT count(*) FROM ledger_journal") == "0"
            until("the journal to be rows", left, 60, 0.2)
            return
        # Settlements gather for a moment before they become rows.
        seen = [-1]

        def at_rest() -> bool:
            seen.append(len(self.entries()))
            return seen[-1] == seen[-2]

        until("the rows to rest", at_rest, 60, 0.5)

    def remove(self, keep: bool):
        for server in reversed(self.servers):
            server.remove(keep)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, coroutine, seconds: float):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)


@dataclass
class Call:
    """What a caller got: a status and, if it came whole, the number that the upstream reported."""

    status: int = 0
    reported: int = 0
    whole: bool = False


def request_body(number: int, stream: bool, padding: int = 0) -> bytes:
    """All of one padding have the same length, so that all cost the same; `number` comes back as the input that is billed."""
    message = {"role": "user", "content": f"{number:08d}"}
    body = {"model": MODEL, "max_tokens": OUTPUT_TOKENS, "stream": stream, "messages": [message]}
    if stream:
        body["stream_options"] = {"include_usage": True}
    if padding:
        body["metadata"] = {"padding": "x" * padding}
    return json.dumps(body).encode()


# What a call that is not streamed costs at most, and does if its upstream reports as much.
BOUND_MICROS = len(request_body(0, False)) * INPUT_MICROS + OUTPUT_TOKENS * OUTPUT_MICROS


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


async def read_body(reader: asyncio.StreamReader, headers: dict) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


async def call(port: int, key: str, number: int, stream: bool = False, padding: int = 0) -> Call:
    """One call; a connection that breaks is an answer that did not come whole."""
    got = Call()
    body = request_body(number, stream, padding)
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: creel\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        first, headers = await read_head(reader)
        got.status = int(first.split()[1])
        answer = await read_body(reader, headers)
        if got.status == 200 and stream:
            got.whole = answer.endswith(b"data: [DONE]\n\n")
            answer = next((line[6:] for line in answer.split(b"\n") if b'"usage":{' in line), b"{}")
        elif got.status == 200:
            got.whole = True
        if got.whole:
            got.reported = json.loads(answer)["usage"]["prompt_tokens"]
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        got.whole = False
    finally:
        if writer:
            writer.close()
    return got


class Provider:
    """A model provider that reports as input what the request's number says, and can hold its answers back.

    With `by_number` off it reports the most that a call reserves.
    """

    def __init__(self, loop: Loop, by_number: bool):
        self.by_number, self.reached = by_number, 0
        self.opened = asyncio.Event()
        self.opened.set()
        self.loop = loop
        self.server = loop.run(asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=2048), 10)
        self.port = self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            while True:
                _, headers = await read_head(reader)
                request = json.loads(await read_body(reader, headers))
                self.reached += 1
                await self.opened.wait()
                number = int(request["messages"][0]["content"])
                usage = {
                    "prompt_tokens": number if self.by_number else len(request_body(0, False)),
                    "completion_tokens": 1 if self.by_number else OUTPUT_TOKENS,
                }
                answer = {"id": "x", "object": "chat.completion", "created": 1, "model": MODEL}
                if request.get("stream"):
                    await self.stream(writer, answer | {"object": "chat.completion.chunk"}, usage)
                    continue
                choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
                body = json.dumps(answer | {"choices": [choice], "usage": usage}, separators=(",", ":")).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(f"content-length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the gateway was killed: that is what these tests do
        finally:
            writer.close()

    async def stream(self, writer, chunk: dict, usage: dict):
        def event(choices: list, **more):
            return b"data: " + json.dumps(chunk | {"choices": choices} | more, separators=(",", ":")).encode() + b"\n\n"

        def piece(data: bytes):
            return f"{len(data):x}\r\n".encode() + data + b"\r\n"

        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for word in ("one ", "two ", "three"):
            writer.write(piece(event([{"index": 0, "delta": {"content": word}, "finish_reason": None}])))
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(piece(event([{"index": 0, "delta": {}, "finish_reason": "stop"}])))
        writer.write(piece(event([], usage=usage)))
        writer.write(piece(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()

    def hold(self):
        self.loop.loop.call_soon_threadsafe(self.opened.clear)

    def open(self):
        self.loop.loop.call_soon_threadsafe(self.opened.set)

    def close(self):
        self.loop.loop.call_soon_threadsafe(self.server.close)
