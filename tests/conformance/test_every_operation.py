"""The columns that are the same for every operation, made from its declaration and its one good call."""

import importlib
import json
import uuid
from pathlib import Path

import pytest
from driver import HAPPY, example, given, is_id, mapped, texts, unknown_id, without_request_id
from specification import ITEMS_MAX_DEFAULT, built, resources

FORM = "application/x-www-form-urlencoded"
HERE = Path(__file__).parent
READS = ("Describe", "List", "Get")

for resource in resources():
    if (HERE / f"test_{resource}.py").exists():
        importlib.import_module(f"test_{resource}")

every_operation = pytest.mark.parametrize("operation", [op for op in built().values() if op.action in HAPPY], ids=lambda op: op.action)


@every_operation
def test_only_who_signs_is_answered_and_only_once(tenant, operation):
    parameters = tenant.good(operation.action)
    columns = tenant.record.columns[operation.action]

    unsigned = tenant.by_hand(operation.action, parameters, after={"authorization": None})
    assert (unsigned.status, unsigned.code) == (400, "IncompleteSignature")
    columns.add("no credentials")

    forged = tenant.by_hand(operation.action, parameters, secret="not the secret")
    assert (forged.status, forged.code) == (400, "SignatureDoesNotMatch")
    columns.add("wrong signature")

    nonce = {"x-acs-signature-nonce": uuid.uuid4().hex}
    assert tenant.by_hand(operation.action, parameters, headers=nonce).status == 200
    again = tenant.by_hand(operation.action, parameters, headers=nonce)
    assert (again.status, again.code) == (400, "SignatureNonceUsed")
    columns.add("replay")


@every_operation
def test_a_principal_without_policies_may_do_nothing(tenant, world, operation):
    told = world.powerless.refused(operation.action, "NoPermission", tenant.good(operation.action))
    assert told["AccessDeniedDetail"]["NoPermissionType"] == "ImplicitDeny"
    tenant.record.columns[operation.action].add("denied by policy")


@every_operation
def test_another_tenant_finds_nothing(world, operation):
    """Somebody else's ids answer exactly as ids that nobody has, and nothing of the owner shows or changes."""
    owner, stranger = world.root, world.other
    parameters = owner.good(operation.action)
    ids = [text for text in texts(parameters) if is_id(text)]
    theirs = stranger.attempt(operation.action, parameters)
    if ids:
        unknown = {text: unknown_id(text) for text in ids}
        nobodys = stranger.attempt(operation.action, mapped(parameters, lambda text: unknown.get(text, text)))
        # The id itself may stand in the answer or the message, as the caller sent it.
        told = json.dumps(without_request_id(theirs.body), sort_keys=True)
        for real, made_up in unknown.items():
            told = told.replace(real, made_up)
        assert told == json.dumps(without_request_id(nobodys.body), sort_keys=True)
        assert theirs.status == nobodys.status
    leaked = {text for text in texts(theirs.body) if text in owner.seen_ids} - set(ids)
    assert not leaked, f"{operation.action} shows another tenant {leaked}"
    assert owner.attempt(operation.action, parameters).status == 200, "the owner's own call works after that"
    world.record.columns[operation.action].add("other tenant")


def token_of(operation):
    return operation.parameters.get("ClientToken")


@pytest.mark.parametrize("operation", [op for op in built().values() if op.action in HAPPY and token_of(op)], ids=lambda op: op.action)
def test_a_client_token_makes_a_call_happen_once(tenant, operation):
    action, token = operation.action, uuid.uuid4().hex
    parameters = tenant.good(action) | {"ClientToken": token}
    with tenant.claim(action, "ClientToken"):
        first = without_request_id(tenant.call(action, parameters))
        assert without_request_id(tenant.call(action, parameters)) == first, "the same token, the same answer"
        changed = tenant.good(action) | {"ClientToken": token}
        if changed == parameters:
            # A call of constants: some name makes another request of it.
            names = (p.name for p in operation.parameters.values() if p.name.endswith("Name") and p.name not in changed)
            changed = changed | {next(names): "other"}
        tenant.refused(action, "IdempotentParameterMismatch", changed)


@every_operation
def test_required_parameters_are_required(tenant, operation):
    parameters = tenant.good(operation.action)
    for spec in operation.parameters.values():
        if spec.required:
            assert spec.name in parameters, f"the good call of {operation.action} lacks {spec.name}"
            less = {name: value for name, value in parameters.items() if name != spec.name}
            tenant.refused(operation.action, f"Missing{spec.name}", less)


def out_of_bounds(spec):
    """Values that the declaration excludes."""
    one = []
    if spec.kind in ("integer", "number"):
        one += [spec.limits["min"] - 1] if "min" in spec.limits else []
        one += [spec.limits["max"] + 1] if "max" in spec.limits else []
        one += ["many"]
    if spec.kind == "boolean":
        one += ["perhaps"]
    if spec.kind == "string":
        one += ["a" * (spec.limits["len_max"] + 1)] if spec.limits.get("len_max", 10**9) < 10_000 else []
        one += ["a" * (spec.limits["len_min"] - 1)] if spec.limits.get("len_min", 0) > 1 else []
        one += ["no such value"] if spec.values else []
    if not spec.is_list:
        return one
    most = spec.limits["items_max"]
    few = most < ITEMS_MAX_DEFAULT and not spec.fields
    return [[value] for value in one] + ([[example(spec)[0]] * (most + 1)] if few else [])


@every_operation
def test_values_out_of_bounds_are_refused(tenant, operation):
    parameters = tenant.good(operation.action)
    for spec in operation.of_class("acts", "echoed"):
        for value in out_of_bounds(spec):
            answer = tenant.attempt(operation.action, given(operation, parameters, spec.path, value))
            shown = repr(value)[:60]
            assert answer.status == 400, f"{operation.action} takes {spec.path}={shown}: {answer.body}"
            wanted = f"Invalid{spec.path.split('.')[-1]}"
            assert answer.code == wanted or answer.code.startswith("Invalid"), f"{spec.path}={shown}: {answer.code}"


@every_operation
def test_refused_parameters_are_refused(tenant, operation):
    parameters = tenant.good(operation.action)
    for spec in operation.of_class("refused"):
        told = tenant.refused(operation.action, "UnsupportedParameter", given(operation, parameters, spec.path, example(spec)))
        assert spec.name in told["Message"]
        tenant.record.refused[operation.action].add(spec.path)


@every_operation
def test_ignored_parameters_change_nothing(tenant, operation):
    specs = [spec for spec in operation.of_class("ignored") if not spec.required]
    required = [spec for spec in operation.of_class("ignored") if spec.required]
    parameters = tenant.good(operation.action)
    more = parameters
    for spec in specs:
        more = given(operation, more, spec.path, example(spec))
    tenant.record.ignored[operation.action] |= {spec.path for spec in specs + required}
    if not specs:
        tenant.call(operation.action, parameters)
    elif operation.action.startswith(READS):
        # Runtimes that other cases made may still be starting between the two calls.
        with_them = lambda: without_request_id(tenant.call(operation.action, more))  # noqa: E731
        without = lambda: without_request_id(tenant.call(operation.action, parameters))  # noqa: E731
        tenant.world.until("the same answer with ignored parameters", lambda: with_them() == without())
    else:
        tenant.call(operation.action, more)
