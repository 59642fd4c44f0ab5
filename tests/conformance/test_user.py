"""End users: made, found, removed."""

from driver import Tenant, happy
from test_runtime import make


@happy("CreateUsers")
def create(t):
    return {"Users": [{"EndUserId": t.name("user").replace("-", "_")}]}


@happy("DescribeUsers")
def describe(_):
    return {}


@happy("RemoveUsers")
def remove(t):
    return {"Users": [user(t)]}


def user(t, **more) -> str:
    made = create(t)
    made["Users"][0] |= more
    return t.call("CreateUsers", made)["CreateResult"]["CreatedUsers"][0]["EndUserId"]


def found(t, **filters) -> list[dict]:
    return t.call("DescribeUsers", MaxResults=500, **filters)["Users"]


def names(answer: dict) -> list[str]:
    return [shown["EndUserId"] for shown in answer["Users"]]


def test_users_are_shown_as_they_were_made(tenant):
    said = {
        "EndUserId": "whole_user", "Email": "whole@example.com", "Phone": "13811111111", "RealNickName": "Whole",
        "Remark": "first", "OwnerType": "CreateFromManager",
    }  # fmt: skip
    with tenant.claim("CreateUsers", "IsLocalAdmin", *(f"Users.{name}" for name in said)):
        made = tenant.call("CreateUsers", Users=[said], IsLocalAdmin=True)
        assert made["AllSucceed"] and made["CreateResult"]["CreatedUsers"] == [
            {name: value for name, value in said.items() if name != "OwnerType"}
        ]
        shown = found(tenant, EndUserIds=["whole_user"])[0]
        assert {name: shown[name] for name in said} == said and shown["EnableAdminAccess"] is True
        assert found(tenant, EndUserIds=[user(tenant)])[0]["EnableAdminAccess"] is False
    with tenant.claim("CreateUsers", "AutoLockTime"):
        locked = create(tenant)
        tenant.call("CreateUsers", locked, AutoLockTime="2020-01-02")
        assert found(tenant, EndUserIds=[locked["Users"][0]["EndUserId"]])[0]["Status"] == 9
        tenant.refused("CreateUsers", "InvalidAutoLockTime", create(tenant), AutoLockTime="soon")


def test_each_user_fails_alone(tenant):
    bad = {"EndUserId": "Not Valid", "Email": "bad@example.com", "Phone": "13822222222"}
    answer = tenant.call("CreateUsers", Users=[bad, {"EndUserId": "good_one"}, {"EndUserId": "good_one"}])
    assert answer["AllSucceed"] is False
    assert [user["EndUserId"] for user in answer["CreateResult"]["CreatedUsers"]] == ["good_one"]
    codes = [user["ErrorCode"] for user in answer["CreateResult"]["FailedUsers"]]
    assert codes == ["InvalidUsername", "ExistedEndUserId"]


def test_users_are_found_by_every_filter(tenant):
    wanted = user(tenant, Email="findable@example.com")
    make(tenant, EndUserId=[wanted])
    other = user(tenant)
    locked = create(tenant)
    tenant.call("CreateUsers", locked, AutoLockTime="2020-01-02")
    yes, no = {"CloudDesktop": "true"}, {"CloudDesktop": "false"}
    tenant.filters(
        "DescribeUsers",
        {"MaxResults": 500},
        names,
        wanted,
        {
            "EndUserIds": ([wanted], [other]),
            "ExcludeEndUserIds": ([other], [wanted]),
            "Filter": ("FINDABLE", "nobody at all"),
            "FilterWithAssignedResource": (yes, no),
            "FilterWithAssignedResources": (yes, no),
            "Status": (0, 9),
        },
    )
    with tenant.claim("DescribeUsers", "ShowExtras"):
        assert "Extras" not in found(tenant, EndUserIds=[wanted])[0]
        extras = found(tenant, EndUserIds=[wanted], ShowExtras={"AssignedResourceCount": True})[0]["Extras"]
        assert extras["AssignedResourceCount"] == {"CloudDesktop": 1}


def test_users_come_in_pages(tenant: Tenant):
    user(tenant), user(tenant)
    tenant.pages_by_token("DescribeUsers", {}, "Users")


def test_a_removed_user_is_entitled_to_nothing(tenant):
    with tenant.claim("RemoveUsers", "Users"):
        leaver = user(tenant)
        runtime = make(tenant, EndUserId=[leaver, "ann"])
        result = tenant.call("RemoveUsers", Users=[leaver, "nobody"])["RemoveUsersResult"]
        assert result["RemovedUsers"] == [leaver]
        assert [(user["EndUserId"], user["ErrorCode"]) for user in result["FailedUsers"]] == [("nobody", "InvalidUsername")]
        shown = tenant.call("DescribeDesktops", RegionId="cn-hangzhou", DesktopId=[runtime])["Desktops"][0]
        assert shown["EndUserIds"] == ["ann"] and found(tenant, EndUserIds=[leaver]) == []
