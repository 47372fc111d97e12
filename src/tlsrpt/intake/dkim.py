"""Who signed a mail, by DKIM (RFC 6376): verified with keys from our resolver, or as told by a gateway of our own.

What a signature covers is worked out by `dkim_signature`, what a key record says by `dkim_key`; here is the part that
asks DNS. A temporary fault there is told apart from a signature that does not hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from tlsrpt.core.domain import is_domain
from tlsrpt.core.text import printable
from tlsrpt.dns.resolver import Resolver
from tlsrpt.intake.authres import DkimResult, read_results
from tlsrpt.intake.dkim_key import read_key
from tlsrpt.intake.dkim_signature import Claim, InvalidError, read_claims, read_mail

_SMALL_BYTES = 32 * 1024  # a larger message is hashed in a thread, one at a time: the loop and the memory are all's
_MOST_RECORDS = 4  # at one name are tried; RFC 6376 section 3.6.2.2 leaves it open which is meant
_REASON_CHARACTERS = 200

# What its author writes. A gateway puts its results on top of that, so that nothing below was written by one.
_AUTHORS = frozenset(
    (b"from", b"to", b"subject", b"date", b"message-id", b"content-type", b"tls-report-domain", b"tls-report-submitter")
)


class Signature(Struct, frozen=True, kw_only=True):
    """One DKIM signature, and whether it holds.

    Attributes:
        domain: who signed (d=), lower-case A-labels; "" where it can't be read.
        verdict: pass; fail (it does not hold, and never will); error (DNS could not tell).
        reason: one printable line; "" for pass.
        signed: the fields that it covers wherever they occur in the head, lower case.
        has_length: it has an l= (which covers all of the body, or it would not hold).
        told_by: the gateway whose word this is, "" where we verified it; then nothing is known of `signed`.
    """

    domain: str
    selector: str = ""
    verdict: Literal["pass", "fail", "error"]
    reason: str = ""
    signed: frozenset[str] = frozenset()
    has_length: bool = False
    told_by: str = ""


class Verifier:
    """Verifies the DKIM signatures of mails.

    Args:
        resolver: looks keys up, and keeps the answers as long as they last.
        now: Unix seconds.
    """

    def __init__(self, resolver: Resolver, *, now: Callable[[], float] = time.time) -> None:
        self._resolver = resolver
        self._now = now
        self._large = asyncio.Semaphore(1)

    async def verify(self, message: bytes) -> tuple[Signature, ...]:
        """Every signature of a mail, from the top; five at most. Never raises for what is in the message or in DNS.

        Args:
            message: as received, line ends LF or CRLF.
        """
        if len(message) <= _SMALL_BYTES:
            claims = read_claims(message, self._now())
        else:
            async with self._large:
                claims = await asyncio.to_thread(read_claims, message, self._now())
        if len(claims) <= 1:
            return tuple([await self._verify(claim) for claim in claims])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._verify(claim)) for claim in claims]
        return tuple([task.result() for task in tasks])

    async def _verify(self, claim: Claim) -> Signature:
        if claim.fault:
            return _ended(claim, "fail", claim.fault)
        name = f"{claim.selector}._domainkey.{claim.domain}"
        if not is_domain(name):
            return _ended(claim, "fail", "the key's name is too long")
        answer = await self._resolver.lookup(name, "TXT")
        if answer.unknown:
            return _ended(claim, "error", f"{name} can't be looked up: {answer.detail}")
        if not answer.found:
            return _ended(claim, "fail", f"no key at {name}")
        return _judge(claim, answer.texts)


def _judge(claim: Claim, records: tuple[bytes, ...]) -> Signature:
    faults = []
    for record in records[:_MOST_RECORDS]:
        key = read_key(record)
        fault = key if isinstance(key, str) else key.fault_of(claim)
        if not fault:
            return Signature(
                domain=claim.domain,
                selector=claim.selector,
                verdict="pass",
                signed=claim.signed,
                has_length=claim.has_length,
            )
        faults.append(fault)
    return _ended(claim, "fail", "; ".join(faults))


def _ended(claim: Claim, verdict: Literal["fail", "error"], reason: str) -> Signature:
    return Signature(
        domain=claim.domain, selector=claim.selector, verdict=verdict, reason=printable(reason, _REASON_CHARACTERS)
    )


def believed(message: bytes, authserv_id: str) -> tuple[Signature, ...] | None:
    """What our own gateway says of the signatures (RFC 8601); None where it says nothing. Never raises.

    Only its topmost Authentication-Results field that speaks of DKIM counts, and only above all that the mail's author
    writes: what bears its name further down came with the mail. It has to remove such fields itself, as RFC 8601
    section 5 demands: one that does so only when it adds its own lets anybody speak in its name.
    """
    try:
        mail = read_mail(message)
    except InvalidError:
        return None
    wanted = authserv_id.strip().lower()
    for (_, _, value), name in zip(mail.fields, mail.names, strict=True):
        if name in _AUTHORS:
            return None
        if name != b"authentication-results":
            continue
        results = read_results(value.decode("utf-8", "replace"))
        if results is None:
            if wanted.encode() in value.lower():
                return None  # it may be the one, and can't be read: no other will do
        elif results.authserv_id == wanted and results.dkim:
            return tuple([_told(result, wanted) for result in results.dkim if result.result != "none"])
    return None


def _told(result: DkimResult, by: str) -> Signature:
    verdict: Literal["pass", "fail", "error"]
    match result.result:
        case "pass":
            verdict = "pass"
        case "temperror":
            verdict = "error"
        case _:  # fail, neutral, policy, permerror
            verdict = "fail"
    reason = "" if verdict == "pass" else printable(f"{by} says {result.result}", _REASON_CHARACTERS)
    return Signature(domain=result.domain, selector=result.selector, verdict=verdict, reason=reason, told_by=by)
