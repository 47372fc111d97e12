"""What happens to the mail of the domains that meet an incident: from the policies that senders applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tlsrpt.core.causes import Cause
from tlsrpt.core.results import ConsequenceKind, consequence, mode_of
from tlsrpt.insight.facts import Facts
from tlsrpt.insight.grouping import Group
from tlsrpt.insight.incident import CONSEQUENCES
from tlsrpt.store.values import FailureRow

MODES_SOUGHT = 20  # domains of an incident whose policy is looked for where the failures' reports show none


def effects_of(
    group: Group, known: Cause | None, domains: Sequence[str], facts: Facts
) -> list[tuple[ConsequenceKind, str, tuple[str, ...]]]:
    """What happens to mail, the worst first, and for which domains: those under testing fare better than under enforce.

    A domain stands under the worst that it meets; the text is that of the rows with most sessions.

    Args:
        known: the cause, where the reports show it: what is only likely softens nothing.
    """
    modes = _modes(group, domains, facts)
    weights: Counter[tuple[str, str, str, str]] = Counter()
    told = frozenset(domains)
    for row in group.all_rows:
        if row.report_domain in told:
            mode = modes.get(row.report_domain, "") if _lacks_mode(row) else row.policy_mode
            weights[row.report_domain, row.result_type, row.policy_type, mode] += row.failed
    worst: dict[str, tuple[int, int, str]] = {}
    for (domain, result, policy_type, mode), failed in weights.items():
        found = consequence(result, policy_type, mode or None, known)  # type: ignore[arg-type]
        here = (CONSEQUENCES.index(found.kind), -failed, found.text)
        worst[domain] = min(worst.get(domain, here), here)
    effects = []
    for place in sorted({each[0] for each in worst.values()}):
        hit = [domain for domain in domains if domain in worst and worst[domain][0] == place]
        text = worst[min(hit, key=lambda domain: worst[domain])][2]
        effects.append((CONSEQUENCES[place], text, tuple(hit)))
    return effects


def _modes(group: Group, domains: Iterable[str], facts: Facts) -> dict[str, str]:
    """For the domains of rows that show no policy: the mode of the newest policy that any sender reported (D-71)."""
    bare = {row.report_domain for row in group.all_rows if _lacks_mode(row)}
    last = max(row.day for row in group.all_rows)
    modes: dict[str, str] = {}
    for domain in [domain for domain in domains if domain in bare][:MODES_SOUGHT]:
        policies = facts.policies(domain, last)
        if policies:
            newest, _ = max(policies.items(), key=lambda each: each[1])
            modes[domain] = mode_of(newest) or ""
    return modes


def _lacks_mode(row: FailureRow) -> bool:
    """Whether a policy was applied that the report does not show; where it could not be had, none was."""
    return row.policy_type == "sts" and not row.policy_mode and not row.result_type.startswith("sts-")
