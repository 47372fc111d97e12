"""The resolver and every authoritative server compared: who says what, and what that means (field notes D-28, D-29)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from tlsrpt.core.findings import Finding
from tlsrpt.core.text import printable
from tlsrpt.dns.answers import Answer
from tlsrpt.dns.authority import Voice

_TEXT_LIMIT = 120


class ServerAnswer(Struct, frozen=True, kw_only=True):
    """What one server says about the record.

    Attributes:
        server: its name; the address for a resolver.
        status: answer, nodata, nxdomain (see `dns.answers`), or failure, with `detail`.
        cname: where the name points, by this server, if it does.
    """

    server: str
    address: str
    role: Literal["resolver", "authoritative"]
    status: str
    texts: tuple[str, ...] = ()
    cname: str | None = None
    ttl: int | None = None
    detail: str = ""


def resolver_answer(answer: Answer) -> ServerAnswer:
    """The resolver's word."""
    return _said(answer, answer.server, answer.server, "resolver")


def authoritative_answers(voices: Sequence[Voice]) -> list[ServerAnswer]:
    """The word of each authoritative server."""
    return [_said(voice.answer, voice.name_server, voice.server.address, "authoritative") for voice in voices]


def _said(answer: Answer, server: str, address: str, role: Literal["resolver", "authoritative"]) -> ServerAnswer:
    return ServerAnswer(
        server=server,
        address=address,
        role=role,
        status=answer.status,
        texts=tuple(text.decode("utf-8", "backslashreplace") for text in answer.texts),
        cname=answer.aliases[0].target if answer.aliases else None,
        ttl=answer.aliases[0].ttl if answer.aliases else answer.ttl if answer.found else None,
        detail=answer.detail,
    )


def compare_servers(
    name: str, resolver: Answer, voices: Sequence[Voice], *, judged_on_authority: bool = False
) -> list[Finding]:
    """What is to be said of the servers: they differ, one is lame, the resolver is behind, or none is reached."""
    if not resolver.unknown and _intercepted(voices):
        return [_interception(voices)]
    findings = [_broken(name, voice) for voice in voices if _broken_kind(voice)]
    silent = [voice for voice in voices if voice.answer.unknown and not _broken_kind(voice)]
    speaking = [voice for voice in voices if not voice.answer.unknown]
    if silent:
        findings.append(_unreachable(silent, bool(speaking)))
    groups: dict[tuple[object, ...], list[Voice]] = {}
    for voice in speaking:
        groups.setdefault(_content(voice.answer), []).append(voice)
    if len(groups) > 1:
        findings.append(_differ(name, list(groups.values())))
    elif groups and not resolver.unknown and not _fits(resolver, speaking[0].answer):
        findings.append(_resolver_differs(name, resolver, speaking[0].answer, judged_on_authority))
    return findings


def _intercepted(voices: Sequence[Voice]) -> bool:
    """Whether something between here and the servers answers in their place: then all of them look like resolvers."""
    heard = [voice.answer for voice in voices if voice.server.address]
    return bool(heard) and all(answer.rcode == "LAME" and answer.recursive for answer in heard)


def _interception(voices: Sequence[Voice]) -> Finding:
    return Finding(
        code="servers-intercepted",
        severity="info",
        where=voices[0].name_server,
        message="every authoritative server answers as a resolver does, not as one that serves the zone",
        consequence="The network here seems to send all DNS to a resolver of its own, so the servers could not be "
        "compared. The resolver's answer stands alone.",
        fix="check from another network, or name a resolver there with --resolver",
    )


def _content(answer: Answer) -> tuple[object, ...]:
    """What has to be the same everywhere: the alias where the name is one, else the records."""
    if answer.aliases:
        return "CNAME", answer.aliases[0].target
    return ("TXT", *sorted(answer.texts)) if answer.found else ("nothing",)


def _fits(resolver: Answer, authoritative: Answer) -> bool:
    return _content(resolver) == _content(authoritative)


def _shown(answer: Answer) -> str:
    if answer.aliases:
        return f"CNAME {answer.aliases[0].target}"
    if not answer.found:
        return "nothing"
    return " and ".join(printable(text.decode("utf-8", "backslashreplace"), _TEXT_LIMIT) for text in answer.texts[:3])


def _who(voices: Sequence[Voice]) -> str:
    return ", ".join(
        f"{voice.name_server} ({voice.server.address})" if voice.server.address else voice.name_server
        for voice in voices
    )


def _differ(name: str, groups: Sequence[Sequence[Voice]]) -> Finding:
    said = "; ".join(f"{_who(group)}: {_shown(group[0].answer)}" for group in groups)
    return Finding(
        code="servers-differ",
        severity="error",
        where=name,
        message=f"the authoritative servers do not say the same: {said}",
        consequence="Which record a sender sees depends on the server that its resolver happens to ask.",
        fix="find out which servers have an old zone (compare their SOA serials) and make the transfer work; "
        "just after a change, wait for it",
    )


def _resolver_differs(name: str, resolver: Answer, authoritative: Answer, judged_on_authority: bool) -> Finding:
    left = f" for up to {resolver.ttl} s more" if resolver.ttl else ""
    return Finding(
        code="resolver-differs",
        severity="warning",
        where=name,
        message=f"the resolver {resolver.server} says: {_shown(resolver)}; the authoritative servers say: "
        f"{_shown(authoritative)}",
        consequence=f"The resolver keeps an old answer{left}; resolvers of senders may, too. The verdict is on what "
        f"{'the authoritative servers say' if judged_on_authority else 'the resolver says'}.",
        fix="after a change: wait, then check again; otherwise ask who else answers for this name (split DNS)",
    )


def _broken_kind(voice: Voice) -> str:
    answer = voice.answer
    if not answer.unknown:
        return ""
    if not voice.server.address:
        return "name-server-without-address"
    return "server-lame" if answer.rcode == "LAME" else "server-fails" if answer.rcode else ""


def _broken(name: str, voice: Voice) -> Finding:
    return Finding(
        code=_broken_kind(voice),
        severity="warning",
        where=voice.name_server,
        message=f"{voice.name_server} is a name server of the zone, but {voice.answer.detail}",
        consequence=f"Resolvers that ask it for {name} lose time or get no answer.",
        fix="mend the zone on that server, or take it out of the NS records and of the delegation",
    )


def _unreachable(silent: Sequence[Voice], others: bool) -> Finding:
    who = _who(silent)
    return Finding(
        code="server-unreachable" if others else "servers-unreachable",
        severity="info",
        where=silent[0].name_server,
        message=f"not reached from here: {who} ({silent[0].answer.detail})",
        consequence="What it says could not be compared; the network here may keep it away."
        if others
        else "No authoritative server could be asked; many networks let only their own resolver out. The resolver's "
        "answer stands alone.",
    )
