"""Call limits, by the official SDK: refused before the upstream, in words for agents and as 429 for programs."""

import json
import threading
import time

import openai
import pytest

from harness import MODEL, EchoLlm, Server, Upstream, until

LOBSTER = [{"role": "user", "content": "Say the word lobster."}]


def answers(client: openai.OpenAI) -> bool:
    try:
        return bool(client.models.list().data)
    except openai.AuthenticationError:
        return False


class House:
    """A server with one runtime, a person's key for it, and an upstream that takes half a second."""

    def __init__(self):
        self.echo = EchoLlm(delay_ms=500, chunks=2)
        self.upstream = Upstream(self.echo.port)
        self.server = Server("none", self.upstream.port, "sk-limits")

    def start(self):
        self.server.start()
        self.runtime = self.server.runtime_with_models("limits", 1_000)
        key = self.server.person_key(self.runtime)
        self.client = openai.OpenAI(base_url=f"http://{self.server.agent_listen}/v1", api_key=key, max_retries=0)
        until("the key to be known", self.knows, 10)
        return self

    def knows(self) -> bool:
        return answers(self.client)

    def ask(self, **more):
        return self.client.chat.completions.create(model=MODEL, messages=LOBSTER, **more)

    def limit(self, **figures):
        self.server.own("SetCallLimit", **figures)
        time.sleep(1.2)  # gateways follow within a second

    def close(self, keep: bool):
        self.server.remove(keep=keep)
        self.upstream.close()
        self.echo.close()


@pytest.fixture(scope="module")
def house(failures):
    house = House()
    try:
        yield house.start()
    finally:
        house.close(failures())


@pytest.fixture(autouse=True)
def unlimited(house):
    yield
    for scope in ({}, {"RuntimeId": house.runtime}):
        house.server.own("SetCallLimit", **scope)


def refused(house, code: str) -> openai.RateLimitError:
    called = len(house.upstream.requests)
    with pytest.raises(openai.RateLimitError) as found:
        house.ask()
    assert found.value.body["code"] == code, found.value.body
    assert len(house.upstream.requests) == called, "a refused call reached the upstream"
    return found.value


def test_requests_per_minute(house):
    house.limit(RuntimeId=house.runtime, RequestsPerMinute=2)
    assert [house.ask().choices[0].message.content for _ in range(2)] == [LOBSTER[0]["content"]] * 2
    wait = int(refused(house, "requests_per_minute").response.headers["retry-after"])
    assert 1 <= wait <= 60, wait
    house.limit(RuntimeId=house.runtime, RequestsPerMinute=100)
    house.ask()


def test_tokens_per_minute_of_the_account(house):
    house.limit(TokensPerMinute=20)
    used = 0
    while used < 20:
        used += house.ask().usage.total_tokens
    refused(house, "tokens_per_minute")


def test_calls_at_the_same_time(house):
    house.limit(RuntimeId=house.runtime, ConcurrentCalls=1)
    called = len(house.upstream.requests)
    first = threading.Thread(target=house.ask)
    first.start()
    until("the first call to run", lambda: len(house.upstream.requests) > called, 5, pause=0.01)
    refused(house, "concurrent_calls")
    first.join()
    assert house.ask().choices[0].message.content == LOBSTER[0]["content"], "the first has ended"


def test_the_length_of_an_answer(house):
    house.limit(RuntimeId=house.runtime, OutputTokensMax=3)
    answer = house.ask(max_tokens=1_000)
    assert answer.usage.completion_tokens == 3, answer
    house.ask(max_tokens=2)
    assert b'"max_tokens":3' in house.upstream.requests[-2]["body"].replace(b" ", b"")
    assert b'"max_tokens":2' in house.upstream.requests[-1]["body"].replace(b" ", b"")
    check = house.server.admin("ledger", "check")
    assert (check.returncode, check.stdout.strip()) == (0, "0 differences"), check.stderr


def test_no_more_output_than_credits_pay_for(house):
    """A program asks for 8,000 tokens (9.6 credits), and its runtime has 3 credits."""
    runtime = house.server.runtime_with_models("few", 3)
    key = house.server.person_key(runtime)
    few = openai.OpenAI(base_url=f"http://{house.server.agent_listen}/v1", api_key=key, max_retries=0)
    until("the key to be known", lambda: answers(few), 10)

    def sent() -> int:
        return json.loads(house.upstream.requests[-1]["body"])["max_tokens"]

    answer = few.chat.completions.create(model=MODEL, messages=LOBSTER, max_tokens=8_000)
    assert answer.choices[0].message.content == LOBSTER[0]["content"]
    # The rest is for the input, at one token a byte.
    assert 2_400 <= sent() < 2_500
    few.chat.completions.create(model=MODEL, messages=LOBSTER, max_tokens=2_000)
    assert sent() == 2_000, "what is paid for is asked for as it is"
    # Two at once: the first holds all there is, so the second is refused, and nothing is spent twice.
    ask = dict(model=MODEL, messages=LOBSTER, max_tokens=8_000)
    first = threading.Thread(target=few.chat.completions.create, kwargs=ask)
    called = len(house.upstream.requests)
    first.start()
    until("the first call to run", lambda: len(house.upstream.requests) > called, 5, pause=0.01)
    with pytest.raises(openai.APIStatusError) as refused:
        few.chat.completions.create(**ask)
    assert refused.value.body["code"] == "credits_spent", refused.value.body
    first.join()
    assert len(house.upstream.requests) == called + 1
    check = house.server.admin("ledger", "check")
    assert (check.returncode, check.stdout.strip()) == (0, "0 differences"), check.stderr
