"""Where people put the record by mistake, when nothing usable is at its name (field notes D-01 to D-05, D-25)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from tlsrpt.core.findings import Finding
from tlsrpt.core.record import LABEL, misplaced_names, owner_name
from tlsrpt.core.stsrecord import LABEL as STS_LABEL
from tlsrpt.core.text import printable
from tlsrpt.dns.change import is_tlsrpt
from tlsrpt.dns.resolver import Resolver

# More of the kinds that `misplaced_names` lists: separators and underscores lost or swapped, names of other standards.
_FURTHER = (
    "_smtp-tls", "_smtptls", "smtp_tls", "smtp-tls", "_smtp.tls", "smtp.tls", "_tls_smtp", "_tls-smtp", "_tls.smtp",
    "_tls", "_smtp", "_tls-rpt", "_tls_rpt", "tlsrpt", "tls-rpt", "_tlsreport", "_tls-report", "_tls-reporting", "_rpt",
    "_smtp._tlsrpt", "_smtp._tls-rpt", "_tlsrpt._smtp", "_tlsrpt._tls", "_report._tls", "_tls._report", "_mail._tls",
    "_mx._tls", "_smtps._tls", "_smtp._tcp", "_smtp._tls._tcp", "_smtp._tls.smtp", "_smtp._tls.mx", "_smtp._tls.www",
    "_mta-sts", "_dmarc",
)  # fmt: skip
_WILDCARD_TEST = "tlsrpt-asks-whether-a-wildcard-answers"
# The record of MTA-STS: the underscore lost, the hyphen changed, the name of the policy host.
_STS = (
    "mta-sts",
    "_mta_sts",
    "_mtasts",
    "mtasts",
    "mta_sts",
    "_sts",
    "_mta-sts._smtp",
    "_smtp._mta-sts",
    "_mta-sts.mail",
)


class Misplaced(Struct, frozen=True, kw_only=True):
    """Records found at a name where no sender looks."""

    name: str
    texts: tuple[bytes, ...]
    finding: Finding


async def find_misplaced(resolver: Resolver, domain: str, mx_hosts: Sequence[str] = ()) -> list[Misplaced]:
    """Look at every usual wrong name, side by side; those first where most people put it."""
    names = [*misplaced_names(domain), *(f"{label}.{domain}" for label in _FURTHER), f"{domain}.{domain}"]
    inside = [host for host in mx_hosts if host.endswith("." + domain)]
    names += [name for host in inside for name in (owner_name(host), host)]
    names = [name for name in dict.fromkeys(names) if len(name) <= 253]
    found = await _look(resolver, names, is_tlsrpt)
    hosts = {owner_name(host) for host in inside}
    return [
        Misplaced(name=name, texts=texts, finding=_misplaced(name, domain, texts, name in hosts))
        for name, texts in found
    ]


async def find_misplaced_sts(resolver: Resolver, domain: str) -> list[Misplaced]:
    """The same for the `_mta-sts` record (D-31)."""
    right = f"{STS_LABEL}.{domain}"
    names = [*(f"{label}.{domain}" for label in _STS), f"{right}.{domain}", domain]
    found = await _look(resolver, [name for name in names if len(name) <= 253], _is_sts)
    return [
        Misplaced(
            name=name,
            texts=texts,
            finding=Finding(
                code="wrong-name",
                severity="error",
                where=name,
                message=f"found it there: {_shown(texts)} stands at {name}",
                consequence=f"Senders look at {right} alone: they see no policy.",
                fix=f"move it to {right}",
            ),
        )
        for name, texts in found
    ]


def _is_sts(text: bytes) -> bool:
    return b"stsv1" in text.lower()


async def _look(
    resolver: Resolver, names: Sequence[str], ours: Callable[[bytes], bool]
) -> list[tuple[str, tuple[bytes, ...]]]:
    """The names that hold TXT records of this kind, with those records."""
    answers = await asyncio.gather(*(resolver.lookup(name, "TXT") for name in names))
    found = []
    for name, answer in zip(names, answers, strict=True):
        texts = tuple(text for text in answer.texts if ours(text))
        if texts:
            found.append((name, texts))
    return found


def _misplaced(name: str, domain: str, texts: Sequence[bytes], at_mx_host: bool) -> Finding:
    right = owner_name(domain)
    text = _shown(texts)
    if name == domain:
        code, why, fix = "at-bare-domain", "at the bare domain", f"move it to {right}"
    elif name.endswith(f"{domain}.{domain}"):
        code, why = "zone-appended-twice", f"at {name}: the zone was appended twice"
        fix = (
            f"enter {LABEL} alone where the panel adds the domain, or end the name with a dot in a zone file: {right}."
        )
    elif at_mx_host or (name.startswith(LABEL + ".") and name != right):
        code, why = "at-mx-host", f"at {name}: for a host, not for the mail domain"
        fix = f"publish it at {right}; the domain behind the @ counts, not the mail server's name"
    else:
        code, why, fix = "wrong-name", f"at {name}", f"move it to {right}"
    return Finding(
        code=code,
        severity="error",
        where=name,
        message=f"found it there: {text} stands {why}",
        consequence=f"No sender looks there, only at {right}: no reports are sent.",
        fix=fix,
    )


def _shown(texts: Sequence[bytes]) -> str:
    return printable(texts[0].decode("utf-8", "backslashreplace"), 200)


async def find_wildcard(resolver: Resolver, domain: str, texts: Sequence[bytes]) -> Finding | None:
    """Whether the TXT records at the name are a wildcard's answer, which every name below the domain gets."""
    answer = await resolver.lookup(f"{_WILDCARD_TEST}.{domain}", "TXT")
    if not answer.found or sorted(answer.texts) != sorted(texts):
        return None
    shown = printable(texts[0].decode("utf-8", "backslashreplace"), 80)
    return Finding(
        code="wildcard-answers",
        severity="error",
        where=owner_name(domain),
        message=f"a wildcard answers here ({shown}); no record exists",
        consequence="Every name below the domain gets that TXT record. Senders drop it: no reports are sent.",
        fix=f"publish a TXT record at {owner_name(domain)} itself: it goes before the wildcard",
    )
