"""Principals of an account, and their access keys."""

from driver import Tenant, happy
from test_user import user


@happy("CreatePrincipal")
def create(t):
    return {"PrincipalName": t.name("principal")}


@happy("ListPrincipals")
def list_principals(_):
    return {}


@happy("UpdatePrincipal")
@happy("DeletePrincipal")
@happy("CreateAccessKey")
@happy("ListAccessKeys")
def named(t):
    return {"PrincipalName": principal(t)}


@happy("UpdateAccessKey")
def update_key(t):
    return delete_key(t) | {"Status": "Inactive"}


@happy("DeleteAccessKey")
def delete_key(t):
    name = principal(t)
    return {"PrincipalName": name, "UserAccessKeyId": key_of(t, name)["AccessKeyId"]}


def principal(t, **more) -> str:
    return t.call("CreatePrincipal", create(t), **more)["Principal"]["PrincipalName"]


def key_of(t, name: str) -> dict:
    return t.call("CreateAccessKey", PrincipalName=name)["AccessKey"]


def shown(t, name: str) -> dict:
    return t.call("ListPrincipals", PrincipalName=name)["Principals"][0]


def keys(t, name: str) -> dict[str, str]:
    return {key["AccessKeyId"]: key["Status"] for key in t.call("ListAccessKeys", PrincipalName=name)["AccessKeys"]}


def holder(t, name: str) -> Tenant:
    """Who calls with a key of this principal."""
    key = key_of(t, name)
    return Tenant(t.server, key["AccessKeyId"], key["AccessKeySecret"], t.record, t.world)


def test_principals_are_made_changed_and_deleted(tenant):
    with tenant.claim("CreatePrincipal", "PrincipalName", "Description"):
        tenant.call("CreatePrincipal", PrincipalName="mate", Description="second in command")
        assert shown(tenant, "mate")["Description"] == "second in command"
        tenant.refused("CreatePrincipal", "EntityAlreadyExists.User", PrincipalName="mate")
        tenant.refused("CreatePrincipal", "InvalidPrincipalName", PrincipalName="a mate")
    with tenant.claim("UpdatePrincipal", "PrincipalName", "Description", "Status"):
        assert tenant.call("UpdatePrincipal", PrincipalName="mate", Description="first")["Principal"]["Description"] == "first"
        assert shown(tenant, "mate")["Status"] == "Active"
        tenant.call("UpdatePrincipal", PrincipalName="mate", Status="Inactive")
        assert shown(tenant, "mate")["Status"] == "Inactive"
        tenant.refused("UpdatePrincipal", "EntityNotExist.User", PrincipalName="nobody", Status="Active")
        tenant.refused("UpdatePrincipal", "OperationDenied.Root", PrincipalName="root", Status="Inactive")
    with tenant.claim("DeletePrincipal", "PrincipalName"):
        tenant.call("DeletePrincipal", PrincipalName="mate")
        assert tenant.call("ListPrincipals", PrincipalName="mate")["Principals"] == []
        tenant.refused("DeletePrincipal", "EntityNotExist.User", PrincipalName="mate")


def test_principals_are_found(tenant):
    one, other = principal(tenant), principal(tenant)
    names = lambda answer: [found["PrincipalName"] for found in answer["Principals"]]  # noqa: E731
    tenant.filters("ListPrincipals", {"MaxResults": 100}, names, one, {"PrincipalName": (one, other)})
    with tenant.claim("ListPrincipals", "EndUserId"), tenant.claim("CreatePrincipal", "EndUserId"):
        person = user(tenant)
        made = tenant.call("CreatePrincipal", create(tenant), EndUserId=person)["Principal"]
        assert (made["PrincipalType"], made["EndUserId"]) == ("EndUser", person)
        assert tenant.call("ListPrincipals", EndUserId=person)["Principals"] == [made]
        assert tenant.call("UpdatePrincipal", PrincipalName=made["PrincipalName"], Description="x")["Principal"]["EndUserId"] == person
        assert tenant.call("ListPrincipals", EndUserId="nobody")["Principals"] == []
        tenant.refused("CreatePrincipal", "InvalidEndUserId.NotFound", create(tenant), EndUserId="nobody")
    tenant.pages_by_token("ListPrincipals", {}, "Principals")


def test_keys_are_made_turned_off_and_deleted(tenant):
    one, other = principal(tenant), principal(tenant)
    with tenant.claim("CreateAccessKey", "PrincipalName"), tenant.claim("ListAccessKeys", "PrincipalName"):
        key = key_of(tenant, one)
        assert keys(tenant, one) == {key["AccessKeyId"]: "Active"} and keys(tenant, other) == {}
        tenant.refused("CreateAccessKey", "EntityNotExist.User", PrincipalName="nobody")
    named = {"PrincipalName": one, "UserAccessKeyId": key["AccessKeyId"]}
    with tenant.claim("UpdateAccessKey", "PrincipalName", "UserAccessKeyId", "Status"):
        tenant.call("UpdateAccessKey", named, Status="Inactive")
        assert keys(tenant, one) == {key["AccessKeyId"]: "Inactive"}
        tenant.refused("UpdateAccessKey", "EntityNotExist.User.AccessKey", named, PrincipalName=other, Status="Active")
    with tenant.claim("DeleteAccessKey", "PrincipalName", "UserAccessKeyId"):
        tenant.refused("DeleteAccessKey", "EntityNotExist.User.AccessKey", named, UserAccessKeyId="LTAInone")
        tenant.call("DeleteAccessKey", named)
        assert keys(tenant, one) == {}


def test_what_no_principal_may_do(tenant):
    name = principal(tenant)
    mate = holder(tenant, name)
    mate.refused("CreateAccessKey", "NoPermission", PrincipalName="root")
    # Its own last use shows, once it was used.
    tenant.world.until(
        "the last use", lambda: "LastUsedDate" in tenant.call("ListAccessKeys", PrincipalName=name)["AccessKeys"][0]
    )


def test_a_principal_has_only_so_many_keys(tenant):
    name = principal(tenant)
    for _ in range(10):
        key_of(tenant, name)
    tenant.refused("CreateAccessKey", "LimitExceeded.User.AccessKey", PrincipalName=name)
