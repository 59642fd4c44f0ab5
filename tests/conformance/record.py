"""Compares what a run has shown with the specification. Every gap is one line: `<kind> <operation> <what>`."""

from driver import Record
from specification import PENDING, absent, built, codes, codes_of, reason_for_absence, resources

COLUMNS = ["no credentials", "wrong signature", "replay", "denied by policy", "other tenant", "TypeScript SDK", "legacy SDK"]
HEAD = """# What has no case yet; empty when the work is done. A line that has a case, and a gap without a line, fail the test.
# CREEL_CONFORMANCE_PENDING=write writes it, and docs/conformance.md, anew from what the run has shown.
pending = [
"""


def gaps(record: Record) -> set[str]:
    found = set()
    answered = set().union(*record.codes.values()) if record.codes else set()
    for action, operation in built().items():
        if action not in record.succeeded:
            found.add(f"happy {action}")
        found |= {f"column {action} {column}" for column in COLUMNS if column not in record.columns[action]}
        shown = {"acts": record.acted, "echoed": record.acted, "refused": record.refused, "ignored": record.ignored}
        for leaf in operation.leaves():
            if leaf.path not in shown[leaf.klass][action]:
                found.add(f"parameter {action} {leaf.path}")
        for path in operation.answer_fields():
            is_absent = reason_for_absence(action, path) is not None
            is_seen = path in record.fields[action] or path == "RequestId"
            if is_seen == is_absent:
                found.add(f"field {action} {path}" + (" (seen, and spec/absent.toml has it)" if is_seen else ""))
        reasons = errors(action)
        for code in operation.documented_codes:
            if (code in record.codes[action]) == (code in reasons):
                found.add(f"error {action} {code}")
    for resource in resources():
        first = next(op.action for op in built().values() if op.resource == resource)
        found |= {f"error {first} {code}" for code in codes_of(resource) - answered - errors("any").keys()}
    found |= {f"code {code} of-the-table" for code in set(codes()) - answered - errors("any").keys()}
    return found


def errors(action: str) -> dict[str, str]:
    return absent().get("errors", {}).get(action, {})


def write_pending(found: set[str]):
    PENDING.write_text(HEAD + "".join(f'  "{gap}",\n' for gap in sorted(found)) + "]\n")


def unknown_reasons() -> list[str]:
    """What spec/absent.toml names and no built operation has."""
    wrong = []
    for action, fields in absent().get("fields", {}).items():
        known = built()[action].answer_fields() if action in built() else []
        wrong += [f"fields.{action}.{path}" for path in fields if not any((leaf + ".").startswith(path + ".") for leaf in known)]
    for action, reasons in absent().get("errors", {}).items():
        mapped = set(codes()).union(*(codes_of(resource) for resource in resources()))
        known = mapped if action == "any" else set(built()[action].documented_codes) if action in built() else set()
        wrong += [f"errors.{action}.{code}" for code in reasons if code not in known]
    return wrong
