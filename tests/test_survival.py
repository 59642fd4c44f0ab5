"""kill -9 of each part: everything comes back by itself, and the status is true meanwhile."""

import os
import signal

from harness import OPENCLAW_SECONDS, until


def the_one(found: list):
    assert len(found) == 1, found
    return found[0]


def answers(server, runtime: str, word: str):
    message = server.answer(server.message(runtime, f"Say {word}."))
    assert message["Status"] == "Succeeded" and word in message["Reply"], message


def test_the_server_dies_and_no_agent_notices(server, runtime):
    agent, guest = the_one(server.agent_processes()), the_one(server.guests())
    server.restart()
    until("the guest to be back", lambda: server.agent_status(runtime) == "Running", 60)
    answers(server, runtime, "anemone")
    assert (the_one(server.agent_processes()).pid, the_one(server.guests()).pid) == (agent.pid, guest.pid)


def test_a_guest_dies_and_its_successor_adopts_the_agent(server, runtime):
    agent, guest = the_one(server.agent_processes()), the_one(server.guests())
    os.kill(guest.pid, signal.SIGKILL)
    until("another guest", lambda: [g for g in server.guests() if g.pid != guest.pid], 60)
    until("the status to be Running", lambda: server.agent_status(runtime) == "Running", 60)
    answers(server, runtime, "barnacle")
    assert the_one(server.agent_processes()).pid == agent.pid, "the agent was restarted"


def test_openclaw_dies_and_is_started_again(server, runtime):
    agent = the_one(server.agent_processes())
    os.kill(agent.pid, signal.SIGKILL)
    seen = until("the status to tell", lambda: (s := server.agent_status(runtime)) != "Running" and s, 20, 0.02)
    assert seen in ("Starting", "Stopped", "Unavailable", "Deployed"), seen
    until("OpenClaw to run again", lambda: server.agent_status(runtime) == "Running", OPENCLAW_SECONDS, 0.5)
    assert the_one(server.agent_processes()).pid != agent.pid
    answers(server, runtime, "crayfish")
