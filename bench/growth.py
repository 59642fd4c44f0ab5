"""What a call costs beside 10 and beside 100,000 agents, and by one hot agent against load spread over a thousand.

scripts/bench.sh growth; CREEL_BENCH_AGENTS=100000. One server has ten agents, the other as many as are asked for; both are
measured with the same ten keys in the same rounds. Agents are inserted into the database, as what the API would have
made, each with a key. Prints one figure a line, as JSON. Loopback only, bounded.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from proxies import (
    Server, Target, agent_port, answers, bench_server, completion, drop, free_port, measure, nginx, report, request, rss_mb,
    until, upstream_body, wrk,
)  # fmt: skip

AGENTS = int(os.environ.get("CREEL_BENCH_AGENTS", "100000"))
FEW, SPREAD = 10, 1_000


def key_of(number: int) -> str:
    return f"sk-creel-bench-{number}"


def fill(server: Server, amount: int):
    """Copies the one runtime that was made by the API until there are as many, and gives each a key."""
    with contextlib.closing(sqlite3.connect(server.data / "creel.db", timeout=30)) as db, db:
        columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('runtime')")]
        ((first, account),) = db.execute("SELECT id, account_id FROM runtime").fetchall()
        changed = {
            "id": "'ecd-' || (10000000 + n.i)", "jvs_id": "NULL", "name": "'agent' || n.i",
            "host_name": "'ecd-' || (10000000 + n.i)", "created_at_ms": "r.created_at_ms + n.i / 300",
        }  # fmt: skip
        db.execute(
            f"INSERT INTO runtime ({', '.join(columns)}) "
            f"WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {amount}) "
            f"SELECT {', '.join(changed.get(column, f'r.{column}') for column in columns)} "
            f"FROM n JOIN runtime r ON r.id = '{first}'"
        )
        db.executemany(
            "INSERT INTO virtual_key (id, account_id, runtime_id, key_hash, holder, created_at_ms) "
            "VALUES (?, ?, ?, ?, 'Person', 1)",
            (
                (f"vk-bench{n}", account, f"ecd-{10_000_000 + n}", hashlib.sha256(key_of(n).encode()).hexdigest())
                for n in range(amount)
            ),
        )


def main():
    folder = Path(tempfile.mkdtemp(prefix="creel-bench-"))
    folder.chmod(0o755)
    upstream_port = free_port()
    (folder / "whole").write_text(completion())
    body = folder / "body.json"
    body.write_text(request(2_000, False))
    started = [nginx(folder, "upstream", upstream_port, upstream_body(upstream_port, folder))]
    servers = []
    try:
        targets = {}
        for amount in (FEW, AGENTS):
            server = bench_server(upstream_port, "/whole").start()
            servers.append(server)
            server.runtime_with_models("bench", 100_000_000)
            fill(server, amount)
            # The copies have no packs of their own.
            granted = server.admin("ledger", "grant", "--credits", "1000000000")
            assert granted.returncode == 0, granted.stderr
            until("the gateway to know all keys", lambda: answers(agent_port(server), key_of(amount - 1), body), 60)
            url = f"http://127.0.0.1:{agent_port(server)}/v1/chat/completions"
            targets[amount] = Target(url, server.process.pid, [key_of(n) for n in range(FEW)])
            report("gateway RSS", agents=amount, mb=rss_mb(server.process.pid))
        for connections in (1, 64):
            found = measure(targets, body, connections)
            report(
                "CPU of a call by the number of agents", connections=connections, few=FEW, many=AGENTS,
                few_cpu_us=found[FEW]["cpu_us"], many_cpu_us=found[AGENTS]["cpu_us"],
                many_to_few=round(found[AGENTS]["cpu_us"] / found[FEW]["cpu_us"], 3),
            )  # fmt: skip
        many = targets[AGENTS]
        spread = [key_of(n) for n in range(min(SPREAD, AGENTS))]
        # Balances are read at an agent's first call.
        wrk(many.url, spread, body, 64)
        found = measure(
            {"hot": Target(many.url, many.pid, [key_of(0)]), "spread": Target(many.url, many.pid, spread)}, body, 64
        )
        report(
            "one hot agent against spread load", connections=64, agents=len(spread),
            hot_cpu_us=found["hot"]["cpu_us"], spread_cpu_us=found["spread"]["cpu_us"],
            hot_to_spread=round(found["hot"]["cpu_us"] / found["spread"]["cpu_us"], 3),
            hot_per_second=found["hot"]["per_second"], spread_per_second=found["spread"]["per_second"],
        )  # fmt: skip
        for server in servers:
            server.stop()
            check = server.admin("ledger", "check")
            report("ledger check after that", exit=check.returncode, says=check.stdout.strip().splitlines()[-1:])
    finally:
        drop(servers, started)
        shutil.rmtree(folder, ignore_errors=True)


main()
