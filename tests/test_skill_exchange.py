"""A version of a skill goes from one Creel to another: two servers, two keys, what each believes of the other."""

import io
import random
import zipfile

import oss2
import pytest
from alibabacloud_ecd20210602 import models as skill
from alibabacloud_ecd20210602.client import Client
from alibabacloud_tea_openapi.exceptions import ClientException

from harness import Server, until

# The most of a package, and of what is exported.
PACKAGE_BYTES_MAX = 32 << 20
SKILL = "---\nname: fish-prices\ndescription: Tells what fish costs.\nversion: 2.1.0\n---\n# Prices\n\nHerring is cheap.\n"


@pytest.fixture(scope="module")
def creels(failures):
    """Two that know nothing of each other."""
    pair = [Server("none", 1, "sk-none").start() for _ in range(2)]
    yield pair
    for server in pair:
        server.stop()
        server.remove(keep=failures())


def bucket(server: Server, grant) -> oss2.Bucket:
    auth = oss2.StsAuth(grant.access_key_id, grant.access_key_secret, grant.security_token)
    return oss2.Bucket(auth, f"http://{server.endpoint}", grant.bucket)


def zipped(files: dict) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return buffer.getvalue()


def parsed(server: Server, content: bytes):
    api = Client(server.sdk_config())
    grant = api.get_oss_sts_token(skill.GetOssStsTokenRequest(file_type="SKILL")).body
    key = f"{grant.object_key_prefix}/file"
    etag = bucket(server, grant).put_object(key, content).etag
    asked = api.parse_skill_package(skill.ParseSkillPackageRequest(oss_object_key=key, oss_object_etag=etag))
    request = skill.GetParseProgressRequest(task_key=asked.body.task_key)

    def done():
        data = api.get_parse_progress(request).body.data
        return data if data.status != "PARSING_METADATA" else None

    return until("the package to be parsed", done, 30, 0.1)


def made(server: Server, task: str) -> str:
    request = skill.CreateTenantSkillRequest(task_key=task, skill_channel="BUSINESS")
    return Client(server.sdk_config()).create_tenant_skill(request).body.skill_id


def known(server: Server, skill_id: str) -> dict:
    def scanned():
        found = server.own("GetSkillVersion", SkillId=skill_id, SkillVersion="2.1.0")
        return found if found["SecurityScanStatus"] != "SCANNING" else None

    return until("the version to be scanned", scanned, 60, 0.1)


@pytest.fixture(scope="module")
def exported(creels) -> tuple[dict, bytes, dict]:
    """What ExportSkillVersion answered, the file, and the version as it is at home."""
    home = creels[0]
    task = parsed(home, zipped({"fish-prices/SKILL.md": SKILL, "fish-prices/list.txt": "herring 1\n"}))
    skill_id = made(home, task.task_key)
    there = known(home, skill_id)
    answer = home.own("ExportSkillVersion", SkillId=skill_id, SkillVersion="2.1.0")
    auth = oss2.StsAuth(answer["AccessKeyId"], answer["AccessKeySecret"], answer["SecurityToken"])
    file = oss2.Bucket(auth, f"http://{home.endpoint}", answer["Bucket"]).get_object(answer["ObjectKey"]).read()
    return answer, file, there


def test_it_comes_with_its_record_and_is_judged_anew(creels, exported):
    home, away = creels
    answer, file, there = exported
    key = home.admin("audit", "key").stdout.strip()
    assert answer["Source"] == f"creel:{key}" and away.admin("audit", "key").stdout.strip() != key
    task = parsed(away, file)
    assert (task.status, task.slug, task.version) == ("COMPLETED", "fish-prices", "2.1.0"), task
    away.own("SetSkillPolicy", Sources=["upload", f"creel:{away.admin('audit', 'key').stdout.strip()}"])
    with pytest.raises(ClientException) as refused:
        made(away, task.task_key)
    assert refused.value.code == "Skill.SourceNotAllowed" and answer["Source"] in str(refused.value)
    away.own("SetSkillPolicy", Sources=[answer["Source"]])
    imported = known(away, made(away, task.task_key))
    assert (imported["SecurityScanStatus"], imported["PublishStatus"]) == ("PASSED", "PUBLISHED")
    for name in ("ContentHash", "Slug", "Version"):
        assert imported[name] == there[name]
    assert imported["Source"] == answer["Source"] and imported["Origin"]["PackageHash"] == there["PackageHash"]
    # It can go on from there, under the key of who passes it on.
    onward = away.own("ExportSkillVersion", SkillId=imported["SkillId"], SkillVersion="2.1.0")
    assert onward["Source"] not in (answer["Source"], "upload")
    # Only what the policy names: uploads are not among it now.
    with pytest.raises(ClientException) as refused:
        made(away, parsed(away, SKILL.replace("fish-prices", "fish-names").encode()).task_key)
    assert refused.value.code == "Skill.SourceNotAllowed"


def test_what_was_changed_on_the_way_is_refused(creels, exported):
    away, (_, file, _) = creels[1], exported
    other_key = away.admin("audit", "key").stdout.strip().encode()
    lines = file.split(b"\n", 2)
    for what, wrong in {
        "another key's name on it": b"\n".join([lines[0], other_key, lines[2]]),
        "a better score": file.replace(b'"Score":100', b'"Score":101'),
        "another version": file.replace(b'"2.1.0"', b'"9.1.0"'),
        "its end": file[:-20],
        "more behind it": file + b"x",
    }.items():
        task = parsed(away, wrong)
        assert wrong != file and (task.status, task.error_code) == ("FAILED", "Package.BadBundle"), (what, task)


def test_what_is_too_large_for_one_file_is_refused(creels):
    """A package of exactly the size that is allowed, which nothing makes smaller: its record makes it larger."""
    home = creels[0]
    files = {"SKILL.md": SKILL.replace("fish-prices", "fish-films"), "film.bin": b""}
    files["film.bin"] = random.Random(1).randbytes(PACKAGE_BYTES_MAX - len(zipped(files)))
    content = zipped(files)
    assert len(content) == PACKAGE_BYTES_MAX
    task = parsed(home, content)
    assert task.status == "COMPLETED", task
    skill_id = made(home, task.task_key)
    known(home, skill_id)
    with pytest.raises(ClientException) as refused:
        home.own("ExportSkillVersion", SkillId=skill_id, SkillVersion="2.1.0")
    assert refused.value.code == "QuotaExceeded" and "32 MiB" in str(refused.value), refused.value
