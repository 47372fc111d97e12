"""A mail message taken apart: what may be a report in it, what it says of itself, and what it is if it holds none.

RFC 8460 section 5.3 wants `multipart/report; report-type="tlsrpt"` with a text and one `application/tlsrpt+json` or
`application/tlsrpt+gzip`. The world sends more (field-notes-reports.md section A), so that parts are found by their
bytes and names as well as by their media types, at any depth, in forwarded mails and in mails that are one report.
Each departure is a Finding. Nothing is unpacked or parsed here: `reading` does that with the parts.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from tlsrpt.core import mime
from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import DomainError, LimitError
from tlsrpt.core.filename import parse_file_name
from tlsrpt.core.findings import SENDERS_FAULT, Finding
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.text import printable

Label = Literal["gzip", "json", "zip", "other"]

REPORT_MEDIA_TYPES = ("application/tlsrpt+json", "application/tlsrpt+gzip")  # RFC 8460 section 6.4, 6.5

_PACKED_NAME = re.compile(r"\.(json|gz|zip|tgz|tar)\Z", re.IGNORECASE)
_XML_NAME = re.compile(r"\.xml(\.gz|\.zip)?\Z", re.IGNORECASE)
_HEADER_NAME = rb"[A-Za-z0-9][!-9;-~]*"
_BLANK = re.compile(rb"[\r\n]*\n")
_FIRST_LINE = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*+" + _HEADER_NAME + rb"[ \t]*:")
_OF_MAIL = (
    rb"(?:from|to|subject|date|received|return-path|delivered-to|message-id|mime-version|content-type"
    rb"|tls-report-domain|dkim-signature|authentication-results)[ \t]*:"
)
_MAIL_FIELD = re.compile(rb"^" + _OF_MAIL, re.IGNORECASE | re.MULTILINE)
_FIRST_FIELD = re.compile(_OF_MAIL, re.IGNORECASE)  # the first line of nearly every mail
# Both DMARC (RFC 7489 section 7.2.1.1) and TLS reports carry such a subject.
_REPORT_SUBJECT = re.compile(r"report\s+domain:.*submitter:", re.IGNORECASE | re.DOTALL)
_AUTOMATIC = re.compile(rb"\nauto-submitted:[ \t]*auto-replied|\nx-autoreply:", re.IGNORECASE)
_HEAD_BYTES = 65_536  # of a message are looked at for what it is


class Headers(Struct, frozen=True, kw_only=True, gc=False):
    """The headers of a mail that matter, unfolded and decoded (RFC 2047), else as sent; None where absent."""

    sender: str | None = None  # From
    report_domain: str | None = None  # TLS-Report-Domain
    submitter: str | None = None  # TLS-Report-Submitter
    message_id: str | None = None
    date: str | None = None
    subject: str | None = None


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """A part that may hold a report."""

    data: bytes  # without its transfer encoding, still packed
    media_type: str  # lower case, without parameters
    file_name: str | None
    label: Label  # what media type, or else name, call it
    headers: Headers  # of the mail that it came in: the forwarded one where that is another
    returned: bool = False  # came back in a bounce of a report of our own (F-17): quarantine, never count
    findings: tuple[Finding, ...] = ()  # of this part and of the forwarded mail around it


class Message(Struct, frozen=True, kw_only=True, gc=False):
    """One mail message, taken apart."""

    headers: Headers
    candidates: tuple[Part, ...]  # in the order of the message
    findings: tuple[Finding, ...]  # of the message as a whole: they concern every report in it
    kind_hint: str  # what it is should no candidate turn out to be a report: "a DMARC report", "a bounce"
    claims_report: bool  # it says that it carries a TLS report: by its TLS-Report headers, report-type or media type
    bounce: bool  # a delivery status notification, or forwards one
    fault: str | None = None  # no candidate, yet a TLS report is meant to be in it: why none is seen. For quarantine


def is_message(data: bytes) -> bool:
    """Whether a document begins like a mail message: header lines, some of them of mail; an mbox does not."""
    if _FIRST_FIELD.match(data):
        return True
    head = data[:_HEAD_BYTES]
    if not _FIRST_LINE.match(head):
        return False
    head = head.lstrip(b"\xef\xbb\xbf\r\n").replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return _MAIL_FIELD.search(head) is not None


def take_apart(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Message:
    """Take a mail message apart and find the parts that may hold a report.

    Args:
        data: the message as received; line ends CRLF or LF; an mbox `From ` line in front does no harm.
        limits: compressed_bytes (of the message), message_depth, message_parts.
    Raises:
        LimitError: a limit was passed; names it. Nothing else, whatever the bytes are.
    Source: RFC 8460 section 5.3, RFC 2045, 2046.
    """
    if len(data) > limits.compressed_bytes:
        raise LimitError(f"the message has {len(data):,} bytes", limit="compressed_bytes", where="message")
    # A newline in front of every line, the first one too, lets one pattern find them all.
    data = b"\n" + data.lstrip(b"\xef\xbb\xbf\r\n")
    if limits.message_parts >= _USUAL_PARTS and limits.message_depth >= 1:
        usual = _usual(data)
        if usual is not None:
            return usual
    return _walk(data, limits)


def _walk(data: bytes, limits: Limits) -> Message:
    """The message, whatever its shape; `data` begins with a newline that is not its own."""
    walk = _Walk(limits)
    mail = walk.mail(data, 1, len(data), None, 0)
    drafts = walk.drafts or walk.texts
    for draft in drafts:
        draft.mail.carries = True
    for each in walk.mails:
        each.judge()
    candidates = tuple([draft.part(mail) for draft in drafts])
    bounce = mail.bounced or any(part.returned for part in candidates)
    return Message(
        headers=mail.headers,
        candidates=candidates,
        findings=tuple(mail.findings) if candidates else (),
        kind_hint="a TLS report" if mail.proper and candidates else _kind_hint(walk, mail, data, bounce),
        claims_report=walk.claims,
        bounce=bounce,
        fault=None if candidates or bounce else _fault(walk),
    )


# --- The usual shape ------------------------------------------------------------------------------------------------

# RFC 8460 section 5.3 to the letter: multipart/report with a text and one attachment, both plainly labelled. Nine mails
# in ten are like this, and to look for just that takes two thirds of the time. Whatever is otherwise, `_walk` reads;
# a property test holds the two together.
_USUAL_PARTS = 3
_USUAL_TOP = re.compile(
    rb' multipart/report;\s*(?:report-type="?tlsrpt"?;\s*boundary="([^"\\\s]{1,70})"'
    rb'|boundary="([^"\\\s]{1,70})";\s*report-type="?tlsrpt"?)\s*\Z',
    re.IGNORECASE,
)
_USUAL_TEXT = re.compile(rb" text/(?:plain|html)(?:;\s*charset=[^;\r\n]+)?\s*\Z", re.IGNORECASE)
_USUAL_REPORT = re.compile(rb' (application/tlsrpt\+(?:gzip|json))(?:;\s*name="([^"]*)")?\s*\Z')
_USUAL_NAME = re.compile(rb' attachment;\s*filename="([!#-$&-<>-\[\]-~]+)"\s*\Z', re.IGNORECASE)


def _usual(data: bytes) -> Message | None:
    fields, body = mime.read_head(data, 1, len(data))
    top = _USUAL_TOP.match(fields.get(b"content-type", b""))
    if top is None or b"contenttype" in fields:
        return None
    pieces = data[body - 1 :].split(b"\n--" + (top[1] or top[2]))
    if len(pieces) != 4 or not pieces[1].startswith(_LINE_ENDS) or not pieces[2].startswith(_LINE_ENDS):
        return None
    if not pieces[3].startswith(b"--") or pieces[3][2:].partition(b"\n")[0].strip(b" \t\r"):
        return None
    part = _usual_report(pieces[2], _headers(fields)) if _is_usual_text(pieces[1]) else None
    if part is None or "mailer-daemon" in (part.headers.sender or "").lower():
        return None
    return Message(
        headers=part.headers,
        candidates=(part,),
        findings=(),
        kind_hint="a TLS report",
        claims_report=True,
        bounce=False,
    )


_LINE_ENDS = (b"\n", b"\r\n")


def _is_usual_text(piece: bytes) -> bool:
    fields, _ = mime.read_head(piece, piece.index(b"\n") + 1, len(piece))
    return (
        _USUAL_TEXT.match(fields.get(b"content-type", b"")) is not None
        and b"content-disposition" not in fields
        and b"contenttype" not in fields
        and _encoding(fields) != "base64"
    )


def _usual_report(piece: bytes, headers: Headers) -> Part | None:
    fields, body = mime.read_head(piece, piece.index(b"\n") + 1, len(piece))
    found = _USUAL_REPORT.match(fields.get(b"content-type", b""))
    name = _USUAL_NAME.match(fields.get(b"content-disposition", b""))
    if found is None or name is None or b"=?" in name[1] or b"contenttype" in fields:
        return None
    end = len(piece) - piece.endswith(b"\r")
    data, lie = mime.decode_transfer(piece[body:end], _encoding(fields))
    if lie is not None:
        return None
    media_type, file_name = found[1].decode(), name[1].decode().strip()
    return Part(
        data=data,
        media_type=media_type,
        file_name=file_name or None,
        label=_label(media_type, file_name),
        headers=headers,
    )


# --- Any shape -------------------------------------------------------------------------------------------------------


class _Mail:
    """One mail while it is read: the message itself, or one that it forwards."""

    __slots__ = ("bounced", "carries", "findings", "headers", "parent", "proper")

    def __init__(self, headers: Headers, parent: _Mail | None) -> None:
        self.headers, self.parent = headers, parent
        self.proper = False  # multipart/report; report-type=tlsrpt, as RFC 8460 wants it
        self.bounced = False
        self.carries = False  # a candidate is in it, and in no mail further in
        self.findings: list[Finding] = []

    @property
    def returned(self) -> bool:
        mail: _Mail | None = self
        while mail is not None:
            if mail.bounced:
                return True
            mail = mail.parent
        return False

    def judge(self) -> None:
        """What can be said only once the whole mail has been seen."""
        if not self.proper and "mailer-daemon" in (self.headers.sender or "").lower():
            self.bounced = True  # mail systems that bounce without a delivery status
        if not self.carries:
            return
        if not self.proper:
            self.findings.append(_WRONG_TOP)
        if self.parent is not None:
            self.findings.append(_FORWARDED)


class _Draft:
    """A candidate while the mail around it is still being read."""

    __slots__ = ("data", "file_name", "findings", "mail", "media_type")

    def __init__(self, data: bytes, media_type: str, file_name: str | None, mail: _Mail, lie: str | None) -> None:
        self.data, self.media_type, self.file_name, self.mail = data, media_type, file_name, mail
        self.findings = () if lie is None else (_encoding_finding(lie),)

    def part(self, message: _Mail) -> Part:
        inner = () if self.mail is message else tuple(self.mail.findings)
        return Part(
            data=self.data,
            media_type=self.media_type,
            file_name=self.file_name,
            label=_label(self.media_type, self.file_name),
            headers=self.mail.headers,
            returned=self.mail.returned,
            findings=inner + self.findings,
        )


class _Walk:
    """The way through one message, and what was met on it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.parts = 0
        self.delimiters = 0
        self.mails: list[_Mail] = []
        self.drafts: list[_Draft] = []
        self.texts: list[_Draft] = []  # body texts that look like a report: only if nothing better is found
        self.met: set[str] = set()  # kinds of content by which a mail without a report is named
        self.claims = False

    def mail(self, data: bytes, start: int, end: int, parent: _Mail | None, depth: int) -> _Mail:
        """Read one mail, from its headers on."""
        fields, body = mime.read_head(data, start, end)
        mail = _Mail(_headers(fields), parent)
        self.mails.append(mail)
        if mail.headers.report_domain is not None or mail.headers.submitter is not None:
            self.claims = True
        if b"content-type" not in fields and b"contenttype" not in fields:
            boundary = mime.guess_boundary(data, body, min(end, body + _HEAD_BYTES))
            if boundary is not None:
                mail.findings.append(_mime_finding("boundary", "has no Content-Type, but several parts"))
                self._parts(data, boundary, body, end, mail, depth + 1, "text/plain", top=False)
                return mail
        self._entity(data, fields, body, end, mail, depth, "text/plain", top=True)
        return mail

    def _entity(
        self, data: bytes, fields: mime.Fields, body: int, end: int, mail: _Mail, depth: int, default: str, *, top: bool
    ) -> None:
        """Read one MIME entity; `top` while only signatures are around it."""
        self.parts += 1
        if self.parts > self.limits.message_parts:
            raise LimitError(f"more than {self.limits.message_parts:,} parts", limit="message_parts", where="message")
        content_type = fields.get(b"content-type")
        if content_type is None and b"contenttype" in fields:
            content_type = fields[b"contenttype"]
            mail.findings.append(_mime_finding("content-type", "has the header `ContentType`, not Content-Type"))
        media_type = mime.media_type(content_type, default)
        if media_type.startswith("multipart/"):
            self._multipart(data, content_type, media_type, body, end, mail, depth + 1, top=top)
        elif media_type in _MAIL_MEDIA_TYPES:
            self._forwarded(data, fields, body, end, mail, depth + 1)
        else:
            self._leaf(data, fields, content_type, media_type, body, end, mail, depth, top=top)

    def _multipart(
        self, data: bytes, content_type: bytes | None, media_type: str, body: int, end: int, mail: _Mail, depth: int,
        *, top: bool,
    ) -> None:  # fmt: skip
        found = mime.parameters(content_type)
        if media_type == "multipart/report":
            self._report_type(found.get("report-type", b"").strip().lower(), mail, top=top)
        elif media_type == "multipart/encrypted":
            self.met.add("encrypted")
        child = "message/rfc822" if media_type == "multipart/digest" else "text/plain"
        top = top and media_type == "multipart/signed"
        boundary = found.get("boundary", b"").rstrip()
        if boundary and self._parts(data, boundary, body, end, mail, depth, child, top=top):
            return
        guess = mime.guess_boundary(data, body, end)
        mail.findings.append(_mime_finding("boundary", "names no boundary, or one that does not occur"))
        if guess is None or not self._parts(data, guess, body, end, mail, depth, child, top=top):
            self._leaf(data, {}, None, "text/plain", body, end, mail, depth, top=True)

    def _report_type(self, report_type: bytes, mail: _Mail, *, top: bool) -> None:
        if report_type == b"tlsrpt":
            self.claims = True
            mail.proper = mail.proper or top
        elif report_type == b"delivery-status":
            mail.bounced = True
        elif report_type:
            self.met.add(report_type.decode("latin-1"))

    def _parts(
        self, data: bytes, boundary: bytes, body: int, end: int, mail: _Mail, depth: int, default: str, *, top: bool
    ) -> bool:
        """Read the parts of a multipart; False when there are none."""
        if depth > self.limits.message_depth:
            raise LimitError(
                f"parts are nested more than {self.limits.message_depth} deep", limit="message_depth", where="message"
            )
        spans: list[tuple[int, int]] = []
        opened = -1
        for delimiter in mime.delimiters(data, boundary, body, end):
            self.delimiters += 1
            if self.delimiters > 10 * self.limits.message_parts:
                raise LimitError("too many delimiter lines", limit="message_parts", where="message")
            if delimiter is None:
                continue
            before, after, closes = delimiter
            if opened != -1 and before > opened:
                spans.append((opened, before))
            opened = -1 if closes else after
            if closes:
                break
        else:
            if opened == -1:
                return False
            spans.append((opened, end))
            mail.findings.append(_mime_finding("closing-boundary", "ends without its closing delimiter"))
        for start, stop in spans:
            fields, inner = mime.read_head(data, start, stop)
            self._entity(data, fields, inner, stop, mail, depth, default, top=top)
        return True

    def _forwarded(self, data: bytes, fields: mime.Fields, body: int, end: int, mail: _Mail, depth: int) -> None:
        if depth > self.limits.message_depth:
            raise LimitError(
                f"mails are nested more than {self.limits.message_depth} deep", limit="message_depth", where="message"
            )
        encoding = _encoding(fields)
        if encoding in ("base64", "quoted-printable"):  # forbidden by RFC 2046 section 5.2.1, and done
            data, body = b"\n" + mime.decode_transfer(data[body:end], encoding)[0], 1
            end = len(data)
        blank = _BLANK.match(data, body, end)
        body = blank.end() if blank else body
        if body < end:
            self.mail(data, body, end, mail, depth)

    def _leaf(
        self, data: bytes, fields: mime.Fields, content_type: bytes | None, media_type: str, body: int, end: int,
        mail: _Mail, depth: int, *, top: bool,
    ) -> None:  # fmt: skip
        """Read a part that has no parts, if it may be a report."""
        file_name = _file_name(fields.get(b"content-disposition"), content_type)
        encoding = _encoding(fields)
        if "tlsrpt" in media_type:
            self.claims = True
        if _is_declared(media_type) or (file_name is not None and _PACKED_NAME.search(file_name)):
            self.drafts.append(_draft(data[body:end], encoding, media_type, file_name, mail))
            return
        if file_name is not None and file_name.lower().endswith(".eml"):
            self._forwarded(data, fields, body, end, mail, depth + 1)
            return
        begin = data[body : min(end, body + 512)]
        if media_type.startswith("text/") and file_name is None and encoding != "base64":
            # The text for people, almost always. JSON in it counts if it is all there is, or plainly a report.
            if begin.lstrip().startswith(b"{") and (top or data.find(b'"policies"', body, end) != -1):
                self.texts.append(_draft(data[body:end], encoding, media_type, file_name, mail))
        elif _is_opaque(media_type, file_name) and mime.looks_packed(mime.opening(begin, encoding)):
            self.drafts.append(_draft(data[body:end], encoding, media_type, file_name, mail))
        else:
            self._note(media_type, file_name, mail)

    def _note(self, media_type: str, file_name: str | None, mail: _Mail) -> None:
        """Remember a kind of content that tells what a mail without a report is."""
        if media_type == "message/delivery-status":
            mail.bounced = True
        elif media_type in _TELLING:
            self.met.add(_TELLING[media_type])
        elif file_name is not None and file_name.lower() == "winmail.dat":
            self.met.add("tnef")
        elif file_name is not None and _XML_NAME.search(file_name):
            self.met.add("xml")


_MAIL_MEDIA_TYPES = frozenset({"message/rfc822", "message/global", "message/news"})
_TELLING = {
    "message/disposition-notification": "disposition-notification",
    "message/feedback-report": "feedback-report",
    "application/ms-tnef": "tnef",
    "application/vnd.ms-tnef": "tnef",
    "application/pkcs7-mime": "encrypted",
    "application/x-pkcs7-mime": "encrypted",
    "text/xml": "xml",
    "application/xml": "xml",
}


def _headers(fields: mime.Fields) -> Headers:
    get, text = fields.get, mime.text_of
    return Headers(
        sender=text(get(b"from")),
        report_domain=text(get(b"tls-report-domain")),
        submitter=text(get(b"tls-report-submitter")),
        message_id=text(get(b"message-id")),
        date=text(get(b"date")),
        subject=text(get(b"subject")),
    )


def _encoding(fields: mime.Fields) -> str:
    raw = fields.get(b"content-transfer-encoding")
    if raw is None:
        return ""
    words = raw.replace(b";", b" ").split(None, 1)
    return words[0].decode("latin-1").lower() if words else ""


def _file_name(disposition: bytes | None, content_type: bytes | None) -> str | None:
    name = None
    if disposition is not None:
        name = mime.parameter_text(mime.parameters(disposition), "filename")
    if name is None and content_type is not None and b"name" in content_type.lower():
        name = mime.parameter_text(mime.parameters(content_type), "name")
    return name


def _draft(raw: bytes, encoding: str, media_type: str, file_name: str | None, mail: _Mail) -> _Draft:
    data, lie = mime.decode_transfer(raw, encoding)
    return _Draft(data, media_type, file_name, mail, lie)


def _is_declared(media_type: str) -> bool:
    """Whether a media type names what a report can be (F-08): JSON, gzip, zip under any of their names."""
    return "tlsrpt" in media_type or "json" in media_type or ("zip" in media_type and "." not in media_type)


def _is_opaque(media_type: str, file_name: str | None) -> bool:
    """Whether the label leaves open what the bytes are; an office document is a zip too, and no report."""
    if file_name is not None and _OFFICE_NAME.search(file_name):
        return False
    return not media_type.startswith(("image/", "audio/", "video/", "font/", "message/", "application/vnd."))


_OFFICE_NAME = re.compile(r"\.(docx|xlsx|pptx|docm|xlsm|odt|ods|odp|epub|jar|apk)\Z", re.IGNORECASE)


def _label(media_type: str, file_name: str | None) -> Label:
    if media_type in REPORT_MEDIA_TYPES:
        return "gzip" if media_type.endswith("gzip") else "json"
    for text in media_type, (file_name or "").lower():
        if "gzip" in text or text.endswith((".gz", ".tgz")):
            return "gzip"
        if "json" in text:
            return "json"
        if "zip" in text:
            return "zip"
    return "other"


def _kind_hint(walk: _Walk, mail: _Mail, data: bytes, bounce: bool) -> str:
    """What a mail is that turns out to hold no TLS report, as a person would call it (F-19)."""
    if bounce:
        return "a bounce"
    if "disposition-notification" in walk.met:
        return "a read receipt"
    if "feedback-report" in walk.met:
        return "a complaint or DMARC failure report (feedback-report)"
    if not walk.claims and _is_dmarc(walk, mail):
        return "a DMARC report"
    for kind, name in ("tnef", "a mail in Outlook's winmail.dat"), ("encrypted", "an encrypted mail"):
        if kind in walk.met:
            return name
    if walk.claims:
        return "a TLS report mail without a readable report"
    if _AUTOMATIC.search(data, 0, mime.read_head(data, 1, min(len(data), _HEAD_BYTES))[1]):
        return "an automatic reply"
    return "a mail without a TLS report"


def _is_dmarc(walk: _Walk, mail: _Mail) -> bool:
    """DMARC aggregate reports: XML, packed or not, by name or type; their subject is that of a TLS report."""
    names = [draft.file_name or "" for draft in walk.drafts]
    if any(map(_XML_NAME.search, names)):
        return True
    if not (names or "xml" in walk.met) or any("json" in name for name in names):
        return False
    named = any(parse_file_name(name) for name in names)
    return (
        _REPORT_SUBJECT.search(mail.headers.subject or "") is not None or named or "dmarc" in str(mail.headers.sender)
    )


def _fault(walk: _Walk) -> str | None:
    """Why a report that must be meant to be there is not seen."""
    if "tnef" in walk.met:
        return "the attachment is Outlook's winmail.dat (TNEF), which hides the report: have it sent on as MIME"
    if walk.claims and "encrypted" in walk.met:
        return "the mail says that it is a TLS report, but it is encrypted"
    if walk.claims:
        return "the mail says that it is a TLS report, but no report is attached"
    return None


def label_findings(part: Part, packing: tuple[str, ...]) -> tuple[Finding, ...]:
    """How a part's media type departs from the RFC (F-08), and its label from its bytes (F-10).

    Args:
        packing: the layers in which the report was found, from the outside in: (), ("gzip",), ("zip",) ...
            Packings that RFC 8460 does not know are noted by `reading`, which meets them in files as well.
    """
    found: list[Finding] = []
    if part.media_type not in REPORT_MEDIA_TYPES:
        found.append(
            Finding(
                code="media-type-attachment",
                severity="warning",
                where="attachment",
                message=f"the report's media type is {printable(part.media_type, 100)}, "
                "not application/tlsrpt+gzip or application/tlsrpt+json (RFC 8460 section 5.3)",
                consequence="it was found by its bytes; filters and other readers may pass it over",
                fix=SENDERS_FAULT,
            )
        )
    actual = "gzip" if packing == ("gzip",) else "json"
    if packing not in ((), ("gzip",)) or part.label in ("other", actual):
        return tuple(found)
    found.append(
        Finding(
            code="compression-attachment",
            severity="warning",
            where="attachment",
            message=f"the report is labelled {part.label}, but it is {'plain JSON' if actual == 'json' else 'gzip'}",
            consequence="it was read as what it is",
            fix=SENDERS_FAULT,
        )
    )
    return tuple(found)


def header_findings(
    headers: Headers, contact_domain: str | None, policy_domains: tuple[str, ...] = ()
) -> tuple[Finding, ...]:
    """How the mail's TLS-Report headers depart from RFC 8460 section 5.3 and from the report (R5.3-02, R5.3-03, F-05).

    Args:
        contact_domain: domain of the report's contact-info, None where it has none to compare with.
        policy_domains: those of the report; DANE rows name MX hosts (F-31), so that this comparison only informs.
    """
    found: list[Finding] = []
    for name, value in ("TLS-Report-Domain", headers.report_domain), ("TLS-Report-Submitter", headers.submitter):
        if not value:
            message = f"the mail has no {name} header (RFC 8460 section 5.3 requires it)"
            found.append(_header_finding("missing", name, message, "the report itself was relied on"))
    if headers.submitter and contact_domain is not None and headers.submitter != contact_domain:
        submitter, contact = _comparable(headers.submitter), _comparable(contact_domain)
        if submitter != contact:
            message = (
                f"TLS-Report-Submitter is {printable(headers.submitter, 100)}, "
                f"the domain of contact-info is {printable(contact_domain, 100)} (RFC 8460 section 5.3: the same)"
            )
            found.append(
                _header_finding("identity", "TLS-Report-Submitter", message, "the report's contact-info counts")
            )
    if headers.report_domain:
        found += _report_domain_findings(headers.report_domain, policy_domains)
    return tuple(found)


def _report_domain_findings(value: str, policy_domains: tuple[str, ...]) -> list[Finding]:
    name = "TLS-Report-Domain"
    try:
        domain = parse_domain(value)
    except DomainError:
        message = f"{name} is {printable(value, 100)}: no domain name"
        return [_header_finding("format", name, message, "it was not relied on")]
    if not policy_domains or any(_is_within(other, domain) for other in policy_domains):
        return []
    about = printable(", ".join(policy_domains), 200)
    return [
        Finding(
            code="identity-tls-report-domain",
            severity="info",
            where=f"message.{name}",
            message=f"{name} is {printable(value, 100)}; the policies are about {about}",
            consequence="usual where a report is about an MX host, or goes to its operator; the report itself counts",
        )
    ]


def _is_within(name: str, domain: str) -> bool:
    name = _comparable(name)
    return name == domain or name.endswith("." + domain)


def _comparable(domain: str) -> str:
    try:
        return parse_domain(domain)
    except DomainError:
        return domain.strip().lower()


def _header_finding(kind: str, header: str, message: str, consequence: str) -> Finding:
    return Finding(
        code=f"{kind}-{header.lower()}",
        severity="warning",
        where=f"message.{header}",
        message=message,
        consequence=consequence,
        fix=SENDERS_FAULT,
    )


def _mime_finding(what: str, message: str) -> Finding:
    return Finding(
        code=f"mime-{what}",
        severity="warning",
        where="message",
        message=f"the mail {message}",
        consequence="its parts were read as far as they can be told apart",
        fix="a fault of the report's sender, or of a mail system on the way",
    )


def _encoding_finding(lie: str) -> Finding:
    return Finding(
        code="encoding-transfer",
        severity="warning",
        where="attachment",
        message=f"the attachment is {lie}",
        consequence="it was read as what it is",
        fix=SENDERS_FAULT,
    )


_WRONG_TOP = Finding(
    code="media-type-message",
    severity="warning",
    where="message",
    message='the mail is not multipart/report; report-type="tlsrpt" (RFC 8460 section 5.3)',
    consequence="the report was found all the same; filters and other readers may pass it over",
    fix="a fault of the report's sender, or of a mail system that rebuilt the mail",
)
_FORWARDED = Finding(
    code="wrapper-forwarded",
    severity="warning",
    where="message",
    message="the report's mail came as an attachment of another mail",
    consequence="headers were taken from the inner mail; the outer one can't vouch for them",
    fix="have the reports delivered to the address itself (rua), not forwarded by hand",
)
