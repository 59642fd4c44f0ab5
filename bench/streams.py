"""A thousand streams of a minute at once: when their first byte comes, with the gateway between and without, and what a
stream costs in memory.

scripts/bench.sh streams; CREEL_BENCH_STREAMS=1000, CREEL_BENCH_STREAM_SECONDS=60. The upstream (this file, in a process of
its own) sends an event at once and then one a second. Streams begin evenly over ten seconds, so that first bytes are not
those of a thousand connections made at once; all run together for the rest. Prints one figure a line, as JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from proxies import MODEL, USAGE, agent_port, bench_server, drop, free_port, open_port, report, request, rss_mb, until

STREAMS = int(os.environ.get("CREEL_BENCH_STREAMS", "1000"))
STREAM_SECONDS = int(os.environ.get("CREEL_BENCH_STREAM_SECONDS", "60"))
RAMP_SECONDS = min(10, STREAM_SECONDS / 2)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(data: str) -> bytes:
    text = f"data: {data}\n\n".encode()
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"


CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
PIECE = event(
    json.dumps(CHUNK | {"choices": [{"index": 0, "delta": {"content": "a word "}, "finish_reason": None}]})
)
END = event(json.dumps(CHUNK | {"choices": [], "usage": USAGE})) + event("[DONE]") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers every request with one stream."""

    def connection_made(self, transport):
        self.transport, self.seen, self.timer = transport, b"", None

    def connection_lost(self, _):
        if self.timer:
            self.timer.cancel()

    def data_received(self, data):
        self.seen += data
        head, end, body = self.seen.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if end and lengths and len(body) >= int(lengths[0].split(b":")[1]):
            self.seen = b""
            self.transport.write(HEAD + PIECE)
            self.wait(1)

    def wait(self, number: int):
        self.timer = asyncio.get_running_loop().call_later(1, self.go_on, number)

    def go_on(self, number: int):
        if number < STREAM_SECONDS:
            self.transport.write(PIECE)
            self.wait(number + 1)
        else:
            self.transport.write(END)


async def serve(port: int):
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


class Client(asyncio.Protocol):
    """Asks for one stream; notes when its body began and whether it came in full."""

    def __init__(self, wire: bytes, ended: asyncio.Future):
        self.wire, self.ended, self.first, self.seen, self.tail = wire, ended, None, b"", b""

    def connection_made(self, transport):
        self.transport, self.begun = transport, time.monotonic()
        transport.write(self.wire)

    def data_received(self, data):
        if self.first is None:
            self.seen += data
            if b"data: " in self.seen:
                self.first = time.monotonic() - self.begun
        self.tail = (self.tail + data)[-64:]
        if b"[DONE]" in self.tail:
            self.transport.close()

    def connection_lost(self, _):
        if not self.ended.done():
            self.ended.set_result(self.first if b"[DONE]" in self.tail else None)


async def ask(port: int, key: str, body: bytes, when_all_run) -> list[float]:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    loop, begun, ends = asyncio.get_running_loop(), time.monotonic(), []
    for number in range(STREAMS):
        await asyncio.sleep(begun + number * RAMP_SECONDS / STREAMS - time.monotonic())
        ends.append(loop.create_future())
        await loop.create_connection(lambda: Client(head.encode() + body, ends[-1]), "127.0.0.1", port)
    await asyncio.sleep(2)
    when_all_run(sum(not end.done() for end in ends))
    async with asyncio.timeout(STREAM_SECONDS + 60):
        firsts = await asyncio.gather(*ends)
    if None in firsts:
        sys.exit(f"{firsts.count(None)} of {STREAMS} streams did not come in full")
    return sorted(firsts)


def percentile(values: list[float], percent: int) -> float:
    return round(values[min(len(values) - 1, len(values) * percent // 100)] * 1000, 2)


def main():
    upstream_port = free_port()
    upstream = subprocess.Popen([sys.executable, Path(__file__), str(upstream_port)])
    servers = []
    try:
        until("the upstream to listen", lambda: open_port(upstream_port), 20)
        server = bench_server(upstream_port).start()
        servers.append(server)
        key = server.person_key(server.runtime_with_models("bench", 100_000_000))
        body = server.data / "body.json"
        body.write_text(request(2_000, True))

        def knows_key() -> bool:
            # A key that is not known yet is told so at once; a stream would take its minute.
            path = f"http://127.0.0.1:{agent_port(server)}/v1/models"
            command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {key}", path]
            return subprocess.run(command, capture_output=True, text=True).stdout == "200"

        until("the gateway to know the key", knows_key, 10)
        idle_mb, memory = rss_mb(server.process.pid), {}

        def note(running: int):
            memory.update(running=running, rss_mb=rss_mb(server.process.pid))

        direct = asyncio.run(ask(upstream_port, "none", body.read_bytes(), lambda _: None))
        through = asyncio.run(ask(agent_port(server), key, body.read_bytes(), note))
        report(
            f"{STREAMS} streams of {STREAM_SECONDS} s", idle_mb=idle_mb, **memory,
            kb_a_stream=round((memory["rss_mb"] - idle_mb) * 1000 / memory["running"], 1),
            direct_first_byte_p50_ms=percentile(direct, 50), direct_first_byte_p99_ms=percentile(direct, 99),
            gateway_first_byte_p50_ms=percentile(through, 50), gateway_first_byte_p99_ms=percentile(through, 99),
            added_first_byte_p99_ms=round(percentile(through, 99) - percentile(direct, 99), 2),
        )  # fmt: skip
        server.stop()
        check = server.admin("ledger", "check")
        report("ledger check after that", exit=check.returncode, says=check.stdout.strip().splitlines()[-1:])
    finally:
        drop(servers, [upstream])


if len(sys.argv) > 1:
    asyncio.run(serve(int(sys.argv[1])))
else:
    main()
