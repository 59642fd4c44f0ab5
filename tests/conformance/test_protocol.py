"""What is the same for every operation because it comes before them: the protocol's own refusals."""

import pytest
from test_runtime import REGION

from signing import Caller

READ = "DescribeDesktops"


@pytest.mark.parametrize(
    ("code", "status", "how"),
    [
        ("InvalidApi.NotFound", 404, {"as_action": "DescribeNothing"}),
        ("InvalidApi.NotFound", 404, {"version": "1999-01-01"}),
        ("UnsupportedHTTPMethod", 400, {"method": "PUT"}),
        ("InvalidSignatureMethod", 400, {"after": {"authorization": "ACS3-HMAC-SM3 Credential=a"}}),
        ("InvalidTimeStamp.Expired", 400, {"date_shift_seconds": -16 * 60}),
        ("InvalidTimeStamp.Expired", 400, {"date_shift_seconds": 16 * 60}),
        ("InvalidTimeStamp.Format", 400, {"headers": {"x-acs-date": "yesterday"}}),
        ("InvalidSecurityToken.Malformed", 400, {"headers": {"x-acs-security-token": "token"}}),
    ],
)
def test_the_protocol_refuses(tenant, code, status, how):
    answer = tenant.by_hand(READ, REGION, **how)
    assert (answer.status, answer.code) == (status, code)


def test_sizes_and_formats(tenant):
    assert tenant.by_hand(READ, REGION | {"Format": "XML"}).code == "InvalidParameter.Format"
    assert tenant.by_hand(READ, REGION | {"DesktopName": "a" * 70_000}).code == "RequestQueryTooLong"
    in_body = {"AgentProvider": "OpenClaw", "Name": "a" * 12_000_000, "BizType": 1}
    body = "&".join(f"{name}={value}" for name, value in in_body.items()).encode()
    caller = Caller(tenant.server.endpoint, tenant.key_id, tenant.secret)
    answer = caller.call("2021-09-01", "CreateModelTemplate", body=body)
    assert (answer.status, answer.code) == (413, "RequestEntityTooLarge")
    tenant.record.codes["CreateModelTemplate"].add(answer.code)


def test_keys_that_are_unknown_or_turned_off(world, tenant):
    stranger = Caller(tenant.server.endpoint, "LTAInobody", tenant.secret)
    made = world.admin("key", "create", "--account", "other")
    world.admin("key", "disable", "--account", "other", made["AccessKeyId"])
    disabled = Caller(tenant.server.endpoint, made["AccessKeyId"], made["AccessKeySecret"])
    for caller, code in ((stranger, "InvalidAccessKeyId.NotFound"), (disabled, "InvalidAccessKeyId.Inactive")):
        assert caller.call("2020-09-30", READ, REGION).code == code
        tenant.record.codes[READ].add(code)


def test_parameters_may_stand_in_query_or_body(tenant):
    caller = Caller(tenant.server.endpoint, tenant.key_id, tenant.secret)
    told = caller.call("2020-09-30", READ, body=b"RegionId=cn-hangzhou&PageSize=1")
    assert told.status == 200 and told.body["PageSize"] == 1
