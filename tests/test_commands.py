"""Scripts in a real sandbox, by the official SDK: at its first start, on demand, and over hibernation."""

from alibabacloud_ecd20200930 import models as ecd

from harness import until

REGION = "cn-hangzhou"


def invocations(server, **what) -> list[dict]:
    request = ecd.DescribeInvocationsRequest(
        region_id=REGION, include_output=True, content_encoding="PlainText", **what
    )
    return server.desktops.describe_invocations(request).body.to_map()["Invocations"]


def finished(server, **what) -> list[dict]:
    def ended():
        found = invocations(server, **what)
        return all(one["InvocationStatus"] not in ("Pending", "Running") for one in found) and found

    return until("the commands to end", ended, 60)


def run(server, runtime: str, script: str, **more) -> dict:
    request = ecd.RunCommandRequest(
        region_id=REGION, desktop_id=[runtime], type="RunShellScript", command_content=script, **more
    )
    invoke_id = server.desktops.run_command(request).body.invoke_id
    return finished(server, invoke_id=invoke_id)[0]["InvokeDesktops"][0]


def flag(server, runtime: str) -> str:
    found = server.desktops.describe_desktops(ecd.DescribeDesktopsRequest(region_id=REGION, desktop_id=[runtime]))
    desktop = found.body.desktops[0]
    return f"{desktop.desktop_status} {desktop.management_flags[0]}"


def test_a_command_is_the_agents_own(server, runtime):
    agent = server.agent_processes()[0]
    # What it runs as is what the agent runs as, and it sees the agent's files and not the server's.
    seen = run(server, runtime, f"id -u; grep ^Uid /proc/{agent.pid}/status | cut -f2; pwd; cat {server.data}/master.key")
    own, agents, directory, *rest = seen["Output"].splitlines()
    assert own == agents and directory.endswith("/workspace"), seen
    assert seen["ErrorCode"] == "ExitCodeNonzero" and len(rest) == 1 and "master.key" in rest[0], seen

    late = run(server, runtime, "sleep 1000 & echo begun; wait", timeout=1)
    assert (late["ErrorCode"], late["Output"]) == ("ExecutionTimeout", "begun\n"), late
    assert [process.pid for process in server.agent_processes()] == [agent.pid], "the agent is not disturbed"


def test_a_first_start_runs_its_commands_and_files_outlive_hibernation(server):
    command = ecd.CreateDesktopsRequestUserCommands
    request = ecd.CreateDesktopsRequest(
        region_id=REGION,
        office_site_id=server.office_site("commands"),
        bundle_id="b-openclaw-linux",
        user_commands=[
            command(content="echo first > made", content_encoding="PlainText", content_type="RunShellScript"),
            command(content="cat made", content_encoding="PlainText", content_type="RunShellScript"),
        ],
    )
    runtime = server.desktops.create_desktops(request).body.desktop_id[0]
    try:
        done = finished(server, desktop_id=runtime)
        assert {one["CommandContent"]: one["InvokeDesktops"][0]["Output"] for one in done} == {
            "echo first > made": "",
            "cat made": "first\n",
        }, done
        server.desktops.hibernate_desktops(ecd.HibernateDesktopsRequest(region_id=REGION, desktop_id=[runtime]))
        until("hibernation", lambda: flag(server, runtime) == "Stopped Hibernated", 90)
        assert run(server, runtime, "true")["ErrorCode"] == "InstanceNotRunning"
        server.desktops.wakeup_desktops(ecd.WakeupDesktopsRequest(region_id=REGION, desktop_id=[runtime]))
        until("the runtime to be awake", lambda: flag(server, runtime) == "Running NoFlag", 60)
        assert run(server, runtime, "cat made")["Output"] == "first\n"
        assert len(invocations(server, desktop_id=runtime)) == 4, "a first start is the first only"
    finally:
        server.desktops.delete_desktops(ecd.DeleteDesktopsRequest(region_id=REGION, desktop_id=[runtime]))
    until("the sandbox to be gone", lambda: not (server.data / "runtimes" / runtime).exists(), 90)
