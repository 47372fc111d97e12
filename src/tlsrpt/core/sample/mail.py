"""A sample report as bytes: its JSON in the sender's style, gzip, and the sender's mail around it.

A mail form is a template with the sender's headers in its order (field-notes, section A). Mails carry no signature:
one that can't be verified would say something that isn't so.
"""

from __future__ import annotations

import binascii
import json
import struct
import zlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

import msgspec

from tlsrpt.core.sample.compose import SampleReport

Form = Literal["eml", "json", "json.gz"]
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ZONES_H = {"google": -7, "mailru": 3}
# mtime 0 and an unknown system, written here: what Python's gzip puts there differs between its versions.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def write_json(report: SampleReport) -> bytes:
    """The report's JSON in the sender's style (F-46)."""
    ordered = report.profile.key_order == "sorted"
    match report.profile.json_style:
        case "compact":
            return msgspec.json.encode(report.document, order="sorted" if ordered else None)
        case "spaced":
            return json.dumps(report.document, sort_keys=ordered).encode()
        case "two":
            return json.dumps(report.document, indent=2, sort_keys=ordered).encode() + b"\n"
        case "tabs":
            return json.dumps(report.document, indent="\t", sort_keys=ordered).encode() + b"\n"


def gzip_bytes(data: bytes) -> bytes:
    """Data as one gzip member without a time or a name; the same bytes wherever zlib is the same."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeeze.compress(data) + squeeze.flush()
    return _GZIP_HEAD + body + struct.pack("<LL", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def write(report: SampleReport, form: Form) -> bytes:
    """The report in one of its forms: a mail, or the attachment alone."""
    if form == "eml":
        return mail(report)
    return write_json(report) if form == "json" else gzip_bytes(write_json(report))


def mail(report: SampleReport, line_end: str = "\r\n") -> bytes:
    """The report as the mail that its sender would send."""
    profile = report.profile
    attachment = write_json(report) if profile.sends_json else gzip_bytes(write_json(report))
    text = FORMS[profile.mail].format(
        date=_date(report.sent_at, _ZONES_H.get(profile.mail, 0)),
        domain=report.report_domain,
        recipient=report.recipient,
        submitter=profile.submitter,
        organization=profile.organization_name,
        contact=profile.contact_info,
        id=report.report_id,
        stamp=f"{report.start:%Y.%m.%dT%H.%M.%SZ}",
        epoch=int(report.sent_at.timestamp()),
        name=report.file_name,
        nonce=report.nonce,
        short=report.nonce[:12],
        dashed=_dashed(report.nonce),
        body=_base64(attachment),
    )
    return text.replace("\n", line_end).encode()


def _base64(data: bytes) -> str:
    """Base64 in lines of 76 characters, without a last line end."""
    text = binascii.b2a_base64(data, newline=False).decode()
    return "\n".join(text[at : at + 76] for at in range(0, len(text), 76))


def _date(when: datetime, offset_h: int) -> str:
    """A Date header, without the locale that strftime would bring in."""
    local = when.astimezone(timezone(timedelta(hours=offset_h)) if offset_h else UTC)
    return (
        f"{_DAYS[local.weekday()]}, {local.day:02d} {_MONTHS[local.month - 1]} {local.year:04d} "
        f"{local:%H:%M:%S} {'-' if offset_h < 0 else '+'}{abs(offset_h):02d}00"
    )


def _dashed(nonce: str) -> str:
    return f"{nonce[:8]}-{nonce[8:12]}-{nonce[12:16]}-{nonce[16:20]}-{nonce[20:]}"


_GOOGLE = """\
MIME-Version: 1.0
Date: {date}
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
Message-ID: <{short}.tls@google.com>
Subject: Report Domain: {domain} Submitter: {submitter} Report-ID: <{stamp}+{domain}@google.com>
From: noreply-smtp-tls-reporting@google.com
To: {recipient}
Content-Type: multipart/report; boundary="0000000000{short}"; report-type=tlsrpt

--0000000000{short}
Content-Type: text/plain; charset="UTF-8"; format=flowed; delsp=yes

This is an aggregate TLS report from google.com

--0000000000{short}
Content-Type: application/tlsrpt+gzip;\x20
\tname="{name}"
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
--0000000000{short}--
"""

_MICROSOFT = """\
From: <tlsrpt-noreply@microsoft.com>
To: "{recipient}" <{recipient}>
Date: {date}
Subject: Report Domain: {domain} Submitter: {submitter} Report-ID:
 {id}
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
MIME-Version: 1.0
Message-ID: <{id}@{domain}>
Return-Path: tlsrpt-noreply@microsoft.com
X-MS-PublicTrafficType: Email
Content-Type: multipart/report; boundary="_{dashed}_"; report-type=tlsrpt

--_{dashed}_
Content-Type: text/html; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

<html><body><div style=3D"font-family:Segoe UI">This is an aggregate TLS report from=
 microsoft.com</div></body></html>
--_{dashed}_
Content-Type: application/tlsrpt+gzip
Content-Description:
 {name}
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
--_{dashed}_--
"""

_MAILRU = """\
From: noreply-smtp-tls-reporting@corp.mail.ru
Date: {date}
To: {recipient}
Subject: Report
 Domain: {domain}
 Submitter: {submitter}
 Report-ID: <{id}>
Auto-Submitted: auto-generated
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
Message-Id: <{id}>
MIME-Version: 1.0
Content-Type: multipart/report; boundary="----=_NextPart_{short}"; report-type="tlsrpt"

This is a multipart message in MIME format.

------=_NextPart_{short}
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: 7bit

This is an aggregate TLS report from mail.ru

------=_NextPart_{short}
Content-Type: application/tlsrpt+gzip;
\tname="{name}"
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
------=_NextPart_{short}--
"""

_STALWART = """\
From: "Report Subsystem" <noreply-tls@{submitter}>
To: {recipient}
Message-ID: <{short}.7.2f@{submitter}>
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
Auto-Submitted: auto-generated
Subject: Report Domain: {domain} Submitter: {submitter} Report-ID:
\t<{id}>
Date: {date}
MIME-Version: 1.0
Content-Type: multipart/report; boundary="{short}_4e1"; report-type="tlsrpt"

--{short}_4e1
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 7bit

TLS report from {submitter}

Report Domain: {domain}

--{short}_4e1
Content-Type: application/tlsrpt+gzip
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
--{short}_4e1--
"""

_POSTFIX = """\
Subject: Report Domain: {domain} Submitter: {submitter} Report-ID:
 <{id}@{submitter}>
From: noreply-tlsrpt@{submitter}
To: {recipient}
Message-ID: <{epoch}.1.{short}@{submitter}>
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
TLS-Required: No
MIME-Version: 1.0
Date: {date}
Content-Type: multipart/report; boundary="==============={short}=="; report-type=tlsrpt

--==============={short}==
Content-Type: text/plain; charset="ascii"
Content-Transfer-Encoding: 7bit

This is an aggregate TLS report from {organization}

--==============={short}==
Content-Type: application/tlsrpt+gzip
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
--==============={short}==--
"""

_MOX = """\
From: <{contact}>
To: <{recipient}>
Subject: Report Domain: {domain} Submitter: {submitter}
 Report-ID: <{id}>
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
TLS-Required: No
Message-Id: <{short}@{submitter}>
Date: {date}
User-Agent: mox/v0.0.17
MIME-Version: 1.0
Content-Type: multipart/report; boundary="{nonce}"; report-type="tlsrpt"

--{nonce}
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

Attached is a TLS report with a summary of connection successes and failures.

Policy Domain: {domain}

--{nonce}
Content-Type: application/tlsrpt+gzip;
\tname="{name}"
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
--{nonce}--
"""

_HALON = """\
From: {contact}
To: {recipient}
Subject: Report Domain: {domain} Submitter: {submitter}
 Report-ID: <{id}@{domain}>
Message-ID: <{dashed}@{submitter}>
X-Mailer: Halon
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
Date: {date}
MIME-Version: 1.0
Content-Type: multipart/report; boundary="--_NmP-{short}"; report-type="tlsrpt"

----_NmP-{short}
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

This is an aggregate TLS report from {submitter}
----_NmP-{short}
Content-Type: application/tlsrpt+json;
\tname="{name}"
Content-Disposition: attachment;
\tfilename="{name}"
Content-Transfer-Encoding: base64

{body}
----_NmP-{short}--
"""

_PLAIN = """\
Date: {date}
From: {contact}
To: {recipient}
Subject: Report Domain: {domain} Submitter: {submitter} Report-ID: <{short}.tls@{submitter}>
Message-ID: <{nonce}@{submitter}>
TLS-Report-Domain: {domain}
TLS-Report-Submitter: {submitter}
TLS-Required: No
MIME-Version: 1.0
Content-Type: multipart/report; report-type="tlsrpt"; boundary="=_{short}"

--=_{short}
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: 7bit

This is an aggregate TLS report from {submitter} on mail to {domain}.

--=_{short}
Content-Type: application/tlsrpt+gzip; name="{name}"
Content-Disposition: attachment; filename="{name}"
Content-Transfer-Encoding: base64

{body}
--=_{short}--
"""

FORMS: dict[str, str] = {
    "google": _GOOGLE,
    "microsoft": _MICROSOFT,
    "mailru": _MAILRU,
    "stalwart": _STALWART,
    "postfix": _POSTFIX,
    "mox": _MOX,
    "halon": _HALON,
    "plain": _PLAIN,
}
