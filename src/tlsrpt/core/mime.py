"""MIME as it arrives: heads, parameters, delimiters and transfer encodings (RFC 2045-2047, 2231, 5322), read leniently.

Works on the bytes and copies only what is asked for. Python's `email` reads the same things with more ceremony: it
takes four times as long on a usual report mail, keeps every line of a message as an object, takes quadratic time on
some parameters and raises on others. Everything here is linear in the bytes given and raises nothing; the tests hold
it against `email` wherever a message keeps to the RFCs.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

_WANTED = (
    b"from|tls-report-domain|tls-report-submitter|message-id|date|subject"
    b"|content-type|contenttype|content-transfer-encoding|content-disposition"
)
# One pass over a head: a line that is wanted, with its continuation lines, or the end of the head. That is the empty
# line, or where a sender or gateway lost it: a delimiter, JSON or gzip. Other lines, junk too, are passed over.
# Line ends are LF, CRLF, or CR CR LF after one conversion too many.
_HEAD_LINE = re.compile(
    rb"\n(?=[cdfmst\r\n{\x1f-])(?:(" + _WANTED + rb"):([^\n]*(?:\n[ \t][^\n]*)*)|(\r*\n|(?=--|[{\x1f])))", re.IGNORECASE
)
_HEAD_END = re.compile(rb"\n(?:\r*+\n|(?=--|[{\x1f]))")
_LONGEST_HEAD = 262_144  # the fields beyond are not read; mail servers cut at 100 KB or less
_FOLD = re.compile(r"\r*\n[ \t]+")
_FOLD_BYTES = re.compile(rb"\r*\n[ \t]*")
# Longer ones are for no reader (RFC 5322: lines of 998); a value of megabytes must not become a million parameters.
_LONGEST_TEXT, _LONGEST_PARAMETERS = 4096, 65_536
_MEDIA_TYPE = re.compile(rb"\s*([!-.0-:<-~]+/[!-.0-:<-~]+)(?![^\s;])")
_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^;]*))', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:()+-]{1,40})(?:\*[^?]*)?\?([bBqQ])\?([^?\n]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")
# A name for a charset that a sender may choose; some of Python's other codecs raise, warn or take quadratic time.
_CHARSET = re.compile(
    r"(us-)?ascii|utf-?8|utf-?16(be|le)?|iso-?8859-[0-9]{1,2}|(windows|cp)-?125[0-9]|koi8-[ru]|iso-2022-jp|shift_jis"
    r"|euc-(jp|kr)|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
)
_LOST_BOUNDARY = re.compile(rb"\n--([^\s][^\r\n]{0,199}+)\r*\n(?=content-)", re.IGNORECASE)
_BASE64_TEXT = re.compile(rb"[A-Za-z0-9+/=\s]*+")
_PADDED = re.compile(rb"[^=]++=*+")
_MOST_PADDINGS = 10_000
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_SOFT_BREAK = re.compile(rb"=\r?\n")

GZIP = b"\x1f\x8b"
_BINARY = (GZIP, b"PK\x03\x04")
_TEXT = (b"{", b"[", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0{")  # JSON, with the marks that F-47 speaks of
_BASE64_OF = (b"H4sI", b"UEsDB", b"eyJ", b"eyA", b"ewo", b"ew0K", b"77u/")  # gzip, zip, `{"`, `{ `, `{\n`, `{\r\n`, BOM
_AS_THEY_ARE = frozenset({"", "7bit", "8bit", "binary"})

Fields = dict[bytes, bytes]  # the wanted fields of a head: lower-case name -> value as sent, folds included


def read_head(data: bytes, start: int, end: int) -> tuple[Fields, int]:
    """The fields of the head that starts there, the first of each name, and where the body starts.

    The byte before `start` must be a newline; `end` is where the entity ends.
    """
    fields: Fields = {}
    read_to = min(end, start + _LONGEST_HEAD)
    for line in _HEAD_LINE.finditer(data, start - 1, read_to):
        name, value, _ = line.groups()
        if name is None:
            return fields, line.end()
        fields.setdefault(name.lower(), value)
    found = _HEAD_END.search(data, read_to, end)
    return fields, found.end() if found else end


def text_of(raw: bytes | None) -> str | None:
    """A header's value as text: unfolded, encoded words read (RFC 2047), 8-bit as UTF-8 or else Latin-1."""
    if raw is None:
        return None
    text = decode(raw[:_LONGEST_TEXT].strip())
    if "\n" in text:
        text = _FOLD.sub(" ", text)
    return text if "=?" not in text else decode_words(text)


def decode(raw: bytes, charset: str | None = None) -> str:
    """Bytes as text that can be encoded again, whatever they and the charset's name are; NUL becomes U+FFFD."""
    try:
        if charset is not None and _CHARSET.fullmatch(charset):
            text = raw.decode(charset)
        else:
            text = raw.decode()
    except (UnicodeError, LookupError):
        text = raw.decode("latin-1")
    return text.replace("\0", "\ufffd") if "\0" in text else text


def decode_words(text: str) -> str:
    """The text with its encoded words read; one that can't be stays as it is."""
    return _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1", text))


def _decode_word(word: re.Match[str]) -> str:
    charset, encoding, payload = word.groups()
    if encoding in "bB":
        raw = decode_base64(payload.encode())
    else:
        raw = binascii.a2b_qp(payload.encode(), header=True)
    return decode(raw, charset)


def media_type(raw: bytes | None, default: str = "text/plain") -> str:
    """The media type, lower case, of a Content-Type; the default where it is absent or no type at all."""
    if raw is None:
        return default
    found = _MEDIA_TYPE.match(raw)
    return found[1].decode().lower() if found else default


def parameters(raw: bytes | None) -> dict[str, bytes]:
    """The parameters of a header field, the first of each name (lower case); folds inside a value are taken out."""
    found: dict[str, bytes] = {}
    if raw is None or b"=" not in raw:
        return found
    for name, quoted, plain in _PARAMETER.findall(raw[:_LONGEST_PARAMETERS]):
        value = quoted or plain.strip().strip(b'"')
        if b"\\" in quoted:
            value = _ESCAPE.sub(rb"\1", quoted)
        if b"\n" in value:
            value = _FOLD_BYTES.sub(b"", value)
        found.setdefault(name.decode("latin-1").lower(), value)
    return found


def parameter_text(found: dict[str, bytes], name: str) -> str | None:
    """A parameter as text: in one piece or several, with a charset (RFC 2231) or encoded words; None when empty."""
    if not found:
        return None
    if name in found:
        text = decode(found[name])
        text = decode_words(text) if "=?" in text else text
    elif f"{name}*" in found:
        text = _extended(found[f"{name}*"])
    else:
        text = _continued(found, name)
    return text.strip() or None


def _continued(found: dict[str, bytes], name: str) -> str:
    pieces: list[bytes] = []
    extended = f"{name}*0*" in found
    while True:
        key = f"{name}*{len(pieces)}"
        if f"{key}*" in found:
            # The charset stands in front of the first piece only; a later piece may be percent-encoded or not.
            pieces.append(found[f"{key}*"])
        elif key in found:
            pieces.append(found[key].replace(b"%", b"%25") if extended else found[key])
        else:
            break
    joined = b"".join(pieces)
    return _extended(joined) if extended else decode(joined)


def _extended(value: bytes) -> str:
    """charset'language'percent-encoded (RFC 2231 section 4); without the quotes it is taken as UTF-8."""
    charset, quote, rest = value.partition(b"'")
    _, second, encoded = rest.partition(b"'")
    if not (quote and second):
        return decode(unquote_to_bytes(value))
    return decode(unquote_to_bytes(encoded), charset.decode("latin-1"))


def delimiters(data: bytes, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool] | None]:
    """The delimiter lines of a multipart body (RFC 2046 section 5.1.1): where the line break before each begins, where
    the line after it begins, whether it closes. None stands for a line that only begins like one.

    The byte before `start` must be a newline.
    """
    needle = b"\n--" + boundary
    at = data.find(needle, start - 1, end)
    while at != -1:
        after = at + len(needle)
        closes = data.startswith(b"--", after)
        line_end = data.find(b"\n", after, end)
        rest = data[after + 2 * closes : line_end if line_end != -1 else end]
        if rest and rest.strip(b" \t\r"):
            yield None
        else:
            before = at - 1 if at >= start and data[at - 1] == 0x0D else at
            yield before, line_end + 1 if line_end != -1 else end, closes
        at = data.find(needle, after, end)


def guess_boundary(data: bytes, start: int, end: int) -> bytes | None:
    """The boundary in use, where the head names none or another: of the first delimiter that a field follows."""
    found = _LOST_BOUNDARY.search(data, start - 1, end)
    return found[1].rstrip() if found else None


def looks_packed(data: bytes) -> bool:
    """Whether bytes begin as a report can begin: gzip, zip, or JSON in any of its encodings."""
    return data.startswith(_BINARY) or data[:64].lstrip().startswith(_TEXT)


def opening(raw: bytes, encoding: str) -> bytes:
    """The first decoded bytes of a body, enough for `looks_packed`."""
    return decode_transfer(raw[:512], encoding)[0]


def decode_transfer(raw: bytes, encoding: str) -> tuple[bytes, str | None]:
    """A body without its transfer encoding, and in words where the label lied (F-14).

    Bytes that plainly are, or plainly aren't, in an encoding are read as what they are.
    """
    bare = raw[:64].lstrip()
    if encoding == "base64":
        if bare.startswith(_BINARY) or bare.startswith((b"{", b"[")):
            return raw, "labelled base64, but not encoded at all"
        return decode_base64(raw), None
    if bare.startswith(GZIP):
        return raw, None if encoding in _AS_THEY_ARE else f"labelled {encoding}, but not encoded at all"
    if bare.startswith(_BASE64_OF) and _BASE64_TEXT.fullmatch(raw):
        return decode_base64(raw), f"labelled {encoding or 'without a transfer encoding'}, but it is base64"
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw), None
    # JSON has no line break inside a string, and no `=` outside: this can only be a soft line break.
    if bare.startswith(b"{") and _SOFT_BREAK.search(raw):
        return binascii.a2b_qp(raw), "not labelled quoted-printable, but it is"
    return raw, None if encoding in _AS_THEY_ARE else "labelled with an unknown transfer encoding"


def decode_base64(raw: bytes) -> bytes:
    """Base64 as far as it can be read: blanks, junk, missing or early padding, a character left over (F-13)."""
    try:
        data = binascii.a2b_base64(raw)
    except binascii.Error:
        plain = _NO_BASE64.sub(b"", raw)
        if len(plain) % 4 == 1:
            plain = plain[:-1]
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    # Decoding ends at the padding. What follows counts only if it is base64 as well, and no footer of a mailing list.
    padding = raw.find(b"=")
    rest = b"".join(raw[padding:].lstrip(b"=").split()) if padding != -1 else b""
    if rest and len(rest) % 4 == 0 and _BASE64_TEXT.fullmatch(rest) and rest.count(b"=") <= _MOST_PADDINGS:
        return data + b"".join(map(decode_base64, _PADDED.findall(rest)))
    return data
