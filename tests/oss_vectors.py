"""What both official object SDKs send, signed with a fixed key at the present time: one JSON object a line.

    python tests/oss_vectors.py > crates/wire/src/oss/vectors.jsonl
"""

import datetime
import io
import json
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import oss2

KEY_ID, SECRET, TOKEN = "STS.exampleKeyId", "exampleSecret123", "token+/=with~signs"
BUCKET, REGION = "creel-skills", "cn-hangzhou"
KEY = "skill/1000000000000001/AbCdEf/天气 a+b.zip"
PATH_STYLE, VIRTUAL = "http://127.0.0.1:8080", "http://objects.example.com:8080"


class Captured(Exception):
    pass


def show(name: str, method: str, url: str, headers):
    parts = urlsplit(url)
    given = {k.lower(): v for k, v in dict(headers).items() if not k.lower().startswith(("user-agent", "accept"))}
    line = {"name": name, "method": method, "host": parts.netloc, "path": parts.path, "query": parts.query,
            "headers": given}  # fmt: skip
    print(json.dumps(line, ensure_ascii=False))


class OldSession:
    def __init__(self, name):
        self.name = name

    def do_request(self, req, timeout):
        url = req.url
        if req.params:
            from requests import Request

            url = Request(req.method, req.url, params=req.params).prepare().url
        show(self.name, req.method, url, req.headers)
        raise Captured


class NewClient:
    def __init__(self, name):
        self.name = name

    def send(self, request, **_):
        show(self.name, request.method, request.url, request.headers)
        raise Captured

    def open(self):
        pass

    def close(self):
        pass


def captured(call):
    try:
        call()
    except Exception as error:
        seen = error
        while seen is not None and not isinstance(seen, Captured):
            seen = getattr(seen, "_error", None) or seen.__cause__ or seen.__context__
        if seen is None:
            raise


def old(version: str, endpoint: str):
    def bucket(name):
        auth = oss2.StsAuth(KEY_ID, SECRET, TOKEN, auth_version=version)
        return oss2.Bucket(auth, endpoint, BUCKET, session=OldSession(f"oss2 {version} {name}"), region=REGION)

    captured(lambda: bucket("put").put_object(KEY, b"hello", headers={"x-oss-meta-a": "b"}))
    captured(lambda: bucket("get").get_object(KEY, byte_range=(0, 3), params={"response-content-type": "a/b"}))
    captured(lambda: bucket("head").head_object(KEY))
    captured(lambda: bucket("initiate").init_multipart_upload(KEY, params={"encoding-type": "url"}))
    captured(lambda: bucket("part").upload_part(KEY, "0A1B", 2, b"hello"))
    captured(lambda: bucket("list").list_parts(KEY, "0A1B"))
    captured(lambda: bucket("complete").complete_multipart_upload(KEY, "0A1B", [oss2.models.PartInfo(1, "AB")]))
    for method in ("PUT", "GET"):
        headers = {"content-type": "application/zip"} if method == "PUT" else {}
        for slash_safe in (False, True):
            url = bucket("").sign_url(method, KEY, 600, headers=dict(headers), slash_safe=slash_safe)
            show(f"oss2 {version} presigned {method}", method, url, headers)


def new(version: str, endpoint: str):
    def client(name):
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(KEY_ID, SECRET, TOKEN)
        config.region, config.endpoint, config.signature_version = REGION, endpoint, version
        config.http_client, config.retry_max_attempts = NewClient(f"oss-v2 {version} {name}"), 1
        return oss.Client(config)

    at = {"bucket": BUCKET, "key": KEY}
    captured(lambda: client("put").put_object(oss.PutObjectRequest(**at, body=b"hello", metadata={"a": "b"})))
    captured(lambda: client("get").get_object(oss.GetObjectRequest(**at, range_header="bytes=0-3")))
    captured(lambda: client("head").head_object(oss.HeadObjectRequest(**at)))
    captured(lambda: client("initiate").initiate_multipart_upload(oss.InitiateMultipartUploadRequest(**at)))
    part = oss.UploadPartRequest(**at, upload_id="0A1B", part_number=2, body=io.BytesIO(b"hello"))
    captured(lambda: client("part").upload_part(part))
    captured(lambda: client("list").list_parts(oss.ListPartsRequest(**at, upload_id="0A1B")))
    captured(lambda: client("abort").abort_multipart_upload(oss.AbortMultipartUploadRequest(**at, upload_id="0A1B")))
    for request in (oss.PutObjectRequest(**at, content_type="application/zip"), oss.GetObjectRequest(**at)):
        made = client("").presign(request, expires=datetime.timedelta(minutes=10))
        show(f"oss-v2 {version} presigned {made.method}", made.method, made.url, made.signed_headers or {})


for endpoint in (PATH_STYLE, VIRTUAL):
    for version in ("v1", "v4"):
        old(version, endpoint)
        new(version, endpoint)
