"""Runtimes: desktops in one API, agents in another."""

import pytest
from driver import Refused, happy
from test_catalog import BUNDLE, DESKTOP_TYPE, IMAGE, WINDOWS
from test_office_site import create_site, site

REGION = {"RegionId": "cn-hangzhou"}
TAG = {"Key": "team", "Value": "sea"}


@happy("CreateDesktops")
def create(t):
    return REGION | {"OfficeSiteId": site(t), "BundleId": BUNDLE}


@happy("DescribeDesktops")
def describe(_):
    return dict(REGION)


@happy("ListDesktopAgentRuntime")
def list_agents(_):
    return {}


@happy("StartDesktops")
@happy("StopDesktops")
@happy("RebootDesktops")
@happy("DeleteDesktops")
@happy("HibernateDesktops")
def one_running(t):
    return REGION | {"DesktopId": [running(t)]}


@happy("WakeupDesktops")
def one_hibernated(t):
    parameters = one_running(t)
    t.call("HibernateDesktops", parameters)
    return parameters


@happy("ModifyDesktopName")
def rename(t):
    return REGION | {"DesktopId": make(t), "NewDesktopName": t.name("renamed")}


def make(t, **more) -> str:
    return t.call("CreateDesktops", create(t), **more)["DesktopId"][0]


def by_image(t, image: str = IMAGE, kind: str = DESKTOP_TYPE) -> dict:
    """What to make, by image and type instead of by bundle."""
    return REGION | {"OfficeSiteId": site(t), "DesktopAttachment": {"ImageId": image, "DesktopType": kind}}


def desktop(t, runtime: str) -> dict:
    return t.call("DescribeDesktops", REGION, DesktopId=[runtime])["Desktops"][0]


def agent(t, runtime: str) -> dict:
    return t.call("ListDesktopAgentRuntime", ResourceIds=[runtime])["Data"][0]


def await_status(t, runtime: str, wanted: str):
    t.world.until(f"{runtime} to be {wanted}", lambda: desktop(t, runtime)["DesktopStatus"] == wanted)


def running(t, **more) -> str:
    made = make(t, **more)
    await_status(t, made, "Running")
    return made


def test_a_runtime_is_shown_as_it_was_made(tenant):
    def read(answer, _):
        found = tenant.call("DescribeDesktops", REGION, DesktopId=answer["DesktopId"])
        return found["Desktops"][0] | {"TotalCount": found["TotalCount"]}

    elsewhere = tenant.call("CreateSimpleOfficeSite", create_site(tenant))["OfficeSiteId"]
    tenant.shows(
        "CreateDesktops",
        read,
        {
            "Amount": (3, lambda d: d["TotalCount"], 3),
            "ChargeType": ("PrePaid", lambda d: d["ChargeType"], "PrePaid"),
            "DesktopName": ("lobster", lambda d: d["DesktopName"], "lobster"),
            "EndUserId": (["ann"], lambda d: d["EndUserIds"], ["ann"]),
            "OfficeSiteId": (elsewhere, lambda d: d["OfficeSiteId"], elsewhere),
        },
    )
    with tenant.claim("CreateDesktops", "Tag.Key", "Tag.Value"):
        assert desktop(tenant, make(tenant, Tag=[TAG]))["Tags"] == [TAG]
    with tenant.claim("CreateDesktops", "DesktopNameSuffix"):
        assert desktop(tenant, make(tenant, DesktopName="crab", DesktopNameSuffix=True))["DesktopName"] == "crab0001"
    with tenant.claim("CreateDesktops", "DirectoryId"):
        made = tenant.call("CreateDesktops", REGION, DirectoryId=elsewhere, BundleId=BUNDLE)["DesktopId"][0]
        assert desktop(tenant, made)["DirectoryId"] == elsewhere


def test_what_a_runtime_is_made_of(tenant):
    with tenant.claim("CreateDesktops", "BundleId", "DesktopAttachment.ImageId", "DesktopAttachment.DesktopType"):
        of_bundle = desktop(tenant, make(tenant))
        assert (of_bundle["BundleId"], of_bundle["DesktopType"]) == (BUNDLE, DESKTOP_TYPE)
        small = tenant.call("CreateDesktops", by_image(tenant, kind="cloud.space.2c.4g"))["DesktopId"][0]
        of_image = desktop(tenant, small)
        assert "BundleId" not in of_image
        assert (of_image["ImageId"], of_image["DesktopType"], of_image["Cpu"]) == (IMAGE, "cloud.space.2c.4g", 2)
        windows = tenant.call("CreateDesktops", by_image(tenant, WINDOWS))["DesktopId"][0]
        shown = desktop(tenant, windows)
        assert (shown["OsType"], shown["DesktopStatus"]) == ("Windows", "Pending") and shown["Progress"]
    models = ["BundleModels.Amount", "BundleModels.BundleId", "BundleModels.DesktopName", "BundleModels.EndUserIds"]
    with tenant.claim("CreateDesktops", *models):
        one = {"BundleId": BUNDLE, "Amount": 1, "DesktopName": "shrimp", "EndUserIds": ["bob"]}
        many = {"BundleId": BUNDLE, "Amount": 2, "DesktopName": "krill"}
        made = tenant.call("CreateDesktops", REGION, OfficeSiteId=site(tenant), BundleModels=[one, many])["DesktopId"]
        shown = [desktop(tenant, runtime) for runtime in made]
        assert sorted(d["DesktopName"] for d in shown) == ["krill0001", "krill0002", "shrimp"]
        assert [d["EndUserIds"] for d in shown if d["DesktopName"] == "shrimp"] == [["bob"]]
    with tenant.claim("CreateDesktops", "UserAssignMode"):
        users = {"Amount": 2, "EndUserId": ["ann", "bob"]}
        for mode, wanted in (("ALL", [["ann", "bob"]] * 2), ("PER_USER", [["ann"], ["bob"]])):
            made = tenant.call("CreateDesktops", create(tenant), UserAssignMode=mode, **users)["DesktopId"]
            assert sorted(sorted(desktop(tenant, runtime)["EndUserIds"]) for runtime in made) == wanted
    with tenant.claim("CreateDesktops", "PurchaseOptions.MonthlyCredits"):
        made = make(tenant, PurchaseOptions={"MonthlyCredits": 3})
        assert tenant.call("DescribeCreditPackageAgents", AgentIds=[made])["Agents"][0]["TotalCredit"] == 3


def test_what_cannot_be_made_is_refused(tenant):
    good = create(tenant)
    with tenant.claim("CreateDesktops", "RegionId", "Hostname"):
        tenant.refused("CreateDesktops", "InvalidRegionId", good, RegionId="nowhere")
        tenant.refused("CreateDesktops", "HostnameCannotCustomizeForLinux", good, Hostname="host")
    refused = {
        "MissingOfficeSiteId": REGION | {"BundleId": BUNDLE},
        "MissingBundleId": REGION | {"OfficeSiteId": site(tenant)},
        "InvalidDirectoryId.NotFound": good | {"OfficeSiteId": "cn-hangzhou+dir-none"},
        "InvalidEncryptionEnabled.Invalid": good | {"VolumeEncryptionKey": "k"},
        "InvalidEncryptionKey.Missing": good | {"VolumeEncryptionEnabled": True},
        "InvalidEncryptionKey.NotFound": good | {"VolumeEncryptionEnabled": True, "VolumeEncryptionKey": "k"},
        "InvalidMemberIp.DesktopAmount": good | {"DesktopMemberIp": "10.0.0.1", "Amount": 2},
        "ExistedHostname": by_image(tenant, WINDOWS) | {"Hostname": "same-host", "Amount": 2},
        "InvalidDesktopBundle.NotFound": good | {"BundleId": "b-none"},
        "InvalidImageStatus.NotValid": by_image(tenant, "imgc-none"),
        "InvalidDesktopType": by_image(tenant, kind="cloud.none"),
        "InvalidAmount": good | {"Amount": 301},
        "InvalidAmount.NotTimesOfUsers": good | {"Amount": 3, "EndUserId": ["ann", "bob"], "UserAssignMode": "PER_USER"},
        "InvalidDesktopName": good | {"DesktopName": "a\tb"},
        "InvalidEndUserId.NotFound": good | {"EndUserId": ["nobody"]},
        "InvalidPurchaseOptions": good | {"PurchaseOptions": {"MonthlyCredits": 0}},
    }
    for code, parameters in refused.items():
        tenant.refused("CreateDesktops", code, parameters)


@pytest.fixture(scope="module")
def shelf(world):
    """Two runtimes that differ in all that can be looked for, and the guest of the first."""
    t = world.root
    elsewhere = t.call("CreateSimpleOfficeSite", create_site(t))["OfficeSiteId"]
    site_name = t.call("DescribeOfficeSites", REGION, OfficeSiteId=[elsewhere])["OfficeSites"][0]["Name"]
    group = t.call("CreateModelTemplate", t.good("CreateModelTemplate"))["Data"]["ModelTemplateId"]
    make_one = REGION | {"OfficeSiteId": elsewhere, "BundleId": BUNDLE, "DesktopName": "wanted", "EndUserId": ["eve"]}
    one = t.call("CreateDesktops", make_one, ChargeType="PrePaid", Tag=[TAG])["DesktopId"][0]
    other = by_image(t, WINDOWS, "cloud.space.2c.4g") | {"DesktopName": "unwanted", "EndUserId": ["adam"]}
    t.call("CreateDesktops", other)
    await_status(t, one, "Running")
    t.call("ConfigRuntimeModelTemplate", ModelTemplateId=group, RuntimeIds=[one], RuntimeType="CloudDesktop")
    guest = world.guest(one)
    guest.report(version="2026.9.6")
    t.world.until("the agent to run", lambda: agent(t, one)["AgentInstanceInfoList"][0]["AgentInstanceStatus"] == "Running")
    yield {"one": one, "site": elsewhere, "site_name": site_name, "group": group, "jvs": agent(t, one)["DesktopId"]}
    guest.close()


def test_desktops_are_found_by_what_they_are(tenant, shelf):
    def ids(answer):
        return [d["DesktopId"] for d in answer["Desktops"]]

    base = REGION | {"MaxResults": 1000}
    rows = {
        "ChargeType": ("PrePaid", "PostPaid"),
        "DesktopId": ([shelf["one"]], ["ecd-none"]),
        "DesktopName": ("wanted", "unwanted"),
        "DesktopStatus": ("Running", "Stopped"),
        "DesktopStatusList": (["Running"], ["Stopped"]),
        "DesktopType": (DESKTOP_TYPE, "cloud.space.2c.4g"),
        "DirectoryId": (shelf["site"], site(tenant)),
        "EndUserId": (["eve"], ["adam"]),
        "ExcludedEndUserId": (["adam"], ["eve"]),
        "ImageId": ([IMAGE], [WINDOWS]),
        "ManagementFlag": ("NoFlag", "Updating"),
        "OfficeSiteId": (shelf["site"], site(tenant)),
        "OfficeSiteName": (shelf["site_name"], "no such site"),
        "OsTypes": (["Linux"], ["Windows"]),
        "ProtocolType": ("ASP", "HDX"),
        "RegionId": ("cn-hangzhou", Refused("nowhere", "InvalidRegionId")),
    }
    tenant.filters("DescribeDesktops", base, ids, shelf["one"], rows)
    with tenant.claim("DescribeDesktops", "Tag.Key", "Tag.Value"):
        assert ids(tenant.call("DescribeDesktops", base, Tag=[TAG])).count(shelf["one"]) == 1
        for tag in (TAG | {"Value": "land"}, TAG | {"Key": "crew"}):
            assert shelf["one"] not in ids(tenant.call("DescribeDesktops", base, Tag=[tag]))
    tenant.pages_by_token("DescribeDesktops", REGION | {"OfficeSiteId": site(tenant)}, "Desktops")
    tenant.pages_by_number("DescribeDesktops", REGION, "Desktops")


def test_agents_are_found_by_what_they_are(tenant, shelf):
    rows = {
        "AgentImOnlineStatus": ("Offline", "Online"),
        "AgentInstanceStatuses": (["Running"], ["Stopped"]),
        "AgentInstanceVersions": (["2026.9.6"], ["2025.1.1"]),
        "AgentPlatform": ("ENTERPRISE_JVS", "ENTERPRISE"),
        "AgentPlatformList": (["ENTERPRISE_JVS"], ["ENTERPRISE"]),
        "AgentProvider": ("OpenClaw", "HermesAgent"),
        "AgentProviderList": (["OpenClaw"], ["HermesAgent"]),
        "AuthUsers": (["eve"], ["adam"]),
        "BizRegionId": ("cn-hangzhou", "cn-beijing"),
        "ChannelConfigure": (False, True),
        "DeploymentSource": ("Admin", "User"),
        "DesktopIds": ([shelf["jvs"]], ["jvs-none"]),
        "DesktopNames": (["wanted"], ["unwanted"]),
        "DesktopStatuses": (["Running"], ["Stopped"]),
        "HasAuthUser": (True, False),
        "ModelConfigure": (True, False),
        "ModelTemplateId": (shelf["group"], "mt-none"),
        "OfficeSiteId": (shelf["site"], site(tenant)),
        "ResourceIds": ([shelf["one"]], ["ecd-none"]),
    }
    base = {"PageSize": 1000}
    agents = lambda answer: [d["ResourceId"] for d in answer["Data"]]  # noqa: E731
    tenant.filters("ListDesktopAgentRuntime", base, agents, shelf["one"], rows)
    risky = {"IncludeRiskInfo": True, "HasRisk": True}
    tenant.filters("ListDesktopAgentRuntime", base | risky, agents, shelf["one"], {"HasRisk": (False, True)})
    # Without the risk in the answer nobody is left out for it.
    tenant.filters("ListDesktopAgentRuntime", base | risky, agents, shelf["one"], {"IncludeRiskInfo": (False, True)})
    with tenant.claim("ListDesktopAgentRuntime", "ManagementStatus"):
        assert tenant.call("ListDesktopAgentRuntime", ManagementStatus="Hibernated", ResourceIds=[shelf["one"]])["Data"] == []
    tenant.pages_by_number("ListDesktopAgentRuntime", {})


@pytest.mark.parametrize("action", ["StartDesktops", "StopDesktops", "RebootDesktops", "DeleteDesktops"])
def test_power(tenant, action):
    with tenant.claim(action, "RegionId", "DesktopId"):
        one, beside = running(tenant), running(tenant)
        if action == "StartDesktops":
            tenant.call("StopDesktops", REGION, DesktopId=[one])
            await_status(tenant, one, "Stopped")
        started = desktop(tenant, one).get("StandardStartTime")
        tenant.refused(action, "InvalidDesktopId.NotFound", REGION, DesktopId=["ecd-none"])
        tenant.refused(action, "InvalidRegionId", RegionId="nowhere", DesktopId=[one])
        assert desktop(tenant, one).get("StandardStartTime") == started, "what is refused changes nothing"
        tenant.call(action, REGION, DesktopId=[one])
        if action == "DeleteDesktops":
            assert tenant.call("DescribeDesktops", REGION, DesktopId=[one])["Desktops"] == []
        else:
            await_status(tenant, one, "Stopped" if action == "StopDesktops" else "Running")
        assert desktop(tenant, beside)["DesktopStatus"] == "Running", "only what is named"
    if action == "RebootDesktops":
        tenant.call("StopDesktops", REGION, DesktopId=[one])
        await_status(tenant, one, "Stopped")
        tenant.refused(action, "IncorrectDesktopStatus", REGION, DesktopId=[one])


def test_runtimes_are_renamed(tenant):
    with tenant.claim("ModifyDesktopName", "RegionId", "DesktopId", "DesktopIds", "NewDesktopName"):
        one, two, beside = make(tenant), make(tenant), make(tenant)
        tenant.call("ModifyDesktopName", REGION, DesktopId=one, DesktopIds=[two], NewDesktopName="prawn")
        names = [desktop(tenant, runtime)["DesktopName"] for runtime in (one, two, beside)]
        assert names[:2] == ["prawn", "prawn"] and names[2] != "prawn"
        good = rename(tenant)
        tenant.refused("ModifyDesktopName", "InvalidRegionId", good, RegionId="nowhere")
        tenant.refused("ModifyDesktopName", "InvalidNewDesktopName", good, NewDesktopName="a\tb")
        tenant.refused("ModifyDesktopName", "InvalidDesktopId.NotFound", good, DesktopId="ecd-none")


def test_runtimes_hibernate_and_wake(tenant):
    flag = lambda runtime: desktop(tenant, runtime)["ManagementFlag"]  # noqa: E731
    one, beside = running(tenant), running(tenant)
    named = REGION | {"DesktopId": [one]}
    with tenant.claim("HibernateDesktops", "RegionId", "DesktopId"):
        tenant.refused("HibernateDesktops", "InvalidRegionId", named, RegionId="nowhere")
        tenant.refused("HibernateDesktops", "InvalidDesktopId.NotFound", named, DesktopId=["ecd-none"])
        assert flag(one) == "NoFlag"
        tenant.call("HibernateDesktops", named)
        tenant.world.until("it to hibernate", lambda: flag(one) == "Hibernated")
        assert flag(beside) == "NoFlag"
        found = tenant.call("ListDesktopAgentRuntime", ManagementStatus="Hibernated", ResourceIds=[one])["Data"]
        assert found[0]["ManagementStatuses"] == ["Hibernated"]
    with tenant.claim("WakeupDesktops", "RegionId", "DesktopId"):
        tenant.refused("WakeupDesktops", "InvalidRegionId", named, RegionId="nowhere")
        tenant.refused("WakeupDesktops", "InvalidDesktopId.NotFound", named, DesktopId=["ecd-none"])
        assert flag(one) == "Hibernated"
        tenant.call("WakeupDesktops", named)
        tenant.world.until("it to wake", lambda: flag(one) == "NoFlag" and desktop(tenant, one)["DesktopStatus"] == "Running")


def test_disks_and_policy_are_shown_again(tenant):
    def made(**more):
        return desktop(tenant, tenant.call("CreateDesktops", by_image(tenant) | more)["DesktopId"][0])

    disks = {
        "SystemDiskSize": 80, "SystemDiskCategory": "cloud_essd", "SystemDiskPerLevel": "PL1", "DataDiskSize": 40,
        "DataDiskCategory": "cloud_auto", "DataDiskPerLevel": "PL0",
    }  # fmt: skip
    with tenant.claim("CreateDesktops", *(f"DesktopAttachment.{name}" for name in disks), "PolicyGroupId"):
        attachment = {"ImageId": IMAGE, "DesktopType": DESKTOP_TYPE} | disks
        shown = made(DesktopAttachment=attachment, PolicyGroupId="pg-one")
        system, data = shown["Disks"]
        assert (system["DiskSize"], system["DiskCategory"], system["PerformanceLevel"]) == (80, "cloud_essd", "PL1")
        assert (data["DiskSize"], data["DiskCategory"], data["PerformanceLevel"]) == (40, "cloud_auto", "PL0")
        assert shown["PolicyGroupId"] == "pg-one" and "PolicyGroupId" not in made()
    with tenant.claim("CreateDesktops", "DesktopNameModel.DesktopNameIsSuffix"):
        for suffix, wanted in ((True, "squid0001"), (False, "squid")):
            assert made(DesktopName="squid", DesktopNameModel={"DesktopNameIsSuffix": suffix})["DesktopName"] == wanted


def test_what_cannot_be_encrypted_or_addressed(tenant):
    encryption = ["VolumeEncryptionEnabled", "VolumeEncryptionKey"]
    of_bundle = [f"BundleModels.{name}" for name in [*encryption, "Hostname"]]
    with tenant.claim("CreateDesktops", *encryption, *of_bundle, "DesktopMemberIp"):
        for more, code in (
            ({"VolumeEncryptionEnabled": True}, "InvalidEncryptionKey.Missing"),
            ({"VolumeEncryptionKey": "key"}, "InvalidEncryptionEnabled.Invalid"),
            ({"Hostname": "host"}, "HostnameCannotCustomizeForLinux"),
        ):
            tenant.refused("CreateDesktops", code, create(tenant) | more)
            bundles = {"BundleModels": [{"BundleId": BUNDLE, "Amount": 1} | more]}
            tenant.refused("CreateDesktops", code, REGION | {"OfficeSiteId": site(tenant)} | bundles)
        tenant.refused("CreateDesktops", "UnsupportedParameter", create(tenant), DesktopMemberIp="10.0.0.1")


def test_what_is_run_at_the_first_start(world, tenant):
    command = {"Content": "echo first", "ContentEncoding": "PlainText", "ContentType": "RunShellScript"}
    with tenant.claim("CreateDesktops", *(f"UserCommands.{name}" for name in command)):
        for name in ("Content", "ContentType"):
            less = {key: value for key, value in command.items() if key != name}
            tenant.refused("CreateDesktops", f"Missing{name}", create(tenant), UserCommands=[less])
        runtime = running(tenant, UserCommands=[command])
        told = lambda: tenant.call("DescribeInvocations", REGION, DesktopId=runtime, IncludeOutput=True, ContentEncoding="PlainText")  # noqa: E731
        guest = world.guest(runtime)
        try:
            world.until("the command's output", lambda: "Output" in told()["Invocations"][0]["InvokeDesktops"][0])
            assert told()["Invocations"][0]["InvokeDesktops"][0]["Output"] == "first"
        finally:
            guest.close()
