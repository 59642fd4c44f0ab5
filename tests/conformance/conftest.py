"""Servers that live for the whole run: one on SQLite, one on PostgreSQL, without a driver, each with two tenants."""

import json
import os
import secrets
import sqlite3
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from driver import Record, Tenant  # noqa: E402
from guest import Guest  # noqa: E402

from harness import EchoLlm, Server, until  # noqa: E402

ONLY_DATABASE = os.environ.get("CREEL_CONFORMANCE_DATABASE")
DATABASES = [ONLY_DATABASE] if ONLY_DATABASE else ["sqlite", "postgres"]


class Database:
    """The server's database beside the server, for what no API offers."""

    def __init__(self, kind: str):
        self.kind, self.url, self.path = kind, None, None
        if kind == "postgres":
            base = os.environ.get("CREEL_TEST_POSTGRES_URL")
            assert base, "no PostgreSQL: run this by scripts/with-postgres.sh"
            name = "conformance_" + secrets.token_hex(4)
            self.psql(base, f"CREATE DATABASE {name}")
            self.url = base.rsplit("/", 1)[0] + "/" + name

    @staticmethod
    def psql(url: str, sql: str):
        subprocess.run(["psql", url, "-q", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True, capture_output=True)

    def execute(self, sql: str):
        if self.url:
            self.psql(self.url, sql)
            return
        connection = sqlite3.connect(self.path, timeout=20)
        with connection:
            connection.execute(sql)
        connection.close()


class ConformanceServer(Server):
    def __init__(self, database: Database, upstream_port: int):
        super().__init__("none", upstream_port, "sk-conformance", database=database.url)
        database.path = self.data / "creel.db"


class World:
    """A server with two tenants. What several cases share is made at its first use."""

    def __init__(self, database: Database, upstream_port: int):
        self.database, self.record = database, Record()
        self.server = ConformanceServer(database, upstream_port).start()
        self.root = Tenant(self.server, self.server.key_id, self.server.secret, self.record, self)
        made = self.admin("account", "create", "--name", "other")
        self.other = Tenant(self.server, made["AccessKeyId"], made["AccessKeySecret"], self.record, self)
        # Runtimes are given to users that exist; what happens without is a case of its own.
        for tenant in (self.root, self.other):
            tenant.call("CreateUsers", Users=[{"EndUserId": name} for name in ("adam", "ann", "bob", "eve", "zoe")])

    def admin(self, *arguments: str):
        done = self.server.admin(*arguments)
        assert done.returncode == 0, f"creel admin {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout

    def guest(self, runtime: str) -> Guest:
        return Guest(self.server, self.database, runtime)

    @cached_property
    def powerless(self) -> Tenant:
        """Who calls with a key of a principal of the first tenant that nobody gave a policy."""
        self.root.call("CreatePrincipal", PrincipalName="powerless")
        key = self.root.call("CreateAccessKey", PrincipalName="powerless")["AccessKey"]
        return Tenant(self.server, key["AccessKeyId"], key["AccessKeySecret"], self.record, self)

    @cached_property
    def granted(self):
        return self.admin("ledger", "grant", "--credits", "100000")

    @staticmethod
    def until(what: str, look, seconds: float = 10):
        return until(what, look, seconds, 0.02)


@pytest.fixture(scope="session")
def conformance_upstream():
    server = EchoLlm()
    yield server
    server.close()


@pytest.fixture(scope="session", params=DATABASES)
def world(request, conformance_upstream, failures):
    made = World(Database(request.param), conformance_upstream.port)
    yield made
    made.server.stop()
    made.server.remove(keep=failures())


@pytest.fixture
def tenant(world) -> Tenant:
    return world.root


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """The record is complete only when everything else has run, on each database; of a part there is none."""
    words = [str(word) for word in config.invocation_params.args]
    if any(word in ("-k", "-m", "--deselect") or "::" in word or word.endswith(".py") for word in words):
        items[:] = [item for item in items if "test_record.py" not in item.nodeid]

    def place(item):
        on = getattr(item, "callspec", None) and item.callspec.params.get("world")
        of_all = next((n for n, name in enumerate(("test_record.py", "test_document.py"), 1) if name in item.nodeid), 0)
        return (of_all == 2, DATABASES.index(on) if on else 0, of_all)

    items.sort(key=place)
