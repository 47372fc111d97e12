"""The `_smtp._tls` record of a domain, looked at live: what senders see, and all that stands around it.

The verdict speaks of the record alone, as senders read it. Whether the mailbox can take mail, the endpoint answers, the
servers agree: findings beside it. What DNS could not tell is `unknown`, never "not there" (R3-23).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.check.mail import MailRoute, mail_route
from tlsrpt.check.misplaced import Misplaced, find_misplaced, find_wildcard
from tlsrpt.check.servers import ServerAnswer, authoritative_answers, compare_servers, resolver_answer
from tlsrpt.check.surroundings import Surroundings, look_around, own_route
from tlsrpt.core.findings import Finding
from tlsrpt.core.record import TEMPLATE, lint_record, owner_name, parse_record
from tlsrpt.dns.answers import Answer, failure
from tlsrpt.dns.authority import Voice, ask_servers, find_zone
from tlsrpt.dns.resolver import Resolver

Dnssec = Literal["secure", "insecure", "bogus", "unknown"]
CheckVerdict = Literal["ok", "warning", "ignored", "unknown"]
SHORT_TTL_S = 3600


class RecordCheck(Struct, frozen=True, kw_only=True):
    """All that is to be said of one domain's record.

    Attributes:
        input: the TXT records found, here or where they were put by mistake.
        verdict: how senders read it; unknown where DNS could not tell.
        corrected: the record as it should be; None when it is ok, or can't be known from what was found.
        found: something is published for TLS-RPT, rightly or wrongly; False: nothing, anywhere it usually is; None: DNS
            could not tell.
        cname: the names that `name` leads to, in order.
        ttl: seconds, from an authoritative server where one was reached.
        dnssec: by the resolver's word.
    """

    input: tuple[str, ...]
    verdict: CheckVerdict
    findings: tuple[Finding, ...]
    corrected: str | None
    domain: str
    name: str
    servers: tuple[ServerAnswer, ...]
    found: bool | None
    cname: tuple[str, ...] = ()
    ttl: int | None = None
    dnssec: Dnssec = "unknown"

    @property
    def exit_code(self) -> int:
        """0 nothing to mend, 1 findings of severity warning or error, 3 DNS could not tell."""
        if self.verdict == "unknown":
            return 3
        return 1 if any(finding.severity != "info" for finding in self.findings) else 0


async def check_record_only(resolver: Resolver, domain: str) -> RecordCheck:
    """Ask the one question, and judge the answer."""
    answer = await resolver.lookup(owner_name(domain), "TXT")
    return replace(_judged(domain, answer), servers=(resolver_answer(answer),))


async def check_record(resolver: Resolver, domain: str, around: Surroundings) -> RecordCheck:
    """Ask all that a person would ask of a domain's record."""
    name = owner_name(domain)
    seen, route, voices = await asyncio.gather(
        resolver.lookup(name, "TXT"),
        mail_route(resolver, domain),
        authoritative(resolver, name, around.authority_port),
    )
    authority = next((voice for voice in voices if not voice.answer.unknown), None)
    # A resolver keeps "not there" for a while after the record was published: then the record itself is judged.
    late = authority is not None and seen.absent and not seen.aliases and authority.answer.found
    answer = authority.answer if late and authority else seen
    beside = compare_servers(name, seen, voices, judged_on_authority=late)
    check = _judged(domain, answer)
    if answer.unknown:
        dnssec: Dnssec = "unknown"
        if answer.bogus or await resolver.fails_dnssec(name, "TXT"):
            dnssec, check = "bogus", replace(check, findings=(_bogus(name, answer),))
    else:
        dnssec = await dnssec_status(resolver, seen)
        beside += _ttl(name, authority.answer if authority else None, dnssec)
    if answer.absent or check.verdict == "ignored":
        check = await _unusable(resolver, check, route, answer)
    if answer.found and check.found:
        beside += await look_around(resolver, domain, answer, route, authority, around)
    if route.route == "null-mx":
        check = replace(check, findings=tuple(map(_not_needed, check.findings)))
    return replace(
        check,
        findings=(*check.findings, *own_route(route, check.found), *beside),
        servers=(resolver_answer(seen), *authoritative_answers(voices)),
        ttl=authority.answer.ttl if authority and authority.answer.found else check.ttl,
        dnssec=dnssec,
    )


def timed_out(domain: str, within_s: float) -> RecordCheck:
    """The check of a domain that was not done in time."""
    answer = failure(owner_name(domain), "TXT", "", f"the check took longer than {within_s:g} s")
    return _judged(domain, answer)


# --- the record itself -----------------------------------------------------------------------------------------------


def _judged(domain: str, answer: Answer) -> RecordCheck:
    name = owner_name(domain)
    check = RecordCheck(
        input=(),
        verdict="ignored",
        findings=(),
        corrected=None,
        domain=domain,
        name=name,
        servers=(),
        found=True,
        cname=tuple(alias.target for alias in answer.aliases),
    )
    if answer.unknown:
        return replace(check, verdict="unknown", findings=(_not_known(name, answer),), found=None)
    if answer.absent and answer.aliases:
        return replace(check, findings=(_dangling(name, answer),))
    if answer.absent:
        return replace(check, findings=(_missing(domain, answer),), found=False)
    lint = lint_record(answer.texts)
    return replace(
        check,
        input=lint.input,
        verdict=lint.verdict,
        findings=lint.findings,
        corrected=lint.corrected,
        ttl=answer.ttl,
    )


def _not_known(name: str, answer: Answer) -> Finding:
    return Finding(
        code="dns-unknown",
        severity="error",
        where=name,
        message=f"DNS could not tell: {answer.detail}",
        consequence="Whether there is a record is not known. Senders that meet the same see none, and send nothing.",
        fix="ask again later; if it stays, look at the name servers of the zone",
    )


def _bogus(name: str, answer: Answer) -> Finding:
    return Finding(
        code="dnssec-bogus",
        severity="error",
        where=name,
        message=f"DNSSEC fails: {answer.detail}; the resolver answers only when told not to check",
        consequence="To every sender whose resolver validates, the domain and all in it is gone, its mail too.",
        fix="renew the signatures, or make the DS record at the parent fit the key; delv or dnsviz shows the link that "
        "breaks",
    )


def _dangling(name: str, answer: Answer) -> Finding:
    chain = " -> ".join([name, *(alias.target for alias in answer.aliases)])
    why = "does not exist" if answer.status == "nxdomain" else "has no TXT record"
    return Finding(
        code="cname-dangling",
        severity="error",
        where=name,
        message=f"a CNAME leads to where nothing is: {chain}, which {why}",
        consequence="To senders there is no record: no reports are sent.",
        fix=f"ask whoever runs {answer.owner} to publish the record there, or replace the CNAME by a TXT record: "
        f"{TEMPLATE}",
    )


def _missing(domain: str, answer: Answer) -> Finding:
    why = "the name does not exist" if answer.status == "nxdomain" else "the name has no TXT record"
    return Finding(
        code="record-missing",
        severity="error",
        where=owner_name(domain),
        message=f"no record is published: {why}",
        consequence="No sender reports on TLS to this domain.",
        fix=f'publish {owner_name(domain)}. TXT "{TEMPLATE}"; `tlsrpt setup {domain}` guides through it',
    )


def _not_needed(finding: Finding) -> Finding:
    """A domain that takes no mail (RFC 7505) lacks nothing when it has no record."""
    return replace(finding, severity="info", fix="") if finding.code == "record-missing" else finding


# --- nothing usable there --------------------------------------------------------------------------------------------


async def _unusable(resolver: Resolver, check: RecordCheck, route: MailRoute, answer: Answer) -> RecordCheck:
    """Look where else the record may be, and whether what is here is only a wildcard's answer."""
    elsewhere, wildcard, parent = await asyncio.gather(
        find_misplaced(resolver, check.domain, route.hosts),
        find_wildcard(resolver, check.domain, answer.texts) if answer.found else _nothing(),
        _parent_record(resolver, check.domain) if answer.absent else _nothing(),
    )
    if wildcard is not None:
        check = replace(check, findings=(wildcard,), corrected=None, found=False)
    if elsewhere:
        return _found_there(check, elsewhere)
    if parent is not None:
        check = replace(check, findings=(*check.findings, parent))
    return check


async def _nothing() -> None:
    return None


def _found_there(check: RecordCheck, elsewhere: Sequence[Misplaced]) -> RecordCheck:
    """Nothing usable at the right name, something at a wrong one: that is the record to move."""
    first = elsewhere[0]
    lint = lint_record(first.texts)
    moved = lint.input[0] if lint.verdict == "ok" else lint.corrected
    there = tuple(finding.finding for finding in elsewhere)
    faults = tuple(replace(finding, where=f"{first.name}: {finding.where}") for finding in lint.findings)
    if check.found:  # a broken record here: it is the one to mend, unless it can't be
        return replace(check, findings=(*check.findings, *there), corrected=check.corrected or moved)
    kept = tuple(finding for finding in check.findings if finding.code != "record-missing")
    return replace(
        check, input=lint.input, findings=(*there, *kept, *faults), corrected=moved, found=True, verdict="ignored"
    )


async def _parent_record(resolver: Resolver, domain: str) -> Finding | None:
    """D-04: unlike DMARC there is no inheritance, and people expect it."""
    parent = domain.partition(".")[2]
    if "." not in parent:
        return None
    answer = await resolver.lookup(owner_name(parent), "TXT")
    if parse_record(answer.texts[0] if len(answer.texts) == 1 else b"") is None:
        return None
    return Finding(
        code="not-inherited",
        severity="info",
        where=owner_name(parent),
        message=f"{parent} has a record, which does not hold for {domain}",
        consequence="Unlike DMARC, TLS-RPT knows no inheritance: each domain that takes mail needs its own record.",
        fix=f"publish the same at {owner_name(domain)}, or a CNAME there to {owner_name(parent)}",
    )


# --- what stands around it -------------------------------------------------------------------------------------------


async def authoritative(resolver: Resolver, name: str, port: int) -> list[Voice]:
    """What each authoritative server of a name's zone says; none where the zone can't be found."""
    zone = await find_zone(resolver, name)
    return await ask_servers(resolver, zone.name_servers, name, "TXT", port=port)


async def dnssec_status(resolver: Resolver, answer: Answer) -> Dnssec:
    """By the resolver's word; where it does not validate at all, nothing is known (T-20)."""
    if answer.ad:
        return "secure"
    return "insecure" if await resolver.validates() else "unknown"


def _ttl(name: str, authority: Answer | None, dnssec: Dnssec) -> list[Finding]:
    """R7-06: a long TTL, or DNSSEC, makes it harder to take the record away unseen."""
    if authority is None or not authority.found or authority.ttl is None or dnssec == "secure":
        return []
    if authority.ttl >= SHORT_TTL_S:
        return []
    return [
        Finding(
            code="ttl-short",
            severity="info",
            where=name,
            message=f"the TTL is {authority.ttl} s, and the answer is not protected by DNSSEC",
            consequence="An attacker who can suppress DNS answers soon makes the record vanish (RFC 8460 section 7).",
            fix=f"raise the TTL to {SHORT_TTL_S} or more once the record is settled; senders read it about once a day",
        )
    ]
