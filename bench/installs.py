"""A skill from SetIdentitySkillAuth to where ListAgentSkills shows it as installed: on a real OpenClaw, which says that it
is eligible, and on 1 and 1,000 simulated agents of one resource group.

A simulated agent is what the server sees of a guest: it enrols, keeps the link, hears the wish, fetches the content by its hash
with the signature that is asked for, asks again later where it is told to, checks the hash, and reports. It writes nothing to a
disk and runs no agent. They are threads of a few processes, whose processor time is told beside the server's: on the same machine
they take from it, so that a time for many is an upper bound. Looked at every 20 ms are the rows that ListAgentSkills shows.

By hand: scripts/bench.sh installs. `simulated` or `real` as an argument is one of them alone. Prints one figure a line, as JSON. Loopback only, bounded.
"""

import base64
import hashlib
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
import sys
import tarfile
import threading
import time
import zipfile
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "tests/conformance")]

import oss2  # noqa: E402
import websocket  # noqa: E402
from alibabacloud_ecd20200930 import models as ecd  # noqa: E402
from alibabacloud_ecd20210602 import models as skill  # noqa: E402
from alibabacloud_ecd20210602.client import Client  # noqa: E402
from guest import Guest  # noqa: E402
from harness import OPENCLAW_IMAGE, EchoLlm, Server, until  # noqa: E402

AGENTS = int(os.environ.get("CREEL_BENCH_AGENTS", "1000"))
CREWS = 4
ROUNDS = 5
# As crates/guest/src/skills/mod.rs has them.
RETRY_FIRST, RETRY_MAX = 1, 300
SKILL = "---\nname: fish\ndescription: Says which fish is the dish of the day.\nversion: 1.0.0\n---\n# Fish\n\nHerring.\n"
# Some 50 KB of texts; what is not text would be held, and never get to an agent.
FILES = {"SKILL.md": SKILL} | {
    f"references/{fish}.md": "".join(f"{n}. {fish.title()} is caught by boats that leave early in the morning.\n" for n in range(400))
    for fish in ("herring", "plaice")
}


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def published(server: Server) -> str:
    """The skill, once agents may have it."""
    api = Client(server.sdk_config())
    token = api.get_oss_sts_token(skill.GetOssStsTokenRequest(file_type="SKILL")).body
    auth = oss2.StsAuth(token.access_key_id, token.access_key_secret, token.security_token)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in FILES.items():
            archive.writestr(path, content)
    key = f"{token.object_key_prefix}/fish.zip"
    etag = oss2.Bucket(auth, f"http://{server.endpoint}", token.bucket).put_object(key, buffer.getvalue()).etag
    asked = api.parse_skill_package(skill.ParseSkillPackageRequest(oss_object_key=key, oss_object_etag=etag))
    progress = skill.GetParseProgressRequest(task_key=asked.body.task_key)
    until("the parse", lambda: api.get_parse_progress(progress).body.data.status == "COMPLETED", 30)
    made = api.create_tenant_skill(
        skill.CreateTenantSkillRequest(task_key=asked.body.task_key, skill_channel="BUSINESS")
    ).body.skill_id
    version = lambda: server.own("GetSkillVersion", SkillId=made, SkillVersion="1.0.0")  # noqa: E731
    until("the scan", lambda: version()["PublishStatus"] == "PUBLISHED", 60)
    return made


def authorise(server: Server, made: str, identity: str, operation: str = "SET_AUTH"):
    Client(server.sdk_config()).set_identity_skill_auth(
        skill.SetIdentitySkillAuthRequest(
            operation_type=operation, skill_channel="BUSINESS", skill_ids=[made], auto_install=True,
            identities=[skill.SetIdentitySkillAuthRequestIdentities(identity_id=identity, region_id="cn-hangzhou")],
        )
    )  # fmt: skip


def states(server: Server, runtime: str) -> list[str]:
    return [each["State"] for each in server.own("ListAgentSkills", RuntimeId=runtime)["Skills"]]


def create(server: Server, site: str, amount: int, group: str | None) -> list[str]:
    made = []
    while len(made) < amount:
        request = ecd.CreateDesktopsRequest(
            region_id="cn-hangzhou", office_site_id=site, amount=min(300, amount - len(made)), resource_group_id=group,
            desktop_attachment=ecd.CreateDesktopsRequestDesktopAttachment(
                image_id=OPENCLAW_IMAGE, desktop_type="cloud.space.4c.8g"
            ),
        )  # fmt: skip
        made += server.desktops.create_desktops(request).body.desktop_id
    return made


def real():
    echo = EchoLlm()
    server = Server("process", echo.port, "unused").start()
    try:
        runtime = create(server, server.office_site("bench"), 1, None)[0]
        until("the agent to be Running", lambda: server.agent_status(runtime) == "Running", 300)
        made, times = published(server), []
        for _ in range(ROUNDS):
            started = time.monotonic()
            authorise(server, made, runtime)
            until("it to be eligible", lambda: states(server, runtime) == ["Installed"], 120, 0.05)
            times.append(time.monotonic() - started)
            authorise(server, made, runtime, "CANCEL_AUTH")
            until("it to be gone", lambda: states(server, runtime) == [], 120, 0.05)
        times = sorted(round(each, 2) for each in times)
        report("SetIdentitySkillAuth to eligible, a real OpenClaw", rounds=ROUNDS, median_s=times[ROUNDS // 2], all_s=times)
    finally:
        server.remove()
        echo.close()


class Database:
    """Beside the server, as the guest has it."""

    def __init__(self, path: Path):
        self.path = path

    def rows(self, sql: str) -> list[tuple]:
        connection = sqlite3.connect(self.path, timeout=60)
        with connection:
            found = connection.execute(sql).fetchall()
        connection.close()
        return found

    execute = rows


class Simulated(Guest):
    def __init__(self, server: Server, database: Database, runtime: str):
        self.address, self.asked_again, self.has = server.agent_listen, 0, None
        super().__init__(server, database, runtime)

    def serve(self):
        while True:
            try:
                message = self.receive()
            except (OSError, ValueError, websocket.WebSocketException):
                return
            if message["type"] != "desired":
                continue
            self.desired = message
            wanted = message["skills"]["install"]
            for each in wanted:
                self.install(each["pin"]["content_hash"])
            seen = [
                {
                    "name": each["pin"]["name"], "place": "managed", "content_hash": each["pin"]["content_hash"],
                    "state": "installed", "note": None,
                }
                for each in wanted
            ]  # fmt: skip
            self.send(type="skills", generation=message["generation"], skills=seen, truncated=False)
            self.receipt()

    def install(self, content_hash: str):
        pause = RETRY_FIRST
        while self.has != content_hash:
            seconds = int(time.time())
            signature = self.key.sign(f"creel-guest-skill\n{self.runtime}\n{content_hash}\n{seconds}".encode())
            proof = f"{self.runtime}:{seconds}:{base64.b64encode(signature).decode()}"
            connection = HTTPConnection(self.address, timeout=60)
            connection.request("GET", f"/guest/v1/skills/{content_hash}", headers={"x-creel-guest": proof})
            response = connection.getresponse()
            content = response.read()
            connection.close()
            if response.status == 503:
                self.asked_again += 1
                time.sleep(pause * (0.5 + random.random() / 2))
                pause = min(2 * pause, RETRY_MAX)
                continue
            assert response.status == 200, (response.status, content[:200])
            self.has = hash_of(content)
            assert self.has == content_hash


def hash_of(archive: bytes) -> str:
    """As crates/wire/src/skill_content.rs has it."""
    hashed = hashlib.sha256()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {entry.name.encode(): tar.extractfile(entry).read() for entry in tar.getmembers()}
    for path, content in sorted(files.items()):
        for part in (path, content):
            hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()


def simulated():
    server = Server("none", 1, "unused").start()
    try:
        group = server.caller.call("2021-03-08", "CreateResourceGroup", {"ResourceGroupName": "bench"}).body["ResourceGroupId"]
        site = server.office_site("bench")
        alone = create(server, site, 1, None)[0]
        many = create(server, site, AGENTS, group)
        made, database = published(server), Database(server.data / "creel.db")
        running = ecd.DescribeDesktopsRequest(region_id="cn-hangzhou", desktop_status="Running", max_results=1)
        amount = lambda: server.desktops.describe_desktops(running).body.total_count  # noqa: E731
        until("runtimes to run", lambda: amount() == AGENTS + 1, 300, 0.5)
        forked = multiprocessing.get_context("fork")
        ready, again = forked.Semaphore(0), forked.Array("q", CREWS)
        shares = [many[number::CREWS] for number in range(CREWS)]
        shares[0] = [alone, *shares[0]]
        crews = [
            forked.Process(target=crew, args=(server, database, share, ready, again, number), daemon=True)
            for number, share in enumerate(shares)
        ]
        for each in crews:
            each.start()
        for _ in crews:
            assert ready.acquire(timeout=300), "not every agent is linked"
        for amount, identity in ((1, alone), (AGENTS, group)):
            measure(server, database, made, amount, identity, crews, again)
        assert all(states(server, runtime) == ["Installed"] for runtime in [alone, *many]), "as the API shows it"
        for each in crews:
            each.kill()
    finally:
        server.kill()
        shutil.rmtree(server.data, ignore_errors=True)


def crew(server: Server, database: Database, runtimes: list[str], ready, again, number: int):
    """A process of simulated agents, until it is killed."""
    guests = [Simulated(server, database, runtime) for runtime in runtimes]
    until("every wish", lambda: all(guest.desired for guest in guests), 120)
    ready.release()
    while True:
        again[number] = sum(guest.asked_again for guest in guests)
        time.sleep(0.5)


def measure(server: Server, database: Database, made: str, amount: int, identity: str, crews: list, again):
    count = "SELECT COUNT(*) FROM runtime_skill WHERE state = 'Installed'"
    before, told = database.rows(count)[0][0], sum(again)
    processor, own = processor_s(server.process.pid), sum(processor_s(each.pid) for each in crews)
    started = time.monotonic()
    authorise(server, made, identity)
    reached, wanted = {}, {"first_s": 1, "p50_s": (amount + 1) // 2, "p99_s": -(-amount * 99 // 100), "last_s": amount}
    while len(reached) < len(wanted):
        seen, now = database.rows(count)[0][0] - before, time.monotonic() - started
        assert now < 300, f"{seen} of {amount} after {now:.0f} s"
        reached |= {name: round(now, 2) for name, least in wanted.items() if name not in reached and seen >= least}
        time.sleep(0.02)
    # Whoever else was told of a new wish has answered by then, too.
    time.sleep(2)
    report(
        "SetIdentitySkillAuth to shown as installed, simulated agents", agents=amount, **reached,
        told_to_ask_again=sum(again) - told,
        server_processor_s=round(processor_s(server.process.pid) - processor, 2),
        agents_processor_s=round(sum(processor_s(each.pid) for each in crews) - own, 2),
    )  # fmt: skip


def main():
    needed = 4 * AGENTS + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    threading.stack_size(256 * 1024)
    for name in sys.argv[1:] or ["simulated", "real"]:
        {"simulated": simulated, "real": real}[name]()


main()
