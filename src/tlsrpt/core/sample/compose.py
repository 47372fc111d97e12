"""What a sender saw, told as its report: policies it lists, names it uses, keys it fills, ids, windows, times.

The document is built as plain objects, not as `core.report` values: the point of most senders is what they do that
those values can't hold (a null contact, a number as text, JSON inside a string).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from msgspec import Struct

from tlsrpt.core.sample.profiles import NOTHING, SUCCESS, Profile, Said, named
from tlsrpt.core.sample.seen import Row, Seen, covers, look
from tlsrpt.core.sample.truth import KINDS, Host, Site, StsPolicy, Truth, seeded

DAY = timedelta(days=1)
_FILETIME_START = datetime(1601, 1, 1, tzinfo=UTC)
_STARTTLS = frozenset({"starttls-not-supported", "starttls-refused"})
_HANDSHAKE = frozenset({"handshake-timeout", "handshake-alert", "protocol-version"})


class SampleReport(Struct, frozen=True, kw_only=True):
    """One report of one sender, ready to be written, with what its mail needs."""

    profile: Profile
    report_domain: str  # TLS-Report-Domain
    recipient: str
    day: date
    start: datetime
    end: datetime
    report_id: str
    unique_id: str  # last part of the file name
    sent_at: datetime
    nonce: str  # 32 hex digits for message-ids and boundaries
    failures: bool  # tells of any
    document: dict[str, object]

    @property
    def file_stem(self) -> str:
        """The attachment's name without its ending (RFC 8460 section 5.1)."""
        begin, end = int(self.start.timestamp()), int(self.end.timestamp())
        name = f"{self.profile.submitter}!{self.report_domain}!{begin}!{end}"
        return f"{name}!{self.unique_id}" if self.unique_id else name

    @property
    def file_name(self) -> str:
        """The attachment's name, as the sender sends it."""
        return self.file_stem + (".json" if self.profile.sends_json else ".json.gz")


class _Entry(Struct):
    """One entry of `policies` in the making."""

    policy_type: str
    domain: str
    policy: StsPolicy | None = None
    tlsa: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()
    successful: int = 0
    failed: int = 0
    details: dict[tuple[tuple[str, object], ...], int] = {}


def reports(truth: Truth, sender: Profile, day: date) -> Iterator[SampleReport]:
    """The reports that a sender makes about one UTC day: by site, then, for senders that do so, by MX host."""
    views = [look(truth, sender, site, day) for site in truth.sites]
    for view in views:
        report = site_report(truth.seed, sender, view)
        if report is not None:
            yield report
    if sender.reports_to_mx:
        yield from _host_reports(truth.seed, sender, views, day)


def all_reports(truth: Truth, first: date, last: date) -> Iterator[SampleReport]:
    """Every report about the days from first to last, day by day."""
    for offset in range((last - first).days + 1):
        for sender in truth.senders:
            yield from reports(truth, sender, first + timedelta(days=offset))


def site_report(seed: int, sender: Profile, seen: Seen) -> SampleReport | None:
    """The report on one site, or None where this sender sends none."""
    if seen.silent:
        return None
    entries: dict[object, _Entry] = {}
    for row in seen.rows:
        for policy_type in _policy_types(sender, seen, row):
            _count(sender, seen, row, policy_type, entries)
    made = [entry for entry in entries.values() if entry.successful or entry.failed]
    if not made or (sender.only_failures and not any(entry.details for entry in made)):
        return None
    return _report(seed, sender, seen, seen.site.domain, seen.site.recipient, made)


def _host_reports(seed: int, sender: Profile, views: list[Seen], day: date) -> Iterator[SampleReport]:
    """Reports to the operators of MX hosts: recipient domains as policy domains, the host in mx-host (F-31, F-43)."""
    hosts = {host.name: host for view in views for host in view.site.hosts_on(day) if host.tlsrpt}
    for host in hosts.values():
        entries: dict[object, _Entry] = {}
        for view in views:
            for row in view.rows:
                if row.host.name == host.name and not view.silent:
                    policy_type = "tlsa" if host.tlsa else "no-policy-found"
                    _count(sender, view, row, policy_type, entries, to_host=True)
        if any(entry.details for entry in entries.values()):
            operator = Site(domain=host.name, hosts=(host,))
            seen = Seen(site=operator, day=day, policy=None, rows=())
            yield _report(seed, sender, seen, host.name, operator.recipient, list(entries.values()))


def _policy_types(sender: Profile, seen: Seen, row: Row) -> list[str]:
    """Under which policies a sender lists the sessions of a row."""
    types = []
    if sender.evaluates_dane and (row.host.tlsa or any(event.layer == "dane" for event in row.met)):
        types.append("tlsa")
    if seen.policy is not None:
        types.append("sts")
    if not types and sender.without_policy:
        types.append("no-policy-found")
    return types[:1] if sender.lists == "used" else types[::-1]


def _trouble(seen: Seen, row: Row, policy_type: str) -> str | None:
    """The kind of event that makes these sessions fail under a policy, in the order in which a sender meets them."""
    kinds = {event.layer: event.kind for event in reversed(row.met)}
    if policy_type == "sts":
        if "policy-host" in kinds:
            return kinds["policy-host"]
        if seen.policy is not None and not covers(seen.policy, row.host.name):
            return "mx-not-in-policy"
        return kinds.get("any") or kinds.get("pkix")
    if policy_type == "tlsa":
        # Under usage 3 name and dates do not count (T-11), under usage 2 they do (T-12).
        by_ca = bool(row.host.tlsa) and not any(record.startswith("3 ") for record in row.host.tlsa)
        return kinds.get("any") or kinds.get("dane") or (kinds.get("pkix") if by_ca else None)
    return kinds.get("any")


def _told(sender: Profile, seen: Seen, policy_type: str, kind: str) -> Said:
    """How a sender tells a failure, if it sees and tells it at all."""
    testing = policy_type == "sts" and seen.policy is not None and seen.policy.mode == "testing"
    if sender.testing == "unverified" and (testing or policy_type == "no-policy-found"):
        if kind in _STARTTLS:
            return NOTHING
        if kind not in _HANDSHAKE:
            return SUCCESS
    return named(sender, kind)


def _count(
    sender: Profile,
    seen: Seen,
    row: Row,
    policy_type: str,
    entries: dict[object, _Entry],
    *,
    to_host: bool = False,
) -> None:
    """Count a row's sessions in the entry where they belong."""
    kind = _trouble(seen, row, policy_type)
    said = SUCCESS if kind is None else _told(sender, seen, policy_type, kind)
    if said == NOTHING:
        return
    unfetched = kind is not None and KINDS[kind].layer == "policy-host"
    entry = _entry(sender, seen, row.host, policy_type, entries, unfetched=unfetched, to_host=to_host)
    if kind is None or said == SUCCESS:
        entry.successful += row.sessions
        return
    testing = seen.policy is not None and seen.policy.mode == "testing" and policy_type == "sts"
    if sender.testing == "details-only" and testing and not unfetched:
        entry.successful += row.sessions
    else:
        entry.failed += row.sessions
    detail = tuple(_detail(sender, seen, row, said, unfetched=unfetched).items())
    entry.details[detail] = entry.details.get(detail, 0) + row.sessions


def _entry(
    sender: Profile,
    seen: Seen,
    host: Host,
    policy_type: str,
    entries: dict[object, _Entry],
    *,
    unfetched: bool,
    to_host: bool,
) -> _Entry:
    """The entry for a policy, as it was seen; a policy that could not be had is an entry of its own."""
    entry = _Entry(policy_type=policy_type, domain=seen.site.domain)
    if policy_type == "sts" and not unfetched:
        entry.policy = seen.policy
        if sender.split_by_mx and seen.policy is not None and covers(seen.policy, host.name):
            entry.mx = (host.name,) if host.name in seen.policy.mx else (f"*.{host.name.partition('.')[2]}",)
        elif seen.policy is not None:
            entry.mx = seen.policy.mx
    if policy_type == "tlsa":
        entry.tlsa = host.tlsa
        if sender.tlsa_domain == "mx" and not to_host:
            entry.domain = host.name
    if to_host:
        entry.mx = (host.name,)
    return entries.setdefault((policy_type, entry.domain, entry.policy, entry.tlsa, entry.mx), entry)


def _detail(sender: Profile, seen: Seen, row: Row, said: Said, *, unfetched: bool) -> dict[str, object]:
    """One row of failure-details without its count; a policy that could not be had carries no addresses (F-38)."""
    known: dict[str, object] = {"result-type": said.result_type}
    if not unfetched:
        known |= {
            "sending-mta-ip": row.sending_ip,
            "receiving-mx-hostname": row.host.name,
            "receiving-mx-host-name": row.host.name,
            "receiving-ip": row.receiving_ip,
        }
        if sender.gives_helo:
            known["receiving-mx-helo"] = next((event.helo for event in row.met if event.helo), row.host.name)
    if said.reason is not None:
        known["failure-reason-code"] = said.reason.format(host=row.host.name, domain=seen.site.domain)
    known |= dict.fromkeys(said.blank, "")
    detail: dict[str, object] = {}
    for key in sender.details:
        if key == "failed-session-count":
            detail[key] = 0  # keeps its place; the sum is known later
        elif key in known and key not in said.absent:
            detail[key] = known[key]
        elif sender.unused != "absent":
            detail[key] = None if sender.unused == "null" else ""
    return detail


def _report(
    seed: int, sender: Profile, seen: Seen, report_domain: str, recipient: str, entries: list[_Entry]
) -> SampleReport:
    """Put a report together: window, id, time of sending, document."""
    chance = seeded(seed, "report", sender.name, report_domain, seen.day)
    midnight = datetime.combine(seen.day, time(), UTC)
    start = midnight + timedelta(seconds=chance.randrange(86400)) if sender.rolling_window else midnight
    end = start + DAY - timedelta(seconds=0 if sender.exclusive_end else 1)
    made = start + DAY + timedelta(days=seen.days_late, seconds=chance.randint(*sender.arrives_s))
    report_id = _report_id(sender, seed, report_domain, start, made, chance)
    return SampleReport(
        profile=sender,
        report_domain=report_domain,
        recipient=recipient,
        day=seen.day,
        start=start,
        end=end,
        report_id=report_id,
        unique_id=report_id.partition("+")[0] if sender.report_id == "filetime" else sender.unique_id,
        sent_at=made + timedelta(seconds=chance.randint(*sender.late_mail_s)),
        nonce=f"{chance.getrandbits(128):032x}",
        failures=any(entry.details for entry in entries),
        document=_document(sender, start, end, report_id, [_entry_object(sender, entry) for entry in entries]),
    )


def _report_id(sender: Profile, seed: int, domain: str, start: datetime, made: datetime, chance: Random) -> str:
    """A report-id in the sender's form (F-26)."""
    stamp = f"{start:%Y-%m-%dT%H:%M:%SZ}"
    match sender.report_id:
        case "start":
            return f"{stamp}_{domain}"
        case "filetime":
            ticks = (made - _FILETIME_START) // timedelta(microseconds=1) * 10 + chance.randrange(10_000_000)
            return f"{ticks}+{domain}"
        case "uuid":
            return f"{uuid.UUID(int=chance.getrandbits(128), version=4)}@{sender.submitter}"
        case "epoch-hash":
            return f"{int(start.timestamp())}_{chance.getrandbits(64)}"
        case "index":
            return f"{stamp}_idx1_{domain}"
        case "day-host":
            return f"{start:%Y%m%d}.{domain}@{sender.submitter}"
        case "run-uuid":  # one id for all domains of a run: the domain takes no part
            run = seeded(seed, "run", sender.name, start.date())
            return str(uuid.UUID(int=run.getrandbits(128), version=4))
        case "hex":
            return f"{chance.getrandbits(128):032x}"
        case "date":
            return f"{start:%Y-%m-%d}.{domain}@{sender.submitter}"


def _document(
    sender: Profile, start: datetime, end: datetime, report_id: str, policies: list[dict[str, object]]
) -> dict[str, object]:
    document: dict[str, object] = {
        "organization-name": sender.organization_name,
        "date-range": {"start-datetime": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end-datetime": f"{end:%Y-%m-%dT%H:%M:%SZ}"},
        "contact-info": sender.contact_info,
        "report-id": report_id,
        "policies": policies,
    }
    if sender.key_order == "summary-first":
        document["report-id"] = document.pop("report-id")
    return document


def _entry_object(sender: Profile, entry: _Entry) -> dict[str, object]:
    """One entry of `policies` as the sender writes it."""
    policy = _policy_object(sender, entry)
    summary: dict[str, object] = {
        "total-successful-session-count": entry.successful,
        "total-failure-session-count": entry.failed,
    }
    if sender.key_order == "summary-first":
        result: dict[str, object] = {"summary": dict(reversed(summary.items())), "policy": policy}
    else:
        result = {"policy": policy, "summary": summary}
    if entry.details or sender.empty_details:
        details = list(entry.details.items())[: sender.max_details]
        result["failure-details"] = [{**dict(detail), "failed-session-count": count} for detail, count in details]
    return result


def _policy_object(sender: Profile, entry: _Entry) -> dict[str, object]:
    """The `policy` of an entry, with the keys that the sender gives for that type."""
    bare = entry.policy_type == "no-policy-found"
    policy: dict[str, object] = {"policy-type": entry.policy_type}
    strings = _policy_strings(sender, entry)
    if sender.policy_string == "one-text":
        policy["policy-string"] = "\n".join(strings)
    elif strings or (bare and sender.bare_no_policy == "lists"):
        policy["policy-string"] = strings
    if not (bare and sender.bare_no_policy == "type-only"):
        policy["policy-domain"] = entry.domain
    if sender.mx_host == "always" or (sender.mx_host == "sts" and entry.policy is not None):
        policy["mx-host"] = list(entry.mx)
    if sender.key_order == "summary-first" and "policy-string" in policy:
        policy["policy-string"] = policy.pop("policy-string")
    return policy


def _policy_strings(sender: Profile, entry: _Entry) -> list[str]:
    """The policy's text: TLSA records, or the lines of the MTA-STS policy (RFC 8460 section 4.5)."""
    if entry.policy_type == "tlsa":
        records = [_tlsa_text(record, upper=sender.tlsa_upper) for record in entry.tlsa]
        if records and sender.policy_string == "nested-tlsa":  # F-32
            return ["[" + ",".join(f'"{record}"' for record in records) + "]"]
        return records
    if entry.policy is None:
        return []
    mx = [f"mx: {pattern}" for pattern in entry.policy.mx]
    age = [f"max_age: {entry.policy.max_age}"]
    lines = [*age, *mx] if sender.max_age_first else [*mx, *age]
    return ["version: STSv1", f"mode: {entry.policy.mode}", *lines]


def _tlsa_text(record: str, *, upper: bool) -> str:
    return record.upper() if upper else record
