"""Chat channels of agents."""

import json

from driver import happy
from test_runtime import agent, make

NAMED = {"AgentProvider": "OpenClaw", "RuntimeType": "CloudDesktop"}
SECRET = "conformance-secret"


def bot(t) -> str:
    return json.dumps({"appKey": t.name("bot"), "appSecret": SECRET})


@happy("ConfigRuntimeChannel")
def configure(t):
    return NAMED | {"Code": "dingtalk-connector", "Config": bot(t), "RuntimeIds": [make(t)]}


@happy("RemoveRuntimeChannel")
def remove(t):
    parameters = configure(t)
    t.call("ConfigRuntimeChannel", parameters)
    return NAMED | {"Code": parameters["Code"], "RuntimeIds": parameters["RuntimeIds"]}


@happy("GetRuntimeChannel")
def get(t):
    return NAMED | {"RuntimeId": remove(t)["RuntimeIds"][0]}


def shown(t, runtime: str, code: str = "dingtalk-connector") -> dict:
    channels = t.call("GetRuntimeChannel", NAMED, RuntimeId=runtime, IncludeRiskInfo=True)["Data"]
    return next(channel for channel in channels if channel["Code"] == code)


def test_a_channel_is_shown_as_it_was_configured(tenant):
    custom = json.dumps({"enabled": True, "appId": "feishu-bot", "appSecret": SECRET})
    with tenant.claim("ConfigRuntimeChannel", "AgentProvider", "Code", "Config", "ConfigMode", "RuntimeIds", "RuntimeType"):
        parameters = configure(tenant)
        [runtime] = parameters["RuntimeIds"]
        assert shown(tenant, runtime)["Status"] == "Unconfigured"
        tenant.call("ConfigRuntimeChannel", parameters)
        told = shown(tenant, runtime)
        assert (told["Status"], told["ConfigMode"], told["RiskType"]) == ("Configured", "Simple", "Pending")
        assert json.loads(told["Config"])["appKey"] == json.loads(parameters["Config"])["appKey"]
        tenant.call("ConfigRuntimeChannel", parameters, Code="feishu", Config=custom, ConfigMode="Custom")
        assert shown(tenant, runtime, "feishu")["ConfigMode"] == "Custom"
        assert agent(tenant, runtime)["ChannelConfiguredList"] == ["dingtalk-connector", "feishu"]
        assert SECRET not in str(tenant.call("GetRuntimeChannel", NAMED, RuntimeId=runtime))
        tenant.refused("ConfigRuntimeChannel", "InvalidRuntimeType", parameters, RuntimeType="Toaster")
        tenant.refused("ConfigRuntimeChannel", "InvalidCode", parameters, Code="pager")
        tenant.refused("ConfigRuntimeChannel", "InvalidConfigMode", parameters, ConfigMode="Expert")
        tenant.refused("ConfigRuntimeChannel", "InvalidConfig", parameters, Config="{}")
        tenant.refused("ConfigRuntimeChannel", "Runtime.NotFound", parameters, AgentProvider="HermesAgent")
    with tenant.claim("ConfigRuntimeChannel", "Name"):
        tenant.call("ConfigRuntimeChannel", parameters, Name="our bot")
        tenant.refused("ConfigRuntimeChannel", "InvalidName", parameters, Name=" ")
    taken = tenant.refused("ConfigRuntimeChannel", "Channel.BotInUse", parameters, RuntimeIds=[make(tenant)])
    assert runtime in taken["Message"]


def test_a_channel_is_found_and_taken_away(tenant):
    with tenant.claim("GetRuntimeChannel", "AgentProvider", "IncludeRiskInfo", "RuntimeId", "RuntimeType"):
        parameters = get(tenant)
        told = tenant.call("GetRuntimeChannel", parameters)
        assert told["TotalCount"] == len(told["Data"]) == 5
        assert not any("RiskType" in channel for channel in told["Data"])
        assert shown(tenant, parameters["RuntimeId"])["RiskType"] == "Pending"
        tenant.refused("GetRuntimeChannel", "Runtime.NotFound", parameters, AgentProvider="HermesAgent")
        tenant.refused("GetRuntimeChannel", "Runtime.NotFound", parameters, RuntimeId="ecd-none")
        tenant.refused("GetRuntimeChannel", "InvalidRuntimeType", parameters, RuntimeType="Toaster")
    with tenant.claim("RemoveRuntimeChannel", "AgentProvider", "Code", "RuntimeIds", "RuntimeType"):
        parameters = remove(tenant)
        [runtime] = parameters["RuntimeIds"]
        tenant.refused("RemoveRuntimeChannel", "InvalidRuntimeType", parameters, RuntimeType="Toaster")
        tenant.refused("RemoveRuntimeChannel", "Runtime.NotFound", parameters, AgentProvider="HermesAgent")
        tenant.call("RemoveRuntimeChannel", parameters, Code="feishu")
        assert shown(tenant, runtime)["Status"] == "Configured"
        tenant.call("RemoveRuntimeChannel", parameters)
        assert shown(tenant, runtime)["Status"] == "Unconfigured"
