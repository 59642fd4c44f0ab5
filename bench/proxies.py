"""What the gateway's benchmarks share: nginx as upstream and as plain proxy, rolter, requests, load, what it costs."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from harness import MODEL, Server, free_port, open_port, until  # noqa: E402, F401

TICKS = os.sysconf("SC_CLK_TCK")
SECONDS = int(os.environ.get("CREEL_BENCH_SECONDS", "3"))
ROUNDS = int(os.environ.get("CREEL_BENCH_ROUNDS", "5"))
# The size of one call's answer, and of a stream.
ANSWER_BYTES, STREAM_BYTES = 644, 10_000
USAGE = {"prompt_tokens": 400, "completion_tokens": 95, "total_tokens": 495}
# Where rolter is; without it nothing is compared with it.
ROLTER = os.environ.get("CREEL_ROLTER")
ROLTER_KEY = "sk-rolter-bench"


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


def keep_on(pid: int, processors: set[int]):
    """All threads of a process and of its children, and those that they start."""
    for each in family(pid):
        for thread in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # It has ended since.
                os.sched_setaffinity(int(thread.name), processors)


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


class Rolter:
    """Another gateway in Rust, from its package, with a virtual key."""

    def __init__(self, folder: Path, upstream_port: int, path: str):
        self.port = free_port()
        config = folder / f"rolter-{path}.toml"
        config.write_text(
            f"""
[server]
host = "127.0.0.1"
port = {self.port}
[[providers]]
name = "upstream"
kind = "openai_compatible"
api_base = "http://127.0.0.1:{upstream_port}/{path}"
api_key_env = "CREEL_BENCH_PROVIDER_KEY"
[[routes]]
model = "{MODEL}"
strategy = "round_robin"
[[routes.targets]]
provider = "upstream"
model = "{MODEL}"
[[virtual_keys]]
key = "{ROLTER_KEY}"
name = "bench"
models = []
"""
        )
        environment = os.environ | {"CREEL_BENCH_PROVIDER_KEY": "sk-bench"}
        quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        self.process = subprocess.Popen([ROLTER, "gateway", "-c", config], env=environment, **quiet)
        until("rolter to listen", lambda: open_port(self.port), 20)

    def close(self):
        self.process.terminate()
        self.process.wait()


def wrk(url: str, keys: list[str], body: Path, connections: int) -> list[int]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "-s", str(HERE / "gateway/post.lua"), url]
    environment = os.environ | {"BODY": str(body), "KEYS": "\n".join(keys)}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    figures = [line for line in output.splitlines() if line.startswith("FIGURES")]
    if not figures:
        sys.exit(f"wrk measured nothing at {url}:\n{output}")
    return [int(word) for word in figures[0].split()[1:]]


class Target:
    def __init__(self, url: str, pid: int, keys: list[str]):
        self.url, self.pid, self.keys = url, pid, keys


def measure(targets: dict[str, Target], body: Path, connections: int) -> dict[str, dict]:
    """Medians over interleaved rounds. What a target still does after its requests counts too."""
    seen = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, target in targets.items():
            before = cpu_seconds(target.pid)
            requests, failed, p50_us, p99_us = wrk(target.url, target.keys, body, connections)
            time.sleep(0.2)
            used = cpu_seconds(target.pid) - before
            if failed or not requests:
                sys.exit(f"{name}: {failed} of {requests} requests failed at {target.url}")
            seen[name].append((used / requests * 1e6, p50_us, p99_us, requests / SECONDS))
    # A call of nginx takes some 12 us of processor time: whole ones would be a twelfth.
    digits = {"cpu_us": 1, "p50_us": 0, "p99_us": 0, "per_second": 0}
    return {
        name: {
            figure: round(statistics.median(column), places or None)
            for (figure, places), column in zip(digits.items(), zip(*rows))
        }
        for name, rows in seen.items()
    }


def answers(port: int, key: str, body: Path) -> bool:
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {key}"]
    command += ["--data-binary", f"@{body}", f"http://127.0.0.1:{port}/v1/chat/completions"]
    return subprocess.run(command, capture_output=True, text=True).stdout == "200"


def agent_port(server: Server) -> int:
    return int(server.agent_listen.rsplit(":", 1)[1])


def bench_server(upstream_port: int, path: str = "") -> Server:
    """A gateway before one place of the upstream, not started."""
    server = Server("none", upstream_port, "sk-bench")
    text = server.config.read_text()
    server.config.write_text(text.replace(f":{upstream_port}/v1", f":{upstream_port}{path}/v1"))
    return server


def drop(servers: list[Server], processes: list[subprocess.Popen]):
    for server in servers:
        server.kill()
        subprocess.run(["rm", "-rf", server.data], check=False)
    for process in processes:
        process.terminate()
        process.wait()
