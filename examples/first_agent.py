#!/usr/bin/env python3
"""From nothing to a billed answer, with the official SDKs and nothing of Creel's but the endpoint.

    pip install alibabacloud_ecd20200930 alibabacloud_appstream_center20210901 alibabacloud_wss20211221
    export CREEL_ENDPOINT=127.0.0.1:8080 CREEL_ACCESS_KEY_ID=… CREEL_ACCESS_KEY_SECRET=…
    python examples/first_agent.py "Say hello in one sentence."

CREEL_MODEL names a model of the operator's system provider (default qwen3.6-plus).
"""

import os
import sys
import time

from alibabacloud_appstream_center20210901 import models as appstream
from alibabacloud_appstream_center20210901.client import Client as AppstreamClient
from alibabacloud_ecd20200930 import models as ecd
from alibabacloud_ecd20200930.client import Client as EcdClient
from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_openapi.client import Client as GenericClient
from alibabacloud_wss20211221 import models as wss
from alibabacloud_wss20211221.client import Client as WssClient
from darabonba.runtime import RuntimeOptions

REGION = "cn-hangzhou"
OPENCLAW_ON_UBUNTU = "imgc-0ae8jvkn4tzatayay"
MODEL = os.environ.get("CREEL_MODEL", "qwen3.6-plus")
PATIENCE_SECONDS = 300  # a first start of OpenClaw takes 30 to 90 seconds

config = openapi.Config(
    access_key_id=os.environ["CREEL_ACCESS_KEY_ID"],
    access_key_secret=os.environ["CREEL_ACCESS_KEY_SECRET"],
    endpoint=os.environ["CREEL_ENDPOINT"].removeprefix("http://").removeprefix("https://"),
    protocol="https" if os.environ["CREEL_ENDPOINT"].startswith("https://") else "http",
    region_id=REGION,
    read_timeout=30_000,
)
desktops, agents, credits = EcdClient(config), AppstreamClient(config), WssClient(config)


def creel(action: str, **parameters) -> dict:
    """An operation of Creel's own, which the provider's API does not have, by the SDK's generic call."""
    flat = {}
    for name, value in parameters.items():
        if isinstance(value, list):
            flat.update({f"{name}.{n}": item for n, item in enumerate(value, start=1)})
        else:
            flat[name] = value
    params = openapi.Params(
        action=action, version="2026-11-24", protocol=config.protocol, method="POST", pathname="/",
        style="RPC", auth_type="AK", req_body_type="formData", body_type="json",
    )  # fmt: skip
    answer = GenericClient(config).call_api(params, openapi.OpenApiRequest(body=flat), RuntimeOptions())
    return answer["body"]


def wait_for(what: str, look, seconds: float = PATIENCE_SECONDS):
    """Asks until the answer is something, and says what it waits for."""
    started = time.monotonic()
    shown = None
    while True:
        done, state = look()
        if state != shown:
            print(f"   {what}: {state} after {time.monotonic() - started:.0f} s", flush=True)
            shown = state
        if done:
            return done
        if time.monotonic() - started > seconds:
            sys.exit(f"gave up after {seconds:.0f} s: {what} is still {state}")
        time.sleep(1)


def main() -> None:
    question = sys.argv[1] if len(sys.argv) > 1 else "Say hello in one sentence."
    suffix = f"{time.time_ns():x}"[-8:]  # names are unique in an account, and this may run twice

    print("1. an office site, in which agents live")
    site = desktops.create_simple_office_site(
        ecd.CreateSimpleOfficeSiteRequest(region_id=REGION, office_site_name=f"first-site-{suffix}")
    ).body.office_site_id
    print("  ", site)

    print("2. an OpenClaw agent with 200 credits a month")
    runtime = desktops.create_desktops(
        ecd.CreateDesktopsRequest(
            region_id=REGION,
            office_site_id=site,
            desktop_name=f"first-agent-{suffix}",
            desktop_attachment=ecd.CreateDesktopsRequestDesktopAttachment(
                image_id=OPENCLAW_ON_UBUNTU, desktop_type="cloud.space.4c.8g"
            ),
            purchase_options=ecd.CreateDesktopsRequestPurchaseOptions(monthly_credits=200),
            charge_type="PostPaid",
            amount=1,
        )
    ).body.desktop_id[0]
    print("  ", runtime)

    print("3. a model group with the operator's credit provider and one model")
    group = agents.create_model_template(
        appstream.CreateModelTemplateRequest(agent_provider="OpenClaw", biz_type=1, name=f"first-group-{suffix}")
    ).body.data.model_template_id
    provider = agents.create_model_provider_template(
        appstream.CreateModelProviderTemplateRequest(
            agent_provider="OpenClaw",
            biz_type=1,
            model_template_id=group,
            provider_type="WuyingCredit",
            provider_name="wuying-credit",
            enable_wuying_proxy=True,  # the agent gets a key of its own and never sees the provider's
        )
    ).body.data.provider_template_id
    item = appstream.BatchCreateLlmTemplatesRequestLlmTemplateItems(llm_code=MODEL, name=MODEL, is_default_model=True)
    created = agents.batch_create_llm_templates(
        appstream.BatchCreateLlmTemplatesRequest(
            model_template_id=group, provider_template_id=provider, llm_template_items=[item]
        )
    ).body.data
    print("  ", group, provider, *created.llm_template_ids)

    print("4. give the group to the agent")
    outcome = agents.config_runtime_model_template(
        appstream.ConfigRuntimeModelTemplateRequest(
            model_template_id=group, runtime_ids=[runtime], runtime_type="CloudDesktop"
        )
    ).body.data[0]
    if not outcome.success:
        sys.exit(f"the group was refused: {outcome.code} {outcome.message}")

    def running():
        found = agents.list_desktop_agent_runtime(
            appstream.ListDesktopAgentRuntimeRequest(resource_ids=[runtime], agent_provider="OpenClaw")
        ).body.data
        instances = found[0].agent_instance_info_list if found else []
        status = instances[0].agent_instance_status if instances else "not there yet"
        return status == "Running", status

    def applied():
        models = agents.get_runtime_model_config(
            appstream.GetRuntimeModelConfigRequest(
                runtime_id=runtime, runtime_type="CloudDesktop", agent_provider="OpenClaw", include_risk_info=True
            )
        ).body.data
        risks = {llm.risk_type for each in models.model_provider_list or [] for llm in each.llm_info_list or []}
        return risks == {"Normal"}, f"{models.default_model} {' '.join(sorted(filter(None, risks)))}"

    wait_for("the agent", running)
    wait_for("its models", applied)

    print("5. a limit of 100 credits for this agent")
    credits.set_agent_credit_quota(
        wss.SetAgentCreditQuotaRequest(agent_ids=[runtime], agent_type="OPEN_CLAW", credit_quota=100)
    )

    print("6. one message:", question)
    sent = creel("SendAgentMessage", RuntimeId=runtime, Message=question)["InvocationId"]

    def answered():
        message = creel("DescribeAgentMessages", InvocationIds=[sent])["Messages"][0]
        return message["Status"] in ("Succeeded", "Failed") and message, message["Status"]

    message = wait_for("the answer", answered)
    if message["Status"] == "Failed":
        sys.exit(f"the agent could not answer: {message.get('ErrorMessage')}")
    print("   answer:", message["Reply"])

    print("7. what it cost")
    ledger = creel("DescribeLedgerEntries", RuntimeIds=[runtime])
    for entry in ledger["Entries"]:
        tokens = f"{entry['InputTokens']} in ({entry['CachedInputTokens']} cached), {entry['OutputTokens']} out"
        print(f"   {entry['LlmCode']}: {tokens} = {entry['Credits']} credits")
    usage = credits.describe_credit_usage_info(
        wss.DescribeCreditUsageInfoRequest(usage_type="Agent", instance_ids=[runtime])
    ).body.usage_info_list[0].usage_info  # fmt: skip
    print(f"   deducted: {ledger['TotalCredits']} credits; remaining of this agent's quota: {usage.remain_credit}")
    print(f"runtime: {runtime}")


if __name__ == "__main__":
    main()
