"""Uploads by the official object SDKs, oss2 and alibabacloud-oss-v2, with what GetOssStsToken gives: every operation that
they need for it, both signatures, both address styles, and an S3 behind it."""

import datetime
import hashlib
import io
import itertools
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass

import alibabacloud_oss_v2 as oss
import oss2
import pytest
from alibabacloud_ecd20210602 import models as skills
from alibabacloud_ecd20210602.client import Client as SkillsClient

from harness import Server, free_port, open_port, until

PACKAGE = b"PK\x03\x04" + bytes(range(256)) * 100
# More than one write of the server's own, and than one part of an S3.
LARGE = b"0123456789abcdef" * (7 << 16)
VERSIONS = ("v1", "v4")
HOSTS = ("path", "virtual")
# The one bucket's name before a host that is no address: what both SDKs do unless they are given an IP.
VIRTUAL_HOST = "objects.creel.example"


@pytest.fixture(scope="module")
def objects_server():
    running = Server("none", 1, "sk-none")
    try:
        yield running.start()
    finally:
        running.remove()


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """A name server that knows the installation's host and those of its buckets."""
    real = socket.getaddrinfo

    def lookup(host, *more, **named):
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name and name.endswith(VIRTUAL_HOST) else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setenv("no_proxy", "*")


@dataclass
class Grant:
    server: Server
    key_id: str
    secret: str
    token: str
    bucket: str
    region: str
    prefix: str

    def endpoint(self, host: str) -> str:
        port = self.server.endpoint.rsplit(":", 1)[1]
        return f"http://{'127.0.0.1' if host == 'path' else VIRTUAL_HOST}:{port}"

    def key(self, name: str = "天气 a+b.zip") -> str:
        return f"{self.prefix}/{name}"


def grant(server: Server, file_type: str = "SKILL") -> Grant:
    """By the official SDK, as its users do."""
    client = SkillsClient(server.sdk_config())
    body = client.get_oss_sts_token(skills.GetOssStsTokenRequest(file_type=file_type)).body
    region = body.oss_region.removeprefix("oss-")
    return Grant(server, body.access_key_id, body.access_key_secret, body.security_token, body.bucket, region,
                 body.object_key_prefix)  # fmt: skip


def old_client(at: Grant, version: str = "v1", host: str = "path", **changed) -> oss2.Bucket:
    auth = oss2.StsAuth(at.key_id, changed.get("secret", at.secret), changed.get("token", at.token), auth_version=version)
    return oss2.Bucket(auth, at.endpoint(host), at.bucket, region=at.region, connect_timeout=20)


def new_client(at: Grant, version: str = "v4", host: str = "path", **changed) -> oss.Client:
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        at.key_id, changed.get("secret", at.secret), changed.get("token", at.token)
    )
    config.region, config.endpoint, config.signature_version = at.region, at.endpoint(host), version
    return oss.Client(config)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest().upper()


def oss_error(error: oss.exceptions.OperationError):
    service = error.unwrap()
    assert isinstance(service, oss.exceptions.ServiceError), repr(service)
    return service.status_code, service.code


@pytest.mark.parametrize(("version", "host"), itertools.product(VERSIONS, HOSTS))
def test_the_older_sdk_uploads_and_reads_again(objects_server, version, host):
    at = grant(objects_server)
    bucket, key = old_client(at, version, host), at.key()
    put = bucket.put_object(key, PACKAGE, headers={"Content-MD5": oss2.utils.content_md5(PACKAGE)})
    assert (put.status, put.etag) == (200, md5(PACKAGE))
    assert len(put.request_id) == 36
    head = bucket.head_object(key)
    assert (head.content_length, head.etag, head.content_type) == (len(PACKAGE), md5(PACKAGE), "application/zip")
    assert head.last_modified > 1_700_000_000
    assert bucket.get_object(key).read() == PACKAGE
    assert bucket.get_object(key, byte_range=(2, 5)).read() == PACKAGE[2:6]
    assert bucket.object_exists(key) and not bucket.object_exists(at.key("none"))
    # In parts, the last of them smaller.
    parts, crcs = [LARGE[: 5 << 20], LARGE[5 << 20 :]], []
    upload = bucket.init_multipart_upload(key).upload_id
    for number, part in enumerate(parts, start=1):
        done = bucket.upload_part(key, upload, number, part)
        assert done.etag == md5(part)
        crcs.append(oss2.models.PartInfo(number, done.etag, size=len(part), part_crc=done.crc))
    assert [(p.part_number, p.size, p.etag) for p in oss2.PartIterator(bucket, key, upload)] == [
        (number, len(part), md5(part)) for number, part in enumerate(parts, start=1)
    ]
    whole = bucket.complete_multipart_upload(key, upload, crcs)
    assert re.fullmatch("[0-9A-F]{32}-2", whole.etag)
    assert bucket.get_object(key).read() == LARGE
    given_up = bucket.init_multipart_upload(key).upload_id
    assert bucket.abort_multipart_upload(key, given_up).status == 204
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.upload_part(key, given_up, 1, b"x")


@pytest.mark.parametrize(("version", "host"), itertools.product(VERSIONS, HOSTS))
def test_the_newer_sdk_uploads_and_reads_again(objects_server, version, host):
    at = grant(objects_server)
    client = new_client(at, version, host)
    named = {"bucket": at.bucket, "key": at.key()}
    put = client.put_object(oss.PutObjectRequest(**named, body=PACKAGE))
    assert (put.status_code, put.etag) == (200, f'"{md5(PACKAGE)}"')
    head = client.head_object(oss.HeadObjectRequest(**named))
    assert (head.content_length, head.etag) == (len(PACKAGE), f'"{md5(PACKAGE)}"')
    assert client.get_object(oss.GetObjectRequest(**named)).body.content == PACKAGE
    part = client.get_object(oss.GetObjectRequest(**named, range_header="bytes=2-5"))
    assert (part.status_code, part.body.content) == (206, PACKAGE[2:6])
    upload = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(**named)).upload_id
    done = []
    for number, content in enumerate((LARGE[: 5 << 20], LARGE[5 << 20 :]), start=1):
        request = oss.UploadPartRequest(**named, upload_id=upload, part_number=number, body=content)
        done.append(oss.UploadPart(part_number=number, etag=client.upload_part(request).etag))
    listed = client.list_parts(oss.ListPartsRequest(**named, upload_id=upload))
    assert ([p.part_number for p in listed.parts], listed.key) == ([1, 2], at.key())
    complete = oss.CompleteMultipartUpload(parts=done)
    whole = client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(**named, upload_id=upload, complete_multipart_upload=complete)
    )
    assert (whole.key, whole.etag.endswith('-2"')) == (at.key(), True)
    assert client.get_object(oss.GetObjectRequest(**named)).body.content == LARGE
    # As the SDK does it by itself for large files.
    manager = client.uploader(part_size=1 << 20, parallel_num=2)
    manager.upload_from(oss.PutObjectRequest(**named), io.BytesIO(LARGE))
    assert client.get_object(oss.GetObjectRequest(**named)).body.content == LARGE
    given_up = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(**named)).upload_id
    request = oss.AbortMultipartUploadRequest(**named, upload_id=given_up)
    assert client.abort_multipart_upload(request).status_code == 204


def http(method: str, url: str, body: bytes | None = None, headers: dict | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


@pytest.mark.parametrize(("version", "host"), itertools.product(VERSIONS, HOSTS))
def test_presigned_addresses_are_for_anybody_who_has_them(objects_server, version, host):
    at = grant(objects_server)
    sent = {"Content-Type": "application/zip"}
    for slash_safe in (False, True):
        bucket = old_client(at, version, host)
        url = bucket.sign_url("PUT", at.key(), 60, headers=dict(sent), slash_safe=slash_safe)
        assert http("PUT", url, PACKAGE, sent) == (200, b"")
        url = bucket.sign_url("GET", at.key(), 60, slash_safe=slash_safe)
        assert http("GET", url) == (200, PACKAGE)
        # It is for this method and this key.
        status, body = http("PUT", url, b"other", sent)
        assert (status, b"<Code>SignatureDoesNotMatch</Code>" in body) == (403, True), body
        assert http("GET", url.replace(".zip", ".zap"))[0] == 403
    client = new_client(at, version, host)
    lasting = datetime.timedelta(minutes=1)
    named = {"bucket": at.bucket, "key": at.key("other.zip")}
    made = client.presign(oss.PutObjectRequest(**named, content_type="application/zip"), expires=lasting)
    assert http(made.method, made.url, PACKAGE, sent) == (200, b"")
    made = client.presign(oss.GetObjectRequest(**named), expires=lasting)
    assert http(made.method, made.url) == (200, PACKAGE)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_credentials_are_not_for_is_refused_as_the_sdks_read_it(objects_server, version):
    at, beside = grant(objects_server), grant(objects_server)
    attempts = [
        ({"secret": "x" * 30}, at.key(), (403, "SignatureDoesNotMatch")),
        ({"token": beside.token}, at.key(), (403, "InvalidSecurityToken")),
        ({"token": "none"}, at.key(), (403, "InvalidSecurityToken")),
        ({}, beside.key(), (403, "AccessDenied")),
        ({}, at.key("a\\b"), (400, "InvalidObjectName")),
        ({}, "skills/" + "0" * 64, (403, "AccessDenied")),
    ]
    for changed, key, wanted in attempts:
        with pytest.raises(oss2.exceptions.ServerError) as seen:
            old_client(at, version, **changed).put_object(key, PACKAGE)
        assert (seen.value.status, seen.value.code) == wanted
        assert len(seen.value.request_id) == 36 and seen.value.message
        with pytest.raises(oss.exceptions.OperationError) as seen:
            request = oss.PutObjectRequest(bucket=at.bucket, key=key, body=PACKAGE)
            new_client(at, version, **changed).put_object(request)
        assert oss_error(seen.value) == wanted
    bucket = old_client(at, version)
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object(at.key("none"))
    for call in (lambda: bucket.list_objects(prefix=at.prefix), bucket.get_bucket_info):
        with pytest.raises(oss2.exceptions.ServerError) as seen:
            call()
        assert (seen.value.status, seen.value.code) == (403, "AccessDenied")
    with pytest.raises(oss2.exceptions.ServerError) as seen:
        bucket.delete_object(at.key())
    assert (seen.value.status, seen.value.code) == (405, "MethodNotAllowed")
    with pytest.raises(oss2.exceptions.ServerError) as seen:
        bucket.append_object(at.key(), 0, b"x")
    assert (seen.value.status, seen.value.code) == (501, "NotImplemented")
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        oss2.Bucket(bucket.auth, at.endpoint("path"), "another", region=at.region).get_object(at.key())
    # A key of the account is none for objects.
    root = Grant(objects_server, objects_server.key_id, objects_server.secret, "", at.bucket, at.region, at.prefix)
    with pytest.raises(oss2.exceptions.ServerError) as seen:
        old_client(root, version).put_object(at.key(), PACKAGE)
    assert seen.value.code == "InvalidAccessKeyId"


def test_too_much_is_refused_before_and_while_it_comes(objects_server):
    at, icons = grant(objects_server), grant(objects_server, "ICON")
    for place, most in ((at, 32 << 20), (icons, 1 << 20)):
        bucket = old_client(place)
        bucket.put_object(place.key("most"), bytes(most))
        assert bucket.head_object(place.key("most")).content_length == most
        for body in (bytes(most + 1), iter([bytes(most), b"x"])):
            with pytest.raises(oss2.exceptions.ServerError) as seen:
                bucket.put_object(place.key("more"), body)
            assert (seen.value.status, seen.value.code) == (400, "EntityTooLarge")
            assert not bucket.object_exists(place.key("more"))


def test_what_did_not_arrive_whole_is_noticed(objects_server, monkeypatch):
    at = grant(objects_server)
    bucket = old_client(at)
    with pytest.raises(oss2.exceptions.InvalidDigest):
        bucket.put_object(at.key(), PACKAGE, headers={"Content-MD5": oss2.utils.content_md5(b"other")})
    assert not bucket.object_exists(at.key())
    # A client whose own checksum differs from the server's says so: the server's is of what it has.
    monkeypatch.setattr(oss2.utils.Crc64, "crc", property(lambda _: 1))
    with pytest.raises(oss2.exceptions.InconsistentError):
        bucket.put_object(at.key(), PACKAGE)


def test_uploads_outlive_a_restart_and_what_was_cut_off_does_not(objects_server):
    at = grant(objects_server)
    bucket = old_client(at)
    bucket.put_object(at.key("whole"), LARGE)
    upload = bucket.init_multipart_upload(at.key("parts")).upload_id
    part = bucket.upload_part(at.key("parts"), upload, 1, PACKAGE)

    def cut_off():
        yield LARGE
        objects_server.kill()
        yield LARGE

    with pytest.raises(oss2.exceptions.RequestError):
        bucket.put_object(at.key("cut-off"), cut_off())
    objects_server.start()
    # The credentials are good after it: the server keeps nothing of them.
    assert bucket.get_object(at.key("whole")).read() == LARGE
    assert not bucket.object_exists(at.key("cut-off"))
    bucket.complete_multipart_upload(at.key("parts"), upload, [oss2.models.PartInfo(1, part.etag, part_crc=part.crc)])
    assert bucket.get_object(at.key("parts")).read() == PACKAGE


def test_objects_may_be_in_an_s3():
    port = free_port()
    s3 = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    server = Server("none", 1, "sk-none", variables=keys | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "CREEL_OBJECTS": "s3://creel/objects",
    })  # fmt: skip
    try:
        until("the S3 to listen", lambda: open_port(port), 60)
        assert http("PUT", f"http://127.0.0.1:{port}/creel")[0] == 200
        server.start()
        at = grant(server)
        bucket = old_client(at)
        for name, content in (("small", PACKAGE), ("large", LARGE)):
            bucket.put_object(at.key(name), content)
            assert bucket.head_object(at.key(name)).etag == md5(content)
            assert bucket.get_object(at.key(name)).read() == content
            assert bucket.get_object(at.key(name), byte_range=(3, 9)).read() == content[3:10]
        parts = []
        upload = bucket.init_multipart_upload(at.key("parts")).upload_id
        for number, content in enumerate((PACKAGE, b"end"), start=1):
            done = bucket.upload_part(at.key("parts"), upload, number, content)
            parts.append(oss2.models.PartInfo(number, done.etag, size=len(content), part_crc=done.crc))
        bucket.complete_multipart_upload(at.key("parts"), upload, parts)
        assert bucket.get_object(at.key("parts")).read() == PACKAGE + b"end"
        with pytest.raises(oss2.exceptions.NoSuchKey):
            bucket.get_object(at.key("none"))
        # All of it is there and nothing on this machine.
        listed = http("GET", f"http://127.0.0.1:{port}/creel?list-type=2")[1].decode()
        assert len(re.findall("<Key>objects/uploads/", listed)) == 3 and "<Key>objects/parts/" not in listed
        assert not (server.data / "objects").exists()
    finally:
        s3.terminate()
        s3.wait()
        server.remove()
