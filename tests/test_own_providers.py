"""A real OpenClaw whose provider speaks another dialect than chat completions: it speaks that one to the gateway.

After `test_first_agent` in the order of names: what the shared agent spends there is counted to the last credit.
"""

import json
import secrets

import pytest
from alibabacloud_appstream_center20210901 import models as appstream

from harness import until
from test_quota import PLENTY, set_quota


def models_of(server, runtime: str):
    return server.agents.get_runtime_model_config(
        appstream.GetRuntimeModelConfigRequest(
            runtime_id=runtime, runtime_type="CloudDesktop", agent_provider="OpenClaw", include_risk_info=True
        )
    ).body.data


def applied(server, runtime: str, group: str) -> bool:
    """The agent uses the models of this group."""
    config = models_of(server, runtime)
    risks = {model.risk_type for provider in config.model_provider_list or [] for model in provider.llm_info_list}
    return config.model_template_id == group and risks == {"Normal"}


def group_of_ones_own(server, api: str, upstream_port: int, key: str) -> str:
    """A group whose only provider is the customer's, with one model."""
    agents = server.agents
    group = agents.create_model_template(
        appstream.CreateModelTemplateRequest(agent_provider="OpenClaw", biz_type=1, name=api + secrets.token_hex(4))
    ).body.data.model_template_id
    path = "" if api == "anthropic-messages" else "/v1"
    config = {"api": api, "apiKey": key, "baseUrl": f"http://127.0.0.1:{upstream_port}{path}"}
    provider = agents.create_model_provider_template(
        appstream.CreateModelProviderTemplateRequest(
            agent_provider="OpenClaw", biz_type=1, model_template_id=group, provider_type="Custom",
            provider_name="provider-own", enable_wuying_proxy=True, config=json.dumps(config),
        )
    ).body.data.provider_template_id  # fmt: skip
    item = appstream.BatchCreateLlmTemplatesRequestLlmTemplateItems(llm_code="echo", name="Echo")
    agents.batch_create_llm_templates(
        appstream.BatchCreateLlmTemplatesRequest(
            model_template_id=group, provider_template_id=provider, llm_template_items=[item]
        )
    )
    return group


@pytest.mark.parametrize(
    "api, path, header",
    [
        ("anthropic-messages", "/v1/messages", "x-api-key"),
        ("openai-responses", "/v1/responses", "authorization"),
    ],
)
def test_an_agent_speaks_the_dialect_of_its_provider(server, upstream, runtime, api, path, header):
    before = models_of(server, runtime).model_template_id
    key = "sk-own-" + secrets.token_hex(8)
    group = group_of_ones_own(server, api, upstream.port, key)
    entries = {entry["EntryId"] for entry in server.ledger(runtime)["Entries"]}
    server.bind(group, runtime)
    try:
        until("the agent to use its new models", lambda: applied(server, runtime, group), 120, 0.5)
        called = len(upstream.requests)
        answer = server.answer(server.message(runtime, f"Say lobster in {api}."))
        assert answer["Status"] == "Succeeded" and answer["Reply"] == f"Say lobster in {api}.", answer
        sent = upstream.requests[called:]
        assert {each["path"] for each in sent} == {path}, sent
        assert all(each["headers"][header].endswith(key) for each in sent)
        new = [entry for entry in server.ledger(runtime)["Entries"] if entry["EntryId"] not in entries]
        assert len(new) == len(sent) and all(entry["InputTokens"] > 1_000 for entry in new), new
        assert {(entry["ProviderName"], entry["LlmCode"]) for entry in new} == {("provider-own", "echo")}

        # A refusal is a text that its person can read, in this dialect too.
        set_quota(server, runtime, 1)
        called = len(upstream.requests)
        refused = server.answer(server.message(runtime, "Are you there?"))
        assert "quota" in refused["Reply"].lower() and len(upstream.requests) == called, refused
    finally:
        set_quota(server, runtime, PLENTY)
        server.bind(before, runtime)
        until("the agent to use its old models", lambda: applied(server, runtime, before), 120, 0.5)
