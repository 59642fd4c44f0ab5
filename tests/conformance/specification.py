"""What every operation takes and answers, read from `spec/`: the same files that the server's types are generated from."""

import json
import re
import tomllib
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "spec"
PENDING = Path(__file__).parent / "pending.toml"
OWN = "creel-2026-11-24"
# Most items of a list that names no limit, as in crates/wire/src/ops/fields.rs.
ITEMS_MAX_DEFAULT = 1_000


@dataclass
class Parameter:
    path: str
    kind: str  # string, integer, number, boolean, object, any
    is_list: bool
    required: bool
    klass: str  # acts, echoed, refused, ignored
    reason: str
    values: list
    limits: dict
    position: str
    as_json: bool
    added: bool  # by the overlay: SDK models do not have it
    fields: list["Parameter"] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rsplit(".", 1)[-1]

    def leaves(self):
        if not self.fields or self.klass in ("refused", "ignored"):
            yield self
        for child in self.fields if self.klass in ("acts", "echoed") else []:
            yield from child.leaves()


@dataclass
class Operation:
    api: str  # name of the file without .json
    product: str
    package: str
    version: str
    action: str
    resource: str
    parameters: dict[str, Parameter]
    answer: dict
    documented_codes: list[str]
    added_answers: list[str]  # by the overlay: SDK models do not have them

    def leaves(self) -> list[Parameter]:
        return [leaf for parameter in self.parameters.values() for leaf in parameter.leaves()]

    def of_class(self, *classes: str) -> list[Parameter]:
        return [leaf for leaf in self.leaves() if leaf.klass in classes]

    def answer_fields(self) -> list[str]:
        return list(answer_leaves(self.answer))


def answer_leaves(fields: dict, prefix: str = ""):
    for name, value in fields.items():
        item = value["items"] if value["type"] == "array" else value
        if item["type"] == "object" and item.get("fields"):
            yield from answer_leaves(item["fields"], f"{prefix}{name}.")
        else:
            yield prefix + name


def toml(name: str) -> dict:
    with open(SPEC / name, "rb") as file:
        return tomllib.load(file)


def parameter(path: str, value: dict, patches: dict, classes: dict, inherited: str) -> Parameter:
    patch = patches.get(path, {})
    klass, _, reason = classes.get(path, inherited).partition(":")
    item = value["items"] if value["type"] == "array" else value
    limits = {
        "min": patch.get("min", value.get("meta_minimum")),
        "max": patch.get("max", value.get("meta_maximum")),
        "len_min": patch.get("len_min"),
        "len_max": patch.get("len_max", item.get("meta_max_length")),
        "items_max": patch.get("items_max", value.get("meta_max_items", ITEMS_MAX_DEFAULT)),
    }
    fields = item.get("fields", {}) if item["type"] == "object" else {}
    return Parameter(
        path=path,
        kind=item["type"],
        is_list=value["type"] == "array",
        required=patch.get("required", value.get("required", False)),
        klass=klass,
        reason=reason.strip(),
        values=patch.get("values", item.get("meta_enum", []) if item["type"] == "string" else []),
        limits={name: int(limit) for name, limit in limits.items() if limit is not None},
        position=value.get("position", "query"),
        as_json=value.get("wire_serialisation") == "json-string",
        added="type" in patch,
        fields=[
            parameter(f"{path}.{name}", inner, patches, classes, "acts" if klass == "echoed" else klass)
            for name, inner in fields.items()
        ],
    )


@cache
def apis() -> dict[str, dict]:
    """Every API file by its name, built or not."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(SPEC.glob("*.json"))}


# What stands before the path of a field that the overlay adds to an answer.
ANSWER = "Answer."


def with_answers(body: dict, answers: dict[str, dict]) -> dict:
    body = deepcopy(body)
    for path, patch in answers.items():
        *outer, name = path.split(".")
        fields = body
        for step in outer:
            at = fields[step]
            fields = at.get("items", at)["fields"]
        fields[name] = {"type": patch["type"]}
    return body


def operation(api: str, action: str, resource: str, patches: dict, classes: dict) -> Operation:
    file = apis()[api]
    declared = file["operations"][action]
    parameters = dict(declared["parameters"])
    answers = {path.removeprefix(ANSWER): patch for path, patch in patches.items() if path.startswith(ANSWER)}
    parameters |= {
        path: {"type": patch["type"]}
        for path, patch in patches.items()
        if "type" in patch and not path.startswith(ANSWER)
    }
    return Operation(
        api=api,
        product=file["product"],
        package=file.get("python_package", ""),
        version=file["version"],
        action=action,
        resource=resource,
        parameters={
            name: parameter(name, value, patches, classes, "acts") for name, value in sorted(parameters.items())
        },
        answer=with_answers(declared["response_body"], answers),
        added_answers=list(answers),
        documented_codes=[code["code"] for code in declared.get("meta_error_codes") or []],
    )


@cache
def built() -> dict[str, Operation]:
    """Every built operation by its action; no two versions share an action."""
    overlay, classes = toml("overlay.toml"), toml("classes.toml")
    return {
        action: operation(api, action, resource, overlay.get(action, {}), classes.get(action, {}))
        for api, actions in toml("built.toml").items()
        for action, resource in actions.items()
    }


@cache
def resources() -> list[str]:
    return sorted({operation.resource for operation in built().values()})


@cache
def codes() -> dict[str, int]:
    """The table of fixed error codes in the server's source, with their statuses."""
    text = (ROOT / "crates/wire/src/error.rs").read_text()
    return {code: int(status) for code, status in re.findall(r'= "([A-Za-z.]+)", (\d{3});', text)}


@cache
def codes_of(resource: str) -> set[str]:
    """Codes that the handlers of a resource can answer, by what their source names."""
    constants = dict(
        re.findall(r'([A-Z_]+) = "([A-Za-z.]+)", \d{3};', (ROOT / "crates/wire/src/error.rs").read_text())
    )
    found = set()
    for path in (ROOT / "crates/server/src/ops" / resource).glob("*.rs"):
        text = path.read_text().split("#[cfg(test)]")[0]
        found |= {constants[name] for name in re.findall(r"ErrorCode::([A-Z_]+)", text)}
        found |= {f"Invalid{name}" for name in re.findall(r'ApiError::invalid\(\s*"(\w+)"', text)}
        found |= {f"Missing{name}" for name in re.findall(r'ApiError::missing\(\s*"(\w+)"', text)}
    return found


@cache
def absent() -> dict[str, dict[str, str]]:
    """`spec/absent.toml`: what of an operation is never answered, by `fields` and `errors`, and why."""
    return toml("absent.toml")


def reason_for_absence(action: str, path: str) -> str | None:
    """Why a field is never answered: its own reason, or that of an object around it."""
    reasons = absent().get("fields", {}).get(action, {})
    parts = path.split(".")
    return next((reasons[".".join(parts[:n])] for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in reasons), None)


def read_pending() -> set[str]:
    """What has no case yet."""
    return set(tomllib.loads(PENDING.read_text())["pending"])


def leaf_paths(value: dict, prefix: str = ""):
    """The fields that an answer has, by their paths without indexes."""
    for name, inner in value.items():
        for item in inner if isinstance(inner, list) else [inner]:
            if isinstance(item, dict):
                yield from leaf_paths(item, f"{prefix}{name}.")
            else:
                yield prefix + name
