"""docs/conformance.md is what the specification says now."""

from document import DOCUMENT, document


def test_the_document_is_current():
    current = DOCUMENT.exists() and DOCUMENT.read_text() == document()
    assert current, "docs/conformance.md is old: run `python tests/conformance/document.py` and commit the change"
