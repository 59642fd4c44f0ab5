"""Several gateways over one PostgreSQL spend one balance exactly, whichever of them dies.

CREEL_CLUSTER_ROUNDS and CREEL_CLUSTER_KILLS make the runs longer; CREEL_KILL_SEED replays one.
"""

import asyncio
import json
import os
import random
import time
from collections import Counter

import pytest

from cluster import BOUND_MICROS, Cluster, Loop, Provider, call, fresh_database
from harness import Server, until

ROUNDS = int(os.environ.get("CREEL_CLUSTER_ROUNDS", "2"))
KILLS = int(os.environ.get("CREEL_CLUSTER_KILLS", "4"))
SEED = int(os.environ.get("CREEL_KILL_SEED", "20261124"))
CALLS = 1000
# Callers in all while processes are killed, and what makes each third request as long as an agent's, in bytes.
CALLERS, PADDING = 18, 41_000


@pytest.fixture(scope="module")
def loop():
    return Loop()


@pytest.fixture(params=["one process, SQLite", "one process", "three processes"])
def cluster_for_rounds(request, loop, failures):
    provider = Provider(loop, by_number=False)
    database = None if "SQLite" in request.param else fresh_database()
    cluster = Cluster(3 if "three" in request.param else 1, provider.port, database)
    yield cluster, provider
    cluster.remove(keep=failures())
    provider.close()


def test_of_a_thousand_calls_at_once_just_those_are_admitted_that_the_balance_pays(cluster_for_rounds, loop):
    cluster, provider = cluster_for_rounds
    rng = random.Random(SEED)
    runtime = cluster.servers[0].runtime_with_models("rounds", 1)
    key = cluster.servers[0].person_key(runtime)
    ports = cluster.agent_ports
    # The monthly credits go first, so that each round begins at nothing. Each process knows the key within a second.
    for port in ports:
        until("the key to be known", lambda: loop.run(call(port, key, 0), 40).status in (200, 402), 20)
    spent = lambda: loop.run(call(ports[0], key, 0), 40).status == 402
    until("the monthly credits to be spent", spent, 60, 0)
    called = lambda: len({entry["call_id"] for entry in cluster.entries()})
    cluster.settled()
    before = called()
    admitted_in_all = 0
    for round_number in range(ROUNDS):
        worth = rng.randint(1, 150)
        cluster.grant(worth * BOUND_MICROS)
        # What others change is seen within a second.
        time.sleep(1.1)
        reached, moment = provider.reached, f"round {round_number}, worth {worth}"
        provider.hold()

        async def all_at_once():
            calls = [call(ports[n % len(ports)], key, n) for n in range(CALLS)]
            tasks = [asyncio.create_task(one) for one in calls]
            # Whoever is refused is told at once; the others wait at the provider.
            while sum(task.done() for task in tasks) < CALLS - worth:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            early = Counter(task.result().status for task in tasks if task.done())
            provider.opened.set()
            return early, Counter(one.status for one in await asyncio.gather(*tasks))

        early, statuses = loop.run(all_at_once(), 120)
        assert early == {402: CALLS - worth}, (moment, early)
        assert statuses == {200: worth, 402: CALLS - worth}, (moment, statuses)
        assert provider.reached - reached == worth, moment
        admitted_in_all += worth
    until("all entries", lambda: called() - before == admitted_in_all, 30, 0.5)
    labels = Counter(entry["label"] for entry in cluster.entries())
    # Only the last call on the monthly credits may cost more than there is.
    assert set(labels) <= {"exact", "overrun"} and labels["overrun"] <= 1, labels
    cluster.check()
    print(f"{ROUNDS} rounds of {CALLS} calls: {admitted_in_all} admitted, all that were paid for, 0 over")


@pytest.fixture(params=["one process, SQLite", "three processes"])
def cluster_to_kill(request, loop, failures):
    provider = Provider(loop, by_number=True)
    is_alone = "SQLite" in request.param
    cluster = Cluster(1 if is_alone else 3, provider.port, None if is_alone else fresh_database())
    yield cluster, provider
    cluster.remove(keep=failures())
    provider.close()


def test_gateways_that_are_killed_lose_no_answered_call_and_double_none(cluster_to_kill, loop):
    cluster, _ = cluster_to_kill
    rng = random.Random(SEED)
    runtime = cluster.servers[0].runtime_with_models("kills", 1)
    key = cluster.servers[0].person_key(runtime)
    cluster.grant(100_000_000_000)
    ports = cluster.agent_ports
    for port in ports:
        until("the key to be known", lambda: loop.run(call(port, key, 1), 40).whole, 20)
    stopped = asyncio.Event()
    answered: list[int] = []
    outcomes = Counter()
    numbers = iter(range(100, 10_000_000))

    async def caller(port: int):
        while not stopped.is_set():
            number = next(numbers)
            got = await call(port, key, number, stream=number % 2 == 0, padding=PADDING if number % 3 == 0 else 0)
            outcomes[got.status if got.whole or got.status != 200 else "broken"] += 1
            if got.whole:
                assert got.reported == number
                answered.append(number)
            else:
                await asyncio.sleep(0.05)

    async def start():
        return [asyncio.create_task(caller(ports[number % len(ports)])) for number in range(CALLERS)]

    callers = loop.run(start(), 10)
    done, pauses = Counter(), []
    for number in range(KILLS):
        time.sleep(0.3 + rng.random())
        owner = cluster.owner()
        others = [server for server in cluster.servers if server is not owner]
        kind = "other" if number % 2 and others else "owner"
        victim: Server = rng.choice(others) if kind == "other" else owner
        done[kind] += 1
        victim.kill()
        killed_at, count = time.monotonic(), len(answered)
        victim.start(90)
        until("calls to be answered again", lambda: len(answered) > count + 10, 60, 0.02)
        pauses.append((kind, time.monotonic() - killed_at))
        if kind == "owner":
            until("another owner", lambda: cluster.owner().process.poll() is None, 30)
    time.sleep(1)
    loop.loop.call_soon_threadsafe(stopped.set)

    async def end():
        await asyncio.gather(*callers)

    loop.run(end(), 60)
    # The gateways that live have said all that they know, and what the dead held counts as spent.
    cluster.settled()
    entries = cluster.entries()
    # A call's first entry has its usage; smaller numbers were only there to see whether the key is known.
    first = [entry for entry in entries if entry["part"] == 0 and entry["label"] == "exact"]
    exact = Counter(entry["usage"]["input"] for entry in first if entry["usage"]["input"] >= 100)
    missing = [number for number in answered if exact[number] != 1]
    assert not missing, f"answered and not billed once: {[(number, exact[number]) for number in missing][:10]}"
    doubled = [key for key, count in Counter((e["call_id"], e["part"]) for e in entries).items() if count > 1]
    assert not doubled, doubled
    assert max(exact.values()) == 1, exact.most_common(3)
    labels = Counter(entry["label"] for entry in entries)
    assert set(labels) <= {"exact", "unsettled", "estimated"}, labels
    cluster.check()
    # It is said which, and an administrator gives it back.
    unsettled = [entry for entry in entries if entry["label"] == "unsettled"]
    if unsettled:
        released = cluster.servers[0].admin("ledger", "release", unsettled[0]["call_id"])
        assert released.returncode == 0, released.stderr
        cluster.check()
    longest = {kind: round(max(p for k, p in pauses if k == kind), 1) for kind in done}
    print(f"kills {dict(done)}, answered {len(answered)}, outcomes {dict(outcomes)}, labels {dict(labels)}, longest s {longest}")


def test_a_process_with_another_master_key_is_refused_and_one_that_nobody_reaches_says_so(loop, failures):
    provider = Provider(loop, by_number=True)
    database = fresh_database()
    cluster = Cluster(1, provider.port, database)
    other = Server("none", provider.port, "sk-cluster", database=database)
    try:
        stranger = other.admin("ledger", "check")
        with pytest.raises(AssertionError):
            other.start(60)
        assert "master key" in other.log_tail() + stranger.stderr, other.log_tail()
        lonely = Server("none", provider.port, "sk-cluster", database=database, beside=cluster.servers[0])
        lonely.admin_listen = "0.0.0.0:0"
        cluster.servers.append(lonely)
        with pytest.raises(AssertionError):
            lonely.start(60)
        assert "cluster.advertise" in lonely.log_tail(), lonely.log_tail()
    finally:
        other.remove(keep=failures())
        cluster.remove(keep=failures())
        provider.close()


def test_what_one_gateway_captures_the_other_shows(loop, failures):
    provider = Provider(loop, by_number=True)
    cluster = Cluster(2, provider.port, fresh_database())
    try:
        first, second = cluster.servers
        runtime = first.runtime_with_models("captured", 1)
        key = first.person_key(runtime)
        cluster.grant(100_000_000)
        for port in cluster.agent_ports:
            until("the key to be known", lambda: loop.run(call(port, key, 1), 40).whole, 20)
        assert captured_numbers(first, runtime) == captured_numbers(second, runtime) == []
        first.own("SetCapturePolicy", RuntimeId=runtime, RetentionDays=1)
        # Each gateway follows within a second; the message of each call is its number.
        for n, port in enumerate(cluster.agent_ports, start=1):
            numbers = iter(range(10_000 * n, 10_000 * (n + 1)))
            shown = lambda port=port, numbers=numbers: (
                loop.run(call(port, key, next(numbers)), 40).whole
                and any(each // 10_000 == n for each in captured_numbers((first, second)[2 - n], runtime))
            )
            until("the call to be shown by the other one", shown, 20, 0.1)
        cluster.check()
    finally:
        cluster.remove(keep=failures())
        provider.close()


def captured_numbers(server: Server, runtime: str) -> list[int]:
    """What was asked in the calls that this server can show, whichever gateway captured them."""
    listed = server.own("ListCapturedCalls", RuntimeIds=[runtime])["CapturedCalls"]
    calls = [server.own("ReadCapturedCall", RuntimeId=runtime, CallId=each["CallId"]) for each in listed]
    assert all('"content":"hi"' in each["Answer"] for each in calls)
    return [int(json.loads(each["Request"])["messages"][0]["content"]) for each in calls]
