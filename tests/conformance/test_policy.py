"""Policies, what they are attached to, and temporary credentials by the official SDK."""

import json

from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from driver import happy
from test_principal import holder, principal

READ = "DescribeAgentMessages"


def document(*statements: dict) -> str:
    return json.dumps({"Version": "1", "Statement": statements})


def allow(action: str, resource: str = "*") -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


@happy("PutPolicy")
def put(t):
    return {"PolicyName": t.name("policy"), "PolicyDocument": document(allow("creel:Describe*"))}


@happy("GetPolicy")
@happy("DeletePolicy")
def named(t):
    return {"PolicyName": policy(t)}


@happy("ListPolicies")
def list_policies(_):
    return {}


@happy("AttachPolicy")
def attach(t):
    return {"PolicyName": policy(t), "PrincipalName": principal(t)}


@happy("DetachPolicy")
def detach(t):
    both = attach(t)
    t.call("AttachPolicy", both)
    return both


@happy("CreateTemporaryCredentials")
def temporary(t):
    return {"PrincipalName": principal(t)}


def policy(t) -> str:
    parameters = put(t)
    t.call("PutPolicy", parameters)
    return parameters["PolicyName"]


def names(answer: dict) -> list[str]:
    return [found["PolicyName"] for found in answer["Policies"]]


def test_policies_are_put_and_deleted(tenant):
    with tenant.claim("PutPolicy", "PolicyName", "PolicyDocument", "Description"):
        text = document(allow("ecd:*"))
        tenant.call("PutPolicy", PolicyName="first-mate", PolicyDocument=text, Description="of ships")
        told = tenant.call("GetPolicy", PolicyName="first-mate")["Policy"]
        assert (told["PolicyDocument"], told["Description"]) == (text, "of ships")
        tenant.refused("PutPolicy", "InvalidPolicyName", PolicyName="a b", PolicyDocument=text)
        tenant.refused("PutPolicy", "InvalidPolicyDocument", PolicyName="b", PolicyDocument="{}")
        tenant.refused("PutPolicy", "OperationDenied.SystemPolicy", PolicyName="FullAccess", PolicyDocument=text)
    with tenant.claim("GetPolicy", "PolicyName"):
        tenant.refused("GetPolicy", "EntityNotExist.Policy", PolicyName="nothing")
        assert tenant.call("GetPolicy", PolicyName="ReadOnlyAccess")["Policy"]["PolicyType"] == "System"
    with tenant.claim("DeletePolicy", "PolicyName"):
        tenant.call("DeletePolicy", PolicyName="first-mate")
        tenant.refused("DeletePolicy", "EntityNotExist.Policy", PolicyName="first-mate")


def test_policies_are_found(tenant):
    both = detach(tenant)
    with tenant.claim("ListPolicies", "PolicyType"):
        assert "FullAccess" in names(tenant.call("ListPolicies", PolicyType="System"))
        assert "FullAccess" not in names(tenant.call("ListPolicies", PolicyType="Custom"))
    with tenant.claim("ListPolicies", "PrincipalName"):
        assert names(tenant.call("ListPolicies", PrincipalName=both["PrincipalName"])) == [both["PolicyName"]]
    policy(tenant)
    tenant.pages_by_token("ListPolicies", {}, "Policies")


def test_a_policy_allows_and_refuses(tenant):
    name = principal(tenant)
    mate = holder(tenant, name)
    told = mate.refused(READ, "NoPermission")
    detail = told["AccessDeniedDetail"]
    assert (detail["AuthAction"], detail["NoPermissionType"]) == ("creel:DescribeAgentMessages", "ImplicitDeny")
    both = {"PolicyName": policy(tenant), "PrincipalName": name}
    with tenant.claim("AttachPolicy", "PolicyName", "PrincipalName"):
        tenant.call("AttachPolicy", both)
        mate.call(READ)
        tenant.refused("AttachPolicy", "EntityAlreadyExists.User.Policy", both)
        tenant.refused("DeletePolicy", "DeleteConflict.Policy.User", PolicyName=both["PolicyName"])
    with tenant.claim("DetachPolicy", "PolicyName", "PrincipalName"):
        tenant.call("DetachPolicy", both)
        mate.refused(READ, "NoPermission")
        tenant.refused("DetachPolicy", "EntityNotExist.User.Policy", both)


def test_a_principal_has_only_so_many_policies(tenant):
    name = principal(tenant)
    for _ in range(20):
        tenant.call("AttachPolicy", PolicyName=policy(tenant), PrincipalName=name)
    tenant.refused("AttachPolicy", "LimitExceeded.User.Policy", PolicyName=policy(tenant), PrincipalName=name)


def test_temporary_credentials_are_good_in_today_s_sdk_and_in_the_legacy_one(tenant):
    name = principal(tenant)
    tenant.call("AttachPolicy", PolicyName="ReadOnlyAccess", PrincipalName=name)
    with tenant.claim("CreateTemporaryCredentials", "PrincipalName", "DurationSeconds", "Policy"):
        narrow = document(allow("ecd:*"), allow("creel:DescribeAgentMessages"))
        made = tenant.call("CreateTemporaryCredentials", PrincipalName=name, DurationSeconds=900, Policy=narrow)
        credentials = made["Credentials"]
        mate = tenant.temporary(credentials)
        mate.call(READ)
        mate.call("DescribeDesktops", RegionId="cn-hangzhou")
        mate.refused("StartDesktops", "NoPermission", RegionId="cn-hangzhou", DesktopId=["ecd-1"])
        mate.refused("DescribeLedgerEntries", "NoPermission")
        mate.refused("CreateTemporaryCredentials", "NoPermission")
        long = tenant.call("CreateTemporaryCredentials", PrincipalName=name, DurationSeconds=43200)
        assert long["Credentials"]["Expiration"] > credentials["Expiration"]

    sts = StsTokenCredential(
        credentials["AccessKeyId"], credentials["AccessKeySecret"], credentials["SecurityToken"]
    )
    legacy = AcsClient(region_id="cn-hangzhou", credential=sts)
    request = CommonRequest(domain=tenant.server.endpoint, version="2026-11-24", action_name=READ)
    request.set_protocol_type("http")
    assert "Messages" in json.loads(legacy.do_action_with_exception(request))

    half = tenant.temporary(credentials | {"SecurityToken": None})
    half.refused(READ, "MissingSecurityToken")
    other = tenant.temporary(credentials | {"SecurityToken": long["Credentials"]["SecurityToken"]})
    other.refused(READ, "InvalidSecurityToken.Malformed")
