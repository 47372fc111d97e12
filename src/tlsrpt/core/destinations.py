"""Where reports go: the URIs in `rua` (RFC 8460 section 3, RFC 3986, RFC 6068), read, written and mended.

A destination that is right passes through unchanged. One that is not is mended only where its owner's meaning is
plain; an address is never made up.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from msgspec import Struct

from tlsrpt.core.domain import Domain, parse_domain
from tlsrpt.core.errors import DomainError, TlsrptError
from tlsrpt.core.findings import Severity
from tlsrpt.core.text import printable
from tlsrpt.core.txtrecord import MOX, SYS4, distance

# URI (RFC 3986 appendix A), without the three characters that RFC 8460 section 3 wants encoded: , ! ;
_PCT = r"%[0-9A-Fa-f]{2}"
_PCHAR = rf"(?:[A-Za-z0-9._~$&'()*+=:@-]|{_PCT})"
_REG_NAME = rf"(?:[A-Za-z0-9._~$&'()*+=-]|{_PCT})*"
_USERINFO = rf"(?:[A-Za-z0-9._~$&'()*+=:-]|{_PCT})*"
_LITERAL = r"\[(?:(?P<v6>[0-9A-Fa-f:.]+)|[Vv][0-9A-Fa-f]+\.[A-Za-z0-9._~$&'()*+=:-]+)\]"
_AUTHORITY = rf"(?:{_USERINFO}@)?(?:{_LITERAL}|{_REG_NAME})(?::[0-9]*)?"
_HIER = rf"(?://{_AUTHORITY}(?:/{_PCHAR}*)*|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?|{_PCHAR}+(?:/{_PCHAR}*)*|)"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?"
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_HIER}{_TAIL}")

# dot-atom-text and quoted-string of RFC 5322, ASCII only: RFC 8460 knows no internationalised local part
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*|\"(?:[\x20\x21\x23-\x5B\x5D-\x7E]|\\[\x20-\x7E])*\"")
_MAX_LOCAL = 64  # RFC 5321 section 4.5.3.1.1
# Raw in a mailto URI within rua: the rest of atext is reserved by RFC 6068 section 2 or by RFC 8460 section 3.
_SAFE_LOCAL = "-._~$'*+"
_SAFE_PATH = "/:@-._~$&'()*+=?%"
_USER = re.compile(r"[^/?#@]*@")
_HOST = re.compile(r"//(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:@]*)(?::([0-9]{1,5})?)?(?=[/?#]|\Z)")
_ADDRESS = re.compile(r"[^\s@,;:<>\"/]+@[^\s@,;:<>/]+")


class DestinationError(TlsrptError):
    """A text that can't be a destination of reports."""


class Destination(Struct, frozen=True, kw_only=True):
    """One place to send reports to.

    Attributes:
        uri: as published.
        addresses: for mailto, the mail addresses, percent-decoded, their domains as A-labels; usually one.
    """

    scheme: Literal["mailto", "https"]
    uri: str
    addresses: tuple[str, ...] = ()


class Fault(Struct, frozen=True):
    """One thing wrong with a destination, before it has a place in a record; `sign` is the part at fault, or empty."""

    code: str
    message: str
    consequence: str
    fix: str
    severity: Severity = "error"
    sign: str = ""


class Mended(Struct, frozen=True, kw_only=True):
    """A destination as it should be, and what was wrong.

    Attributes:
        uris: the right form, one or more; none where it can't be known, or where no sender supports the scheme.
        lost: whether a destination was meant that can't be known, so that a corrected record would leave it out.
    """

    uris: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    lost: bool = False


def is_uri(text: str) -> bool:
    """Whether a text is a URI as the grammar of `rua` wants it: RFC 3986, with `,` `!` `;` encoded."""
    match = _URI.fullmatch(text)
    if match is None:
        return False
    if match["v6"] is None:
        return True
    try:
        ipaddress.IPv6Address(match["v6"])
    except ValueError:
        return False
    return True


def looks_like_destination(text: str) -> bool:
    """Whether somebody meant a destination with this word, right or wrong."""
    return re.match(r"<?(?:mailto|https?)[:=]", text, re.IGNORECASE) is not None or (
        len(text) < 400 and _ADDRESS.fullmatch(text.strip("<>\"'")) is not None
    )


def read_destination(uri: str) -> Destination | None:
    """The destination that a URI of the grammar names; None where no sender could use it (see `mend`)."""
    scheme, _, rest = uri.partition(":")
    match scheme.lower():
        case "https":
            return Destination(scheme="https", uri=uri) if _host(rest) else None
        case "mailto":
            addresses = _addresses(rest.partition("#")[0].partition("?")[0])
            return Destination(scheme="mailto", uri=uri, addresses=addresses) if addresses else None
    return None


def mailto_uri(address: str) -> str:
    """Write a mail address as a destination: domain as A-labels, what RFC 6068 and RFC 8460 reserve encoded.

    Raises:
        DestinationError: no address, or its local part is not ASCII.
    """
    text = address.strip()
    if text[:7].lower() == "mailto:":
        text = unquote_to_bytes(text[7:]).decode("utf-8", "replace")
    local, at, domain = text.rpartition("@")
    if re.fullmatch(rf"(?:{_ATOM}|[.,;])+", local):
        local = local if _is_local(local) else f'"{local}"'  # RFC 5322: in quotes, , and ; may stand in a local part
    if not at or not _is_local(local):
        hint = "" if local.isascii() else "; the part before @ must be ASCII"
        raise DestinationError(f"no mail address: {printable(text, 80)}{hint}", fix="write it as tls@example.com")
    try:
        return f"mailto:{quote(local, safe=_SAFE_LOCAL)}@{parse_domain(domain)}"
    except DomainError as error:
        raise DestinationError(f"no mail address: {printable(text, 80)}", fix="write it as tls@example.com") from error


def https_uri(url: str) -> str:
    """Write an https endpoint as a destination: host as A-labels, `,` `!` `;` and what is no URI character encoded.

    Raises:
        DestinationError: another scheme, no host, or a port that is none.
    """
    text = url.strip()
    if text[:8].lower() != "https://":
        scheme = "only https is supported" if text[:7].lower() == "http://" else "an endpoint begins with https://"
        raise DestinationError(
            f"no https endpoint: {printable(text, 80)}; {scheme}", fix="write it as https://reports.example.com/tlsrpt"
        )
    uri = _https(text[8:])
    if uri is None:
        raise DestinationError(
            f"no https endpoint: {printable(text, 80)}", fix="write it as https://reports.example.com/tlsrpt"
        )
    return uri


def _is_local(local: str) -> bool:
    return len(local) <= _MAX_LOCAL and _LOCAL.fullmatch(local) is not None


def _addresses(to: str) -> tuple[str, ...]:
    """The addresses of a mailto URI; () where there is none, or one of them can't be one."""
    if "/" in to:  # reserved (RFC 6068 section 2): mailto://a@b.example is no address
        return ()
    text = unquote_to_bytes(to).decode("utf-8", "replace") if "%" in to else to
    addresses = tuple(_address(part) for part in _list(text))
    return tuple(filter(None, addresses)) if all(addresses) else ()


def _list(text: str) -> list[str]:
    """Several addresses in one URI (RFC 6068), their commas encoded as RFC 8460 wants; a comma may be in quotes too."""
    parts = text.split(",")
    return parts if len(parts) > 1 and all("@" in part for part in parts) else [text]


def _address(text: str) -> str | None:
    local, at, domain = text.rpartition("@")
    if not at or not _is_local(local) or not domain.isascii() or domain != domain.strip():
        return None
    name = _domain(domain)  # a final dot goes, as most mail servers do
    return f"{local}@{name}" if name else None


def _domain(text: str) -> Domain | None:
    if len(text) > 1000:
        return None
    try:
        return parse_domain(text)
    except DomainError:
        return None


def _host(rest: str) -> str | None:
    """The host of what follows `https:`, or None where there is none to connect to."""
    match = _HOST.match(rest)
    if match is None or not 0 < int(match[2] or 443) < 65536:
        return None
    return match[1] if match[1].startswith("[") else _domain(match[1].removesuffix("."))


def _https(rest: str) -> str | None:
    """`https://` with a host as A-labels and everything else encoded; None where no such URI can be made."""
    match = re.match(r"((?:[^/?#@]*@)?)(\[[^\]]*\]|[^/?#:@]*)((?::[0-9]*)?)(?=[/?#]|\Z)(.*)\Z", rest, re.DOTALL)
    if match is None or re.search(r"[<>{}\x00-\x1f\x7f]", rest):  # a placeholder left in, perhaps
        return None
    userinfo, host, port, path = match.groups()
    if not host.startswith("["):
        name = _domain(host.removesuffix("."))
        if name is None:
            return None
        host = host if host.isascii() else name
    path, mark, fragment = path.partition("#")
    path = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", path)
    uri = f"https://{quote(userinfo, safe='@:%-._~')}{host}{port}{quote(path, safe=_SAFE_PATH)}"
    uri += mark + quote(fragment, safe=_SAFE_PATH)
    return uri if is_uri(uri) and read_destination(uri) else None


# --- mending ---------------------------------------------------------------------------------------------------------

_SKIPPED = "The record holds, but no sender can use this destination."
_NOT_VALID = "Not valid by RFC 8460 section 3: strict senders drop the whole record, other destinations included."
_SIZE = re.compile(r"!\d+[kmgt]?\Z", re.IGNORECASE)
_MAIL_WORDS = ("email", "e-mail", "mail", "mailto")
_TEMPLATE = "mailto:<address that takes the reports>"


def mend(text: str) -> Mended:
    """Say what is wrong with one destination, and what it should be.

    Args:
        text: one element of `rua`, without white space around it.
    """
    if is_right(text):
        return Mended(uris=(text,))
    faults: list[Fault] = []
    bare = _unwrapped(text, faults)
    scheme, rest = _scheme(bare, faults)
    if scheme == "mailto":
        return _mend_mailto(rest, faults)
    if scheme == "https":
        return _mend_https(rest, faults)
    if scheme:
        return Mended(faults=tuple(faults))
    bare_scheme = text.lower().rstrip(":=") in ("mailto", "https")  # cut off by a wrong separator: the rest follows
    faults.append(
        Fault(
            "uri-invalid",
            f"no destination: {printable(text, 60)}",
            _NOT_VALID,
            f"write a URI in its place: {_TEMPLATE}, or https://<host>/<path>",
        )
    )
    return Mended(faults=tuple(faults), lost=not bare_scheme)


def is_right(text: str) -> bool:
    """Whether nothing is to be said of it: the grammar, one plain address, or an endpoint without a password."""
    if not is_uri(text):
        return False
    if text.startswith("mailto:"):
        plain = "?" not in text and "#" not in text and not text.endswith(".")
        return plain and len(_addresses(text[7:])) == 1
    return text.startswith("https:") and _host(text[6:]) is not None and not _USER.match(text[8:])


def _unwrapped(text: str, faults: list[Fault]) -> str:
    bare = text
    if "<" in bare or ">" in bare:
        bare = re.sub(r"^(\w*:?)<([^<>]*)>?$", r"\1\2", bare)
        if bare != text:
            faults.append(
                Fault("angle-brackets", "angle brackets around the address", _NOT_VALID, "take the brackets out")
            )
    if bare[:1] in ("'", "`") or bare[-1:] in ("'", "`"):
        bare = bare.strip("'`")
        faults.append(
            Fault("quotes-in-value", "a quote beside the URI", "It becomes part of the address.", "take it out")
        )
    return bare


def _scheme(text: str, faults: list[Fault]) -> tuple[str, str]:
    """The scheme that was meant, and the rest; "" where none can be told, "other" where no sender supports it."""
    match = re.match(r"(mailto)([:=]?)[ \t]*(?:mailto:[ \t]*)*(/*)", text, re.IGNORECASE)
    if match and (match[2] or "@" in text):
        _note_mailto(match, text, faults)
        return "mailto", text[match.end() :]
    match = re.match(r"(https?)([:=]?)([ \t]*)(/*)(?=[^/\s])", text, re.IGNORECASE)
    if match and (match[2] or match[4]):
        _note_https(match, faults)
        rest = text[match.end() :]
        return "https", re.sub(r"^([^/?#]*):80(?=[/?#]|$)", r"\1", rest) if len(match[1]) == 4 else rest
    if _ADDRESS.fullmatch(text):
        faults.append(
            Fault(
                "scheme-missing",
                f"{printable(text, 60)} has no scheme",
                "Not valid: the record counts as broken. Beside a right destination it costs that one too: "
                f"{MOX} and {SYS4} drop all, Stalwart keeps those before it.",
                f"write mailto:{printable(_SIZE.sub('', text), 60)}",
            )
        )
        return "mailto", text
    return _odd_scheme(text, faults)


def _note_mailto(match: re.Match[str], text: str, faults: list[Fault]) -> None:
    if match[2] != ":":
        faults.append(
            Fault(
                "scheme-with-equals" if match[2] else "scheme-without-colon",
                f"{printable(match[1] + match[2])} instead of mailto:",
                _NOT_VALID,
                "write mailto: with a colon",
            )
        )
    elif match[1] != "mailto":
        faults.append(_upper_case(match[1], "mailto"))
    if match[3] or match[0].lower().count("mailto") > 1:
        faults.append(
            Fault(
                "mailto-slashes" if match[3] else "scheme-doubled",
                f"{printable(match[0], 30)} before the address",
                "No mail address (RFC 6068): the reports can't be delivered.",
                "write mailto: and the address, nothing between",
            )
        )


def _note_https(match: re.Match[str], faults: list[Fault]) -> None:
    if match[1].lower() == "http":
        faults.append(
            Fault(
                "http-not-https",
                "reports are never posted to http",
                f"Senders support mailto and https alone: {SYS4} refuses the whole record, Stalwart reads nothing "
                "from here on.",
                "write https://, and serve the endpoint with a certificate",
            )
        )
    elif match[1] != "https":
        faults.append(_upper_case(match[1], "https"))
    if match[2] != ":" or match[3] or match[4] != "//":
        faults.append(
            Fault(
                "scheme-with-equals" if match[2] == "=" else "https-slashes",
                f"{printable(match[0], 20)} instead of https://",
                _NOT_VALID if match[2] != ":" or match[3] else _SKIPPED,
                "write https:// before the host",
            )
        )


def _upper_case(written: str, right: str) -> Fault:
    return Fault(
        "scheme-upper-case",
        f"the scheme is written {printable(written)}",
        f"Right by the RFC, but {SYS4} compares case-sensitively and refuses the record.",
        f"write {right}: in lower case",
        "warning",
    )


def _odd_scheme(text: str, faults: list[Fault]) -> tuple[str, str]:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)([:=])(.*)\Z", text, re.DOTALL)
    scheme = match[1].lower() if match else ""
    if match and _ADDRESS.fullmatch(match[3].lstrip("/")) and _near(scheme, _MAIL_WORDS):
        faults.append(
            Fault(
                "scheme-misspelt", f"{printable(match[1])}: is no scheme", _SKIPPED, "write mailto: before the address"
            )
        )
        return "mailto", match[3].lstrip("/")
    if match and match[3].startswith("//") and _near(scheme, ("https",)):
        faults.append(Fault("scheme-misspelt", f"{printable(match[1])}: is no scheme", _SKIPPED, "write https://"))
        return "https", match[3][2:]
    if re.match(r"(?://)?[A-Za-z0-9.-]+\.[A-Za-z0-9-]+(?::[0-9]{1,5})?/", text):
        faults.append(
            Fault(
                "scheme-missing",
                f"{printable(text, 60)} has no scheme",
                f"Not valid. Beside a right destination it costs that one too: {MOX} and {SYS4} drop all, Stalwart "
                "keeps those before it.",
                f"write https://{printable(text.lstrip('/'), 60)}",
            )
        )
        return "https", text.lstrip("/")
    if match and is_uri(text):
        faults.append(
            Fault(
                "uri-scheme-unsupported",
                f"{printable(match[1])}: is no way to send reports",
                "Senders support mailto and https alone, and skip this destination at best.",
                f"take it out, or write {_TEMPLATE} in its place",
            )
        )
        return "other", ""
    return "", text


def _near(word: str, known: tuple[str, ...]) -> bool:
    return any(distance(word, right) <= 2 for right in known)


def _mend_mailto(rest: str, faults: list[Fault]) -> Mended:
    cut = re.search(r"[?#]", rest)
    to, extra = (rest[: cut.start()], rest[cut.start() :]) if cut else (rest, "")
    if extra:
        faults.append(
            Fault(
                "mailto-query" if extra[0] == "?" else "mailto-fragment",
                f"{printable(extra, 40)} behind the address",
                "What senders make of it differs; at best they ignore it.",
                "leave the address alone",
                "warning",
                extra,
            )
        )
    to = _without_size(to, faults)
    decoded = unquote_to_bytes(to).decode("utf-8", "replace")
    parts = _list(decoded)
    if len(parts) > 1:
        faults.append(
            Fault(
                "mailto-several-addresses",
                "several addresses in one URI",
                "What senders make of it differs.",
                "write one mailto: URI for each, with commas between",
                "warning",
            )
        )
    uris = [_mend_address(part.strip(), faults) for part in parts]
    written = is_uri("mailto:" + to) and "/" not in to
    if not written and all(uris) and not any(fault.severity == "error" for fault in faults):
        faults.append(_unencoded(to, "/"))
    right = tuple(uri for uri in uris if uri)
    if len(right) == len(uris) == 1 and written and is_right("mailto:" + to):
        right = ("mailto:" + to,)  # as its owner wrote it, but for the scheme
    return Mended(uris=right, faults=tuple(faults), lost=len(right) < len(uris))


def _without_size(to: str, faults: list[Fault]) -> str:
    size = _SIZE.search(to)
    if size:
        faults.append(
            Fault(
                "dmarc-size-suffix",
                f"{printable(size[0])} is a size limit of DMARC, which does not exist here",
                f"A raw ! is not valid: {MOX} drops the record, {SYS4} mails to the address with the suffix on it.",
                f"take {printable(size[0])} out",
                sign=size[0],
            )
        )
        return to[: size.start()]
    return to


def _unencoded(text: str, reserved: str = "") -> Fault:
    wrong = next((c for c in text if c in reserved or not re.match(r"[A-Za-z0-9._~$&'()*+=:@/?#%-]", c)), "%")
    return Fault(
        "uri-unescaped",
        f"{printable(wrong)} stands raw in the URI",
        _NOT_VALID,
        f"write {quote(wrong, safe='')} in its place",
        sign=wrong,
    )


def _mend_address(text: str, faults: list[Fault]) -> str | None:
    """The mailto URI of one address; None and a fault where it can't be known."""
    local, at, domain = text.rpartition("@")
    local, domain = local.strip(), domain.strip()
    if at and domain.endswith(".") and domain.strip("."):
        faults.append(
            Fault(
                "address-trailing-dot",
                "a dot behind the domain of the address",
                "No mail address by RFC 5321: a mail server may take the dot out, or refuse the address.",
                "take the dot out",
                "warning",
                sign=".",
            )
        )
        domain = domain.rstrip(".")
    name = _domain(domain) if domain else None
    if at and name and not domain.isascii():
        faults.append(
            Fault(
                "domain-not-ascii",
                f"the domain {printable(domain, 60)} is not written in ASCII",
                _NOT_VALID,
                f"write it in A-labels: {name}",
                sign=domain,
            )
        )
    if at and name and _is_local(local):
        return f"mailto:{quote(local, safe=_SAFE_LOCAL)}@{domain if domain.isascii() else name}"
    if at and name and not local.isascii():
        faults.append(
            Fault(
                "local-part-not-ascii",
                f"{printable(local, 60)} before the @ is not ASCII",
                _NOT_VALID,
                f"use an address whose local part is ASCII: mailto:<name>@{name}",
            )
        )
    else:
        faults.append(
            Fault(
                "address-invalid" if text else "address-missing",
                f"no mail address: {printable(text, 60)}" if text else "no address after mailto:",
                "Reports can't be delivered to it.",
                f"write {_TEMPLATE}",
            )
        )
    return None


def _mend_https(rest: str, faults: list[Fault]) -> Mended:
    text = _without_size(rest, faults)
    uri = _https(text)
    if uri is None:
        faults.append(
            Fault(
                "endpoint-invalid",
                f"no https endpoint: {printable(rest, 60)}",
                "Reports can't be posted to it.",
                "write https://<host>/<path>",
            )
        )
        return Mended(faults=tuple(faults), lost=True)
    user = _USER.match(text)
    if user:
        faults.append(
            Fault(
                "endpoint-credentials",
                "a user name or password stands in the URI",
                "DNS is public: everybody can read it, and senders may not use it.",
                "let the endpoint take reports without a login, and take the part before @ out",
                "warning",
            )
        )
    host = re.match(r"(?:[^/?#@]*@)?([^/?#:]*)", text)
    if host and not host[1].isascii():
        faults.append(
            Fault(
                "domain-not-ascii",
                f"the host {printable(host[1], 60)} is not written in ASCII",
                _NOT_VALID,
                "write it in A-labels, as in the corrected record",
                sign=host[1],
            )
        )
    elif not is_uri("https://" + text) and not any(fault.severity == "error" for fault in faults):
        faults.append(_unencoded(text))
    return Mended(uris=(uri,), faults=tuple(faults), lost=user is not None)
