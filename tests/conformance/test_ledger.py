"""The ledger's entries: what calls of models cost."""

import csv
import io
import json
import re
import time
from decimal import Decimal
from http.client import HTTPConnection

import pytest
from driver import happy
from test_runtime import running

from harness import MODEL


@happy("DescribeLedgerEntries")
def describe(_):
    return {}


@happy("DescribeRunIdDeductions")
@happy("DescribePackageDeductions")
@happy("DescribeDeductionStatistic")
def deductions(_):
    return {}


@pytest.fixture(scope="module")
def spent(world):
    """Two agents of the account that have called a model, one of them twice."""
    t = world.root
    _ = world.granted
    base = {name: value for name, value in t.good("CreateModelProviderTemplate").items() if name != "Config"}
    wuying = base | {"ProviderType": "WuyingCredit", "ProviderName": "wuying-credit"}
    provider = t.call("CreateModelProviderTemplate", wuying)["Data"]["ProviderTemplateId"]
    t.call("BatchCreateLlmTemplates", ProviderTemplateId=provider, LlmTemplateItems=[{"LlmCode": MODEL}])
    runtimes = [running(t), running(t)]
    binding = {"ModelTemplateId": base["ModelTemplateId"], "RuntimeIds": runtimes, "RuntimeType": "CloudDesktop"}
    t.call("ConfigRuntimeModelTemplate", binding)
    for runtime in (*runtimes, runtimes[0]):
        key = world.admin("agent-key", runtime).strip()
        # Servers see what `creel admin` made within a second.
        world.until("the key to be known", lambda: ask(world.server.agent_listen, key) == 200)
    world.until("the entries", lambda: len(t.call("DescribeLedgerEntries", RuntimeIds=runtimes)["Entries"]) >= 3)
    return runtimes


def ask(address: str, key: str) -> int:
    connection = HTTPConnection(address, timeout=20)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "lobster"}]}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert response.status in (200, 401), answer
    return response.status


def test_entries_are_found(tenant, spent):
    one, other = spent
    ids = lambda answer: [entry["EntryId"] for entry in answer["Entries"]]  # noqa: E731
    first = ids(tenant.call("DescribeLedgerEntries", RuntimeIds=[one]))[0]
    now = int(time.time() * 1000)
    hour = 3_600_000
    rows = {
        "RuntimeIds": ([one], [other]),
        "StartTime": (now - hour, now + hour),
        "EndTime": (now + hour, now - hour),
    }
    tenant.filters("DescribeLedgerEntries", {}, ids, first, rows)
    tenant.pages_by_token("DescribeLedgerEntries", {"RuntimeIds": [one]}, "Entries")


def test_an_agent_shows_what_its_models_cost(tenant, spent):
    question = {"RuntimeId": spent[0], "RuntimeType": "CloudDesktop", "AgentProvider": "OpenClaw"}
    models = tenant.call("GetRuntimeModelConfig", question)["Data"]["ModelProviderList"][0]["LlmInfoList"]
    assert models[0]["CreditMultiplier"] == {"Max": 1, "Min": 1}


def test_usage_is_current_within_a_second(tenant, spent):
    world, runtime = tenant.world, spent[1]
    key = world.admin("agent-key", runtime).strip()
    world.until("the key to be known", lambda: ask(world.server.agent_listen, key) == 200)
    look = lambda: tenant.call("DescribeCreditUsageInfo", UsageType="Agent", InstanceIds=[runtime])["UsageInfoList"][0]["UsageInfo"]  # noqa: E731
    world.until("the first call to be told", lambda: float(look()["TotalUsed"]) > 0)
    time.sleep(1)
    before = look()
    assert ask(world.server.agent_listen, key) == 200
    world.until("the call to be told", lambda: look()["TotalUsed"] != before["TotalUsed"], 1)
    after = look()
    for name in ("TodayUsed", "TotalUsed"):
        assert float(after[name]) > float(before[name])
    assert len(after["CreditTrendList"]) == 24 and after["CreditTrendList"][-1]["UsedCredit"] >= 1
    assert after["WeekUsedCredit"] >= after["DayUsedCredit"] >= 1


def test_the_ledger_is_exported_added_up_and_compared_with_an_invoice(tenant, spent, tmp_path):
    world = tenant.world
    rows = list(csv.DictReader(io.StringIO(world.admin("ledger", "export", "--format", "csv"))))
    own = [row for row in rows if row["runtime_id"] == spent[0]]
    lines = [json.loads(line) for line in world.server.admin("ledger", "export").stdout.splitlines()]
    assert [(line["id"], line["formula"]) for line in lines] == [(row["id"], row["formula"]) for row in rows]
    assert len(own) == 2 and all(row["price_version"].startswith("pv-") for row in own)
    for row in own:
        terms, factor, scale, result = re.fullmatch(r"ceil\(\((.+)\)\*(\d+)/(\d+)\)=(\d+)", row["formula"]).groups()
        cost = sum(int(a) * int(b) for a, b in (term.split("*") for term in terms.split("+"))) * int(factor)
        assert -(-cost // int(scale)) == int(result) == Decimal(row["credits"]) * 1_000_000

    account = own[0]["account_id"]
    month = time.strftime("%Y-%m", time.gmtime())
    spent_in_month = sum(Decimal(row["credits"]) for row in rows if row["account_id"] == account)
    for by in ("resource-group", "user", "tag:team"):
        report = world.admin("ledger", "report", "--month", month, "--by", by, "--output", "json")
        assert Decimal(report["TotalCredits"]) == spent_in_month == sum(Decimal(row["Credits"]) for row in report["Rows"])
    world.until("everything to be sealed", lambda: "0 differences" in world.admin("ledger", "verify"))

    provider = own[0]["provider_name"]
    used = [row for row in rows if row["provider_name"] == provider and row["part"] == "0"]
    total = lambda name: sum(int(row[name]) for row in used)  # noqa: E731
    invoice = tmp_path / "invoice.csv"

    def compare(more: int) -> int:
        counts = [total("input_tokens") + more, total("cached_input_tokens"), total("output_tokens")]
        text = f"{MODEL},{month},{','.join(map(str, counts))}"
        invoice.write_text(f"model,period,input_tokens,cached_input_tokens,output_tokens\n{text}\n")
        return world.server.admin("ledger", "reconcile", "--provider", provider, "--invoice", str(invoice)).returncode

    assert (compare(0), compare(1)) == (0, 1)


HOUR = 3_600_000


def times(now: int) -> dict:
    return {"StartTime": (now - HOUR, now + HOUR), "EndTime": (now + HOUR, now - HOUR)}


def test_deductions_are_told_by_call(tenant, spent):
    one, other = spent
    entry = tenant.call("DescribeLedgerEntries", RuntimeIds=[one])["Entries"][0]
    answer = tenant.call("DescribeRunIdDeductions", InstanceIds=[one])
    row = answer["Deductions"][0]
    assert (row["RunId"], row["UsedTimeDecimal"]) == (entry["CallId"], entry["Credits"])
    assert (row["Model"], row["AgentType"], row["UsedTime"]) == (MODEL, "JVS_CLAW", 1)
    runs = lambda answer: [row["RunId"] for row in answer["Deductions"]]  # noqa: E731
    account = int(tenant.call("DescribeCreditUsageInfo", UsageType="User")["UsageInfoList"][0]["UsageInfoKey"])
    now = int(time.time() * 1000)
    rows = {
        "AgentType": ("JVSClaw", "OPEN_CLAW"),
        "AgentTypes": (["JVS_CLAW"], ["OpenClaw", "CREDIT_PACKAGE"]),
        "AliUid": (account, account + 1),
        "GroupResourceTypes": (["GROUP_CREDIT_PACKAGE"], ["GROUP_BUSINESS_CREDIT_PACKAGE"]),
        "InstanceIdType": ("AgentId", "KnowledgeSpaceId"),
        "InstanceIds": ([one], [other]),
        "PackageIds": ([row["PackageId"]], ["crp-none"]),
        "ResourceType": ("CreditPackage", "BusinessCreditPackage"),
        "ResourceTypes": (["CreditPackage"], ["CloudDesktop"]),
    }
    tenant.filters("DescribeRunIdDeductions", {"MaxResults": 1000}, runs, row["RunId"], rows | times(now))
    tenant.refused("DescribeRunIdDeductions", "InvalidAgentType", AgentType="Claw")
    tenant.pages_by_token("DescribeRunIdDeductions", {"InstanceIds": spent}, "Deductions")
    with tenant.claim("DescribeRunIdDeductions", "PageNum", "PageSize"):
        page = lambda n: tenant.call("DescribeRunIdDeductions", InstanceIds=[one], PageNum=n, PageSize=1)  # noqa: E731
        assert runs(page(1)) + runs(page(2)) == runs(answer) and page(2)["TotalCount"] == answer["TotalCount"] == 2
        tenant.refused("DescribeRunIdDeductions", "InvalidPageNum", PageNum=-1)
        tenant.refused("DescribeRunIdDeductions", "InvalidPageSize", PageSize=1001)


def test_deductions_are_told_by_pack_and_hour(tenant, spent):
    one, other = spent
    pack = tenant.call("DescribeRunIdDeductions", InstanceIds=[one])["Deductions"][0]["PackageId"]
    answer = tenant.call("DescribePackageDeductions", PackageIds=[pack], InstanceIds=[one])
    calls = tenant.call("DescribeRunIdDeductions", InstanceIds=[one])
    assert answer["TotalUsedTimeDecimal"] == calls["TotalUsedTimeDecimal"]
    assert [row["DesktopId"] for row in answer["Deductions"]] == [one] * answer["TotalCount"]
    ids = lambda answer: [row["DesktopId"] for row in answer["Deductions"]]  # noqa: E731
    now = int(time.time() * 1000)
    rows = {
        "PackageIds": ([pack], ["crp-none"]),
        "ResourceType": ("CreditPackage", "CorePackage"),
        "ResourceTypes": (["CreditPackage"], ["Desktop"]),
    }
    tenant.filters("DescribePackageDeductions", {}, ids, one, rows)
    tenant.filters("DescribePackageDeductions", {"PackageIds": [pack]}, ids, one, {"InstanceIds": ([one], [other])})
    with tenant.claim("DescribePackageDeductions", "StartTime", "EndTime"):
        look = lambda **more: ids(tenant.call("DescribePackageDeductions", **more))  # noqa: E731
        assert one in look(StartTime=now - HOUR, EndTime=now + HOUR)
        assert look(StartTime=now + HOUR, EndTime=now + 2 * HOUR) == look(EndTime=now - 2 * HOUR) == []
        tenant.refused("DescribePackageDeductions", "InvalidEndTime", StartTime=now, EndTime=now - HOUR)
    with tenant.claim("DescribePackageDeductions", "PageNum", "PageSize"):
        whole = look()
        first = tenant.call("DescribePackageDeductions", PageNum=1, PageSize=1)
        assert ids(first) == whole[:1] and first["TotalCount"] == len(whole)
        assert look(PageNum=2, PageSize=1) == whole[1:2]
        tenant.refused("DescribePackageDeductions", "InvalidPageSize", PageSize=101)
        tenant.refused("DescribePackageDeductions", "InvalidPageNum", PageNum=-1)
    tenant.refused("DescribePackageDeductions", "MissingPackageIds", InstanceIds=[one])


def test_deductions_are_added_up(tenant, spent):
    one, other = spent
    now = int(time.time() * 1000)
    look = lambda **more: tenant.call("DescribeDeductionStatistic", **more)["Data"]  # noqa: E731
    used = lambda **more: sum(day["ConsumeSecond"] for day in look(**more).get("Deductions", []))  # noqa: E731
    with tenant.claim("DescribeDeductionStatistic", "InstanceIds", "ResourceTypes"):
        assert used(InstanceIds=[one]) == 1 and used(InstanceIds=["ecd-none"]) == 0
        assert used(InstanceIds=[one], ResourceTypes=["CreditPackage"]) == 1
        assert used(ResourceTypes=["CloudDesktop"]) == 0
        packs = [pack["ResourceId"] for pack in look()["AvailableCorePackages"]]
        assert [pack["ResourceId"] for pack in look(InstanceIds=packs[:1])["AvailableCorePackages"]] == packs[:1]
    with tenant.claim("DescribeDeductionStatistic", "StartTime", "EndTime"):
        assert used(StartTime=now - HOUR, EndTime=now + HOUR) >= 1
        assert used(StartTime=now + HOUR, EndTime=now + 2 * HOUR) == used(EndTime=now - 48 * HOUR) == 0
        tenant.refused("DescribeDeductionStatistic", "InvalidEndTime", StartTime=now, EndTime=now)
    with tenant.claim("DescribeDeductionStatistic", "Periods.BaseTime", "Periods.PeriodUnit"):
        today, year = time.strftime("%Y-%m-%d", time.gmtime()), time.gmtime().tm_year
        asked = [(today, "Year"), (today, "Month"), (f"{year - 1}-01-01", "Year"), (f"{year - 1}-01-01", "Day")]
        periods = [{"BaseTime": base, "PeriodUnit": unit} for base, unit in asked]
        told = look(InstanceIds=[one], Periods=periods)["Usages"]
        assert [usage["Period"] for usage in told] == [base for base, _ in asked]
        assert [usage["ConsumeSecond"] for usage in told] == [1, 1, 0, 0]
        bad = [{"BaseTime": "soon", "PeriodUnit": "Year"}]
        tenant.refused("DescribeDeductionStatistic", "InvalidPeriods", Periods=bad)
        tenant.refused("DescribeDeductionStatistic", "InvalidPeriods", Periods=[{"BaseTime": today, "PeriodUnit": "Era"}])
