"""The main job: the published example, unchanged, against a real server and a real OpenClaw."""

import re
from decimal import Decimal

from alibabacloud_appstream_center20210901 import models as appstream
from alibabacloud_wss20211221 import models as wss


def test_the_example_gets_a_billed_answer(first_run, server, upstream):
    assert first_run.exit_code == 0, first_run.output
    assert re.search(r"answer: .*lobster", first_run.output, re.S), first_run.output
    assert re.search(r"deducted: \d+(\.\d+)? credits", first_run.output), first_run.output
    assert upstream.requests, "the answer did not come through the gateway"


def test_credits_are_exactly_tokens_times_price(runtime, server):
    ledger = server.ledger(runtime)
    assert ledger["Entries"]
    for entry in ledger["Entries"]:
        price = (
            entry["InputTokens"] * Decimal("0.2")
            + entry["CachedInputTokens"] * Decimal("0.02")
            + entry["OutputTokens"] * Decimal("1.2")
        ) / 1000
        assert price > 0 and Decimal(entry["Credits"]) == price, entry
    assert Decimal(ledger["TotalCredits"]) == sum(Decimal(e["Credits"]) for e in ledger["Entries"])


def test_the_integers_round_against_the_agent(runtime, server):
    """Used rounds up and remaining down; the texts are exact."""
    total = Decimal(server.ledger(runtime)["TotalCredits"])
    request = wss.DescribeCreditUsageInfoRequest(usage_type="Agent", instance_ids=[runtime])
    usage = server.credits.describe_credit_usage_info(request).body.usage_info_list[0].usage_info
    assert usage.total_used_credit >= total > usage.total_used_credit - 1
    assert Decimal(usage.total_used) == total
    assert usage.remain_credit <= 100 - total < usage.remain_credit + 1


def test_the_ledger_adds_up(runtime, server):
    check = server.admin("ledger", "check")
    assert (check.returncode, check.stdout.strip()) == (0, "0 differences"), check.stderr


def test_the_legacy_sdk_lists_runtimes(runtime, server):
    """The older signature, as the core SDK writes it."""
    import json

    from aliyunsdkcore.client import AcsClient
    from aliyunsdkcore.request import CommonRequest

    client = AcsClient(server.key_id, server.secret, "cn-hangzhou")
    for method in ("GET", "POST"):
        request = CommonRequest(server.endpoint, "2021-09-01", "ListDesktopAgentRuntime")
        request.set_protocol_type("http")
        request.set_method(method)
        request.add_query_param("AgentProvider", "OpenClaw")
        answer = json.loads(client.do_action_with_exception(request))
        assert runtime in [each["ResourceId"] for each in answer["Data"]], answer


def test_models_show_what_they_cost(runtime, server):
    """What the operator's configuration says of a model stands beside it, as text that is exact."""
    config = server.agents.get_runtime_model_config(
        appstream.GetRuntimeModelConfigRequest(
            runtime_id=runtime, runtime_type="CloudDesktop", agent_provider="OpenClaw"
        )
    ).body.data
    assert config.model_provider_list[0].llm_info_list[0].credit_multiplier.max == 1
    listed = server.agents.list_llm_templates(
        appstream.ListLlmTemplatesRequest(model_template_id=config.model_template_id)
    ).body.data
    shown = {price.price_name: price.price for price in listed[0].prices[0].prices}
    assert shown == {"Input": "0.200000", "CachedInput": "0.020000", "CacheWrite": "0.200000", "Output": "1.200000"}
