"""Writes result-types.md and reason-codes.md out of the tables that the program itself uses.

`python docs/make_result_types.py` after a change in core/results.py, core/causes.py or core/reasons.py; a test fails
while the pages lag behind.
"""

from __future__ import annotations

from pathlib import Path

from tlsrpt.core.reasons import ALERTS, FAULTS, wordings
from tlsrpt.core.results import (
    CAUSES,
    RESULT_TYPES,
    Cause,
    ResultType,
    Verify,
    consequence,
    fill,
    situations,
)

HERE = Path(__file__).parent
MADE = "<!-- Made by docs/make_result_types.py; change the tables in src/tlsrpt/core instead. -->\n"
SCOPES = {"any": "any policy", "tlsa": "DANE", "sts": "MTA-STS"}

RESULT_TYPES_HEAD = f"""{MADE}
# Result types

A TLS report says how other mail systems fared when they sent mail *to you*. Each failure in it carries a result type,
one of the eleven of RFC 8460 section 4.3. This page says of each what it means, whose side it points to, what happens
to the mail, what it really was in other people's cases, and a command that proves it. `tlsrpt explain TYPE` shows the
same on the terminal; `--domain`, `--mx` and `--ip` put your names into the commands.

One fault has several names: senders choose different types for the same thing. So each cause has a code of its own,
and stands under every type by which it is reported.
"""

CONSEQUENCES_HEAD = """
## What happens to the mail

`none`: nothing is lost. `delivered-unverified`: it arrives over TLS, but nobody verified the server.
`delivered-clear`: it arrives in clear text. `delayed`: the check could not be made, or the fault passes; the sender
keeps the mail and tries again. `refused`: a check failed and the policy forbids delivery; every retry meets the same
verdict until somebody changes something, and the mail bounces at last (RFC 8461 section 5).

| result type | situation | consequence |
|---|---|---|
"""

JSON_PART = """
## `tlsrpt explain --json`

One object for each argument, one a line; without an argument one for each result type. `argument` is what was asked,
`kind` says which keys follow:

| `kind` | keys |
|---|---|
| `result-type` | `name`, `title`, `meaning`, `policy_types` (`any`, `tlsa`, `sts`), `side{party,reason}`, `stage`, `place`, `consequences[]{policy_type,mode,situation,consequence,text}`, `causes[]`, `verify{command,expected}`, `fix`, `distinguishes[]`, `says_not`, `section` |
| `cause` | `code`, `title`, `explanation`, `evidence_for`, `evidence_against`, `steps[]`, `party`, `stage`, `place`, `policy_types[]` (empty: all), `passing`, `verify{command,expected}` or null |
| `reason` | `code`, `meaning`, `source`, `party`, `stage`, `place`, `passing`, `result_types[]`, `causes[]` |
| `unknown` | `suggestion`, or null |

Closed lists: `party` mx, policy-host, dns, sender, network, unknown; `stage` policy, dns, starttls, certificate,
handshake, other; `place` mx, policy-host, tlsa-record, sts-record, domain, sender; `consequence` as above; `mode`
enforce, testing, none, or null. Exit code 1 when an argument is unknown.
"""  # noqa: E501 - rows of a table

REASONS_HEAD = f"""{MADE}
# Reason codes

`failure-reason-code` is free text: senders write what their software says. `tlsrpt explain 'TEXT'` decodes it, and
`tlsrpt` groups failures by its meaning, so that one fault is one line whoever words it. What the tables don't know is
shown as it was sent.

Under the sts-... types, and where the text holds the policy's address, a certificate or connection is the policy
host's; else it is the MX's.

## Meanings

| code | meaning | causes, likeliest first | at home under |
|---|---|---|---|
"""

WORDINGS_HEAD = """
## Wordings

Capitals, `_` and `-` do not count: `X509_V_ERR_CERT_HAS_EXPIRED` and `certificate has expired` are alike. Where words
are joined by "and", all must be there. The first that fits decides, from top to bottom.

| source | words | code |
|---|---|---|
"""

ALERTS_HEAD = """
## TLS alerts

A number or a name, as in `tls-remote-alert-70-...`, `remote error: tls: ...` or `alert number 40`. An alert is sent by
one side to the other; without a word about it, it came from the server.

| number | name | sent by the server | sent by the sender |
|---|---|---|---|
"""

NUMBERS = """
## Numbers

| form | meaning |
|---|---|
| `(10)`, `err 20`, `num=18` | OpenSSL's verify error of that number |
| `http 404`, `status code: 403`, `301 Moved` | the HTTP status of the policy host; the number alone under an sts-... type |
| `extended-dns-error-7-...` | an extended DNS error (RFC 8914): those about DNSSEC are the zone's, others plain DNS trouble |
| `smtp-starttls-reply-code-454` | the server's reply to STARTTLS |
| `4.4.8`, `5.4.8`, `4.7.5`, `5.7.5`, `x.7.321` to `x.7.325` | Exchange: MX not in the policy; the policy's checks failed; no STARTTLS, expired, TLSA, DNSSEC, name |
"""  # noqa: E501 - rows of a table


def prose(text: str) -> str:
    """Text for a page: placeholders filled, nothing that Markdown would take for markup."""
    for character in "\\*_|":
        text = text.replace(character, "\\" + character)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def filled(text: str) -> str:
    return prose(fill(text, {}))


def result_types_page() -> str:
    parts = [RESULT_TYPES_HEAD, CONSEQUENCES_HEAD]
    for result in RESULT_TYPES.values():
        for case in situations(result):
            kind = consequence(result.name, case.policy_type, case.mode).kind
            parts.append(f"| `{result.name}` | {case.label} | {kind} |\n")
    parts.extend(map(_type_part, RESULT_TYPES.values()))
    parts.append("\n## Causes\n")
    parts.extend(map(_cause_part, CAUSES.values()))
    parts.append(JSON_PART)
    return "".join(parts)


def _type_part(result: ResultType) -> str:
    causes = "".join(f"1. {prose(cause.title)} ([{cause.code}](#{cause.code}))\n" for cause in result.causes)
    apart = "".join(f"- {prose(each)}\n" for each in result.distinguishes)
    return (
        f"\n## {result.name}\n\n**{prose(result.title)}.** {filled(result.meaning)}\n\n"
        f"Side: `{result.side.party}`. {prose(result.side.reason)} Belongs to: {SCOPES[result.policy_types]}. "
        f"{result.section}.\n\n"
        f"Most likely first:\n\n{causes}\n{_verify_part(result.verify)}"
        f"In short: {filled(result.fix)}\n\nTo be told apart:\n\n{apart}\n"
        f"What it does not say: {prose(result.says_not)}\n"
    )


def _cause_part(cause: Cause) -> str:
    steps = "".join(f"1. {filled(step)}\n" for step in cause.steps)
    verify = _verify_part(cause.verify) if cause.verify else ""
    passing = " Often passes by itself." if cause.passing else ""
    return (
        f"\n### {cause.code}\n\n**{prose(cause.title)}.** {filled(cause.explanation)}\n\n"
        f"Side: `{cause.party}`; look at: `{cause.place}`.{passing}\n\n"
        f"- For it: {filled(cause.evidence_for)}\n- Against it: {filled(cause.evidence_against)}\n\n{steps}\n{verify}"
    ).rstrip("\n") + "\n"


def _verify_part(verify: Verify) -> str:
    return f"```text\n{fill(verify.command, {})}\n```\n\nA good answer: {filled(verify.expected)}\n\n"


def reason_codes_page() -> str:
    parts = [REASONS_HEAD]
    for fault in FAULTS.values():
        causes = ", ".join(f"[{code}](result-types.md#{code})" for code in fault.points_to)
        parts.append(f"| `{fault.code}` | {prose(fault.meaning)} | {causes} | {', '.join(fault.result_types)} |\n")
    parts.append(NUMBERS)
    parts.append(ALERTS_HEAD)
    parts.extend(
        f"| {alert.number} | `{alert.name}` | `{alert.from_server}` | `{alert.from_sender}` |\n"
        for alert in ALERTS.values()
    )
    parts.append(WORDINGS_HEAD)
    for source, words, code in wordings():
        parts.append(f"| {source} | {'; '.join(f'`{each}`' for each in words)} | `{code}` |\n")
    return "".join(parts)


def pages() -> dict[Path, str]:
    return {HERE / "result-types.md": result_types_page(), HERE / "reason-codes.md": reason_codes_page()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
