"""One real server with one real OpenClaw for each process of a run: starting OpenClaw is what takes the time."""

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass

import pytest

from harness import BINARY, MODEL, ROOT, EchoLlm, Server, Upstream


def pytest_configure():
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is missing: run these tests by `make test`, or build it with `cargo build -p creel`", 2)


@pytest.fixture(scope="session")
def failures(request):
    """Whether a test has failed so far: then logs are kept."""
    return lambda: request.session.testsfailed > 0


@pytest.fixture(scope="session")
def echo():
    # Slow enough that a call can be in flight when something is killed.
    server = EchoLlm(delay_ms=20, chunks=8)
    yield server
    server.close()


@pytest.fixture(scope="session")
def upstream(echo):
    server = Upstream(echo.port)
    yield server
    server.close()


@pytest.fixture(scope="session")
def provider_key():
    return "sk-canary-" + secrets.token_hex(16)


@pytest.fixture(scope="session")
def server(upstream, provider_key, failures):
    running = Server("process", upstream.port, provider_key)
    try:
        running.start()
        # A call that a kill cuts off counts as spent in full until an administrator releases it.
        granted = running.admin("ledger", "grant", "--credits", "100000")
        assert granted.returncode == 0, granted.stderr
        yield running
    finally:
        running.remove(keep=failures())


@dataclass
class FirstAgent:
    runtime: str
    output: str
    exit_code: int


@pytest.fixture(scope="session")
def first_run(server) -> FirstAgent:
    """What `examples/first_agent.py` did, unchanged, against the server. Its agent is the one that tests share."""
    environment = os.environ | {
        "CREEL_ENDPOINT": server.endpoint,
        "CREEL_ACCESS_KEY_ID": server.key_id,
        "CREEL_ACCESS_KEY_SECRET": server.secret,
        "CREEL_MODEL": MODEL,
    }
    done = subprocess.run(
        [sys.executable, ROOT / "examples/first_agent.py", "Say the word lobster."],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=420,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("runtime: ")]
    output = done.stdout + done.stderr
    if done.returncode != 0:
        output += "\nthe server's log ends:\n" + server.log_tail()
    return FirstAgent(lines[-1].removeprefix("runtime: ") if lines else "", output, done.returncode)


@pytest.fixture
def runtime(server, first_run) -> str:
    assert first_run.runtime, f"the first agent did not come up:\n{first_run.output}"
    assert server.process.poll() is None, "an earlier test left no server running"
    return first_run.runtime
