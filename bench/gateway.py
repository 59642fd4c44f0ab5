"""The gateway, all features on and the ledger durable, against nginx as a plain keep-alive reverse proxy.

`make bench` runs it; by hand: scripts/bench.sh gateway [seconds a measurement] [rounds]. Prints one figure a line, as
JSON. Loopback only, bounded: about four minutes.

Both stand before the same nginx, which answers from a file. In each round the three are measured one after the other,
with the same load; figures are medians of the rounds. Rates depend on the machine and on what else it does: compare
only the ratios. "CPU each" is user and system time of the process, divided by its requests.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from harness import MODEL, Server, free_port, open_port, until  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
# The size of one call's answer, and of a stream.
ANSWER_BYTES, STREAM_BYTES = 644, 10_000
USAGE = {"prompt_tokens": 400, "completion_tokens": 95, "total_tokens": 495}


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [int(child) for child in children]


def cpu_seconds(pid: int) -> float:
    used = 0
    for each in family(pid):
        stat = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        used += int(stat[11]) + int(stat[12])
    return used / TICKS


def rss_mb(pid: int, what: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split(what + ":")[1].split()[0]) / 1000, 1)


def completion() -> str:
    def text(content: str) -> str:
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
        return json.dumps(head | {"choices": [choice], "usage": USAGE})

    return text("x" * (ANSWER_BYTES - len(text(""))))


def stream() -> str:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    events = []
    while sum(map(len, events)) < STREAM_BYTES:
        delta = {"index": 0, "delta": {"content": f"word {len(events)} "}, "finish_reason": None}
        events.append("data: " + json.dumps(head | {"choices": [delta]}) + "\n\n")
    events.append("data: " + json.dumps(head | {"choices": [], "usage": USAGE}) + "\n\n")
    return "".join(events) + "data: [DONE]\n\n"


def request(size: int, streamed: bool) -> str:
    options = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}

    def text(prompt: str) -> str:
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": "hi"}]
        return json.dumps({"model": MODEL} | options | {"max_completion_tokens": 1000, "messages": messages})

    # Prompts are lines of prose: an escaped line end and a quotation now and then.
    line = 'You are a helpful agent; call the tool named "exec" when asked to run something.\n'
    prompt = line * (size // len(line) + 1)
    while len(text(prompt)) > size:
        prompt = prompt[: len(prompt) - max(1, (len(text(prompt)) - size) // 2)]
    return text(prompt)


def nginx(folder: Path, name: str, port: int, body: str) -> subprocess.Popen:
    text = (HERE / "gateway/nginx.conf").read_text()
    for key, value in {"$DIR": str(folder), "$NAME": name, "$BODY": body}.items():
        text = text.replace(key, value)
    path = folder / f"{name}.conf"
    path.write_text(text)
    process = subprocess.Popen(["nginx", "-p", folder, "-c", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(f"{name} to listen", lambda: open_port(port), 20)
    return process


def upstream_body(port: int, folder: Path) -> str:
    """Every POST is answered from a file; nginx serves files to GET only, hence the turn by an error page."""

    def place(path: str, kind: str) -> str:
        return (
            f"location = /{path}/v1/chat/completions {{ error_page 405 =200 /{path}; return 405; }}\n"
            f"location = /{path} {{ internal; root {folder}; types {{}} default_type {kind}; }}\n"
        )

    places = place("whole", "application/json") + place("stream", "text/event-stream")
    return f"server {{ listen 127.0.0.1:{port} backlog=4096; {places} }}"


def proxy_body(port: int, upstream_port: int) -> str:
    return (
        f"upstream target {{ server 127.0.0.1:{upstream_port}; keepalive 512; keepalive_requests 100000000; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://target; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } }'
    )


def wrk(url: str, key: str, body: Path, connections: int) -> list[int]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "-s", str(HERE / "gateway/post.lua"), url]
    environment = os.environ | {"BODY": str(body), "KEY": key}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    figures = [line for line in output.splitlines() if line.startswith("FIGURES")]
    if not figures:
        sys.exit(f"wrk measured nothing at {url}:\n{output}")
    return [int(word) for word in figures[0].split()[1:]]


def measure(targets: dict[str, tuple[str, int]], key: str, body: Path, connections: int) -> dict[str, dict]:
    """Medians over interleaved rounds; `targets` are the address and the process whose CPU counts."""
    seen = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, (url, pid) in targets.items():
            before = cpu_seconds(pid)
            requests, failed, p50_us, p99_us = wrk(url, key, body, connections)
            used = cpu_seconds(pid) - before
            if failed or not requests:
                sys.exit(f"{name}: {failed} of {requests} requests failed at {url}")
            seen[name].append((used / requests * 1e6, p50_us, p99_us, requests / SECONDS))
    names = ("cpu_us", "p50_us", "p99_us", "per_second")
    return {
        name: dict(zip(names, (round(statistics.median(column)) for column in zip(*rows)))) for name, rows in seen.items()
    }


def compare(what: str, path: str, ports: dict[str, int], pids: dict[str, int], key: str, body: Path):
    def url(name: str) -> str:
        prefix = "" if name == "gateway" else f"/{path}"
        return f"http://127.0.0.1:{ports[name]}{prefix}/v1/chat/completions"

    for connections in (1, 64):
        found = measure({name: (url(name), pids[name]) for name in ports}, key, body, connections)
        direct, nginx_, gateway = found["upstream"], found["nginx"], found["gateway"]
        added = {}
        if connections == 1:
            added = {
                "nginx_added_p50_us": nginx_["p50_us"] - direct["p50_us"],
                "gateway_added_p50_us": gateway["p50_us"] - direct["p50_us"],
            }
        report(
            what, connections=connections, body_bytes=body.stat().st_size,
            gateway_cpu_us=gateway["cpu_us"], nginx_cpu_us=nginx_["cpu_us"],
            cpu_ratio=round(gateway["cpu_us"] / max(1, nginx_["cpu_us"]), 2),
            gateway_p50_us=gateway["p50_us"], nginx_p50_us=nginx_["p50_us"], gateway_p99_us=gateway["p99_us"],
            nginx_p99_us=nginx_["p99_us"], gateway_per_second=gateway["per_second"],
            nginx_per_second=nginx_["per_second"], **added,
        )  # fmt: skip


def answers(port: int, key: str, body: Path) -> bool:
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {key}"]
    command += ["--data-binary", f"@{body}", f"http://127.0.0.1:{port}/v1/chat/completions"]
    return subprocess.run(command, capture_output=True, text=True).stdout == "200"


def first_answer(server: Server, key: str, body: Path) -> float:
    """Milliseconds from starting the server again to its first answer."""
    server.stop()
    started = time.monotonic()
    server.start()
    port = int(server.agent_listen.rsplit(":", 1)[1])
    while not answers(port, key, body):
        if time.monotonic() - started > 30:
            sys.exit("no answer within 30 s of the start")
    return (time.monotonic() - started) * 1000


def main():
    folder = Path(tempfile.mkdtemp(prefix="creel-bench-"))
    folder.chmod(0o755)
    upstream_port, nginx_port = free_port(), free_port()
    (folder / "whole").write_text(completion())
    (folder / "stream").write_text(stream())
    bodies = {}
    for size in (2_000, 41_000, 500_000):
        bodies[size] = folder / f"{size}.json"
        bodies[size].write_text(request(size, False))
    streamed = folder / "streamed.json"
    streamed.write_text(request(2_000, True))
    started = [nginx(folder, "upstream", upstream_port, upstream_body(upstream_port, folder))]
    started.append(nginx(folder, "nginx", nginx_port, proxy_body(nginx_port, upstream_port)))
    servers = []
    try:
        for path, name in (("whole", "completion"), ("stream", "10 KB stream")):
            server = Server("none", upstream_port, "sk-bench")
            servers.append(server)
            # The operator's provider of this server is one place of the upstream.
            text = server.config.read_text()
            server.config.write_text(text.replace(f":{upstream_port}/v1", f":{upstream_port}/{path}/v1"))
            server.start()
            key = server.person_key(server.runtime_with_models("bench", 100_000_000))
            gateway_port = int(server.agent_listen.rsplit(":", 1)[1])
            ports = {"upstream": upstream_port, "nginx": nginx_port, "gateway": gateway_port}
            pids = {"upstream": started[0].pid, "nginx": started[1].pid, "gateway": server.process.pid}
            first = next(iter(bodies.values())) if path == "whole" else streamed
            until("the gateway to know the key", lambda: answers(gateway_port, key, first), 10)
            if path == "whole":
                report("gateway RSS idle", mb=rss_mb(server.process.pid))
                for size, body in bodies.items():
                    compare(f"{name}, {size // 1000} KB request", path, ports, pids, key, body)
                report("gateway RSS peak", mb=rss_mb(server.process.pid, "VmHWM"))
                report("start to first answer", ms=round(first_answer(server, key, first)))
            else:
                compare(f"{name}, 2 KB request", path, ports, pids, key, streamed)
            server.stop()
            check = server.admin("ledger", "check")
            report("ledger check after that", exit=check.returncode, says=check.stdout.strip().splitlines()[-1:])
    finally:
        for server in servers:
            server.kill()
            subprocess.run(["rm", "-rf", server.data], check=False)
        for process in started:
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


main()
