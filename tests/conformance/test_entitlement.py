"""Who is entitled to runtimes."""

import time

from driver import happy
from test_runtime import REGION, make
from test_user import user


@happy("ModifyEntitlement")
def modify(t):
    return REGION | {"DesktopId": make(t), "EndUserId": [user(t)]}


@happy("BatchModifyEntitlement")
def batch(t):
    return REGION | {"DesktopId": [make(t)], "EndUserId": [user(t)], "Preview": False}


@happy("ModifyUserEntitlement")
def modify_user(t):
    return REGION | {"AuthorizeDesktopId": [make(t)], "EndUserId": [user(t)]}


def users(t, runtime: str) -> list[str]:
    """Once nothing is promised to it any more."""
    for _ in range(200):
        shown = t.call("DescribeDesktops", REGION, DesktopId=[runtime])["Desktops"][0]
        if "Assigning" not in shown["ManagementFlags"]:
            return shown["EndUserIds"]
        time.sleep(0.05)
    raise AssertionError(f"{runtime} is still being assigned")


def test_a_runtime_has_the_users_that_it_is_given(tenant):
    runtime, ann, bea = make(tenant), user(tenant), user(tenant)
    with tenant.claim("ModifyEntitlement", "DesktopId", "EndUserId", "RegionId"):
        tenant.call("ModifyEntitlement", REGION, DesktopId=runtime, EndUserId=[ann, bea])
        assert users(tenant, runtime) == sorted([ann, bea])
        tenant.call("ModifyEntitlement", REGION, DesktopId=runtime, EndUserId=[bea])
        assert users(tenant, runtime) == [bea]
        tenant.call("ModifyEntitlement", REGION, DesktopId=runtime)
        assert users(tenant, runtime) == []
        tenant.refused("ModifyEntitlement", "InvalidDesktopId.NotFound", REGION, DesktopId="ecd-none", EndUserId=[ann])
        tenant.refused("ModifyEntitlement", "InvalidEndUserId.NotFound", REGION, DesktopId=runtime, EndUserId=["nobody"])
        tenant.refused("ModifyEntitlement", "InvalidRegionId", {"RegionId": "cn-nowhere"}, DesktopId=runtime)


def test_users_get_and_lose_runtimes(tenant):
    one, other, ann = make(tenant), make(tenant), user(tenant)
    with tenant.claim("ModifyUserEntitlement", "AuthorizeDesktopId", "EndUserId", "RegionId", "RevokeDesktopId"):
        tenant.call("ModifyUserEntitlement", REGION, EndUserId=[ann], AuthorizeDesktopId=[one, other])
        assert users(tenant, one) == users(tenant, other) == [ann]
        tenant.call("ModifyUserEntitlement", REGION, EndUserId=[ann], RevokeDesktopId=[one])
        assert (users(tenant, one), users(tenant, other)) == ([], [ann])
        tenant.refused("ModifyUserEntitlement", "MissingEndUserId", REGION, AuthorizeDesktopId=[one])
        tenant.refused("ModifyUserEntitlement", "MissingAuthorizeDesktopId", REGION, EndUserId=[ann])
        both = {"EndUserId": [ann], "AuthorizeDesktopId": [one], "RevokeDesktopId": [one]}
        tenant.refused("ModifyUserEntitlement", "InvalidRevokeDesktopId", REGION | both)
        elsewhere = {"RegionId": "cn-nowhere", "EndUserId": [ann], "AuthorizeDesktopId": [one]}
        tenant.refused("ModifyUserEntitlement", "InvalidRegionId", elsewhere)


def test_users_are_shared_out(tenant):
    runtimes, people = [make(tenant), make(tenant)], [user(tenant) for _ in range(3)]
    given = REGION | {"DesktopId": runtimes, "EndUserId": people}
    shares = lambda answer: [model.get("EndUserIds", []) for model in answer["Entitlements"]["AssignModels"]]  # noqa: E731
    look = lambda **more: shares(tenant.call("BatchModifyEntitlement", given | {"Preview": True} | more))  # noqa: E731
    ann, bea, cat = people
    with tenant.claim("BatchModifyEntitlement", "Preview"):
        assert look() == [[ann, cat], [bea]] and users(tenant, runtimes[0]) == []
    with tenant.claim("BatchModifyEntitlement", "Strategy", "MaxUserPerDesktop"):
        assert look(Strategy="AVERAGE") == [[ann, cat], [bea]]
        assert look(Strategy="CENTRAL") == [[ann, bea, cat], []]
        assert look(Strategy="CENTRAL", MaxUserPerDesktop=2) == [[ann, bea], [cat]]
        tenant.refused("BatchModifyEntitlement", "InvalidStrategy", given, Preview=True, Strategy="RANDOM")
    with tenant.claim("BatchModifyEntitlement", "MaxDesktopPerUser"):
        assert look(EndUserId=[ann]) == [[ann], [ann]]
        assert look(EndUserId=[ann], MaxDesktopPerUser=1) == [[ann], []]
    with tenant.claim("BatchModifyEntitlement", "DesktopId", "EndUserId", "RegionId"):
        answer = tenant.call("BatchModifyEntitlement", given, Preview=False)["Entitlements"]
        assert answer["Status"] == "PROCESSING" and [m["DesktopId"] for m in answer["AssignModels"]] == runtimes
        assert [users(tenant, runtime) for runtime in runtimes] == [sorted([ann, cat]), [bea]]
        tenant.refused("BatchModifyEntitlement", "InvalidRegionId", given | {"RegionId": "cn-nowhere"}, Preview=True)
        tenant.refused("BatchModifyEntitlement", "InvalidEndUserId.NotFound", given | {"EndUserId": ["nobody"]}, Preview=True)
