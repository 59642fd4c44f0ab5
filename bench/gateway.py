"""The gateway, all features on and the ledger durable, against nginx as a plain keep-alive reverse proxy, and rolter.

scripts/bench.sh gateway; CREEL_BENCH_SECONDS a measurement (3) and CREEL_BENCH_ROUNDS (5) by the environment. Prints one
figure a line, as JSON. Loopback only, bounded: some fifteen minutes.

All stand before the same nginx, which answers from a file. In each round they are measured one after the other, with the
same load; figures are medians of the rounds. Rates depend on the machine and on what else it does: compare only the
ratios. "CPU each" is user and system time of the process, divided by its requests. An answer of the gateway waits for
write() of the journal's record, not for its fsync (docs/adr/0005-ledger.md).
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from proxies import (
    ROLTER, ROLTER_KEY, Rolter, Server, Target, agent_port, answers, bench_server, completion, drop, free_port, keep_on,
    measure, nginx, proxy_body, report, request, rss_mb, stream, until, upstream_body,
)  # fmt: skip

# Requests of 2 KB, of OpenClaw, of Hermes, and long ones.
SIZES = (2_000, 41_000, 53_000, 500_000)


def compare(what: str, targets: dict[str, Target], body: Path, connections: int):
    found = measure(targets, body, connections)
    direct, plain, ours = found["upstream"], found["nginx"], found["gateway"]
    figures = {}
    for name, one in found.items():
        if name != "upstream":
            figures |= {f"{name}_{key}": value for key, value in one.items()}
    if connections == 1:
        figures["nginx_added_p50_us"] = plain["p50_us"] - direct["p50_us"]
        figures["gateway_added_p50_us"] = ours["p50_us"] - direct["p50_us"]
        figures["added_to_nginx"] = round(figures["gateway_added_p50_us"] / max(1, figures["nginx_added_p50_us"]), 2)
    if "rolter" in found:
        figures["cpu_to_rolter"] = round(ours["cpu_us"] / max(1, found["rolter"]["cpu_us"]), 2)
    report(
        what, connections=connections, body_bytes=body.stat().st_size,
        cpu_to_nginx=round(ours["cpu_us"] / max(1, plain["cpu_us"]), 2), **figures,
    )  # fmt: skip


def compare_placed(what: str, targets: dict[str, Target], body: Path):
    """A lone call in each place that two processors have for its client, the proxies and the upstream.

    A hop to a processor that sleeps takes several times what a proxy computes, and where the scheduler puts the three
    changes between runs and within one. So a comparison of medians says what it is meant to only where the places are
    the same for all.
    """
    free = os.sched_getaffinity(0)
    targets = {name: target for name, target in targets.items() if name != "rolter"}
    together = dict.fromkeys(("client", "proxy", "upstream"), min(free))
    places = {"all on one processor": together}
    for apart in together if len(free) > 1 else ():
        places[f"{apart} on a processor of its own"] = together | {apart: max(free)}
    try:
        for place, processors in places.items():
            # What this process starts is the client.
            os.sched_setaffinity(0, {processors["client"]})
            for name, target in targets.items():
                keep_on(target.pid, {processors["upstream" if name == "upstream" else "proxy"]})
            compare(f"{what}, {place}", targets, body, 1)
    finally:
        os.sched_setaffinity(0, free)
        for target in targets.values():
            keep_on(target.pid, free)


def first_answer(server: Server, key: str, body: Path) -> float:
    """Milliseconds from starting the server again to its first answer."""
    server.stop()
    started = time.monotonic()
    server.start()
    while not answers(agent_port(server), key, body):
        if time.monotonic() - started > 30:
            sys.exit("no answer within 30 s of the start")
    return (time.monotonic() - started) * 1000


def fsync_us(folder: Path) -> int:
    """How long fdatasync of a small append takes on the disk that the ledger is on."""
    took = []
    with open(folder / "fsync", "ab", buffering=0) as file:
        for _ in range(200):
            file.write(b"x" * 400)
            begun = time.monotonic()
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - begun)
    return round(statistics.median(took) * 1e6)


def main():
    folder = Path(tempfile.mkdtemp(prefix="creel-bench-"))
    folder.chmod(0o755)
    upstream_port, nginx_port = free_port(), free_port()
    (folder / "whole").write_text(completion())
    (folder / "stream").write_text(stream())
    bodies = {}
    for size in SIZES:
        bodies[size] = folder / f"{size}.json"
        bodies[size].write_text(request(size, False))
    streamed = folder / "streamed.json"
    streamed.write_text(request(2_000, True))
    started = [nginx(folder, "upstream", upstream_port, upstream_body(upstream_port, folder))]
    started.append(nginx(folder, "nginx", nginx_port, proxy_body(nginx_port, upstream_port)))
    servers = []
    try:
        report("fdatasync of 400 bytes, p50", us=fsync_us(folder))
        for path in ("whole", "stream"):
            server = bench_server(upstream_port, f"/{path}")
            servers.append(server)
            server.start()
            key = server.person_key(server.runtime_with_models("bench", 100_000_000))
            first = bodies[2_000] if path == "whole" else streamed
            until("the gateway to know the key", lambda: answers(agent_port(server), key, first), 10)

            def url(port: int, prefix: str = "") -> str:
                return f"http://127.0.0.1:{port}{prefix}/v1/chat/completions"

            targets = {
                "upstream": Target(url(upstream_port, f"/{path}"), started[0].pid, ["none"]),
                "nginx": Target(url(nginx_port, f"/{path}"), started[1].pid, ["none"]),
                "gateway": Target(url(agent_port(server)), server.process.pid, [key]),
            }
            if ROLTER:
                rolter = Rolter(folder, upstream_port, path)
                started.append(rolter.process)
                targets["rolter"] = Target(url(rolter.port), rolter.process.pid, [ROLTER_KEY])
            if path == "whole":
                report("gateway RSS idle", mb=rss_mb(server.process.pid))
                for size, body in bodies.items():
                    what = f"completion, {size // 1000} KB request"
                    for connections in (1, 64):
                        compare(what, targets, body, connections)
                    compare_placed(what, targets, body)
                    if size == 2_000:
                        report("gateway RSS at c=64", peak_mb=rss_mb(server.process.pid, "VmHWM"))
                report("gateway RSS peak", mb=rss_mb(server.process.pid, "VmHWM"))
                report("start to first answer", ms=round(first_answer(server, key, first)))
            else:
                for connections in (1, 32):
                    compare("10 KB stream, 2 KB request", targets, streamed, connections)
            server.stop()
            check = server.admin("ledger", "check")
            report("ledger check after that", exit=check.returncode, says=check.stdout.strip().splitlines()[-1:])
    finally:
        drop(servers, started)
        shutil.rmtree(folder, ignore_errors=True)


main()
