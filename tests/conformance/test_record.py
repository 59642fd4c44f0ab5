"""The end of a run: whatever of the specification was not shown is named, and where to show it."""

import os

from document import DOCUMENT, document
from record import gaps, unknown_reasons, write_pending
from specification import PENDING, built, read_pending


def test_reasons_are_about_what_there_is():
    assert not unknown_reasons(), "spec/absent.toml names what no built operation has"


def test_everything_is_shown_or_pending(world):
    found = gaps(world.record)
    if os.environ.get("CREEL_CONFORMANCE_PENDING") == "write":
        write_pending(found)
        DOCUMENT.write_text(document())
    pending = read_pending()
    new = sorted(found - pending)
    assert not new, "\n".join(
        [
            f"{len(new)} things of the API have no case. Add one to the file that each line names, or, while the work on "
            f"it goes on, a line to {PENDING.name}:",
            *(f"  {gap}  ({advice(gap)})" for gap in new),
        ]
    )
    done = sorted(pending - found)
    assert not done, "\n".join([f"these are covered now, so take them out of {PENDING.name}:", *done])


def advice(gap: str) -> str:
    kind, action, *_ = gap.split()
    if kind == "code":
        return "make a call somewhere that answers it, or give the reason in spec/absent.toml under errors.any"
    file = f"tests/conformance/test_{built()[action].resource}.py"
    return {
        "happy": f"a good call with @happy in {file}",
        "column": f"comes from test_every_operation.py once {file} has a good call of it",
        "parameter": f"a case in {file} that shows what it changes: tenant.filters, tenant.shows or tenant.claim",
        "field": f"a case in {file} in whose answer it stands, or the reason in spec/absent.toml under fields.{action}",
        "error": f"a case in {file} that is refused with it, or the reason in spec/absent.toml under errors.{action}",
    }[kind]
