"""Gives a skill to an agent, with the provider's official SDKs only: upload, parse, scan, authorise, install.

    python examples/first_skill.py <runtime id> <package: a zip, a tar.gz, a SKILL.md, or a folder with one>

CREEL_ENDPOINT is the API's host and port. The object SDK needs it as its endpoint as well: the answer of GetOssStsToken
names none, so a client that uploads has this second setting.
"""

import io
import os
import sys
import time
import zipfile
from pathlib import Path

import oss2
from alibabacloud_ecd20210602 import models as skill
from alibabacloud_ecd20210602.client import Client
from alibabacloud_tea_openapi import models as openapi

ENDPOINT = os.environ["CREEL_ENDPOINT"]
REGION = os.environ.get("CREEL_REGION", "cn-hangzhou")


def client() -> Client:
    config = openapi.Config(
        access_key_id=os.environ["CREEL_ACCESS_KEY_ID"],
        access_key_secret=os.environ["CREEL_ACCESS_KEY_SECRET"],
        endpoint=ENDPOINT,
        protocol=os.environ.get("CREEL_PROTOCOL", "http"),
        region_id=REGION,
    )
    return Client(config)


def package(path: Path) -> tuple[str, bytes]:
    """A name and the bytes of a package; a folder is zipped."""
    if not path.is_dir():
        return path.name, path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path.rglob("*")):
            if file.is_file():
                archive.write(file, Path(path.name) / file.relative_to(path))
    return f"{path.name}.zip", buffer.getvalue()


def upload(api: Client, name: str, content: bytes) -> tuple[str, str]:
    """Key and ETag of the uploaded object."""
    token = api.get_oss_sts_token(skill.GetOssStsTokenRequest(file_type="SKILL")).body
    auth = oss2.StsAuth(token.access_key_id, token.access_key_secret, token.security_token)
    scheme = os.environ.get("CREEL_PROTOCOL", "http")
    bucket = oss2.Bucket(auth, f"{scheme}://{ENDPOINT}", token.bucket)
    key = f"{token.object_key_prefix}/{name}"
    return key, bucket.put_object(key, content).etag


def parsed(api: Client, key: str, etag: str):
    request = skill.ParseSkillPackageRequest(oss_object_key=key, oss_object_etag=etag)
    task_key = api.parse_skill_package(request).body.task_key
    while True:
        data = api.get_parse_progress(skill.GetParseProgressRequest(task_key=task_key)).body.data
        if data.status == "COMPLETED":
            return data
        if data.status == "FAILED":
            sys.exit(f"{data.error_code}: {data.error_message}")
        time.sleep(0.5)


def scanned(api: Client, skill_id: str, version: str):
    while True:
        request = skill.ListSkillsRequest(skill_channel="BUSINESS", skill_ids=[skill_id])
        versions = api.list_skills(request).body.skills[0].skill_versions
        found = next(each for each in versions if each.version == version)
        if found.security_scan_status != "SCANNING":
            return found
        time.sleep(0.5)


def main():
    runtime, path = sys.argv[1], Path(sys.argv[2])
    api = client()
    key, etag = upload(api, *package(path))
    data = parsed(api, key, etag)
    version = data.version or "1.0.0"
    print(f"parsed: {data.slug} {version}: {data.description}")
    request = skill.CreateTenantSkillRequest(
        task_key=data.task_key, slug=data.slug, skill_version=version, skill_channel="BUSINESS"
    )
    skill_id = api.create_tenant_skill(request).body.skill_id
    found = scanned(api, skill_id, version)
    print(f"scanned: {found.security_scan_status}, score {found.security_scan_score}, {found.publish_status}")
    if found.publish_status != "PUBLISHED":
        sys.exit(f"held: {found.security_scan_fail_reason}")
    identity = skill.SetIdentitySkillAuthRequestIdentities(identity_id=runtime, region_id=REGION)
    api.set_identity_skill_auth(
        skill.SetIdentitySkillAuthRequest(
            operation_type="SET_AUTH", skill_channel="BUSINESS", skill_ids=[skill_id], identities=[identity],
            auto_install=True,
        )
    )  # fmt: skip
    print(f"authorised: {skill_id} for {runtime}")


main()
