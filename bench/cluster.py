"""One pack for a whole company: three gateways over one PostgreSQL reserve and settle as fast as they can.

scripts/bench.sh cluster. The PostgreSQL is a throw-away one without fsync; CREEL_TEST_POSTGRES_DURABLE=1 gives it fsync.
Prints one figure a line, as JSON, and ends with the ledger's own check. Loopback only, bounded.
"""

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from cluster import fresh_database, psql  # noqa: E402

LOAD = os.environ["CREEL_LEDGER_LOAD"]
CREEL = os.environ["CREEL_BIN"]
SECONDS = int(os.environ.get("CREEL_BENCH_SECONDS", "10"))


class Gateway:
    def __init__(self, environment: dict, database: str, callers: int):
        self.data = tempfile.mkdtemp(prefix="creel-bench-")
        self.process = subprocess.Popen(
            [LOAD, self.data, database, str(callers), str(SECONDS)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.read() == "ready", "a gateway did not start"

    def read(self) -> str:
        return self.process.stdout.readline().strip()

    def tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)


def measure(gateways: int, callers: int):
    """`callers` at each gateway."""
    database = fresh_database()
    environment = os.environ | {
        "CREEL_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "CREEL_DATABASE": database,
    }
    started = []
    try:
        for _ in range(gateways):
            started.append(Gateway(environment, database, callers))
        admin = environment | {"CREEL_DATA_DIR": started[0].data}
        grant = [CREEL, "admin", "ledger", "grant", "--credits", "1000000000"]
        subprocess.run(grant, env=admin, check=True, capture_output=True)
        for gateway in started:
            gateway.tell()
            assert gateway.read() == "warm", "a gateway's calls are refused"
        for gateway in started:
            gateway.tell()
        figures = [json.loads(gateway.read()) for gateway in started]
        for gateway in started:
            gateway.tell()
        for gateway in started:
            assert gateway.process.wait(60) == 0
        pairs = sum(one["pairs"] for one in figures)
        entries = int(psql(database, "SELECT count(DISTINCT call_id) FROM ledger_entry"))
        check = subprocess.run([CREEL, "admin", "ledger", "check"], env=admin, capture_output=True, text=True)
        print(
            json.dumps(
                {
                    "figure": f"reserve-and-settle pairs, {gateways} gateways, {callers} callers each, one pack, PostgreSQL",
                    "pairs_per_s": round(sum(one["pairs"] * 1000 / one["ms"] for one in figures)),
                    "p99_ms": round(max(one["p99_us"] for one in figures) / 1000, 1),
                    "p50_ms": round(max(one["p50_us"] for one in figures) / 1000, 1),
                    "p99_ms_of_each": [round(one["p99_us"] / 1000, 1) for one in figures],
                    "owner": [one["owner"] for one in figures].index(True),
                    "refused": sum(one["refused"] for one in figures),
                    "calls_with_entries": entries,
                    "check": check.stdout.strip().splitlines()[-1] if check.stdout.strip() else check.stderr,
                }
            ),
            flush=True,
        )
        assert entries >= pairs and "0 differences" in check.stdout, (entries, pairs, check.stdout, check.stderr)
    finally:
        for gateway in started:
            gateway.close()


for gateways, callers in ((1, 32), (3, 8), (3, 32)):
    measure(gateways, callers)
