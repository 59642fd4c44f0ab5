"""The one way in which a case calls the server: by the official SDK, every answer checked, everything recorded.

A case says what it expects with the methods of [`Tenant`]; what was sent, answered and claimed is kept in a [`Record`],
and `test_record.py` compares the record with the specification at the end.
"""

import copy
import importlib
import json
import re
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from alibabacloud_tea_openapi import models as openapi
from alibabacloud_tea_openapi.client import Client as GenericClient
from darabonba.exceptions import DaraException
from darabonba.runtime import ExtendsParameters, RuntimeOptions
from specification import OWN, Operation, Parameter, built

from signing import Caller

# What `happy` builders are registered under: action -> function(tenant) -> parameters of a call that succeeds. It may
# be asked many times and makes whatever the call needs.
HAPPY = {}


def happy(action: str):
    def register(build):
        assert action not in HAPPY, f"{action} has two good calls"
        HAPPY[action] = build
        return build

    return register


def snake(action: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()


def without_fields(answer, paths: list[str]):
    """An answer without these fields, in every item of a list."""
    if isinstance(answer, list):
        return [without_fields(item, paths) for item in answer]
    if not isinstance(answer, dict) or not paths:
        return answer
    inner = {name: [p.split(".", 1)[1] for p in paths if p.startswith(name + ".")] for name in answer}
    return {name: without_fields(value, inner[name]) for name, value in answer.items() if name not in paths}


def without_request_id(answer: dict) -> dict:
    return {name: value for name, value in answer.items() if name != "RequestId"}


def without_empty_lists(value):
    """SDK models hold an empty list of objects where nothing was given."""
    if isinstance(value, list):
        return [without_empty_lists(item) for item in value]
    if isinstance(value, dict):
        return {name: without_empty_lists(item) for name, item in value.items() if item != []}
    return value


def given(operation: Operation, parameters: dict, path: str, value) -> dict:
    """`parameters` with one more, which may stand in an object or in the first object of a list."""
    parameters = copy.deepcopy(parameters)
    place, specs = parameters, list(operation.parameters.values())
    *objects, name = path.split(".")
    for part in objects:
        spec = next(spec for spec in specs if spec.name == part)
        place = place.setdefault(part, [{}] if spec.is_list else {})
        place, specs = place[0] if spec.is_list else place, spec.fields
    place[name] = value
    return parameters


def paths(parameters: dict, prefix: str = "") -> set[str]:
    """The parameters of a call as the classes name them: `BundleModels.Amount`, without indexes."""
    found = set()
    for name, value in parameters.items():
        found.add(prefix + name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                found |= paths(item, f"{prefix}{name}.")
    return found


@dataclass
class Record:
    """What a run has shown so far, on one database."""

    succeeded: set[str] = field(default_factory=set)
    codes: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    sent: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    fields: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    acted: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    refused: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    ignored: dict[str, set] = field(default_factory=lambda: defaultdict(set))
    columns: dict[str, set] = field(default_factory=lambda: defaultdict(set))


@dataclass
class Answer:
    status: int
    body: dict

    @property
    def code(self) -> str | None:
        return None if self.status == 200 else self.body["Code"]

    @property
    def content(self):
        """What two answers are compared by."""
        return self.code or without_request_id(self.body)


class Tenant:
    """One account's key against one server, and the record of what it saw."""

    def __init__(self, server, key_id: str, secret: str, record: Record, world=None):
        self.server, self.key_id, self.secret, self.record, self.world = server, key_id, secret, record, world
        self.seen_ids: set[str] = set()
        self.clients: dict = {}
        self.made = 0
        self.token: str | None = None

    def temporary(self, credentials: dict) -> "Tenant":
        """Who calls with these of CreateTemporaryCredentials."""
        key, secret = credentials["AccessKeyId"], credentials["AccessKeySecret"]
        caller = Tenant(self.server, key, secret, self.record, self.world)
        caller.token = credentials["SecurityToken"]
        return caller

    def name(self, word: str = "case") -> str:
        """A new name for each thing that is made."""
        self.made += 1
        return f"{word}-{self.made}"

    # -- calling -----------------------------------------------------------------------------------------------

    def call(self, action: str, parameters: dict | None = None, **more) -> dict:
        """The answer of a call that must succeed."""
        parameters = (parameters or {}) | more
        answer = self.attempt(action, parameters)
        assert answer.status == 200, f"{action} with {parameters}: {answer.status} {answer.body}"
        return answer.body

    def refused(self, action: str, code: str, parameters: dict | None = None, **more) -> dict:
        """The error of a call that must be refused with this code."""
        parameters = (parameters or {}) | more
        answer = self.attempt(action, parameters)
        assert answer.code == code, f"{action} with {parameters}: wanted {code}, got {answer.status} {answer.body}"
        return answer.body

    def good(self, action: str) -> dict:
        """Fresh parameters of a call that succeeds."""
        assert action in HAPPY, f"no good call of {action}: add one with @happy to its file in tests/conformance"
        return HAPPY[action](self)

    def attempt(self, action: str, parameters: dict) -> Answer:
        operation = built()[action]
        self.record.sent[action] |= paths(parameters)
        try:
            raw, modelled = self.by_sdk(operation, parameters)
        except DaraException as error:
            data = getattr(error, "data", None) or {}
            assert "Code" in data, f"{action}: the SDK could not read the answer: {error!r}"
            check_error(action, data)
            self.record.codes[action].add(data["Code"])
            return Answer(data["statusCode"], {k: v for k, v in data.items() if k != "statusCode"})
        check_answer(operation, raw, self.record.fields[action])
        known = without_fields(raw, operation.added_answers)
        assert without_empty_lists(modelled) == without_empty_lists(known), f"{action}: the SDK's model reads {modelled} from {raw}"
        self.record.succeeded.add(action)
        self.record.codes[action] |= set(codes_in(raw))
        self.remember_ids(raw)
        return Answer(200, raw)

    def by_sdk(self, operation: Operation, parameters: dict) -> tuple[dict, dict]:
        """The answer as it came, and as the SDK's response model holds it."""
        if operation.api == OWN:
            raw = self.generic(operation, parameters)
            return raw, raw
        models = importlib.import_module(f"{operation.package}.models")
        added = {p.name for p in operation.parameters.values() if p.added}
        of_model = {name: value for name, value in parameters.items() if name not in added}
        request = getattr(models, f"{operation.action}Request")().from_map(of_model)
        assert without_empty_lists(request.to_map()) == without_empty_lists(of_model), f"{operation.action}: the SDK takes {request.to_map()} of {of_model}"
        queries = {name: str(value) for name, value in parameters.items() if name in added}
        runtime = RuntimeOptions(extends_parameters=ExtendsParameters(queries=queries))
        client, answers = self.client(operation)
        response = getattr(client, f"{snake(operation.action)}_with_options")(request, runtime)
        return answers.pop(), response.body.to_map()

    def client(self, operation: Operation):
        """The SDK's client of an API, with a place where it leaves what it read before it makes a model of it."""
        if operation.api not in self.clients:
            client = importlib.import_module(f"{operation.package}.client").Client(self.sdk_config())
            answers, call_api = [], client.call_api

            def keep(params, request, runtime):
                answers.clear()
                answer = call_api(params, request, runtime)
                answers.append(answer["body"])
                return answer

            client.call_api = keep
            self.clients[operation.api] = client, answers
        return self.clients[operation.api]

    def generic(self, operation: Operation, parameters: dict) -> dict:
        params = openapi.Params(
            action=operation.action, version=operation.version, protocol="http", method="POST", pathname="/",
            style="RPC", auth_type="AK", req_body_type="formData", body_type="json",
        )  # fmt: skip
        if OWN not in self.clients:
            self.clients[OWN] = GenericClient(self.sdk_config()), []
        request = openapi.OpenApiRequest(query=flat(operation, parameters))
        return self.clients[OWN][0].call_api(params, request, RuntimeOptions())["body"]

    def sdk_config(self) -> openapi.Config:
        return openapi.Config(
            access_key_id=self.key_id, access_key_secret=self.secret, security_token=self.token, endpoint=self.server.endpoint, protocol="http",
            region_id="cn-hangzhou", connect_timeout=5000, read_timeout=30000,
        )  # fmt: skip

    def by_hand(self, action: str, parameters: dict, **how):
        """A call signed by the tests' own code, for what no SDK does; `how` as for [`Caller.call`]."""
        operation = built()[action]
        query, body = split(operation, parameters)
        caller = Caller(self.server.endpoint, self.key_id, self.secret)
        answer = caller.call(how.pop("version", operation.version), how.pop("as_action", action), query, body, **how)
        if answer.code:
            check_error(action, answer.body)
            self.record.codes[action].add(answer.code)
        return answer

    def remember_ids(self, answer):
        for text in texts(answer):
            if is_id(text):
                self.seen_ids.add(text)

    # -- claims: a parameter does something ----------------------------------------------------------------------

    @contextmanager
    def claim(self, action: str, *claimed: str):
        """The block shows by its own assertions that these parameters of `action` do what they say."""
        check_known(action, claimed)
        before, self.record.sent[action] = self.record.sent[action], set()
        yield
        sent = self.record.sent[action]
        unsent = set(claimed) - sent
        assert not unsent, f"{action}: claimed, and never sent in the block: {sorted(unsent)}"
        self.record.sent[action] = before | sent
        self.record.acted[action] |= set(claimed)

    def filters(self, action: str, base: dict, ids, item: str, rows: dict):
        """`ids(answer)` are the ids found. Each row: parameter -> (value that finds `item`, value that does not).
        Instead of the latter a code in `refused(...)`: then the value is refused."""
        for path, (hit, miss) in rows.items():
            with self.claim(action, path):
                found = ids(self.call(action, given(built()[action], base, path, hit)))
                assert item in found, f"{action}: {path}={hit!r} finds {found}, without {item}"
                if isinstance(miss, Refused):
                    self.refused(action, miss.code, given(built()[action], base, path, miss.value))
                else:
                    found = ids(self.call(action, given(built()[action], base, path, miss)))
                    assert item not in found, f"{action}: {path}={miss!r} finds {item} all the same"

    def shows(self, action: str, read, rows: dict):
        """Each row: parameter -> (value, what is seen of it). `read(answer, parameters)` gives what a later read sees
        of the thing that `action` made or changed, and `seen(thing)` must be `expected` with the value and not without.
        """
        plain = self.good(action)
        thing_without = read(self.call(action, plain), plain)
        for path, (value, seen, expected) in rows.items():
            with self.claim(action, path):
                parameters = given(built()[action], self.good(action), path, value)
                thing = read(self.call(action, parameters), parameters)
                assert seen(thing) == expected, f"{action}: {path}={value!r} shows as {seen(thing)!r}"
                assert seen(thing_without) != expected, f"{action}: without {path} too, {expected!r} is shown"

    def pages_by_number(self, action: str, base: dict, items: str = "Data"):
        """PageNumber and PageSize: pages are of the size asked for, disjoint, and 0 is the first."""
        with self.claim(action, "PageNumber", "PageSize"):
            first = self.call(action, base, PageNumber=1, PageSize=1)
            second = self.call(action, base, PageNumber=2, PageSize=1)
            assert len(first[items]) == len(second[items]) == 1, f"{action}: make two things before paging"
            assert first[items] != second[items] and second["PageNumber"] == 2 and second["PageSize"] == 1
            assert self.call(action, base, PageNumber=0, PageSize=1)[items] == first[items]
            total = first["TotalCount"]
            assert self.call(action, base, PageNumber=total + 1, PageSize=1)[items] == []
            self.refused(action, "InvalidPageSize", base, PageSize=0)

    def pages_by_token(self, action: str, base: dict, items: str):
        """MaxResults and NextToken: a walk meets everything once and ends."""
        with self.claim(action, "MaxResults", "NextToken"):
            seen, token = [], {}
            while True:
                page = self.call(action, base, MaxResults=1, **token)
                assert len(page[items]) <= 1
                seen += page[items]
                if "NextToken" not in page:
                    break
                token = {"NextToken": page["NextToken"]}
                assert len(seen) <= 500, f"{action}: the walk does not end"
            assert len(seen) >= 2, f"{action}: make two things before paging"
            assert len({json.dumps(thing, sort_keys=True) for thing in seen}) == len(seen)
            self.refused(action, "InvalidNextToken", base, NextToken="no such place")


@dataclass
class Refused:
    """In a row of filters: this value is refused with this code."""

    value: object
    code: str


# -- answers ---------------------------------------------------------------------------------------------------

JSON_TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


def check_answer(operation: Operation, answer: dict, seen: set):
    assert re.fullmatch(r"[0-9A-F-]{36}", answer.get("RequestId", "")), f"{operation.action}: no RequestId in {answer}"
    check_object(operation.action, operation.answer, answer, "", seen)


def check_object(action: str, fields: dict, value, prefix: str, seen: set):
    assert isinstance(value, dict), f"{action}: {prefix or 'the answer'} is {value!r}, not an object"
    for name, inner in value.items():
        path = prefix + name
        assert name in fields, f"{action}: the answer has {path}, which the specification has not"
        # Null and absent are the same to SDKs, but not a null in a list: so there are none at all.
        assert inner is not None, f"{action}: {path} is null; leave it out"
        check_value(action, fields[name], inner, path, seen)


def check_value(action: str, spec: dict, value, path: str, seen: set):
    if spec["type"] == "array":
        assert isinstance(value, list), f"{action}: {path} is {value!r}, not a list"
        for item in value:
            check_value(action, spec["items"], item, path, seen)
    elif spec["type"] == "object" and spec.get("fields"):
        check_object(action, spec["fields"], value, f"{path}.", seen)
    else:
        wanted = JSON_TYPES.get(spec["type"], object)
        right = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool) or wanted is object)
        assert right, f"{action}: {path} is {value!r}, and the specification says {spec['type']}"
        seen.add(path)


def check_error(action: str, data: dict):
    names = {"RequestId", "HostId", "Code", "Message", "Recommend"}
    assert names <= set(data), f"{action}: the error has only {sorted(data)}"
    # What a wrong signature answers ends in the text that was signed: SDKs look for it there.
    sentence = data["Message"].endswith(".") or data["Code"] == "SignatureDoesNotMatch"
    assert sentence, f"{action}: the message is no sentence: {data['Message']}"


def check_known(action: str, claimed):
    known = {leaf.path for leaf in built()[action].leaves()}
    unknown = set(claimed) - known
    assert not unknown, f"{action} has no parameters {sorted(unknown)}; it has {sorted(known)}"


# -- values ----------------------------------------------------------------------------------------------------


def flat(operation: Operation, parameters: dict) -> dict[str, str]:
    """Parameters as they stand on the wire."""
    pairs = {}
    for name, value in parameters.items():
        spec = operation.parameters.get(name)
        if spec and spec.as_json and isinstance(value, (list, dict)):
            pairs[name] = json.dumps(value, separators=(",", ":"))
        else:
            flatten(name, value, pairs)
    return pairs


def flatten(name: str, value, pairs: dict):
    if isinstance(value, dict):
        for inner, content in value.items():
            flatten(f"{name}.{inner}", content, pairs)
    elif isinstance(value, list):
        for n, item in enumerate(value, start=1):
            flatten(f"{name}.{n}", item, pairs)
    else:
        pairs[name] = str(value)


def split(operation: Operation, parameters: dict) -> tuple[dict, bytes]:
    """Query and form body of a call, by the places that the specification names."""
    query, body = {}, {}
    for name, value in flat(operation, parameters).items():
        spec = operation.parameters.get(name.split(".")[0])
        (body if spec and spec.position in ("body", "formData") else query)[name] = value
    return query, urlencode(body).encode()


def texts(value):
    """Every text in a structure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)


def codes_in(value):
    """The codes of refusals among the results of a call on a list."""
    if isinstance(value, list):
        for item in value:
            yield from codes_in(item)
    elif isinstance(value, dict):
        if isinstance(value.get("Code"), str) and value["Code"] != "200":
            yield value["Code"]
        for item in value.values():
            yield from codes_in(item)


ID = re.compile(r"(ecd|jvs|mt|mpt|llmt|rg|crp|inv|le|u|s)-[0-9a-z]{8,}|[a-z-]+\+dir-[0-9a-z]+")


def is_id(text: str) -> bool:
    """An id that the server makes, of something that belongs to an account."""
    return ID.fullmatch(text) is not None


def mapped(value, change):
    """A structure with every text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {name: mapped(item, change) for name, item in value.items()}
    return value


def unknown_id(text: str) -> str:
    """An id of the same shape that nobody has."""
    if not is_id(text):
        return text
    tail = "zzzzzz" if not text.endswith("zzzzzz") else "yyyyyy"
    return text[:-6] + tail


def example(spec: Parameter):
    """A value that means something, of a parameter whose value does not matter."""
    if spec.fields:
        value = {spec.fields[0].name: example(spec.fields[0])}
    elif spec.kind in ("any", "map"):
        value = {"a": "b"}
    else:
        value = {"string": (spec.values or ["value"])[0], "integer": 1, "number": 1.5, "boolean": True}[spec.kind]
    return [value] if spec.is_list else value
