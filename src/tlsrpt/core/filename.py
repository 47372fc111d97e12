"""The name of a report file: `submitter!policy-domain!begin!end[!unique-id].json[.gz]` (RFC 8460 section 5.1).

A name is evidence only: where it and the report disagree, the report wins (R5.6-01). It is read from both ends, since
some senders put a free-text organisation name, even one with `!`, in front (A-12).
"""

from __future__ import annotations

import re

from msgspec import Struct

from tlsrpt.core.domain import is_domain
from tlsrpt.core.findings import SENDERS_FAULT, Finding
from tlsrpt.core.text import printable

_EXTENSIONS = ("json.gz", "json.zip", "tar.gz", "tgz", "json", "gz", "zip", "tar")  # the longer before its own end
_EXTENSION = re.compile(rf"\.({'|'.join(map(re.escape, _EXTENSIONS))})\Z", re.IGNORECASE)
# A browser that keeps a second copy writes `name (1).gz`, or `name.json(1).gz` since it takes `.gz` for the ending.
_COPY = re.compile(r"(?:\.json)? ?\([0-9]{1,4}\)\Z")
_EPOCH = re.compile(r"[0-9]{8,12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]+Z?)?")
_UNIQUE_ID = re.compile(r"[A-Za-z0-9]+")  # unique-id = 1*(ALPHA / DIGIT)
_PROPER = re.compile(r"([a-z0-9_.-]+)!([a-z0-9_.-]+)![0-9]{8,12}![0-9]{8,12}(?:![A-Za-z0-9]+)?\.json(?:\.gz)?")
_LONGEST = 1024  # two domains of 253 characters, the stamps, an id and an organisation's name fit


class FileName(Struct, frozen=True, kw_only=True):
    """What a file name says, as written: nothing in it has been verified, nor need the names be domains."""

    submitter: str
    domain: str
    begin: int | None  # Unix seconds; None where the sender wrote a date (F-20)
    end: int | None
    unique_id: str | None
    ext: str  # lower case, without the first dot; "" for any that no report has


def parse_file_name(name: str) -> FileName | None:
    """Read a report's file name, or None when it is of another form; folders in front of it do not count."""
    name = name.replace("\\", "/").rpartition("/")[2].strip()
    if len(name) > _LONGEST:
        return None
    ending = _EXTENSION.search(name)
    stem = _COPY.sub("", name[: ending.start()] if ending else name)
    stamps = _stamps(stem.split("!"))
    if stamps is None:
        return None
    fields, begin, end, unique_id = stamps
    return FileName(
        submitter="!".join(fields[:-1]),
        domain=fields[-1],
        begin=begin,
        end=end,
        unique_id=unique_id,
        ext=ending[1].lower() if ending else "",
    )


def _stamps(fields: list[str]) -> tuple[list[str], int | None, int | None, str | None] | None:
    """The names before the stamps, begin, end and id; an id of digits is told from a stamp by its place."""
    for unique_id, names in (fields[-1], fields[:-1]), (None, fields):
        if len(names) >= 4 and _EPOCH.fullmatch(names[-2]) and _EPOCH.fullmatch(names[-1]):
            return names[:-2], int(names[-2]), int(names[-1]), unique_id
    for unique_id, names in (None, fields), (fields[-1], fields[:-1]):
        for dates in 2, 1:  # `begin!end` as dates, or the one day
            if len(names) >= 2 + dates and all(_DATE.fullmatch(name) for name in names[-dates:]):
                return names[:-dates], None, None, unique_id
    return None


def file_name_findings(name: str | None) -> tuple[Finding, ...]:
    """How an attachment's name departs from RFC 8460 section 5.1; an absent name is none, a .zip is `compression`'s."""
    if name is None:
        return ()
    proper = _PROPER.fullmatch(name)
    if proper and all("." in domain and is_domain(domain) for domain in proper.groups()):
        return ()
    parsed = parse_file_name(name)
    if parsed is None:
        return (_finding(name, "is not of the form submitter!policy-domain!begin!end.json.gz"),)
    if parsed.begin is None:
        return (_finding(name, "has a date where Unix seconds belong"),)
    for what, text in ("submitter", parsed.submitter), ("policy domain", parsed.domain):
        if "." not in text or not is_domain(text.lower()):
            return (_finding(name, f"has {printable(text, 60)!r} where the {what}'s domain name belongs"),)
    if not parsed.ext:
        return (_finding(name, "does not end in .json or .json.gz"),)
    if parsed.unique_id is not None and not _UNIQUE_ID.fullmatch(parsed.unique_id):
        return (_finding(name, "has an id of other characters than letters and digits"),)
    return ()


def _finding(name: str, what: str) -> Finding:
    return Finding(
        code="file-name-attachment",
        severity="warning",
        where="attachment",
        message=f"the file name {printable(name, 160)} {what} (RFC 8460 section 5.1)",
        consequence="the name was not relied on: the report itself decides",
        fix=SENDERS_FAULT,
    )
