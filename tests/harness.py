"""A real Creel for the tests: starts it, kills it, asks it, and looks at its processes as the kernel sees them."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from alibabacloud_appstream_center20210901 import models as appstream
from alibabacloud_appstream_center20210901.client import Client as AppstreamClient
from alibabacloud_ecd20200930 import models as ecd
from alibabacloud_ecd20200930.client import Client as EcdClient
from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_openapi.client import Client as GenericClient
from alibabacloud_wss20211221.client import Client as WssClient
from darabonba.runtime import RuntimeOptions

from signing import Caller

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("CREEL_BIN", ROOT / "target/debug/creel"))
OPENCLAW_IMAGE = "imgc-0ae8jvkn4tzatayay"
MODEL = "qwen3.6-plus"
OWN_VERSION = "2026-11-24"
# Entries gather for 200 ms before they are rows, and their transaction takes a while.
ROWS_SECONDS = 0.4
# A start of OpenClaw beside a build on two cores.
OPENCLAW_SECONDS = 240


def until(what: str, look, seconds: float, pause: float = 0.1):
    """The first true answer of `look`, or a failure that says what was waited for and what was seen last."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s for {what}; last seen: {seen!r}")
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def open_port(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A process as /proc shows it now."""

    def __init__(self, pid: int):
        self.pid = pid
        folder = Path("/proc") / str(pid)
        self.arguments = folder.joinpath("cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        self.environment = folder.joinpath("environ").read_bytes().decode(errors="replace")
        stat = folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()
        self.state, self.started = stat[0], int(stat[19])
        # An agent sees its folder at a place of its own: which folder that is, its list of mounts tells.
        self.mounts = folder.joinpath("mountinfo").read_text()

    @property
    def command(self) -> str:
        return " ".join(self.arguments)

    def belongs_to(self, data: Path) -> bool:
        return any(data.name in text for text in (self.command, self.environment, self.mounts))

    def is_guest(self) -> bool:
        return os.path.basename(self.arguments[0]) == "creel" and "guest" in self.arguments[1:]

    def is_agent(self) -> bool:
        """OpenClaw's gateway: before it names itself, and after."""
        return self.command.startswith("openclaw-gateway") or (
            "openclaw" in self.command and "gateway" in self.arguments and not self.is_guest()
        )

    def __repr__(self):
        return f"<{self.pid} {self.command[:100]}>"


def processes() -> list[Process]:
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            process = Process(int(entry))
        except OSError:
            continue  # gone meanwhile, or not ours to read
        if process.state != "Z":
            found.append(process)
    return found


class Upstream:
    """Stands before echo-llm and remembers what reached it: what is not remembered here was never called."""

    def __init__(self, target_port: int):
        self.requests: list[dict] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                upstream.requests.append({"path": self.path, "headers": self.headers, "body": body})
                self.pass_on(body)

            def do_GET(self):
                self.pass_on(b"")

            def pass_on(self, body: bytes):
                connection = HTTPConnection("127.0.0.1", target_port, timeout=60)
                hop = ("host", "connection", "content-length", "transfer-encoding")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
                connection.request(self.command, self.path, body=body or None, headers=headers)
                response = connection.getresponse()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in hop:
                        self.send_header(name, value)
                self.send_header("connection", "close")
                self.end_headers()
                self.close_connection = True
                try:
                    while chunk := response.read1(65536):
                        self.wfile.write(chunk)
                        self.wfile.flush()
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the caller was killed: that is what many of these tests do
                finally:
                    connection.close()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class EchoLlm:
    def __init__(self, delay_ms: int = 0, chunks: int = 4):
        self.port = free_port()
        self.process = subprocess.Popen(
            [BINARY, "echo-llm", "--listen", f"127.0.0.1:{self.port}", "--delay-ms", str(delay_ms), "--chunks", str(chunks)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until("echo-llm to listen", lambda: open_port(self.port), 20, 0.02)

    def close(self):
        self.process.kill()
        self.process.wait()


class Server:
    """`creel serve` with a data folder of its own. It keeps its ports over restarts, as an installed one does."""

    def __init__(
        self,
        driver: str,
        upstream_port: int,
        provider_key: str,
        api: str = "openai-completions",
        database: str | None = None,
        beside: "Server | None" = None,
        variables: dict | None = None,
    ):
        """Over a SQLite of its own, or over `database`; `beside` is another server over the same database."""
        self.variables = variables or {}
        # Not pytest's own folder: that is closed to other users, and agents run as other users.
        self.data = Path(tempfile.mkdtemp(prefix="creel-test-"))
        self.data.chmod(0o755)
        self.driver, self.api = driver, api
        self.provider_key = provider_key
        self.key_id, self.secret = "LTAI" + secrets.token_hex(8), secrets.token_hex(16)
        self.database = database
        if beside:
            self.key_id, self.secret = beside.key_id, beside.secret
            # As an operator gives them to each process of an installation.
            for name in ("master.key", "audit.key"):
                shutil.copy(beside.data / name, self.data / name)
        self.log = self.data / "server.log"
        self.process = None
        self.starts = 0
        self.admin_listen = self.agent_listen = "127.0.0.1:0"
        self.config = self.data / "creel.toml"
        # As the SDKs of each dialect have it.
        path = "" if api == "anthropic-messages" else "/v1"
        self.config.write_text(
            f"""
[[system_provider]]
name = "wuying-credit"
base_url = "http://127.0.0.1:{upstream_port}{path}"
api = "{api}"
api_key_env = "CREEL_TEST_PROVIDER_KEY"

[[system_provider.model]]
code = "{MODEL}"
name = "Qwen3.6-Plus"
context_window = 200000
max_output_tokens = 8192
multiplier = 1
price = {{ input = "0.2", cached_input = "0.02", output = "1.2" }}
"""
        )

    @property
    def environment(self) -> dict:
        return os.environ | {
            "CREEL_ROOT_ACCESS_KEY_ID": self.key_id,
            "CREEL_ROOT_ACCESS_KEY_SECRET": self.secret,
            "CREEL_TEST_PROVIDER_KEY": self.provider_key,
        } | ({"CREEL_DATABASE": self.database} if self.database else {}) | self.variables

    def start(self, seconds: float = 60) -> "Server":
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    BINARY, "serve", "--data-dir", self.data, "--config", self.config, "--driver", self.driver,
                    "--admin-listen", self.admin_listen, "--agent-listen", self.agent_listen,
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # As under a service manager: a signal to the tests' group is not for it.
                start_new_session=True,
            )  # fmt: skip
        self.starts += 1
        lines: list[bytes] = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(seconds)
        if not lines or not lines[0]:
            self.kill()
            raise AssertionError(f"no ready line within {seconds} s; the log ends:\n{self.log_tail()}")
        ready = json.loads(lines[0])
        assert ready["event"] == "ready", ready
        self.endpoint = ready["admin"].removeprefix("http://")
        self.admin_listen, self.agent_listen = self.endpoint, ready["agent"].removeprefix("http://")
        # Whatever else it prints must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return self

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds: float = 30):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"creel serve did not end within {seconds} s of SIGTERM") from None

    def restart(self):
        self.kill()
        self.start()

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def processes(self) -> list[Process]:
        """Its guests and agents and what they started, itself and ours apart."""
        own = {self.process.pid if self.process else 0, os.getpid()}
        return [p for p in processes() if p.pid not in own and p.belongs_to(self.data)]

    def guests(self) -> list[Process]:
        return [p for p in self.processes() if p.is_guest()]

    def agent_processes(self) -> list[Process]:
        return [p for p in self.processes() if p.is_agent()]

    def remove(self, keep: bool = False):
        """Ends everything, by the API first and by force for what is left. What was left is the failure."""
        left = []
        try:
            if self.process and self.process.poll() is None:
                ids = [d.desktop_id for d in self.desktops_list()]
                if ids:
                    self.desktops.delete_desktops(ecd.DeleteDesktopsRequest(region_id="cn-hangzhou", desktop_id=ids))
                    end = time.monotonic() + 60
                    while self.processes() and time.monotonic() < end:
                        time.sleep(0.2)
                self.stop()
        finally:
            left = self.processes()
            for process in left:
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.kill()
            if keep or left:
                print(f"logs are kept in {self.data}", file=sys.stderr)
            else:
                shutil.rmtree(self.data, ignore_errors=True)
        assert not left, f"these outlived their runtime: {left}"

    # -- asking it ---------------------------------------------------------------------------------------------

    def sdk_config(self) -> openapi.Config:
        return openapi.Config(
            access_key_id=self.key_id,
            access_key_secret=self.secret,
            endpoint=self.endpoint,
            protocol="http",
            region_id="cn-hangzhou",
            connect_timeout=5000,
            read_timeout=30000,
        )

    @property
    def desktops(self) -> EcdClient:
        return EcdClient(self.sdk_config())

    @property
    def agents(self) -> AppstreamClient:
        return AppstreamClient(self.sdk_config())

    @property
    def credits(self) -> WssClient:
        return WssClient(self.sdk_config())

    @property
    def caller(self) -> Caller:
        return Caller(self.endpoint, self.key_id, self.secret)

    def own(self, action: str, **parameters) -> dict:
        """An operation of Creel's own version, by the SDK's generic call."""
        flat = {}
        for name, value in parameters.items():
            if isinstance(value, list):
                flat |= {f"{name}.{n}": item for n, item in enumerate(value, start=1)}
            else:
                flat[name] = value
        params = openapi.Params(
            action=action, version=OWN_VERSION, protocol="http", method="POST", pathname="/", style="RPC",
            auth_type="AK", req_body_type="formData", body_type="json",
        )  # fmt: skip
        request = openapi.OpenApiRequest(body=flat)
        return GenericClient(self.sdk_config()).call_api(params, request, RuntimeOptions())["body"]

    def admin(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BINARY, "admin", *arguments],
            env=self.environment | {"CREEL_DATA_DIR": str(self.data), "CREEL_CONFIG": str(self.config)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            cwd="/",
        )

    def desktops_list(self) -> list:
        found, token = [], None
        while True:
            page = self.desktops.describe_desktops(
                ecd.DescribeDesktopsRequest(region_id="cn-hangzhou", max_results=100, next_token=token)
            ).body
            found += page.desktops or []
            token = page.next_token
            if not token:
                return found

    def runtimes(self) -> list:
        request = appstream.ListDesktopAgentRuntimeRequest(agent_provider="OpenClaw", page_size=100)
        return self.agents.list_desktop_agent_runtime(request).body.data

    def agent_status(self, runtime: str) -> str:
        request = appstream.ListDesktopAgentRuntimeRequest(agent_provider="OpenClaw", resource_ids=[runtime])
        found = self.agents.list_desktop_agent_runtime(request).body.data
        instances = found[0].agent_instance_info_list if found else []
        return instances[0].agent_instance_status if instances else "none"

    def message(self, runtime: str, text: str, **more) -> str:
        return self.own("SendAgentMessage", RuntimeId=runtime, Message=text, **more)["InvocationId"]

    def answer(self, invocation: str, seconds: float = 120) -> dict:
        def done():
            message = self.own("DescribeAgentMessages", InvocationIds=[invocation])["Messages"][0]
            return message if message["Status"] in ("Succeeded", "Failed") else None

        return until(f"an answer to {invocation}", done, seconds, 0.2)

    def ledger(self, runtime: str) -> dict:
        """Every entry of calls that have ended, newest page first, and the server's own total."""
        time.sleep(ROWS_SECONDS)
        entries, more = [], {}
        while True:
            page = self.own("DescribeLedgerEntries", RuntimeIds=[runtime], MaxResults=100, **more)
            entries += page["Entries"]
            if not page.get("NextToken"):
                return {"Entries": entries, "TotalCredits": page["TotalCredits"]}
            more = {"NextToken": page["NextToken"]}

    def credit_group(self, name: str) -> str:
        """A model group with the operator's model in it."""
        agents = self.agents
        group = agents.create_model_template(
            appstream.CreateModelTemplateRequest(agent_provider="OpenClaw", biz_type=1, name=name)
        ).body.data.model_template_id
        provider = agents.create_model_provider_template(
            appstream.CreateModelProviderTemplateRequest(
                agent_provider="OpenClaw", biz_type=1, model_template_id=group, enable_wuying_proxy=True,
                provider_type="WuyingCredit", provider_name="wuying-credit",
            )
        ).body.data.provider_template_id  # fmt: skip
        item = appstream.BatchCreateLlmTemplatesRequestLlmTemplateItems(llm_code=MODEL, name=MODEL)
        agents.batch_create_llm_templates(
            appstream.BatchCreateLlmTemplatesRequest(
                model_template_id=group, provider_template_id=provider, llm_template_items=[item]
            )
        )
        return group

    def bind(self, group: str, runtime: str):
        """Gives a runtime the models of a group."""
        request = appstream.ConfigRuntimeModelTemplateRequest(
            model_template_id=group, runtime_ids=[runtime], runtime_type="CloudDesktop"
        )
        outcome = self.agents.config_runtime_model_template(request).body.data[0]
        assert outcome.success, outcome

    def runtime_with_models(self, name: str, credits: int) -> str:
        """A runtime with credits of its own and the operator's model."""
        request = ecd.CreateDesktopsRequest(
            region_id="cn-hangzhou", office_site_id=self.office_site(name), amount=1, charge_type="PostPaid",
            desktop_attachment=ecd.CreateDesktopsRequestDesktopAttachment(
                image_id=OPENCLAW_IMAGE, desktop_type="cloud.space.4c.8g"
            ),
            purchase_options=ecd.CreateDesktopsRequestPurchaseOptions(monthly_credits=credits),
        )  # fmt: skip
        runtime = self.desktops.create_desktops(request).body.desktop_id[0]
        self.bind(self.credit_group(name), runtime)
        return runtime

    def person_key(self, runtime: str) -> str:
        """A key for a person's own programs, of this runtime."""
        made = self.admin("agent-key", runtime)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def office_site(self, name: str) -> str:
        request = ecd.CreateSimpleOfficeSiteRequest(region_id="cn-hangzhou", office_site_name=name)
        return self.desktops.create_simple_office_site(request).body.office_site_id
