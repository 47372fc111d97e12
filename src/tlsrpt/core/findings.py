"""Finding: what every lint, check and lenient reader says of one fault. One type for all of them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["info", "warning", "error"]

# The `where` of a finding about a document as a whole.
DOCUMENT = "document"
# The `fix` of a finding about a report that somebody else sent.
SENDERS_FAULT = "a fault of the report's sender; nothing to do on the receiving side"


class Finding(Struct, frozen=True, kw_only=True):
    """One fault or oddity, told so that a person can act on it.

    Attributes:
        code: stable, lower-case, hyphens; its first word is the kind (`missing-contact-info`).
        severity: info (worth knowing), warning (works, but departs from the rule), error (does not work).
        where: the place: a JSON path (`policies[0].policy.mx-host`), a header, a column of a record.
        message: what was found there.
        consequence: what follows, or how it was read.
        fix: what to do, or empty.
    """

    code: str
    severity: Severity
    where: str
    message: str
    consequence: str = ""
    fix: str = ""
