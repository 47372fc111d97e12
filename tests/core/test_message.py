"""A report is found in whatever mail it comes in, and every departure from RFC 8460 section 5.3 is named."""

from __future__ import annotations

import base64
import csv
import email
import email.message
import gzip
import quopri
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tlsrpt.core import message
from tlsrpt.core.errors import LimitError
from tlsrpt.core.filename import file_name_findings
from tlsrpt.core.limits import DEFAULT_LIMITS, Limits
from tlsrpt.core.message import Headers, Message, Part, header_findings, is_message, label_findings, take_apart

SAMPLES = Path(__file__).parents[1] / "data" / "reports"
MAILS = sorted(SAMPLES.glob("*.eml"))

JSON = b'{"organization-name": "Sender Example", "policies": []}'
GZIP = gzip.compress(JSON, mtime=0)
NAME = "sender.example!orchard.example!1772323200!1772409599!001.json.gz"

HEADERS = {
    "From": "tls@sender.example",
    "Subject": "Report Domain: orchard.example Submitter: sender.example Report-ID: <1@sender.example>",
    "TLS-Report-Domain": "orchard.example",
    "TLS-Report-Submitter": "sender.example",
}
TEXT = b"Content-Type: text/plain\n\nThis is an aggregate TLS report.\n"


def attachment(
    data: bytes = GZIP,
    *,
    media_type: str = "application/tlsrpt+gzip",
    name: str | None = NAME,
    encoding: str = "base64",
) -> bytes:
    """One part with a report in it."""
    head = f"Content-Type: {media_type}\n"
    if encoding:
        head += f"Content-Transfer-Encoding: {encoding}\n"
    if name is not None:
        head += f'Content-Disposition: attachment;\n\tfilename="{name}"\n'
    body = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(data)
    return head.encode() + b"\n" + body


def multipart(
    *parts: bytes, kind: str = 'report; report-type="tlsrpt"', boundary: str = "=_b", closed: bool = True
) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n'
    body = b"".join(f"--{boundary}\n".encode() + part + b"\n" for part in parts)
    return head.encode() + body + (f"--{boundary}--\n".encode() if closed else b"")


def mail(content: bytes, **headers: str | None) -> bytes:
    """A mail around a Content-Type and body; headers as keywords replace the usual ones, None leaves one out."""
    named = HEADERS | {key.replace("_", "-"): value for key, value in headers.items()}
    return "".join(f"{key}: {value}\n" for key, value in named.items() if value is not None).encode() + content


def codes(message: Message) -> list[str]:
    return sorted(
        finding.code for finding in (*message.findings, *(f for part in message.candidates for f in part.findings))
    )


def only(message: Message) -> Part:
    (part,) = message.candidates
    return part


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"], ids=["LF", "CRLF", "CRCRLF"])
@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.name)
def test_each_sample_gives_its_report_and_the_deviations_of_the_mail(path: Path, end: bytes) -> None:
    """index.tsv names them; a deviation that it does not name is not made up. Line ends change nothing."""
    with (SAMPLES / "index.tsv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file, delimiter="\t") if row["file"] == path.name)
    expected = {
        "-".join(deviation.lower().replace("message.", "").split())
        for deviation in row["deviations"].split("; ")
        if re.search(r"message|attachment", deviation)
    }
    message = take_apart(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", end))
    part = only(message)
    packing = ("gzip",) if part.data.startswith(b"\x1f\x8b") else ("zip",) if part.data.startswith(b"PK") else ()
    contact = re.search(
        rb'"contact-info":\s*"[^"]*@([^"]*)"', gzip.decompress(part.data) if packing == ("gzip",) else part.data
    )
    found = (
        *message.findings,
        *part.findings,
        *label_findings(part, packing),
        *file_name_findings(part.file_name),
        *header_findings(part.headers, contact[1].decode() if contact else None),
    )
    if row["outcome"] == "no-report":
        assert message.kind_hint == "a DMARC report"
        assert not message.claims_report
    else:
        if packing == ("zip",):
            expected.discard("compression-attachment")  # the reader of the report notes it
        assert {finding.code for finding in found if finding.severity != "info"} == expected
        assert message.claims_report or "missing-tls-report-domain" in expected
    assert not message.bounce
    assert message.fault is None


def test_the_usual_mail_has_no_findings() -> None:
    message = take_apart(mail(multipart(TEXT, attachment())))
    assert message.headers == Headers(
        sender="tls@sender.example",
        report_domain="orchard.example",
        submitter="sender.example",
        subject=HEADERS["Subject"],
    )
    assert only(message) == Part(
        data=GZIP, media_type="application/tlsrpt+gzip", file_name=NAME, label="gzip", headers=message.headers
    )
    assert message.findings == ()
    assert message.claims_report


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(multipart(TEXT, attachment(), kind="mixed"), ["media-type-message"], id="multipart/mixed"),
        pytest.param(multipart(TEXT, attachment(), kind="report"), ["media-type-message"], id="no report-type"),
        pytest.param(multipart(TEXT, attachment(), kind="REPORT; Report-Type=TLSRPT"), [], id="capitals"),
        pytest.param(attachment(), ["media-type-message"], id="F-15: the mail is the report"),
        pytest.param(attachment(JSON, media_type="text/plain", name=None, encoding=""), ["media-type-message"], id="JSON as text"),
        pytest.param(b"\n" + JSON, ["media-type-message"], id="JSON, no Content-Type"),
        pytest.param(JSON, ["media-type-message"], id="JSON without the empty line"),
        pytest.param(multipart(multipart(TEXT, attachment(), boundary="x"), TEXT, kind="mixed"), ["media-type-message"], id="a list's footer"),
        pytest.param(multipart(multipart(TEXT, attachment(), boundary="x"), TEXT, kind="signed"), [], id="signed"),
        pytest.param(multipart(TEXT, multipart(TEXT, attachment(), kind="mixed", boundary="=_b2")), [], id="nested, boundary a prefix"),
        pytest.param(multipart(TEXT, attachment(), TEXT), [], id="F-07: footer after the attachment"),
        pytest.param(multipart(TEXT, attachment(), closed=False), ["mime-closing-boundary"], id="not closed"),
        pytest.param(multipart(TEXT, attachment()).replace(b'; boundary="=_b"', b""), ["mime-boundary"], id="boundary not named"),
        pytest.param(multipart(TEXT, attachment()).replace(b'"=_b"', b'"other"'), ["mime-boundary"], id="another boundary named"),
        pytest.param(multipart(TEXT, attachment()).replace(b"Content-Type: multi", b"X-Type: multi"), ["media-type-message", "mime-boundary"], id="Content-Type lost"),
        pytest.param(multipart(TEXT, attachment()).replace(b"Content-Type: multi", b"ContentType: multi"), ["mime-content-type"], id="F-08: ContentType"),
        pytest.param(multipart(TEXT, attachment().replace(b"Content-Type", b"ContentType")), ["mime-content-type"], id="F-08: ContentType of the part"),
        pytest.param(multipart(TEXT, attachment()).replace(b"\n\n--", b"\n--"), [], id="no empty line before the parts"),
        pytest.param(multipart(TEXT, attachment(JSON, encoding="base64").replace(b"\n\n", b"\n\n\n\n")), [], id="F-13: blank lines"),
        pytest.param(multipart(b"", b"", TEXT, attachment()), [], id="empty parts"),
    ],
)  # fmt: skip
def test_a_report_is_found_in_other_shapes_of_mail(content: bytes, found: list[str]) -> None:
    message = take_apart(mail(content))
    assert only(message).data.strip() in (JSON, GZIP)
    assert codes(message) == found
    assert not message.bounce


@pytest.mark.parametrize(
    ("part", "data", "found"),
    [
        pytest.param(attachment(JSON, encoding=""), JSON, [], id="no encoding"),
        pytest.param(attachment(JSON, encoding="8bit"), JSON, [], id="8bit"),
        pytest.param(attachment(GZIP, encoding="binary"), GZIP, [], id="binary gzip"),
        pytest.param(attachment(JSON * 9, encoding="quoted-printable"), JSON * 9, [], id="quoted-printable JSON"),
        pytest.param(attachment(encoding="quoted-printable"), GZIP, [], id="quoted-printable gzip"),
        pytest.param(attachment(encoding="BASE64 ;").replace(GZIP, base64.b64encode(GZIP)), GZIP, [], id="odd spelling"),
        pytest.param(attachment().replace(b"=", b""), GZIP, [], id="padding lost"),
        pytest.param(attachment().replace(b"\nH4s", b"\n!H4-s"), GZIP, [], id="junk characters"),
        pytest.param(attachment() + b"-- \nA mailing list, footer.\n", GZIP, [], id="text after the padding"),
        pytest.param(attachment(GZIP[:31]) + base64.encodebytes(GZIP[31:]), GZIP, [], id="padded in pieces"),
        pytest.param(attachment(JSON, encoding="").replace(b"\n\n", b"\nContent-Transfer-Encoding: base64\n\n"), JSON, ["encoding-transfer"], id="F-14: labelled base64, is JSON"),
        pytest.param(attachment(GZIP, encoding="").replace(b"\n\n", b"\nContent-Transfer-Encoding: base64\n\n"), GZIP, ["encoding-transfer"], id="labelled base64, is gzip"),
        pytest.param(attachment(GZIP, encoding="").replace(b"\n\n", b"\nContent-Transfer-Encoding: quoted-printable\n\n"), GZIP, ["encoding-transfer"], id="labelled quoted-printable, is gzip"),
        pytest.param(attachment().replace(b"base64", b"7bit"), GZIP, ["encoding-transfer"], id="labelled 7bit, is base64"),
        pytest.param(attachment(JSON).replace(b"base64", b"quoted-printable"), JSON, ["encoding-transfer"], id="labelled quoted-printable, is base64"),
        pytest.param(attachment(JSON * 9, encoding="quoted-printable").replace(b"quoted-printable", b"8bit"), JSON * 9, ["encoding-transfer"], id="labelled 8bit, is quoted-printable"),
        pytest.param(attachment(JSON, encoding="utf-8"), JSON, ["encoding-transfer"], id="no such encoding"),
    ],
)  # fmt: skip
def test_the_bytes_decide_and_not_the_label_of_the_transfer_encoding(
    part: bytes, data: bytes, found: list[str]
) -> None:
    """F-13, F-14: decoded leniently; where the label lies, that is a finding."""
    message = take_apart(mail(multipart(TEXT, part)))
    assert only(message).data.rstrip(b"\n") == data.rstrip(b"\n")
    assert codes(message) == found


@pytest.mark.parametrize(
    ("part", "is_candidate"),
    [
        pytest.param(attachment(media_type="application/tlsrpt+x-gzip", name=None), True, id="tlsrpt-ish"),
        pytest.param(attachment(media_type="application/x-gzip", name=None), True, id="gzip"),
        pytest.param(attachment(JSON, media_type="text/json", name=None), True, id="json"),
        pytest.param(attachment(media_type="application/octet-stream", name=None), True, id="octet-stream, gzip"),
        pytest.param(attachment(b"\xef\xbb\xbf" + JSON, media_type="application/octet-stream", name=None), True, id="octet-stream, JSON with BOM"),
        pytest.param(attachment(media_type="application/x-unknown", name="a.bin"), True, id="known by its bytes"),
        pytest.param(attachment(b"damaged", media_type="application/octet-stream"), True, id="known by its name"),
        pytest.param(attachment(media_type="text/plain", name=None), True, id="gzip as text"),
        pytest.param(attachment(b"\x89PNG", media_type="image/png", name="logo.png"), False, id="image"),
        pytest.param(attachment(b"PK\x03\x04", media_type="application/octet-stream", name="a.docx"), False, id="office document"),
        pytest.param(attachment(b"%PDF", media_type="application/octet-stream", name="a.pdf"), False, id="PDF"),
        pytest.param(attachment(b"{ hello }", media_type="text/plain", name=None, encoding=""), False, id="text in braces"),
        pytest.param(TEXT, False, id="text"),
    ],
)  # fmt: skip
def test_a_part_is_a_candidate_by_type_name_or_bytes(part: bytes, is_candidate: bool) -> None:
    """F-08: media types vary; F-19: not everything in the mailbox is a report."""
    message = take_apart(mail(multipart(TEXT, part, kind="mixed"), TLS_Report_Domain=None, TLS_Report_Submitter=None))
    assert len(message.candidates) == is_candidate
    assert message.fault is None or "tlsrpt" in part.decode("latin-1")


def test_a_report_in_the_text_counts_only_if_nothing_better_is_there() -> None:
    inline = attachment(JSON, media_type="text/plain", name=None, encoding="")
    assert only(take_apart(mail(multipart(TEXT, inline, kind="mixed")))).data.strip() == JSON
    assert only(take_apart(mail(multipart(inline, attachment())))).data == GZIP


def test_every_report_of_a_mail_is_found_in_order() -> None:
    """F-16."""
    message = take_apart(mail(multipart(TEXT, attachment(name="1.json.gz"), attachment(JSON, name="2.json"))))
    assert [part.file_name for part in message.candidates] == ["1.json.gz", "2.json"]


FORWARD = {"From": "boss@orchard.example", "Subject": "Fwd", "TLS_Report_Domain": None, "TLS_Report_Submitter": None}


@pytest.mark.parametrize("wrap", ["message/rfc822", "message/rfc822 base64", "name.eml", "digest", "whole"])
def test_a_forwarded_mail_is_read_with_its_own_headers(wrap: str) -> None:
    """F-17: `wrapper`; the report's mail is the inner one, and it is as RFC 8460 wants it."""
    inner = mail(multipart(TEXT, attachment()))
    content = {
        "message/rfc822": lambda: multipart(TEXT, b"Content-Type: message/rfc822\n\n" + inner, kind="mixed", boundary="f"),
        "message/rfc822 base64": lambda: multipart(TEXT, attachment(inner, media_type="message/rfc822"), kind="mixed", boundary="f"),
        "name.eml": lambda: multipart(attachment(inner, media_type="application/octet-stream", name="x.eml"), kind="mixed", boundary="f"),
        "digest": lambda: multipart(b"\n" + inner, kind="digest", boundary="f"),
        "whole": lambda: b"Content-Type: message/rfc822\n\n" + inner,
    }[wrap]()  # fmt: skip
    message = take_apart(mail(content, **FORWARD))
    assert message.headers.sender == "boss@orchard.example"
    part = only(message)
    assert part.data == GZIP
    assert part.headers == take_apart(inner).headers
    assert [finding.code for finding in part.findings] == ["wrapper-forwarded"]
    assert message.findings == ()
    assert not part.returned


def test_several_forwarded_mails_keep_their_own_headers() -> None:
    wrapped = [
        b"Content-Type: message/rfc822\n\n" + mail(multipart(TEXT, attachment()), TLS_Report_Domain=domain)
        for domain in ("orchard.example", "meadow.example")
    ]
    message = take_apart(mail(multipart(*wrapped, kind="mixed", boundary="f"), **FORWARD))
    assert [part.headers.report_domain for part in message.candidates] == ["orchard.example", "meadow.example"]


RETURNED = b"Content-Type: message/rfc822\n\n" + mail(multipart(TEXT, attachment()))
STATUS = b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.orchard.example\n\nAction: failed\n"


@pytest.mark.parametrize(
    "bounce",
    [
        pytest.param(mail(multipart(TEXT, STATUS, RETURNED, kind="report; report-type=delivery-status", boundary="d"), **FORWARD), id="RFC 3464"),
        pytest.param(mail(multipart(TEXT, STATUS, RETURNED, kind="mixed", boundary="d"), **FORWARD), id="status in a mixed"),
        pytest.param(mail(multipart(TEXT, RETURNED, kind="mixed", boundary="d"), **{**FORWARD, "From": "Mailer-Daemon@mx.orchard.example"}), id="without a status"),
        pytest.param(mail(b"\nReturned mail, it follows:\n\n" + mail(multipart(TEXT, attachment())), **{**FORWARD, "From": "MAILER-DAEMON (Mail System)"}), id="as text"),
        pytest.param(mail(multipart(TEXT, b"Content-Type: message/rfc822\n\n" + mail(multipart(TEXT, STATUS, RETURNED, kind="report; report-type=delivery-status", boundary="d"), **FORWARD), kind="mixed", boundary="e"), **FORWARD), id="a bounce, forwarded"),
    ],
)  # fmt: skip
def test_a_bounce_of_our_own_report_is_marked(bounce: bytes) -> None:
    """F-17: what comes back in it is our own report, never to be counted."""
    message = take_apart(bounce)
    assert message.bounce
    assert only(message).returned
    assert message.kind_hint == "a bounce"


def test_a_bounce_without_the_report_is_just_a_bounce() -> None:
    headers_only = b"Content-Type: text/rfc822-headers\n\nTLS-Report-Domain: orchard.example\n"
    message = take_apart(
        mail(multipart(TEXT, STATUS, headers_only, kind="report; report-type=delivery-status"), **FORWARD)
    )
    assert (message.bounce, message.candidates, message.fault, message.kind_hint) == (True, (), None, "a bounce")


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        pytest.param(multipart(TEXT, attachment(b"<feedback/>", media_type="text/xml", name="a!b.example!1772323200!1772409599.xml"), kind="mixed"), "a DMARC report", id="XML"),
        pytest.param(multipart(TEXT, attachment(media_type="application/gzip", name="a!b.example!1772323200!1772409599.xml.gz"), kind="mixed"), "a DMARC report", id="packed XML"),
        pytest.param(multipart(TEXT, attachment(media_type="application/zip", name="report.zip"), kind="mixed"), "a DMARC report", id="zip under such a subject"),
        pytest.param(multipart(TEXT, b"Content-Type: message/feedback-report\n\nx: y\n", kind="report; report-type=feedback-report"), "a complaint or DMARC failure report (feedback-report)", id="ARF"),
        pytest.param(multipart(TEXT, b"Content-Type: message/disposition-notification\n\nx: y\n", kind="report; report-type=disposition-notification"), "a read receipt", id="MDN"),
        pytest.param(attachment(b"0", media_type="application/pkcs7-mime", name="smime.p7m"), "an encrypted mail", id="S/MIME"),
    ],
)  # fmt: skip
def test_a_mail_without_a_tls_report_is_called_what_it_is(content: bytes, hint: str) -> None:
    """F-19: never "broken"."""
    subject = HEADERS["Subject"] if "DMARC" in hint else "Hello"
    message = take_apart(mail(content, Subject=subject, TLS_Report_Domain=None, TLS_Report_Submitter=None))
    assert message.kind_hint == hint
    assert message.fault is None
    assert not message.claims_report


def test_ordinary_and_automatic_mails() -> None:
    ordinary = {"Subject": "Hello", "TLS_Report_Domain": None, "TLS_Report_Submitter": None}
    assert take_apart(mail(TEXT, **ordinary)).kind_hint == "a mail without a TLS report"
    reply = {**ordinary, "Subject": "Re: " + HEADERS["Subject"], "From": "dmarc@orchard.example"}
    assert take_apart(mail(TEXT, **reply)).kind_hint == "a mail without a TLS report"
    assert take_apart(mail(TEXT, Auto_Submitted="auto-replied", **ordinary)).kind_hint == "an automatic reply"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(
            attachment(b"x\x9f", media_type="application/ms-tnef", name="winmail.dat"), "winmail.dat", id="F-17"
        ),
        pytest.param(multipart(TEXT), "no report is attached", id="attachment taken out"),
        pytest.param(multipart(TEXT, TEXT, kind="encrypted"), "encrypted", id="encrypted"),
    ],
)
def test_a_tls_report_that_cannot_be_seen_is_a_fault_with_its_reason(content: bytes, reason: str) -> None:
    """Nothing is dropped: it goes to quarantine, named."""
    message = take_apart(mail(content))
    assert message.candidates == ()
    assert reason in str(message.fault)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        pytest.param(b"Subject: Report\n Domain:\n\ta.example\n", "Report Domain: a.example", id="folded"),
        pytest.param(b"SUBJECT:x\n", "x", id="capitals, no blank"),
        pytest.param(b"Subject: =?utf-8?Q?B=C3=BCcher?=\n =?iso-8859-1?b?/A==?= x\n", "Bücherü x", id="encoded words"),
        pytest.param(b"Subject: =?x-none?Q?a?= =?utf-8?B?*?=\n", "a", id="unknown charset, bad base64"),
        pytest.param(
            b"Subject: =?idna?Q?xn--a?= =?unicode_escape?Q?=5Cud800?=\n", "xn--a\\ud800", id="not a charset for mail"
        ),
        pytest.param(b"Subject: B\xc3\xbccher\n", "Bücher", id="raw UTF-8"),
        pytest.param(b"Subject: B\xfccher\n", "Bücher", id="raw Latin-1"),
        pytest.param(b"Subject: a\0b\n", "a\ufffdb", id="NUL"),
        pytest.param(b"Subject: =?utf-16?B?ANg=?=\n", "\ufffdØ", id="a lone surrogate never comes out"),
        pytest.param(b"Subject: 1\nSubject: 2\n", "1", id="the first counts"),
        pytest.param(b"X: y\n", None, id="absent"),
        pytest.param(b"Subject:\n", "", id="empty"),
    ],
)
def test_headers_are_unfolded_and_decoded(head: bytes, text: str | None) -> None:
    assert take_apart(head + b"\nbody").headers.subject == text


@pytest.mark.parametrize(
    ("head", "name"),
    [
        pytest.param(b'Content-Disposition: attachment; filename="a b.json"', "a b.json", id="quoted"),
        pytest.param(b"Content-Disposition: attachment; filename=a.json; size=1", "a.json", id="plain"),
        pytest.param(b"Content-Disposition: attachment; FileName=Sender Example!a.json", "Sender Example!a.json", id="blanks without quotes"),
        pytest.param(b'Content-Disposition: attachment; filename="a\\"b.json"', 'a"b.json', id="escaped quote"),
        pytest.param(b'Content-Disposition: attachment; filename="a.json', "a.json", id="quote not closed"),
        pytest.param(b'Content-Disposition: attachment; filename="a.exam\n ple.json"', "a.example.json", id="folded inside the name"),
        pytest.param(b"Content-Disposition: attachment; filename*=utf-8''b%C3%BCcher.json", "bücher.json", id="RFC 2231"),
        pytest.param(b"Content-Disposition: attachment; filename*=b%C3%BCcher.json", "bücher.json", id="RFC 2231 without quotes"),
        pytest.param(b'Content-Disposition: attachment;\n filename*0="a!";\n filename*1="b.json"', "a!b.json", id="in pieces"),
        pytest.param(b"Content-Disposition: attachment; filename*0*=iso-8859-1''%FC; filename*1=%20; filename*2*=%21.json", "ü%20!.json", id="pieces, encoded"),
        pytest.param(b'Content-Disposition: attachment; filename="=?utf-8?Q?b=C3=BC.json?="', "bü.json", id="encoded word"),
        pytest.param(b'Content-Type: application/json; name="a.json"', "a.json", id="name of the Content-Type"),
        pytest.param(b'Content-Type: application/json; name="a.json"\nContent-Disposition: inline; filename="b.json"', "b.json", id="filename wins"),
        pytest.param(b'Content-Type: application/json; name=""', None, id="empty"),
        pytest.param(b"Content-Type: application/json", None, id="none"),
    ],
)  # fmt: skip
def test_file_names_are_read_in_every_spelling(head: bytes, name: str | None) -> None:
    if b"Content-Type" not in head:
        head += b"\nContent-Type: application/json"
    assert only(take_apart(head + b"\n\n{}")).file_name == name


def part(media_type: str, name: str | None = None) -> Part:
    return only(take_apart(mail(multipart(TEXT, attachment(media_type=media_type, name=name)))))


@pytest.mark.parametrize(
    ("media_type", "name", "packing", "found"),
    [
        ("application/tlsrpt+gzip", NAME, ("gzip",), []),
        ("application/tlsrpt+json", NAME, (), []),
        ("application/tlsrpt+gzip", NAME, (), ["compression"]),
        ("application/tlsrpt+json", NAME, ("gzip",), ["compression"]),
        ("application/tlsrpt+gzip", NAME, ("gzip", "gzip"), []),
        ("application/tlsrpt+gzip", NAME, ("zip",), []),
        ("application/tlsrpt", NAME, ("gzip",), ["media-type"]),
        ("application/octet-stream", NAME, (), ["media-type", "compression"]),
        ("application/octet-stream", None, (), ["media-type"]),
        ("application/x-gzip", None, ("gzip",), ["media-type"]),
        ("application/zip", None, ("zip",), ["media-type"]),
        ("application/zip", None, ("gzip",), ["media-type", "compression"]),
    ],
)
def test_labels_are_held_against_the_bytes(
    media_type: str, name: str | None, packing: tuple[str, ...], found: list[str]
) -> None:
    """F-08, F-10; packings other than gzip (F-11) are noted by the reader of the report."""
    noted = label_findings(part(media_type, name), packing)
    assert [finding.code for finding in noted] == [f"{kind}-attachment" for kind in found]


@pytest.mark.parametrize(
    ("domain", "submitter", "contact", "policies", "found"),
    [
        ("orchard.example", "sender.example", "sender.example", ("orchard.example",), []),
        ("Orchard.Example.", "Sender.example", "sender.EXAMPLE", ("orchard.example",), []),
        ("orchard.example", "sender.example", None, (), []),
        (None, None, "sender.example", (), ["missing-tls-report-domain", "missing-tls-report-submitter"]),
        ("", "", None, (), ["missing-tls-report-domain", "missing-tls-report-submitter"]),
        ("orchard.example", "sender.example", "corp.sender.example", (), ["identity-tls-report-submitter"]),
        ("orchard.example", "Sender Example Hosting", "mta.sender.example", (), ["identity-tls-report-submitter"]),
        ("not a domain", "sender.example", "sender.example", (), ["format-tls-report-domain"]),
        ("orchard.example", "sender.example", None, ("mx1.orchard.example",), []),
        ("mx1.orchard.example", "sender.example", None, ("a.example", "b.example"), ["identity-tls-report-domain"]),
    ],
)
def test_the_tls_report_headers_are_held_against_the_report(
    domain: str | None, submitter: str | None, contact: str | None, policies: tuple[str, ...], found: list[str]
) -> None:
    """R5.3-02, R5.3-03, F-05; another TLS-Report-Domain only informs, since DANE rows are about MX hosts (F-31)."""
    noted = header_findings(Headers(report_domain=domain, submitter=submitter), contact, policies)
    assert [finding.code for finding in noted] == found
    assert all((finding.severity == "info") is (finding.code == "identity-tls-report-domain") for finding in noted)


def nested(depth: int) -> bytes:
    content = attachment()
    for level in range(depth):
        content = multipart(content, kind="mixed", boundary=f"b{level}")
    return mail(content)


@pytest.mark.parametrize(
    ("data", "limits", "named"),
    [
        pytest.param(nested(11), Limits(), "message_depth", id="multiparts"),
        pytest.param(b"Content-Type: message/rfc822\n\n" * 11, Limits(), "message_depth", id="forwarded mails"),
        pytest.param(b"Content-Type: message/rfc822\n\n" * 100_000, Limits(), "message_depth", id="very many of them"),
        pytest.param(mail(multipart(*[TEXT] * 1001)), Limits(), "message_parts", id="parts"),
        pytest.param(mail(multipart(*[b""] * 100_000)), Limits(), "message_parts", id="delimiters"),
        pytest.param(mail(multipart(*[attachment()] * 9)), Limits(message_parts=9), "message_parts", id="lower limit"),
        pytest.param(nested(3), Limits(message_depth=2), "message_depth", id="lower depth"),
        pytest.param(b"x" * 1001, Limits(compressed_bytes=1000), "compressed_bytes", id="bytes"),
    ],
)
def test_a_limit_that_is_passed_is_named(data: bytes, limits: Limits, named: str) -> None:
    """Depth and parts are bounded, so that no message costs more than its bytes (RFC 8460 section 7)."""
    with pytest.raises(LimitError) as raised:
        take_apart(data, limits=limits)
    assert raised.value.limit == named


def test_up_to_the_limit_all_is_read() -> None:
    assert only(take_apart(nested(DEFAULT_LIMITS.message_depth))).data == GZIP
    assert len(take_apart(mail(multipart(*[attachment()] * 8)), limits=Limits(message_parts=9)).candidates) == 8


MANY = 1_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"From: x\n" * MANY,
        b"From: x\n" + b" \n" * MANY,
        b"\n\r" * MANY,
        b"\n-" * MANY,
        b'Content-Type: text/plain; a="' + b";" * MANY,
        b"Content-Type: application/json" + b';a="' * MANY,
        b"Content-Type: application/json;name*=x''" + b"%41;name*1=" * MANY,
        b"Subject: " + b"=?utf-8?b?a" * MANY,
        b"Content-Type: application/json\n\neyJ" + b" " * MANY + b"!",
        b"Content-Type: application/json\nContent-Transfer-Encoding: base64\n\n" + b"AA==" * MANY,
        b"\n--x" * MANY,
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b' + b" " * MANY,
    ],
    ids=range(12),
)
def test_input_made_to_be_slow_is_not(data: bytes) -> None:
    """Each would take minutes with one pattern or loop that is not linear; what is asserted is that it ends."""
    take_apart(data)
    is_message(data)


def test_a_head_longer_than_any_is_passed_over() -> None:
    message = take_apart(b"X: y\n" * 60_000 + mail(multipart(TEXT, attachment())))
    assert message.headers.sender is None
    message = take_apart(mail(b"X: y\n" * 60_000 + multipart(TEXT, attachment())))
    assert message.headers.sender == "tls@sender.example"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param(mail(TEXT), True, id="mail"),
        pytest.param(b"\r\n\xef\xbb\xbf" + mail(TEXT), False, id="junk"),
        pytest.param(b"\xef\xbb\xbf\r\n" + mail(TEXT), True, id="BOM and blank lines"),
        pytest.param(b"X-A: 1\r\n" * 50 + b"Received: x\r\n\r\n", True, id="CRLF"),
        pytest.param(attachment(), True, id="Content-Type only"),
        pytest.param(b"From x@y.example Mon\n" + mail(TEXT), False, id="an mbox"),
        pytest.param(JSON, False, id="JSON"),
        pytest.param(b'{"From": "x",\nFrom: y', False, id="JSON-like"),
        pytest.param(GZIP, False, id="gzip"),
        pytest.param(b"PK\x03\x04", False, id="zip"),
        pytest.param(b"# README\n\nFrom: x\n", False, id="README"),
        pytest.param(b"key: value\nother: value\n", False, id="YAML"),
        pytest.param(b"note: x\n\nFrom: y\n", False, id="a header only in the body"),
        pytest.param(b"", False, id="empty"),
    ],
)
def test_a_mail_is_known_by_its_first_lines(data: bytes, answer: bool) -> None:
    assert is_message(data) is answer


# Against Python's own parser: messages that keep to the RFCs, in all the ways in which they may be written.

TOKEN = st.text("abcXYZ019=_.", min_size=1, max_size=12)
FOLD = st.sampled_from([" ", "\n ", "\n\t"])


@st.composite
def written_headers(draw: st.DrawFn) -> list[str]:
    """The headers that we read and others around them, in any order and case, folded between words."""
    chosen = draw(st.lists(st.sampled_from([*HEADERS, "Message-ID", "Date", "Received", "X-Long"]), unique=True))
    lines = []
    for name in chosen:
        words = HEADERS.get(name, "one two three").split()
        value = "".join(draw(FOLD) + word if place else word for place, word in enumerate(words))
        blank = draw(st.sampled_from(["", " ", "\t"]))
        lines.append(f"{draw(st.sampled_from([name, name.lower(), name.upper()]))}:{blank}{value}")
    return lines


@st.composite
def written_attachment(draw: st.DrawFn) -> str:
    data = draw(st.sampled_from([GZIP, JSON, JSON * 40]))
    encodings = ["base64", "quoted-printable"] + ["7bit", "", "binary"] * (data is not GZIP)
    encoding = draw(st.sampled_from(encodings))
    name = draw(st.sampled_from([None, "a b.json", NAME, "semi;colon=.json"]))
    where = draw(st.sampled_from(["filename", "name", "both", "filename*"]))
    media_type = draw(
        st.sampled_from(["application/tlsrpt+gzip", "application/tlsrpt+json", "Application/Octet-Stream"])
    )
    lines = [f"Content-Type: {media_type}"]
    if name and where in ("name", "both"):
        lines[0] += f';{draw(FOLD)}name="{name}"'
    if name and where in ("filename", "both"):
        lines.append(f'Content-Disposition: attachment;{draw(FOLD)}filename="{name}"')
    if name and where == "filename*":
        quoted = "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in name)
        lines.append(f"Content-Disposition: attachment;{draw(FOLD)}filename*=utf-8''{quoted}")
    if encoding:
        lines.append(f"Content-Transfer-Encoding: {draw(st.sampled_from([encoding, encoding.upper()]))}")
    if encoding == "base64":
        width = draw(st.sampled_from([64, 76, 10_000]))
        text = base64.b64encode(data).decode()
        body = "\n".join(text[at : at + width] for at in range(0, len(text), width))
    elif encoding == "quoted-printable":
        body = quopri.encodestring(data).decode()
    else:
        body = data.decode()
    return "\n".join(draw(st.permutations(lines))) + "\n\n" + body + draw(st.sampled_from(["", "\n"]))


WRITTEN_TEXT = st.sampled_from(
    [
        "Content-Type: text/plain; charset=utf-8\n\nReport\n",
        "\nno head\n",
        "Content-Type: text/html\n\n<p>--</p>",
        "X-A: b\n\n--\nsig",
    ]
)


@st.composite
def written_multipart(draw: st.DrawFn, depth: int = 0) -> str:
    boundary = draw(TOKEN) + str(depth)
    quoted = draw(st.booleans()) or "=" in boundary
    given = [f'boundary="{boundary}"' if quoted else f"boundary={boundary}"]
    given += draw(st.sampled_from([[], ['report-type="tlsrpt"'], ["report-type=tlsrpt"]]))
    head = "Content-Type: multipart/report" + "".join(f";{draw(FOLD)}{each}" for each in draw(st.permutations(given)))
    part = WRITTEN_TEXT | written_attachment()
    parts = draw(st.lists(part | written_multipart(depth + 1) if depth < 2 else part, min_size=1, max_size=3))
    preamble, epilogue = draw(st.sampled_from(["", "preamble\n"])), draw(st.sampled_from(["", "\n", "\nepilogue\n"]))
    body = "".join(f"--{boundary}{draw(st.sampled_from(['', ' ']))}\n{each}\n" for each in parts)
    return f"{head}\n\n{preamble}{body}--{boundary}--{epilogue}"


@st.composite
def written_mail(draw: st.DrawFn) -> bytes:
    content = draw(written_multipart() | written_attachment())
    headers = draw(written_headers())
    text = "".join(line + "\n" for line in headers) + content
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"]))).encode()


def unfolded(value: str | None) -> str | None:
    return None if value is None else re.sub(r"\r?\n[ \t]+", " ", value).strip()


def as_email_reads_it(data: bytes) -> tuple[list[str | None], list[tuple[bytes, str, str | None]]]:
    parsed = email.message_from_bytes(data)
    headers = [unfolded(parsed[name]) for name in (*HEADERS, "Message-ID", "Date")]
    parts = []
    for each in parsed.walk():
        if each.get_content_maintype() == "application":
            payload = each.get_payload(decode=True)
            assert isinstance(payload, bytes)
            parts.append((payload, each.get_content_type(), each.get_filename()))
    return headers, parts


@settings(max_examples=300, deadline=None)
@given(written_mail())
def test_a_mail_is_read_as_pythons_email_reads_it(data: bytes) -> None:
    """Same headers, same parts, same names, same bytes, wherever the message keeps to the RFCs."""
    message = take_apart(data)
    mine = message.headers
    headers = [mine.sender, mine.subject, mine.report_domain, mine.submitter, mine.message_id, mine.date]
    assert (
        headers,
        [(part.data, part.media_type, part.file_name) for part in message.candidates],
    ) == as_email_reads_it(data)


# Whatever the bytes, only LimitError comes out, and every text can be stored and shown.

PIECES = [
    b"\n", b"\r\n", b"\n\n", b"--b", b"--b--", b"--", b" ", b"\t", b";", b'"', b"=", b"\\", b"'", b"%", b"\0", b"\xff", b"=?utf-7?Q?+2AA-?=",
    b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: multipart/report; report-type=delivery-status; boundary=b",
    b"Content-Type: message/rfc822", b"Content-Type: application/json", b"Content-Transfer-Encoding: base64", b"Content-Type: text/plain",
    b"Content-Transfer-Encoding: quoted-printable", b"Content-Disposition: attachment; filename*0*=", b"name*=utf-16''%D8", b"Subject: ",
    b"From: ", GZIP, JSON, base64.b64encode(GZIP),
]  # fmt: skip


def all_strings(message: Message) -> list[str]:
    found = [message.kind_hint, message.fault or ""]
    for headers in (message.headers, *(part.headers for part in message.candidates)):
        found += [getattr(headers, name) or "" for name in headers.__struct_fields__]
    found += [text for part in message.candidates for text in (part.file_name or "", part.media_type)]
    return found


def survives(data: bytes) -> None:
    is_message(data)
    try:
        message = take_apart(data)
    except LimitError:
        return
    for text in all_strings(message):
        assert "\0" not in text
        text.encode()
    for each in message.candidates:
        label_findings(each, ())
        header_findings(each.headers, "sender.example", ("orchard.example",))
        file_name_findings(each.file_name)


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_any_bytes_are_taken_apart(data: bytes) -> None:
    survives(data)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(MAILS),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 40), st.sampled_from(PIECES)), max_size=4),
)
def test_damaged_mails_are_taken_apart(path: Path, cuts: list[tuple[int, int, bytes]]) -> None:
    data = path.read_bytes()
    for at, length, piece in cuts:
        data = data[:at] + piece + data[at + length :]
    survives(data)


USUAL = (SAMPLES / "google-sts-success.eml").read_bytes()
EDITS = [b"", b"\n", b"\r\n", b" ", b"--", b"=", b'"', b";", b"x", b"\n\n", b"{", b"\nContent-Type: text/plain\n", b"base64",
         b'"; filename="a.eml', b"=?utf-8?q?x?=", b"\\", b"\xff", b"\t", b":", b"tlsrpt", b"report-type=delivery-status;"]  # fmt: skip


@st.composite
def edited_mail(draw: st.DrawFn) -> bytes:
    """A usual report mail with lines lost, doubled or swapped, and bytes put in."""
    sample = draw(st.sampled_from(sorted(SAMPLES.glob("*.eml")))).read_bytes() if draw(st.booleans()) else USUAL
    lines = sample.split(b"\n")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["lose", "double", "swap", "put"])):
            case "lose":
                del lines[at]
                lines = lines or [b""]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                lines[at - 1], lines[at] = lines[at], lines[at - 1]
            case "put":
                place = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:place] + draw(st.sampled_from(EDITS)) + lines[at][place:]
    return draw(st.sampled_from([b"\n", b"\r\n"])).join(line.removesuffix(b"\r") for line in lines)


@settings(max_examples=400)
@given(edited_mail() | written_mail())
def test_the_usual_shape_is_read_as_any_shape_is(data: bytes) -> None:
    """The quick way for usual mails answers as the one for any shape does, or leaves the mail to it."""
    whole = b"\n" + data.lstrip(b"\xef\xbb\xbf\r\n")
    usual = message._usual(whole)
    assert usual is None or usual == message._walk(whole, DEFAULT_LIMITS)


def test_a_usual_mail_is_read_the_quick_way() -> None:
    """Else the quick way would be there for nobody."""
    usual = [name for name in sorted(SAMPLES.glob("*.eml")) if message._usual(b"\n" + name.read_bytes())]
    assert len(usual) >= 4
