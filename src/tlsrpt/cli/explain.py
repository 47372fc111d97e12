"""`tlsrpt explain`: what a result type, a cause or a sender's reason code means, and what to do.

Kept light on purpose: it needs no store, no network and no configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tlsrpt.cli import draw
from tlsrpt.cli.options import DomainName, json_option
from tlsrpt.core.reasons import Reason, decode
from tlsrpt.core.results import (
    CAUSES,
    RESULT_TYPES,
    Cause,
    ResultType,
    Verify,
    closest,
    consequence,
    fill,
    result_type,
    situations,
)
from tlsrpt.core.text import printable

Meaning = ResultType | Cause | Reason
Values = dict[str, str | None]

PARTIES = {
    "mx": "the mail server (MX)",
    "policy-host": "the MTA-STS policy host",
    "dns": "DNS",
    "sender": "the sender",
    "network": "the network between",
    "unknown": "open",
}
SCOPES = {"any": "any policy", "tlsa": "DANE only", "sts": "MTA-STS only"}


@click.command()
@click.argument("what", nargs=-1, metavar="[TYPE|REASON]...")
@click.option("--domain", type=DomainName(), help="Put this domain into the commands.")
@click.option("--mx", type=DomainName(), help="Put this MX host into the commands.")
@click.option("--ip", metavar="ADDRESS", help="Put this address of the MX into the commands.")
@json_option
def command(what: tuple[str, ...], domain: str | None, mx: str | None, ip: str | None, as_json: bool) -> int:
    """What a result type or a reason code means, whose side it is, and what to do.

    Without an argument: all result types. A reason code is what a sender wrote as failure-reason-code; put quotes
    around one of several words.
    """
    values: Values = {"domain": domain, "mx": mx, "ip": ip}
    if not what:
        _list(as_json, values)
        return 0
    asked = _arguments(what)
    for n, argument in enumerate(asked):
        if as_json:
            draw.json_line(_as_json(argument, find(argument), values))
        else:
            if n:
                click.echo()
            _show(argument, find(argument), values)
    return 0 if all(find(argument) for argument in asked) else 1


def find(argument: str) -> Meaning | None:
    """The result type of that name, else the cause of that code, else what it means as a reason code."""
    name = argument.strip().lower()
    return result_type(name) or CAUSES.get(name) or decode(argument)


def _arguments(what: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments, or all of them as one text where quotes were forgotten around it."""
    if len(what) > 1 and find(what[0]) is None and find(" ".join(what)):
        return (" ".join(what),)
    return what


def _suggestion(argument: str) -> str | None:
    near = closest(argument)
    if near is None and len(argument) <= 64:
        import difflib  # only for typing errors

        near = next(iter(difflib.get_close_matches(argument.strip().lower(), CAUSES, n=1)), None)
    return near


# --- For people -----------------------------------------------------------------------------------------------------


def _list(as_json: bool, values: Values) -> None:
    if as_json:
        for name, each in RESULT_TYPES.items():
            draw.json_line(_as_json(name, each, values))
        return
    draw.heading("Result types of TLS reports (RFC 8460). They speak of mail sent to you.")
    for each in RESULT_TYPES.values():
        name = click.style(f"{each.name:26}", bold=True)
        click.echo(f"{name} {SCOPES[each.policy_types]}; side: {PARTIES[each.side.party]}")
        draw.paragraph(each.title + ".", "    ")
    click.echo()
    draw.paragraph("More: tlsrpt explain TYPE. A sender's own words: tlsrpt explain 'certificate has expired'.")


def _show(argument: str, meaning: Meaning | None, values: Values) -> None:
    match meaning:
        case ResultType():
            _show_type(meaning, values)
        case Cause():
            _show_cause(meaning, values)
        case Reason():
            _show_reason(argument, meaning, values)
        case None:
            near = _suggestion(argument)
            hint = f"did you mean {near}?" if near else "tlsrpt explain lists the result types."
            click.echo(
                f"tlsrpt: {printable(argument, 60)!s}: no result type or reason code that we know; {hint}", err=True
            )


def _show_type(result: ResultType, values: Values) -> None:
    draw.heading(f"{result.name}: {result.title}")
    draw.paragraph(result.meaning)
    _part("Whose side")
    draw.paragraph(f"{_sentence(PARTIES[result.side.party])}. {result.side.reason}", "  ")
    _part("What happens to the mail")
    for case in situations(result):
        outcome = consequence(result.name, case.policy_type, case.mode)
        draw.paragraph(f"{case.label}: {outcome.kind}. {outcome.text}", "    ", first="  ")
    _part("What it is, most likely first")
    _causes(result.causes, values, shown=result.verify)
    _part("How to prove it")
    _verify(result.verify, values, "  ")
    _part("In short")
    draw.paragraph(fill(result.fix, values), "  ")
    _part("To be told apart")
    for each in result.distinguishes:
        draw.paragraph(each, "    ", first="  - ")
    _part("What it does not say")
    draw.paragraph(result.says_not, "  ")
    click.echo()
    draw.paragraph(f"Defined in {result.section}; belongs to {SCOPES[result.policy_types]}.")


def _show_cause(cause: Cause, values: Values) -> None:
    draw.heading(f"{cause.code}: a cause of failures")
    _cause(cause, values, "", shown=None)
    names = [each.name for each in RESULT_TYPES.values() if cause in each.causes]
    click.echo()
    draw.paragraph(f"Whose side: {PARTIES[cause.party]}. Reported as: {', '.join(names)}.")


def _show_reason(argument: str, reason: Reason, values: Values) -> None:
    draw.heading(f"{printable(argument, 60)}: a sender's reason code")
    draw.paragraph(reason.meaning)
    if reason.source:
        draw.paragraph(f"The wording is that of {reason.source}.")
    draw.paragraph(f"Whose side: {PARTIES[reason.party]}. At home under: {', '.join(reason.result_types)}.")
    if reason.passing:
        draw.paragraph("Often passes by itself: one sender, one day, under 3 sessions or under 1 % needs no action.")
    _part("What it is, most likely first")
    _causes([CAUSES[code] for code in reason.points_to], values, shown=None)


def _causes(causes: Iterable[Cause], values: Values, *, shown: Verify | None) -> None:
    for n, cause in enumerate(causes, 1):
        if n > 1:
            click.echo()
        indent = "     "
        draw.paragraph(f"{cause.title} [{cause.code}]", indent, first=f"{n:3}. ")
        _cause(cause, values, indent, shown=shown, with_title=False)


def _cause(cause: Cause, values: Values, indent: str, *, shown: Verify | None, with_title: bool = True) -> None:
    if with_title:
        draw.paragraph(cause.title + ".", indent)
    draw.paragraph(fill(cause.explanation, values), indent)
    draw.paragraph(f"For it: {fill(cause.evidence_for, values)}", indent + "  ", first=indent)
    draw.paragraph(f"Against it: {fill(cause.evidence_against, values)}", indent + "  ", first=indent)
    for step in cause.steps:
        draw.paragraph(fill(step, values), indent + "  ", first=indent + "- ")
    if cause.verify is not None and cause.verify != shown:
        click.echo(f"{indent}Check it:")
        _verify(cause.verify, values, indent)


def _verify(verify: Verify, values: Values, indent: str) -> None:
    for line in command_lines(fill(verify.command, values), draw.width() - len(indent) - 2):
        click.echo(f"{indent}  {line}")
    draw.paragraph(f"A good answer: {fill(verify.expected, values)}", indent + "  ", first=indent)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _part(title: str) -> None:
    click.echo()
    click.secho(title, bold=True)


# One word of a shell command; what is quoted, or is one of our <open places>, stays in one piece.
_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|<[A-Za-z ]+>|[^\s'"])+""")


def command_lines(text: str, columns: int) -> list[str]:
    """A shell command in lines that can be pasted together: broken between words, with a backslash."""
    lines = [""]
    for word in _WORD.findall(text):
        if lines[-1] and len(lines[-1]) + len(word) + 3 > columns:
            lines[-1] += " \\"
            lines.append("  " + word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


# --- For programs ---------------------------------------------------------------------------------------------------


def _as_json(argument: str, meaning: Meaning | None, values: Values) -> dict[str, Any]:
    """One object per argument; docs/result-types.md promises the keys."""
    match meaning:
        case ResultType():
            return {"argument": argument, "kind": "result-type", **_type_json(meaning, values)}
        case Cause():
            return {"argument": argument, "kind": "cause", **_cause_json(meaning, values)}
        case Reason():
            return {"argument": argument, "kind": "reason", **_reason_json(meaning, values)}
        case None:
            return {"argument": argument, "kind": "unknown", "suggestion": _suggestion(argument)}


def _type_json(result: ResultType, values: Values) -> dict[str, Any]:
    rows = [(case, consequence(result.name, case.policy_type, case.mode)) for case in situations(result)]
    return {
        "name": result.name,
        "title": result.title,
        "meaning": result.meaning,
        "policy_types": result.policy_types,
        "side": {"party": result.side.party, "reason": result.side.reason},
        "stage": result.stage,
        "place": result.place,
        "consequences": [
            {
                "policy_type": case.policy_type,
                "mode": case.mode,
                "situation": case.label,
                "consequence": outcome.kind,
                "text": outcome.text,
            }
            for case, outcome in rows
        ],
        "causes": [_cause_json(cause, values) for cause in result.causes],
        "verify": _verify_json(result.verify, values),
        "fix": fill(result.fix, values),
        "distinguishes": result.distinguishes,
        "says_not": result.says_not,
        "section": result.section,
    }


def _cause_json(cause: Cause, values: Values) -> dict[str, Any]:
    return {
        "code": cause.code,
        "title": cause.title,
        "explanation": fill(cause.explanation, values),
        "evidence_for": fill(cause.evidence_for, values),
        "evidence_against": fill(cause.evidence_against, values),
        "steps": [fill(step, values) for step in cause.steps],
        "party": cause.party,
        "stage": cause.stage,
        "place": cause.place,
        "policy_types": cause.policy_types,
        "passing": cause.passing,
        "verify": _verify_json(cause.verify, values) if cause.verify else None,
    }


def _reason_json(reason: Reason, values: Values) -> dict[str, Any]:
    causes: Sequence[Cause] = [CAUSES[code] for code in reason.points_to]
    return {
        "code": reason.code,
        "meaning": reason.meaning,
        "source": reason.source,
        "party": reason.party,
        "stage": reason.stage,
        "place": reason.place,
        "passing": reason.passing,
        "result_types": reason.result_types,
        "causes": [_cause_json(cause, values) for cause in causes],
    }


def _verify_json(verify: Verify, values: Values) -> dict[str, str]:
    return {"command": fill(verify.command, values), "expected": fill(verify.expected, values)}
