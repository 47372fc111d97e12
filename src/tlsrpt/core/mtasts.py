"""The MTA-STS policy file (RFC 8461 section 3.2), and which MX hosts it covers.

A text file at `https://mta-sts.<domain>/.well-known/mta-sts.txt`. Senders are strict: a policy with a fault is none.
What mox, tlspol (postfix-tlspol) and Snawoot (postfix-mta-sts-resolver) do was read in their source.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from msgspec import Struct

from tlsrpt.core.domain import parse_domain
from tlsrpt.core.errors import DomainError
from tlsrpt.core.text import printable
from tlsrpt.core.txtrecord import (
    EXT_NAME,
    WSP,
    Located,
    Notes,
    distance,
    lowered,
    plain_characters,
    sorted_findings,
)
from tlsrpt.core.verdict import Lint, as_text, judge

MAX_AGE = 31_557_600  # a year (RFC 8461 section 3.2)
MAX_POLICY_OCTETS = 64 * 1024  # section 3.3 suggests it, and senders hold to it
HOUR, DAY, WEEK = 3600, 86_400, 604_800

Mode = Literal["enforce", "testing", "none"]
MODES: tuple[Mode, ...] = get_args(Mode)


class StsPolicy(Struct, frozen=True, kw_only=True):
    """A policy as senders read it. `mx` holds names and `*.` patterns as written."""

    mode: Mode
    max_age: int
    mx: tuple[str, ...] = ()

    def covers(self, host: str) -> bool:
        """Whether an MX host may receive mail under this policy (S4-01)."""
        return any(mx_matches(pattern, host) for pattern in self.mx)


class ReportedPolicy(Struct, frozen=True, kw_only=True):
    """What a report's `policy-string` says of a policy, as far as it can be read; None for what is not there."""

    mode: str | None = None
    max_age: int | None = None
    mx: tuple[str, ...] = ()


_LINE = re.compile(rf"({EXT_NAME}):[ \t]*([^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)[ \t]*")
_MAX_AGE = re.compile(r"[0-9]{1,10}")
_SUBDOMAIN = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"  # underscores: they occur, and no sender minds
_MX = re.compile(rf"(?:\*\.)?{_SUBDOMAIN}(?:\.{_SUBDOMAIN})*")


def mx_matches(pattern: str, host: str) -> bool:
    """Whether an MX host fits a pattern: `*` stands for exactly one label on the left (RFC 8461 section 4.1)."""
    pattern, host = pattern.lower().removesuffix("."), host.lower().removesuffix(".")
    if pattern.startswith("*."):
        label, dot, parent = host.partition(".")
        return bool(label and dot) and parent == pattern[2:]
    return bool(host) and pattern == host


def parse_policy(data: bytes) -> StsPolicy | None:
    """Read a policy file by the grammar; None where it is not valid (`lint_policy` says why).

    LF and CRLF end a line, the last one needs neither. Of repeated keys other than `mx` the first counts.
    """
    if len(data) > MAX_POLICY_OCTETS:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    first: dict[str, str] = {}
    mx: list[str] = []
    for line in _lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        if match[1] == "mx":
            mx.append(match[2])
        else:
            first.setdefault(match[1], match[2])
    return _policy(first, mx)


def _policy(first: dict[str, str], mx: list[str]) -> StsPolicy | None:
    mode, age = first.get("mode"), first.get("max_age", "")
    if first.get("version") != "STSv1" or mode not in MODES or not _MAX_AGE.fullmatch(age):
        return None
    if int(age) > MAX_AGE or not all(map(_is_pattern, mx)) or (not mx and mode != "none"):
        return None
    return StsPolicy(mode=mode, max_age=int(age), mx=tuple(mx))


def _is_pattern(text: str) -> bool:
    return len(text) <= 255 and _MX.fullmatch(text) is not None


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def parse_policy_lines(lines: Sequence[str]) -> ReportedPolicy:
    """Read the `policy-string` of a report, which keeps a policy's lines with their errors (R4.5-02). Never fails."""
    found: dict[str, str] = {}
    mx: list[str] = []
    for line in (part for entry in lines for part in entry.splitlines()):
        name, colon, value = line.partition(":")
        key, value = name.strip().lower(), value.strip()
        if colon and key == "mx" and value:
            mx.append(value)
        elif colon and value:
            found.setdefault(key, value)
    age = found.get("max_age", "")
    mode = found.get("mode")
    return ReportedPolicy(
        mode=mode.lower() if mode else None, max_age=int(age) if _MAX_AGE.fullmatch(age) else None, mx=tuple(mx)
    )


def format_policy(
    policy: StsPolicy, extensions: Sequence[tuple[str, str]] = (), *, line_end: Literal["\n", "\r\n"] = "\n"
) -> str:
    """Write a policy file, `version` first, as Google's help asks.

    Raises:
        ValueError: an MX that is no name or pattern, none in a mode that needs one, or a max_age out of bounds.
    """
    if not all(map(_is_pattern, policy.mx)) or (not policy.mx and policy.mode != "none"):
        raise ValueError("a policy needs MX names or *.patterns, unless its mode is none")
    if not 0 <= policy.max_age <= MAX_AGE:
        raise ValueError(f"max_age is 0 to {MAX_AGE} seconds")
    lines = ["version: STSv1", f"mode: {policy.mode}", *(f"mx: {mx}" for mx in policy.mx), f"max_age: {policy.max_age}"]
    lines += [f"{name}: {value}" for name, value in extensions]
    return "".join(line + line_end for line in lines)


def looks_like_policy(text: str) -> bool:
    """Whether a text is meant as a policy file rather than as a TXT record at `_mta-sts`."""
    plain = text.lstrip("\ufeff\"'` \t\r\n")
    if re.match(r"v[ \t]*=|id[ \t]*=", plain, re.IGNORECASE):
        return False
    keys = re.search(r"^[ \t]*(?:version|mode|mx|max.?age)[ \t]*[:=]", plain, re.IGNORECASE | re.MULTILINE)
    return bool(keys) or plain[:1] in ("<", "{", "#") or "\n" in plain or not plain


def lint_policy(data: bytes | str, *, mx_hosts: Sequence[str] = ()) -> Lint:
    """Say everything that is wrong with a policy file.

    Args:
        data: the file as served.
        mx_hosts: the domain's MX hosts, to see whether the policy covers them; none: that is not looked at.
    Returns:
        One Lint; `where` of its findings is `line N, column M`.
    Source: RFC 8461 sections 3.2 and 4.1; S3.2-03 to S3.2-06, S4-01; field-notes-domains.md D-34 to D-39, D-46.
    """
    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    policy = parse_policy(raw)
    reading = _PolicyReading(raw[: MAX_POLICY_OCTETS + 1].decode("utf-8", "surrogateescape"), mx_hosts)
    reading.read()
    findings = lowered(reading.notes.findings) if policy else reading.notes.findings
    if policy is None and not reading.notes.has_errors():
        reading.error("syntax", 0, "the file does not fit the grammar", "write one `name: value` a line")
    ordered = sorted_findings(findings)
    verdict = judge(policy is not None, ordered)
    corrected = reading.corrected() if verdict != "ok" else None
    return Lint(input=(as_text(data),), verdict=verdict, findings=ordered, corrected=corrected, form="mta-sts-policy")


_KEYS = ("version", "mode", "mx", "max_age")
_MODE_WORDS: dict[str, Mode] = {
    "report": "testing",
    "reporting": "testing",
    "test": "testing",
    "monitor": "testing",
    "enforced": "enforce",
    "enforcing": "enforce",
}
_UNITS = {"s": 1, "m": 60, "h": HOUR, "d": DAY, "w": WEEK, "y": 31_536_000}
_POLICY_TEMPLATE = "version: STSv1, mode: testing, mx: <each MX host>, max_age: 86400, one a line"


class _PolicyReading:
    """A policy file read line by line: what is wrong, and what was meant."""

    def __init__(self, text: str, mx_hosts: Sequence[str]) -> None:
        self.text = text
        names = [host.lower().removesuffix(".") for host in mx_hosts]
        self.hosts = [name for name in names if _is_pattern(name) and not _is_address(name)]
        self.notes = Notes(1, "line")
        self.mode: Mode | None = None
        self.max_age: int | None = None
        self.mx: list[str] = []
        self.extensions: list[tuple[str, str]] = []
        self.lost = False
        self._seen: dict[str, int] = {}  # key -> its first line
        self._first_key: str | None = None
        self._mx_lines: list[tuple[str, int]] = []

    def error(self, code: str, at: int, message: str, fix: str, consequence: str = "") -> None:
        self.notes.add(code, at, message, consequence or "The policy is not valid, and senders act on none.", fix)

    def warning(self, code: str, at: int, message: str, consequence: str, fix: str) -> None:
        self.notes.add(code, at, message, consequence, fix, severity="warning")

    def read(self) -> None:
        if not self._is_policy():
            self.lost = True
            return
        text = self.text
        if text.startswith("\ufeff"):
            self.error(
                "byte-order-mark",
                0,
                "a byte-order mark before the first key",
                "save the file as UTF-8 without BOM",
                "The first key is not read: mox and tlspol refuse the policy.",
            )
            text = text[1:]
        for number, line in enumerate(_lines(text), 1):
            self.notes.number = number
            self._line(Located(line, range(len(line) + 1)))
        self.notes.number = max(len(_lines(text)), 1)
        self._missing()
        self._judge_age()
        self._judge_cover()

    def _is_policy(self) -> bool:
        plain = self.text.lstrip("\ufeff \t\r\n")
        if len(self.text.encode("utf-8", "surrogateescape")) > MAX_POLICY_OCTETS:
            self.error(
                "policy-too-large",
                0,
                "more than 64 KiB",
                "serve the policy alone",
                "Senders stop reading there, and act on no policy.",
            )
        elif not plain:
            self.error("policy-empty", 0, "the file is empty", f"write {_POLICY_TEMPLATE}")
        elif plain.startswith("<"):
            self.error(
                "html-returned",
                0,
                "this is a web page",
                f"serve a plain text file: {_POLICY_TEMPLATE}",
                "No policy: a home page, a login or a bot wall often answers in its place.",
            )
        elif plain.startswith(("{", "[")):
            self.error("json-returned", 0, "this is JSON", f"serve a plain text file: {_POLICY_TEMPLATE}")
        else:
            return True
        return False

    def _line(self, line: Located) -> None:
        match = _LINE.fullmatch(line.text)
        if match and match[1] in _KEYS:
            value = line.cut(*match.span(2))
            self._key(match[1], value if value.text.isascii() else plain_characters(value, self.notes).strip())
        elif match and not self._key_meant(match[1]):
            self._extension(match[1], match[2])
        else:
            self._odd_line(line)

    def _extension(self, name: str, value: str) -> None:
        self.extensions.append((name, value))
        self.notes.add(
            "field-unknown",
            0,
            f"{printable(name)} is no key that a standard knows",
            "The RFC allows it, and senders ignore it.",
            severity="info",
        )

    def _key_meant(self, name: str) -> str | None:
        """The key that a misspelt name was meant as."""
        plain = re.sub(r"[^a-z]", "", name.lower())
        for key in _KEYS:
            if plain == key.replace("_", "") or (
                len(plain) > 1 and distance(plain, key.replace("_", "")) <= _slack(key)
            ):
                return key
        return None

    def _odd_line(self, line: Located) -> None:
        plain = plain_characters(line, self.notes)
        stripped = plain.strip(" \t\r")
        if not stripped.text:
            self.error(
                "blank-line",
                line.start,
                "a blank line",
                "take it out; a newline behind the last line is fine, a second one is not",
                "Not valid: mox and tlspol refuse the policy.",
            )
        elif stripped.text.startswith(("#", "//", ";")):
            self.error(
                "comment",
                stripped.start,
                "a comment",
                "take it out: a policy knows no comments",
                "Not valid: mox and tlspol refuse the policy.",
            )
        else:
            self._broken_line(plain, stripped)

    def _broken_line(self, plain: Located, stripped: Located) -> None:
        if plain.text[:1] in tuple(WSP):
            self.error("leading-space", plain.start, "white space before the key", "begin the line with the key")
        named = re.match(r"[\"']?([A-Za-z][A-Za-z _.-]*?[0-9]?)[\"']?([ \t]*)([:=])[ \t]*", stripped.text)
        key = self._key_meant(named[1]) if named else None
        if named is None or key is None:
            self.error(
                "line-invalid", stripped.start, f"{printable(stripped.text, 40)} is no `name: value`", "take it out"
            )
            return
        if named[3] == "=":
            self.error("equals-for-colon", stripped.at[named.start(3)], "= instead of a colon", "write a colon")
        if named[2]:
            self.error("space-before-colon", stripped.at[named.start(2)], "white space before the colon", "take it out")
        if named[1] != key:
            self._misspelt(key, named[1], stripped.start)
        value = stripped.cut(named.end()).strip(WSP + "\"'")
        if "\r" in value.text:
            self.error("line-end", value.start, "a carriage return inside the line", "end lines with LF or CRLF")
        if value.text:
            self._key(key, value)
        else:
            self.error("value-missing", stripped.at[-1], f"{key} has no value", f"write {key}: and its value")
        if not self.notes.has_errors():  # the line does not fit, whatever the reason
            self.error(
                "line-invalid", stripped.start, f"{printable(stripped.text, 40)} is not valid", f"write {key}: <value>"
            )

    def _misspelt(self, key: str, written: str, at: int) -> None:
        self.error(
            "mx-key-misspelt" if key == "mx" else "key-misspelt",
            at,
            f"the key is written {printable(written, 30)}",
            f"write {key}",
            f"To senders it is an unknown key, so {key} is missing"
            + (" or the host is not listed." if key == "mx" else "."),
        )

    def _key(self, key: str, value: Located) -> None:
        if self._first_key is None:
            self._first_key = key
            if key != "version":
                self.warning(
                    "version-not-first",
                    0,
                    f"{key} stands before version",
                    "The RFC allows any order; Google's help wants version first.",
                    "write version: STSv1 as the first line",
                )
        if key == "mx":
            self._mx(value)
        elif key in self._seen:
            self.warning(
                "key-repeated",
                0,
                f"a second {key}",
                f"Senders take the first (line {self._seen[key]}) and ignore this one.",
                "leave one",
            )
            return
        self._seen.setdefault(key, self.notes.number)
        readers: dict[str, Callable[[Located], None]] = {
            "version": self._version,
            "mode": self._mode,
            "max_age": self._max_age,
        }
        if key in readers:
            readers[key](value)

    def _version(self, value: Located) -> None:
        if value.text != "STSv1":
            code = "version-case" if value.text.lower() == "stsv1" else "version-misspelt"
            self.error(code, value.start, f"the version is written {printable(value.text, 30)}", "write STSv1")

    def _mode(self, value: Located) -> None:
        text = value.text
        if text in MODES:
            self.mode = text
            return
        word = text.lower()
        near = next((mode for mode in MODES if distance(word, mode) <= 1), None)
        self.mode = _MODE_WORDS.get(word, near)
        if word in MODES:
            self.error("mode-case", value.start, f"the mode is written {printable(text, 30)}", f"write {word}")
        else:
            self.error(
                "mode-unknown",
                value.start,
                f"{printable(text, 30)} is no mode",
                f"write {self.mode}" if self.mode else "write testing, enforce or none",
            )

    def _max_age(self, value: Located) -> None:
        text = value.text
        if _MAX_AGE.fullmatch(text) and int(text) <= MAX_AGE:
            self.max_age = int(text)
        elif text.isascii() and text.isdecimal():
            self.max_age = MAX_AGE
            self.error(
                "max-age-over-limit",
                value.start,
                f"{printable(text, 20)} seconds; at most {MAX_AGE} (a year)",
                f"write {MAX_AGE} or less",
                "tlspol cuts it down, Snawoot and checkdmarc refuse the policy.",
            )
        else:
            self.max_age = _seconds(text)
            self.error(
                "max-age-not-number",
                value.start,
                f"{printable(text, 20)} is no number of seconds",
                f"write {self.max_age}" if self.max_age is not None else "write the seconds alone: 604800 for a week",
            )

    # mx

    def _mx(self, value: Located) -> None:
        words = [value.cut(*match.span()) for match in re.finditer(r"[^\s,;]+", value.text)]
        if len(words) > 1 and words[0].text.isdecimal():
            self.error("mx-priority", words[0].start, "a priority before the host name", "write the name alone")
            words = words[1:]
        elif len(words) == 1 and words[0].text != value.text:
            self.error(
                "mx-invalid", value.start, f"{printable(value.text, 60)} is no host name", "write the name alone"
            )
        if len(words) > 1:
            self.error(
                "several-mx-in-one-line", words[1].start, "several hosts in one line", "write one mx line for each"
            )
        for word in words:
            pattern = self._pattern(word)
            if pattern and pattern not in self.mx:
                self.mx.append(pattern)
                self._mx_lines.append((pattern, self.notes.number))

    def _pattern(self, word: Located) -> str | None:
        """The name or pattern that was meant; None for what can't be one."""
        text = word.text
        if _is_address(text):
            self._address(word)
            return None
        if _is_pattern(text):
            return text
        plain = re.sub(r":[0-9]{1,5}\Z", "", text)
        if plain != text:
            self.error(
                "mx-port", word.at[len(plain)], f"a port behind the host: {printable(text, 60)}", "write the name alone"
            )
        if plain.endswith(".") and len(plain) > 1:
            self.error("mx-trailing-dot", word.at[len(plain) - 1], "a dot behind the host name", "take the dot out")
            plain = plain.rstrip(".")
        if plain.startswith(".") and len(plain) > 1:
            self.error(
                "mx-leading-dot",
                word.start,
                f"{printable(plain, 60)}: a form of drafts",
                f"write *{printable(plain, 60)}, which stands for exactly one label",
            )
            plain = f"*{plain}"
        if not plain.isascii():
            plain = self._a_labels(word, plain)
        if _is_pattern(plain):
            return plain
        self.error(
            "mx-wildcard" if "*" in plain else "mx-invalid",
            word.start,
            f"{printable(text, 60)} is no host name"
            + (": * stands for the whole leftmost label only" if "*" in plain else ""),
            "write the names of the MX records, as mx: mx1.example.com or mx: *.example.com",
        )
        self.lost = self.lost or not self.hosts
        return None

    def _a_labels(self, word: Located, text: str) -> str:
        star = "*." if text.startswith("*.") else ""
        try:
            name = star + parse_domain(text.removeprefix("*."))
        except DomainError:
            return text
        self.error("mx-not-ascii", word.start, f"{printable(text, 60)} is not written in ASCII", f"write {name}")
        return name

    def _address(self, word: Located) -> None:
        message, fix = f"{printable(word.text, 60)} is an address", "write the host's name, as in the MX record"
        if _is_pattern(word.text):
            self.warning(
                "mx-is-ip-address",
                word.start,
                message,
                "It matches no MX name: where it stands for a host, senders refuse to deliver there in mode enforce.",
                fix,
            )
        else:
            self.error("mx-is-ip-address", word.start, message, fix)

    # the whole

    def _missing(self) -> None:
        end = 0
        needed = [key for key in ("version", "mode", "max_age") if key not in self._seen]
        for key in needed:
            example = {"version": "version: STSv1", "mode": "mode: testing", "max_age": "max_age: 604800"}[key]
            self.error(f"{key.replace('_', '-')}-missing", end, f"no {key}", f"write {example}")
        self.lost = self.lost or self.mode is None or self.max_age is None
        if self.mode != "none" and not self.mx:
            if "mx" not in self._seen:
                self.error(
                    "mx-missing",
                    end,
                    "no mx",
                    "write one mx line for each MX host of the domain: mx: <host>",
                    "Not valid. tlspol 1.8.21 held mail back for a policy in enforce without mx.",
                )
            self.mx = list(dict.fromkeys(self.hosts))
            self.lost = self.lost or not self.mx

    def _judge_age(self) -> None:
        if self.max_age is None or "max_age" not in self._seen:
            return
        self.notes.number = self._seen["max_age"]
        if self.max_age < HOUR or (self.mode == "enforce" and self.max_age < DAY):
            right = WEEK if self.mode == "enforce" else DAY
            self.warning(
                "max-age-small",
                0,
                f"max_age of {self.max_age} seconds",
                "Senders forget the policy so soon that it protects hardly anything.",
                f"write {right} or more ({'a week' if right == WEEK else 'a day'})",
            )
            self.max_age = right

    def _judge_cover(self) -> None:
        if not self.hosts or self.mode == "none":
            return
        patterns = [pattern for pattern, _ in self._mx_lines]
        self.notes.number = self._mx_lines[-1][1] if self._mx_lines else self.notes.number
        uncovered = [host for host in dict.fromkeys(self.hosts) if not any(mx_matches(p, host) for p in patterns)]
        for host in uncovered if patterns else ():
            self._uncovered(host)
        for pattern, line in self._mx_lines:
            self.notes.number = line
            if not any(mx_matches(pattern, host) or _meant_for(pattern, host) for host in self.hosts):
                self.notes.add(
                    "mx-pattern-unused",
                    0,
                    f"{printable(pattern, 60)} fits none of the domain's MX hosts",
                    "Harmless, and right before an MX host is added.",
                    "take it out where no such host is planned",
                    severity="info",
                )
        self.mx = [pattern for pattern in self.mx if not any(_meant_for(pattern, host) for host in uncovered)]
        self.mx += [host for host in uncovered if host not in self.mx]

    def _uncovered(self, host: str) -> None:
        enforce = self.mode == "enforce"
        self.warning(
            "mx-host-not-covered",
            0,
            f"the MX host {printable(host, 80)} fits no mx line"
            + (" (* stands for exactly one label)" if any(p.startswith("*.") for p in self.mx) else ""),
            "Delivery is refused: senders that honour MTA-STS do not deliver to this host."
            if enforce
            else "Senders report a failure for each session; in mode enforce they would not deliver to this host.",
            f"write mx: {printable(host, 80)}, publish a new id, and only then rely on the host",
        )

    def corrected(self) -> str | None:
        """The file as it should be, with the line ends that it has; None where something can't be known."""
        if self.lost or self.mode is None or self.max_age is None:
            return None
        end: Literal["\n", "\r\n"] = "\r\n" if "\r\n" in self.text else "\n"
        policy = StsPolicy(mode=self.mode, max_age=self.max_age, mx=tuple(self.mx))
        return format_policy(policy, self.extensions, line_end=end)


def _slack(key: str) -> int:
    return 1 if len(key) < 5 else 2


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]").removeprefix("IPv6:"))
    except ValueError:
        return False
    return True


def _meant_for(pattern: str, host: str) -> bool:
    """Whether a pattern that covers nothing was meant to cover this host: one label too few."""
    return pattern.startswith("*.") and host.endswith(pattern[1:].lower()) and not mx_matches(pattern, host)


def _seconds(text: str) -> int | None:
    """A duration as people write it: 7d, 604800s, 604,800, 2 weeks."""
    match = re.fullmatch(r"([0-9]{1,10})(?:\.0+)?[ \t]*([a-z]*)\.?", text.lower().replace(",", "").replace("_", ""))
    unit = match[2][:1] if match else ""
    if match is None or (unit and unit not in _UNITS) or match[2] in ("mo", "month", "months"):
        return None
    return min(int(match[1]) * _UNITS.get(unit, 1), MAX_AGE)
