"""The MTA-STS policy of a domain, looked at live: its record, its policy host, the file, and the MX hosts it covers."""

from __future__ import annotations

import asyncio
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.check.https import system_trust
from tlsrpt.check.mail import MailRoute, mail_route
from tlsrpt.check.misplaced import find_misplaced_sts
from tlsrpt.check.policy_host import Fetched, fetch_policy
from tlsrpt.check.record import CheckVerdict, Dnssec, authoritative, dnssec_status
from tlsrpt.check.servers import ServerAnswer, authoritative_answers, compare_servers, resolver_answer
from tlsrpt.check.surroundings import Surroundings
from tlsrpt.core.findings import Finding
from tlsrpt.core.mtasts import lint_policy, looks_like_policy, parse_policy
from tlsrpt.core.mtasts_setup import fresh_id
from tlsrpt.core.record import owner_name
from tlsrpt.core.stsrecord import LABEL, TEMPLATE, lint_sts_record
from tlsrpt.core.verdict import Lint
from tlsrpt.dns.answers import Answer
from tlsrpt.dns.resolver import Resolver


class PolicyCheck(Struct, frozen=True, kw_only=True):
    """All that is to be said of one domain's MTA-STS.

    Attributes:
        input: the TXT records at `name`, then the policy as served, as far as there are.
        verdict: whether senders act on the policy; the worse of record and file.
        corrected: what to publish instead: the file where it is at fault, else the record; None: ok, or not known.
        found: a record is published; False: none; None: DNS could not tell.
        record, policy: each linted by itself; None where there was nothing to lint.
        mx: the domain's MX hosts.
    """

    input: tuple[str, ...]
    verdict: CheckVerdict
    findings: tuple[Finding, ...]
    corrected: str | None
    domain: str
    name: str
    servers: tuple[ServerAnswer, ...]
    found: bool | None
    record: Lint | None = None
    policy: Lint | None = None
    mode: str | None = None
    max_age: int | None = None
    mx: tuple[str, ...] = ()
    dnssec: Dnssec = "unknown"

    @property
    def exit_code(self) -> int:
        """0 nothing to mend, 1 findings of severity warning or error, 3 DNS could not tell."""
        if self.verdict == "unknown":
            return 3
        return 1 if any(finding.severity != "info" for finding in self.findings) else 0


async def check_policy(resolver: Resolver, domain: str, around: Surroundings, now: datetime) -> PolicyCheck:
    """Look at a domain's MTA-STS as a sender would."""
    name = f"{LABEL}.{domain}"
    trust = around.trust or system_trust()
    answer, route, voices, fetched, reporting = await asyncio.gather(
        resolver.lookup(name, "TXT"),
        mail_route(resolver, domain),
        authoritative(resolver, name, around.authority_port),
        fetch_policy(resolver, domain, trust, around.allowed, now, around.https_port),
        resolver.lookup(owner_name(domain), "TXT"),
    )
    servers = (resolver_answer(answer), *authoritative_answers(voices))
    beside = compare_servers(name, answer, voices)
    if reporting.absent and answer.found:
        beside.append(_unseen(domain))
    record = lint_sts_record(answer.texts, fresh_id=fresh_id(now)) if answer.found else None
    policy = _linted(fetched, route)
    check = PolicyCheck(
        input=(*(record.input if record else ()), *(policy.input if policy else ())),
        verdict=_verdict(answer, record, fetched, policy),
        findings=(*(record.findings if record else ()), *_of_the_file(domain, answer, fetched, policy), *beside),
        corrected=_corrected(record, policy),
        domain=domain,
        name=name,
        servers=servers,
        found=None if answer.unknown else answer.found,
        record=record,
        policy=policy,
        mx=route.hosts,
        dnssec=await dnssec_status(resolver, answer),
    )
    if fetched.body is not None and (read := parse_policy(fetched.body)):
        check = replace(check, mode=read.mode, max_age=read.max_age)
    return check if answer.found else await _without_record(resolver, check, answer, fetched)


def timed_out(domain: str, within_s: float) -> PolicyCheck:
    """The check of a domain that was not done in time."""
    name = f"{LABEL}.{domain}"
    return PolicyCheck(
        input=(),
        verdict="unknown",
        findings=(_not_known(name, f"the check took longer than {within_s:g} s"),),
        corrected=None,
        domain=domain,
        name=name,
        servers=(),
        found=None,
    )


def _linted(fetched: Fetched, route: MailRoute) -> Lint | None:
    shown = fetched.body if fetched.body is not None else fetched.shown
    if shown is None or (fetched.body is None and not looks_like_policy(shown.decode("utf-8", "replace"))):
        return None
    return lint_policy(shown, mx_hosts=route.hosts)


def _verdict(answer: Answer, record: Lint | None, fetched: Fetched, policy: Lint | None) -> CheckVerdict:
    if answer.unknown or (record and not fetched.known):
        return "unknown"
    if record is None or record.verdict == "ignored" or fetched.body is None or policy is None:
        return "ignored"
    verdicts = (record.verdict, policy.verdict)
    return "ignored" if "ignored" in verdicts else "warning" if "warning" in verdicts else "ok"


def _corrected(record: Lint | None, policy: Lint | None) -> str | None:
    if policy is not None and policy.verdict != "ok":
        return policy.corrected
    return record.corrected if record is not None and record.verdict != "ok" else None


def _of_the_file(domain: str, answer: Answer, fetched: Fetched, policy: Lint | None) -> list[Finding]:
    if answer.absent and fetched.body is None:
        return []  # no record, no file: there is no MTA-STS, and nothing of it to be mended
    findings = list(fetched.findings)
    if policy is None:
        return findings
    if fetched.body is not None and policy.verdict == "ignored":
        findings.append(
            Finding(
                code="sts-policy-invalid",
                severity="error",
                where=f"https://mta-sts.{domain}/.well-known/mta-sts.txt",
                message="the file is not a valid policy; what is wrong with it follows",
                consequence="Senders act on no policy, and report it so.",
                fix="serve the corrected file, then give the record a new id",
            )
        )
    return findings + [replace(finding, where=f"policy, {finding.where}") for finding in policy.findings]


def _not_known(name: str, detail: str) -> Finding:
    return Finding(
        code="dns-unknown",
        severity="error",
        where=name,
        message=f"DNS could not tell: {detail}",
        consequence="Whether there is a record is not known. Senders that meet the same use a cached one, or none.",
        fix="ask again later; if it stays, look at the name servers of the zone",
    )


def _unseen(domain: str) -> Finding:
    return Finding(
        code="without-tlsrpt",
        severity="info",
        where=owner_name(domain),
        message="there is no TLSRPT record",
        consequence="Nobody tells of senders that fail on this policy; in enforce their mail is refused.",
        fix=f"tlsrpt setup {domain}",
    )


async def _without_record(resolver: Resolver, check: PolicyCheck, answer: Answer, fetched: Fetched) -> PolicyCheck:
    if answer.unknown:
        return replace(check, findings=(_not_known(check.name, answer.detail), *check.findings))
    elsewhere = await find_misplaced_sts(resolver, check.domain)
    if elsewhere:
        lint = lint_sts_record(elsewhere[0].texts)
        return replace(
            check,
            input=(*lint.input, *check.input),
            findings=(*(found.finding for found in elsewhere), *lint.findings, *check.findings),
            corrected=check.corrected or (lint.input[0] if lint.verdict == "ok" else lint.corrected),
            found=True,
            record=lint,
        )
    there = "a policy file is served, but no record says so" if fetched.body is not None else "no MTA-STS record"
    finding = Finding(
        code="record-missing",
        severity="error" if fetched.body is not None else "warning",
        where=check.name,
        message=f"{there}: {'the name does not exist' if answer.status == 'nxdomain' else 'no TXT record there'}",
        consequence="Senders see no policy, and deliver in clear text where TLS fails.",
        fix=f'publish {check.name}. TXT "{TEMPLATE}"'
        if fetched.body is not None
        else f"tlsrpt policy make {check.domain} prepares one; not everybody needs it (DANE serves as well)",
    )
    return replace(check, findings=(finding, *check.findings))
