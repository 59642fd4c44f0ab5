"""Deductions a second: the ledger's, a PostgreSQL's by one statement each, and a SQLite's in a transaction each.

scripts/bench.sh ledger. A deduction of the ledger is a reservation and a settlement, each a record in the journal that
survives `kill -9` (the example ledger_bench, which ends with the ledger's own check). The databases deduct from a row of a
pack, or of ten thousand, and commit with fsync. Prints one figure a line, as JSON. Loopback only, bounded.
"""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

BENCH = os.environ["CREEL_LEDGER_BENCH"]
POSTGRES = os.environ["CREEL_TEST_POSTGRES_URL"]
CALLS = os.environ.get("CREEL_BENCH_CALLS", "60000")
SECONDS = int(os.environ.get("CREEL_BENCH_SECONDS", "5"))
ROWS = 10_000


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def ledger() -> float:
    """Its deductions a second at the widest concurrency."""
    output = subprocess.run([BENCH, CALLS], check=True, capture_output=True, text=True).stdout
    pattern = r"c=(\d+): (\d+) deductions/s in the journal, (\d+)/s as rows; ([\d.]+) .s each, slowest ([\d.]+) ms"
    best = 0
    for callers, journal, rows, each, slowest in re.findall(pattern, output):
        best = max(best, int(journal))
        report(
            "ledger, SQLite", callers=int(callers), deductions_per_second=int(journal), as_rows_per_second=int(rows),
            us_each=float(each), slowest_ms=float(slowest),
        )  # fmt: skip
    report("ledger check after that", says=output.strip().splitlines()[-1])
    return best


def postgres(rows: int) -> float:
    setup = (
        "DROP TABLE IF EXISTS pack; CREATE TABLE pack (id BIGINT PRIMARY KEY, left_micros BIGINT CHECK (left_micros >= 0)); "
        f"INSERT INTO pack SELECT i, 1000000000000 FROM generate_series(1, {rows}) AS i"
    )
    subprocess.run(["psql", POSTGRES, "-q", "-c", setup], check=True, capture_output=True)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(
            f"\\set id random(1, {rows})\n"
            "UPDATE pack SET left_micros = left_micros - 3173280 WHERE id = :id AND left_micros >= 3173280;\n"
        )
        script.flush()
        command = ["pgbench", "-n", "-M", "prepared", "-c", "32", "-j", "1", "-T", str(SECONDS), "-f", script.name, POSTGRES]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.search(r"tps = ([\d.]+)", output)[1])


def sqlite() -> float:
    with tempfile.TemporaryDirectory(prefix="creel-bench-") as folder:
        with contextlib.closing(sqlite3.connect(Path(folder) / "pack.db", isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("CREATE TABLE pack (id INTEGER PRIMARY KEY, left_micros BIGINT CHECK (left_micros >= 0))")
            db.execute("INSERT INTO pack VALUES (1, 1000000000000000)")
            begun, done = time.monotonic(), 0
            while time.monotonic() - begun < SECONDS:
                db.execute("UPDATE pack SET left_micros = left_micros - 3173280 WHERE id = 1 AND left_micros >= 3173280")
                done += 1
            return done / (time.monotonic() - begun)


def main():
    best = ledger()
    hot, spread, alone = postgres(1), postgres(ROWS), sqlite()
    report("PostgreSQL, 32 connections, one statement a deduction", hot_row=round(hot), ten_thousand_rows=round(spread))
    report("SQLite, synchronous FULL, one transaction a deduction", per_second=round(alone))
    report(
        "the ledger against them", to_postgres_hot_row=round(best / hot, 1), to_postgres_spread=round(best / spread, 1),
        to_sqlite=round(best / alone, 1),
    )  # fmt: skip


main()
