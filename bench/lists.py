"""Signed lists at 1, 10,000 and 100,000 runtimes in one account, on SQLite and on PostgreSQL; what a call costs beside
the database's own work; policies; callers without a key.

By hand: scripts/bench.sh lists (or beside a PostgreSQL: CREEL_TEST_POSTGRES_URL, CREEL_BIN, CREEL_API_LOAD set). Prints
one figure a line, as JSON. Ratios are against one runtime in the same run. Loopback only, bounded.
"""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from alibabacloud_ecd20200930 import models as ecd  # noqa: E402
from harness import OPENCLAW_IMAGE, Server  # noqa: E402

LOAD = os.environ["CREEL_API_LOAD"]
TICKS = os.sysconf("SC_CLK_TCK")
SIZES = [int(size) for size in os.environ.get("CREEL_BENCH_SIZES", "1,10000,100000").split(",")]
SECONDS = 2
ROUNDS = 3
ROWS = 20
PROVIDER = "AgentProvider=OpenClaw"
POLICY_STATEMENTS = 100
STRANGERS = int(os.environ.get("CREEL_BENCH_STRANGERS", "100000"))


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = stat(pid)
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Sqlite:
    name = "sqlite"

    def configure(self, server: Server):
        self.path = server.data / "creel.db"

    def run(self, *statements: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            for statement in statements:
                rows = connection.execute(statement).fetchall()
        return rows

    def columns(self, table: str) -> list[str]:
        return [name for (name,) in self.run(f"SELECT name FROM pragma_table_info('{table}')")]

    def tables(self) -> list[str]:
        return [name for (name,) in self.run("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]

    def settle(self):
        self.run("PRAGMA wal_checkpoint(PASSIVE)")

    def processes(self) -> list[int]:
        return []


class Postgres:
    name = "postgres"

    def configure(self, server: Server):
        base = os.environ["CREEL_TEST_POSTGRES_URL"]
        self.url = base
        database = f"bench_{os.getpid()}"
        self.run(f"CREATE DATABASE {database}")
        self.url = base.rsplit("/", 1)[0] + "/" + database
        server.config.write_text(f'database = "{self.url}"\n' + server.config.read_text())

    def run(self, *statements: str) -> list[tuple]:
        commands = [part for statement in statements for part in ("-c", statement)]
        done = subprocess.run(
            ["psql", self.url, "-qtAX", "-F", "\t", "-v", "ON_ERROR_STOP=1", *commands],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def columns(self, table: str) -> list[str]:
        sql = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        return [name for (name,) in self.run(sql)]

    def tables(self) -> list[str]:
        return [name for (name,) in self.run("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")]

    def settle(self):
        self.run("VACUUM ANALYZE")

    @property
    def folder(self) -> Path:
        return Path(self.run("SHOW data_directory")[0][0])

    def processes(self) -> list[int]:
        postmaster = int((self.folder / "postmaster.pid").read_text().split()[0])
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
        children = []
        for pid in pids:
            with contextlib.suppress(OSError):
                if int(stat(pid)[1]) == postmaster:
                    children.append(pid)
        return children


def fill(database, amount: int):
    """Copies the one runtime that was made by the API until there are as many: the server sees what it would have made."""
    changed = {
        "id": "'ecd-' || (10000000 + n.i)",
        "jvs_id": "NULL",
        "name": "'agent' || n.i",
        "host_name": "'ecd-' || (10000000 + n.i)",
        "created_at_ms": "r.created_at_ms + n.i / 300",
    }
    columns = database.columns("runtime")
    values = ", ".join(changed.get(column, f"r.{column}") for column in columns)
    ((have,),) = database.run("SELECT COUNT(*) FROM runtime")
    ((first,),) = database.run("SELECT id FROM runtime ORDER BY created_at_ms, id LIMIT 1")
    for begin in range(int(have), amount, 10_000):
        end = min(begin + 10_000, amount)
        database.run(
            f"INSERT INTO runtime ({', '.join(columns)}) "
            f"WITH RECURSIVE n (i) AS (SELECT {begin} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {end}) "
            f"SELECT {values} FROM n JOIN runtime r ON r.id = '{first}'"
        )
    database.settle()


def people(database, users: int = 2_000, groups: int = 500):
    """Gives ten thousand of the copied runtimes users and resource groups, each about as many, two of which have a model
    group."""
    ((site, account),) = database.run("SELECT office_site_id, account_id FROM runtime ORDER BY created_at_ms, id LIMIT 1")
    bound = database.columns("model_group")
    values = {"id": "'mt-bench'", "account_id": f"'{account}'", "name": "'bench'", "description": "''", "agent_provider": "'OpenClaw'",
              "agent_platform": "'ENTERPRISE'", "biz_type": "1", "ref_scope": "'All'", "source": "'Custom'", "revision": "1",
              "created_at_ms": "1"}  # fmt: skip
    bound = [column for column in bound if column in values]
    numbers = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {})"
    number = "CAST(SUBSTR(id, 5) AS BIGINT)"
    database.run(
        "INSERT INTO end_user (account_id, end_user_id, owner_type, is_local_admin, created_at_ms) "
        + numbers.format(users) + f" SELECT '{account}', 'user' || i, 'Normal', 0, 1 FROM n",
        "INSERT INTO resource_group (id, account_id, name, created_at_ms) "
        + numbers.format(groups) + f" SELECT 'rg-' || i, '{account}', 'group' || i, 1 FROM n",
        f"INSERT INTO runtime_user (runtime_id, end_user_id, account_id) "
        f"SELECT id, 'user' || ({number} % {users}), account_id FROM runtime WHERE id LIKE 'ecd-1000%'",
        f"UPDATE runtime SET resource_group_id = 'rg-' || ({number} % {groups}) WHERE id LIKE 'ecd-1000%'",
        f"INSERT INTO model_group ({', '.join(bound)}) SELECT {', '.join(values[column] for column in bound)}",
        "UPDATE resource_group SET model_group_id = 'mt-bench' WHERE id IN ('rg-7', 'rg-8')",
    )  # fmt: skip
    database.settle()
    return site


def filters(server: Server, database, runtimes: int, base: dict):
    """Every filter of ListDesktopAgentRuntime alone, and three together."""
    site = people(database)
    alone = [
        "AgentProvider=OpenClaw", "AgentPlatform=ENTERPRISE", "AgentInstanceStatuses.1=Running",
        "AgentInstanceStatuses.1=Undeployed", "AgentInstanceVersions.1=2026.9.6", "HasAuthUser=true", "HasAuthUser=false",
        "AuthUsers.1=user7", "BizRegionId=cn-hangzhou", "ChannelConfigure=true", "ChannelConfigure=false", "DesktopIds.1=ecd-10000077",
        "DesktopNames.1=agent77", "DesktopStatuses.1=Running", "DesktopStatuses.1=Stopped", "ManagementStatus=Hibernated",
        "ModelConfigure=true", "ModelConfigure=false", "ModelTemplateId=mt-bench", "ModelTemplateId=mt-none", f"OfficeSiteId={site.replace('+', '%2B')}",
        "ResourceGroupId=rg-7", "ResourceGroupId=rg-7&AuthUsers.1=user7&DesktopStatuses.1=Running",
    ]  # fmt: skip
    for query in alone:
        measured = Measured(server, database, 1, f"{query}&PageSize={ROWS}", seconds=1, rounds=1)
        report(
            "ListDesktopAgentRuntime by filter", filter=query, database=database.name, runtimes=runtimes,
            **measured.figures(), cost_to_one_runtime=round(measured.all_us / base[1].all_us, 2),
        )  # fmt: skip


class Measured:
    """Some seconds of calls: the middle one of three rounds by what a call cost."""

    def __init__(self, server: Server, database, connections: int, query: str, key=None, seconds=SECONDS, rounds=ROUNDS):
        key_id, secret = key or (server.key_id, server.secret)
        others = database.processes()
        taken = []
        for _ in range(rounds):
            before, others_before = cpu_seconds([server.process.pid]), cpu_seconds(others)
            output = subprocess.run(
                [LOAD, server.endpoint, key_id, secret, str(connections), str(seconds), query],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            load = json.loads(output)
            each = 1e6 / load["requests"]
            cpu = (cpu_seconds([server.process.pid]) - before) * each
            taken.append((cpu, (cpu_seconds(others) - others_before) * each, load))
        self.cpu_us, self.database_us, load = sorted(taken, key=lambda one: one[0] + one[1])[rounds // 2]
        self.per_second = load["requests"] / load["seconds"]
        self.p50_us, self.p99_us = load["p50_us"], load["p99_us"]

    @property
    def all_us(self) -> float:
        return self.cpu_us + self.database_us

    def figures(self) -> dict:
        return {
            "per_second": round(self.per_second), "server_cpu_us": round(self.cpu_us),
            "database_cpu_us": round(self.database_us), "p50_us": self.p50_us, "p99_us": self.p99_us,
        }  # fmt: skip


def lists(server: Server, database, runtimes: int, base: dict):
    deep = min(5_000, runtimes // ROWS)
    queries = {"first page": f"{PROVIDER}&PageNumber=1&PageSize={ROWS}"}
    if runtimes > ROWS:
        queries[f"page {deep:,}"] = f"{PROVIDER}&PageNumber={deep}&PageSize={ROWS}"
        queries["one name"] = f"{PROVIDER}&DesktopNames.1=agent77&PageSize={ROWS}"
    for what, query in queries.items():
        for connections in (1, 16):
            measured = Measured(server, database, connections, query)
            first = base.setdefault(connections, measured)
            report(
                f"ListDesktopAgentRuntime, {what}", database=database.name, runtimes=runtimes, connections=connections,
                **measured.figures(), cost_to_one_runtime=round(measured.all_us / first.all_us, 2),
                rate_to_one_runtime=round(measured.per_second / first.per_second, 2),
            )  # fmt: skip


def statements_of_a_call(server: Server, database: Postgres) -> list[tuple[str, list[str]]]:
    """What a call that finds its count in memory asks the database, out of the database's own log."""
    query = {"AgentProvider": "OpenClaw", "PageNumber": "1", "PageSize": str(ROWS)}
    database.run("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
    time.sleep(1)
    log = database.folder.parent / "server.log"
    for _ in range(8):
        start = log.stat().st_size
        answer = server.caller.call("2021-09-01", "ListDesktopAgentRuntime", query)
        assert answer.status == 200, answer.body
    time.sleep(0.5)
    text = log.read_bytes()[start:].decode()
    database.run("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()")
    found = []
    pattern = r"LOG:  execute \S+: (SELECT .*?)\n(?:[^\n\t]*DETAIL:  [Pp]arameters: ([^\n]*)\n)?(?=[^\t]|$)"
    for sql, parameters in re.findall(pattern, text, re.DOTALL):
        values = re.findall(r"\$\d+ = (?:'((?:[^']|'')*)'|NULL)", parameters)
        found.append((" ".join(sql.split()), [value.replace("''", "'") for value in values]))
    return found


def beside_postgres(server: Server, database: Postgres):
    """Calls at 64 connections, and the database's own rate for what they ask it."""
    measured = Measured(server, database, 64, f"{PROVIDER}&PageNumber=1&PageSize={ROWS}", seconds=5)
    report(
        "one row, 64 connections", database="postgres", **measured.figures(),
        per_second_and_core_of_server=round(1e6 / measured.cpu_us),
    )  # fmt: skip
    statements = statements_of_a_call(server, database)
    lines, defined = [], []
    for at, (sql, values) in enumerate(statements):
        lines.append(re.sub(r"\$(\d+)", lambda found, at=at: f":s{at}_{found[1]}", sql) + ";")
        defined += [part for n, value in enumerate(values, start=1) for part in ("-D", f"s{at}_{n}={value}")]
    script = server.data / "statements.sql"
    script.write_text("\n".join(lines) + "\n")
    others = database.processes()
    before = cpu_seconds(others)
    command = ["pgbench", "-n", "-M", "prepared", "-c", "16", "-j", "1", "-T", "10", *defined, "-f", str(script)]
    # The processes of these connections are gone afterwards: what they used is their parent's then.
    postmaster = int((database.folder / "postmaster.pid").read_text().split()[0])
    gone_before = sum(int(field) for field in stat(postmaster)[13:15]) / TICKS
    output = subprocess.run([*command, database.url], check=True, capture_output=True, text=True).stdout
    gone = sum(int(field) for field in stat(postmaster)[13:15]) / TICKS - gone_before
    done = int(re.search(r"actually processed: (\d+)", output)[1])
    report(
        "the same SELECTs by pgbench, 16 connections", selects=len(statements),
        per_second=round(float(re.search(r"tps = ([\d.]+)", output)[1])),
        database_cpu_us=round((gone + cpu_seconds(others) - before) / done * 1e6),
    )  # fmt: skip


def policies(server: Server, database):
    """The same call by the root, whom no policy is asked for, and by a user with a hundred statements."""
    resource = {"Resource": "acs:ecd:*:*:desktop/ecd-0*"}
    statements = [
        {"Effect": "Deny" if n % 2 else "Allow", "Action": [f"ecd:Describe{n}*", f"ecd:Modify{n}*"]} | resource
        for n in range(POLICY_STATEMENTS - 1)
    ]
    statements.append({"Effect": "Allow", "Action": "appstreaming:List*", "Resource": "*"})
    server.own("CreatePrincipal", PrincipalName="bench")
    server.own("PutPolicy", PolicyName="bench", PolicyDocument=json.dumps({"Version": "1", "Statement": statements}))
    server.own("AttachPolicy", PolicyName="bench", PrincipalName="bench")
    key = server.own("CreateAccessKey", PrincipalName="bench")["AccessKey"]
    time.sleep(2)
    query = f"{PROVIDER}&PageNumber=1&PageSize={ROWS}"
    root = Measured(server, database, 16, query, rounds=5)
    user = Measured(server, database, 16, query, (key["AccessKeyId"], key["AccessKeySecret"]), rounds=5)
    report(
        f"{POLICY_STATEMENTS} statements against the root", database=database.name,
        root_cpu_us=round(root.cpu_us), user_cpu_us=round(user.cpu_us),
        cost_to_root=round(user.cpu_us / root.cpu_us, 3),
    )  # fmt: skip


def strangers(server: Server, database):
    """Calls without a good signature: nothing of them stays, neither in the database nor in memory."""

    def rows() -> dict:
        return {table: int(database.run(f'SELECT COUNT(*) FROM "{table}"')[0][0]) for table in database.tables()}

    # Rows of what was done before are sealed first.
    time.sleep(float(os.environ.get("CREEL_BENCH_SEAL_SECONDS", "70")))
    rows_before, rss_before, cpu_before = rows(), rss_mb(server.process.pid), cpu_seconds([server.process.pid])
    made, started = 0, time.monotonic()
    while made < STRANGERS:
        output = subprocess.run(
            [LOAD, server.endpoint, server.key_id, server.secret, "16", "5", f"{PROVIDER}&PageSize=1", "strangers"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        made += json.loads(output)["requests"]
    took, cpu = time.monotonic() - started, cpu_seconds([server.process.pid]) - cpu_before
    rows_after = rows()
    grown = {table: rows_after[table] - count for table, count in rows_before.items() if rows_after[table] != count}
    report(
        "calls without a good signature", database=database.name, calls=made, per_second=round(made / took),
        server_cpu_us=round(cpu / made * 1e6), rows_more=grown, rss_mb_before=rss_before,
        rss_mb_after=rss_mb(server.process.pid),
    )  # fmt: skip


def run(database):
    server = Server("none", 1, "unused")
    database.configure(server)
    unlimited = "\n[limits]\nkey_calls_per_second = 0\naccount_calls_per_second = 0\n"
    server.config.write_text(server.config.read_text() + unlimited)
    server.start()
    try:
        site = server.office_site("bench")
        attachment = ecd.CreateDesktopsRequestDesktopAttachment(
            image_id=OPENCLAW_IMAGE, desktop_type="cloud.space.4c.8g"
        )
        server.desktops.create_desktops(
            ecd.CreateDesktopsRequest(
                region_id="cn-hangzhou", office_site_id=site, amount=1, desktop_attachment=attachment
            )
        )
        time.sleep(3)
        base = {}
        for size in SIZES:
            started = time.monotonic()
            fill(database, size)
            if size > 1:
                seconds = round(time.monotonic() - started, 1)
                report("runtimes copied in the database", database=database.name, runtimes=size, seconds=seconds)
            lists(server, database, size, base)
            if size == 1:
                if isinstance(database, Postgres):
                    beside_postgres(server, database)
                policies(server, database)
        filters(server, database, SIZES[-1], base)
        report("RSS after the lists", database=database.name, mb=rss_mb(server.process.pid))
        strangers(server, database)
    finally:
        server.kill()
        subprocess.run(["rm", "-rf", server.data], check=False)


def main():
    for database in (Sqlite(), Postgres()):
        if os.environ.get("CREEL_BENCH_DATABASE", database.name) == database.name:
            run(database)


main()
