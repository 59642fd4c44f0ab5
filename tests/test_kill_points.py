"""kill -9 of the server at seeded random moments of a running flow, then a new start: nothing is lost or doubled.

Forty kills against one live OpenClaw, which must never notice more than a closed connection, and twelve while
runtimes are being created. CREEL_KILL_SEED replays a run.
"""

import os
import random
import threading
import time
import uuid
from collections import Counter

from alibabacloud_appstream_center20210901 import models as appstream

from harness import OPENCLAW_IMAGE, Server, until
from test_quota import PLENTY, set_quota

SEED = int(os.environ.get("CREEL_KILL_SEED", "20261124"))
LIVE_KILLS, CREATION_KILLS = 40, 12


class InFlight(threading.Thread):
    """A request that may be cut off by the kill: its answer, if one came."""

    def __init__(self, request):
        super().__init__(daemon=True)
        self.request, self.result, self.error = request, None, None
        self.start()

    def run(self):
        try:
            self.result = self.request()
        except Exception as error:  # the server is killed under it: any kind of broken connection is right
            self.error = error


def kill_with(server: Server, after: float, request) -> InFlight:
    flight = InFlight(request)
    time.sleep(after)
    server.restart()
    flight.join(40)
    assert not flight.is_alive(), "a request hangs though its server is gone"
    return flight


def running_or_done(server: Server, invocation: str) -> bool:
    message = server.own("DescribeAgentMessages", InvocationIds=[invocation])["Messages"][0]
    return message["Status"] != "Pending"


def test_forty_kills_beside_a_live_agent(server, upstream, runtime):
    rng = random.Random(SEED)
    set_quota(server, runtime, PLENTY)
    pid = server.agent_processes()[0].pid
    called_before = len(upstream.requests)
    entries_before = len({entry["CallId"] for entry in server.ledger(runtime)["Entries"]})
    group = server.agents.get_runtime_model_config(
        appstream.GetRuntimeModelConfigRequest(
            runtime_id=runtime, runtime_type="CloudDesktop", agent_provider="OpenClaw"
        )
    ).body.data.model_template_id
    sent, done = [], Counter()

    for number in range(LIVE_KILLS):
        kind = rng.choice(["message", "message", "message", "config", "config", "list"])
        done[kind] += 1
        moment = rng.random() * 0.6
        if kind == "message":
            # Once in a while the very sending is cut off; a client token makes it safe to send again.
            token = f"kill-{SEED}-{number}-{uuid.uuid4().hex}"
            send = lambda text=f"Say shrimp{number}.", token=token: server.message(runtime, text, ClientToken=token)
            if rng.random() < 0.3:
                first = kill_with(server, moment / 3, send).result
                second = send()
                assert first in (None, second), "one client token made two messages"
                sent.append(second)
            else:
                invocation = send()
                sent.append(invocation)
                end = time.monotonic() + 3
                while not running_or_done(server, invocation) and time.monotonic() < end:
                    time.sleep(0.02)
                time.sleep(moment)
                server.restart()
        elif kind == "config":
            update = appstream.UpdateModelTemplateRequest(model_template_id=group, description=f"edit {number}")
            bind = appstream.ConfigRuntimeModelTemplateRequest(
                model_template_id=group, runtime_ids=[runtime], runtime_type="CloudDesktop"
            )
            client = server.agents
            change = (
                (lambda: client.update_model_template(update))
                if rng.random() < 0.5
                else (lambda: client.config_runtime_model_template(bind))
            )
            kill_with(server, moment / 6, change)
        else:
            kill_with(server, moment / 6, server.runtimes)
        agents = server.agent_processes()
        assert [a.pid for a in agents] == [pid], f"kill {number} ({kind}): OpenClaw was restarted or doubled: {agents}"

    print(f"kills: {dict(done)}")
    assert [r.resource_id for r in server.runtimes()].count(runtime) == 1
    assert len({r.resource_id for r in server.runtimes()}) == len(server.runtimes())
    until("the agent to be Running", lambda: server.agent_status(runtime) == "Running", 60)
    # Every message has one end, however it ended.
    outcomes = Counter(server.answer(invocation, 150)["Status"] for invocation in sent)
    print(f"messages: {dict(outcomes)}")
    assert sum(outcomes.values()) == len(sent) == done["message"]

    last = server.answer(server.message(runtime, "Say periwinkle."))
    assert last["Status"] == "Succeeded" and "periwinkle" in last["Reply"], last
    assert [a.pid for a in server.agent_processes()] == [pid]

    def settled():
        entries = server.ledger(runtime)["Entries"][:]
        # A call may have an entry for its usage and a labelled one for an overrun, never two of a kind.
        kinds = Counter((entry["CallId"], entry.get("Label")) for entry in entries)
        assert max(kinds.values()) == 1, f"a call was billed twice: {kinds.most_common(3)}"
        return len({call for call, _ in kinds}) - entries_before >= len(upstream.requests) - called_before and entries

    # What reached the upstream is in the ledger: from its usage, or as an estimate that says so.
    entries = until("every upstream call to be settled or labelled", settled, 90, 1)
    print(f"ledger: {Counter(entry.get('Label') or 'settled' for entry in entries)}")
    check = server.admin("ledger", "check")
    assert (check.returncode, check.stdout.strip()) == (0, "0 differences"), check.stdout + check.stderr


def test_twelve_kills_during_creation(upstream, failures):
    """With driver none: what is tested is that a wish is recorded once or not at all, and that a retry may be made."""
    rng = random.Random(SEED + 1)
    server = Server("none", upstream.port, "sk-none")
    failed = True
    try:
        server.start()
        site = server.office_site("kill-site")
        wanted = []
        for number in range(CREATION_KILLS):
            query = {
                "RegionId": "cn-hangzhou",
                "OfficeSiteId": site,
                "DesktopName": f"created-{number}",
                "DesktopAttachment": f'{{"ImageId":"{OPENCLAW_IMAGE}","DesktopType":"cloud.space.4c.8g"}}',
                "PurchaseOptions": '{"MonthlyCredits":200}',
                "ClientToken": f"create-{SEED}-{number}",
                "Amount": "1",
            }
            create = lambda query=query: server.caller.call("2020-09-30", "CreateDesktops", query)
            first = kill_with(server, rng.random() * 0.03, create).result
            second = create()
            assert second.status == 200, second.raw
            if first is not None and first.status == 200:
                assert first.body["DesktopId"] == second.body["DesktopId"], "one client token made two runtimes"
            wanted += second.body["DesktopId"]
        found = sorted(d.desktop_id for d in server.desktops_list())
        assert found == sorted(wanted), "a runtime was lost or doubled"
        check = server.admin("ledger", "check")
        assert (check.returncode, check.stdout.strip()) == (0, "0 differences"), check.stdout + check.stderr
        failed = False
    finally:
        server.remove(keep=failed)
