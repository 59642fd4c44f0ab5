"""kill -9 of the server in the middle of parsing a package and of scanning a version: the next start comes to the same
end, seconds after it. Moments between any two writes are in crates/control/tests/store/skill.rs."""

import io
import json
import random
import sqlite3
import time
import zipfile

import oss2
import pytest
from alibabacloud_ecd20210602 import models as skill
from alibabacloud_ecd20210602.client import Client

from harness import Server, until

# A claim lasts 10 s after the last sign of life of its process; the rest is the work, beside a build.
WITHIN_SECONDS = 25
SKILL = "---\nname: {}\ndescription: Tells a fish.\nversion: 1.0.0\n---\n# Fish\n\nHerring.\n"
SARIF = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "slow"}}, "results": []}]}


@pytest.fixture
def slow(failures):
    """A server with an analyser that takes three seconds, and says when it begins."""
    server = Server("none", 1, "sk-none")
    began = server.data / "began"
    command = ["sh", "-c", f"touch {began}; sleep 3; echo '{json.dumps(SARIF)}'", "sh", "{skill}"]
    with server.config.open("a") as config:
        config.write(f'\n[[skills.analyser]]\nname = "slow"\ncommand = {json.dumps(command)}\ntimeout_s = 30\n')
    server.start()
    server.began = began
    yield server
    server.stop()
    server.remove(keep=failures())


def zipped(files: dict) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def begin(server: Server, content: bytes) -> str:
    api = Client(server.sdk_config())
    token = api.get_oss_sts_token(skill.GetOssStsTokenRequest(file_type="SKILL")).body
    auth = oss2.StsAuth(token.access_key_id, token.access_key_secret, token.security_token)
    key = f"{token.object_key_prefix}/x.zip"
    etag = oss2.Bucket(auth, f"http://{server.endpoint}", token.bucket).put_object(key, content).etag
    request = skill.ParseSkillPackageRequest(oss_object_key=key, oss_object_etag=etag)
    return api.parse_skill_package(request).body.task_key


def progress(server: Server, task: str):
    request = skill.GetParseProgressRequest(task_key=task)
    return Client(server.sdk_config()).get_parse_progress(request).body.data


def parsed(server: Server, task: str):
    done = lambda: progress(server, task).status != "PARSING_METADATA" and progress(server, task)  # noqa: E731
    return until("the package to be parsed", done, WITHIN_SECONDS, 0.1)


def row(server: Server, sql: str) -> tuple:
    """Beside the server, which is dead."""
    connection = sqlite3.connect(server.data / "creel.db")
    try:
        return connection.execute(sql).fetchone()
    finally:
        connection.close()


def test_a_kill_in_the_middle_of_a_parse_delays_it_by_seconds(slow):
    rng = random.Random(20261126)
    content = zipped({"SKILL.md": SKILL.format("large"), "fish.bin": rng.randbytes(28 << 20)})
    # Longer and longer until the kill is in the middle: the row is claimed and has no end.
    for number in range(12):
        task = begin(slow, content)
        time.sleep(0.05 + 0.05 * number * rng.random())
        slow.kill()
        claimed = row(slow, f"SELECT status, attempts FROM skill_package WHERE task_key = '{task}'")
        before = time.monotonic()
        slow.start()
        ended = parsed(slow, task)
        assert (ended.status, ended.slug) == ("COMPLETED", "large"), ended
        if claimed == ("PARSING_METADATA", 1):
            assert time.monotonic() - before < WITHIN_SECONDS
            return
    raise AssertionError("no kill was in the middle of a parse")


def test_a_kill_in_the_middle_of_a_scan_delays_it_by_seconds(slow):
    task = begin(slow, zipped({"SKILL.md": SKILL.format("fish")}))
    assert parsed(slow, task).status == "COMPLETED"
    request = skill.CreateTenantSkillRequest(task_key=task, skill_channel="BUSINESS")
    made = Client(slow.sdk_config()).create_tenant_skill(request).body.skill_id
    until("the analyser to begin", slow.began.exists, 20, 0.05)
    slow.kill()
    state = row(slow, "SELECT scan_status, publish_status, scan_attempts FROM skill_version")
    assert state == ("SCANNING", "DRAFT", 1), state
    before = time.monotonic()
    slow.start()

    def shown():
        found = slow.own("GetSkillVersion", SkillId=made, SkillVersion="1.0.0")
        return found if found["SecurityScanStatus"] != "SCANNING" else None

    found = until("the version to be scanned", shown, WITHIN_SECONDS, 0.1)
    assert (found["SecurityScanStatus"], found["PublishStatus"]) == ("PASSED", "PUBLISHED"), found
    assert time.monotonic() - before < WITHIN_SECONDS
