"""Credits: quotas of agents, and what is used."""

import time

from driver import happy
from test_runtime import by_image, make

MONTHLY = {"PurchaseOptions": {"MonthlyCredits": 5}}


@happy("SetAgentCreditQuota")
def set_quota(t):
    return {"AgentIds": [make(t)], "CreditQuota": 7, "AgentType": "JVS_CLAW"}


@happy("DescribeCreditPackageAgents")
def describe_agents(t):
    return {"AgentIds": [make(t, **MONTHLY)]}


@happy("DescribeCreditUsageInfo")
def usage(t):
    return {"UsageType": "Agent", "InstanceIds": [make(t, **MONTHLY)]}


def agents(t, **more) -> list[dict]:
    return t.call("DescribeCreditPackageAgents", **more)["Agents"]


def test_a_quota_is_what_the_agent_has(tenant):
    one, beside = make(tenant), make(tenant)
    with tenant.claim("SetAgentCreditQuota", "AgentIds", "CreditQuota", "AgentType"):
        tenant.call("SetAgentCreditQuota", AgentIds=[one], CreditQuota=7, AgentType="JVSClaw")
        assert agents(tenant, AgentIds=[one])[0]["TotalCredit"] == 7
        assert "TotalCredit" not in agents(tenant, AgentIds=[beside])[0]
        tenant.refused("SetAgentCreditQuota", "InvalidAgentType", AgentIds=[one], AgentType="Claw")
        tenant.refused("SetAgentCreditQuota", "MissingAgentIds", CreditQuota=1)
        tenant.refused("SetAgentCreditQuota", "Runtime.NotFound", AgentIds=["ecd-none"], CreditQuota=1)
        tenant.refused("SetAgentCreditQuota", "InvalidCreditQuota", AgentIds=[one], CreditQuota=-1)


def test_what_neared_its_quota_is_told(tenant):
    one = make(tenant)
    month = time.strftime("%Y%m", time.gmtime())
    tenant.world.database.execute(f"INSERT INTO usage_month (subject_id, month, used_micros) VALUES ('{one}', {month}, 8500000)")
    show = lambda: tenant.call("DescribeCreditUsageInfo", UsageType="Agent", InstanceIds=[one])["UsageInfoList"][0]["UsageInfo"]  # noqa: E731
    assert "LastTriggeredAt" not in show()
    tenant.call("SetAgentCreditQuota", AgentIds=[one], CreditQuota=10)
    assert show()["LastTriggeredAt"]


def test_agents_are_found(tenant):
    one = make(tenant, **MONTHLY)
    agent_id = agents(tenant, AgentIds=[one])[0]["AgentId"]
    ids = lambda answer: [a["AgentId"] for a in answer["Agents"]]  # noqa: E731
    rows = {"AgentIds": ([one], ["ecd-none"]), "AgentType": ("JVS_CLAW", "OPEN_CLAW")}
    tenant.filters("DescribeCreditPackageAgents", {"MaxResults": 1000}, ids, agent_id, rows)
    tenant.call("CreateDesktops", by_image(tenant))
    tenant.pages_by_token("DescribeCreditPackageAgents", {}, "Agents")


def test_usage_is_told_of_an_account_a_pack_or_an_agent(tenant):
    one = make(tenant, **MONTHLY)
    told = agents(tenant, AgentIds=[one])[0]
    with tenant.claim("DescribeCreditUsageInfo", "UsageType", "InstanceIds"):
        for kind, ids, key in (
            ("Agent", [one], told["AgentId"]),
            ("CreditPackage", [told["CreditPackageId"]], told["CreditPackageId"]),
        ):
            info = tenant.call("DescribeCreditUsageInfo", UsageType=kind, InstanceIds=ids)["UsageInfoList"][0]
            assert info["UsageInfoKey"] == key
        assert tenant.call("DescribeCreditUsageInfo", UsageType="User")["UsageInfoList"][0]["UsageInfoKey"] != key
        tenant.refused("DescribeCreditUsageInfo", "MissingInstanceIds", UsageType="Agent")
        tenant.refused("DescribeCreditUsageInfo", "InvalidInstanceIds", UsageType="CreditPackage", InstanceIds=["crp-none"])
