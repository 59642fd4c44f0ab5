"""The load that scripts/release.sh trains the released binary with: what calls and management do, in short.

CREEL_BIN names the binary, which writes its profile when it ends in order. Loopback only, some half a minute.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import proxies
from proxies import (
    agent_port, answers, bench_server, completion, drop, free_port, nginx, request, stream, until, upstream_body, wrk,
)  # fmt: skip

# Path of the upstream, bytes of a request, connections, seconds.
LOADS = (
    ("whole", 2_000, 64, 5),
    ("whole", 2_000, 1, 3),
    ("whole", 41_000, 64, 3),
    ("whole", 500_000, 16, 1),
    ("stream", 2_000, 64, 5),
    ("stream", 2_000, 1, 3),
)


def main():
    folder = Path(tempfile.mkdtemp(prefix="creel-train-"))
    folder.chmod(0o755)
    (folder / "whole").write_text(completion())
    (folder / "stream").write_text(stream())
    upstream_port = free_port()
    upstream = nginx(folder, "upstream", upstream_port, upstream_body(upstream_port, folder))
    server = None
    try:
        for path in ("whole", "stream"):
            server = bench_server(upstream_port, f"/{path}")
            server.start()
            key = server.person_key(server.runtime_with_models("bench", 100_000_000))
            body = folder / "body.json"
            body.write_text(request(2_000, path == "stream"))
            until("the gateway to know the key", lambda: answers(agent_port(server), key, body), 10)
            url = f"http://127.0.0.1:{agent_port(server)}/v1/chat/completions"
            for _, size, connections, proxies.SECONDS in (load for load in LOADS if load[0] == path):
                body.write_text(request(size, path == "stream"))
                requests, failed, *_ = wrk(url, [key], body, connections)
                if failed or not requests:
                    sys.exit(f"{failed} of {requests} requests failed")
                print(json.dumps({"trained": path, "bytes": size, "connections": connections, "calls": requests}), flush=True)
            server.stop()
            drop([server], [])
            server = None
    finally:
        drop([server] if server else [], [upstream])
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
