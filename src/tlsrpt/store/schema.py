"""The tables, in SQLAlchemy Core: one set for every engine. Migrations make them; queries name them.

    document ──< report ──< policy, failure, finding, sighting        facts, followed down from every figure
        └─────< quarantine                                            reports that could not be read
    filed, domain                                                      which reports, and which domains, there are
    tally, failure_kind ──< failure_tally                              sums, exact by construction (see counting.py)
    place, source_state                                                what the service keeps for itself
    incident ──< incident_key                                          what is remembered of incidents
    told, notice ──< delivery                                          what people were told, and what waits

Days are whole UTC days since 1970-01-01 and times whole seconds since then, as integers: three bytes in a key where
ISO text takes eleven, and every figure of a domain is one range of one index. `date(day * 86400, 'unixepoch')`
shows one in the sqlite3 shell.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite gives a table a hidden 64-bit key only where the column's type is INTEGER, hence Integer and not BigInteger.
Id = Integer().with_variant(BigInteger(), "postgresql")

# The few reports that stand apart have an index each. A question finds it where it has these very words in it.
_IS_CONFLICT = text("counted = 0 AND foreign_ = 0")
_IS_FOREIGN = text("foreign_ = 1")
_IS_WAITING = text("state = 'waiting'")

document = Table(  # what came in, whole: a mail or a request body
    "document",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),  # of the bytes as received
    Column("source", Text, nullable=False),
    Column("form", Text, nullable=False),  # message, body
    Column("file_name", Text),
    Column("received_at", BigInteger, nullable=False),
    Column("header_from", Text),
    Column("header_report_domain", Text),  # TLS-Report-Domain
    Column("header_submitter", Text),  # TLS-Report-Submitter
    Column("header_message_id", Text),
    Column("header_date", Text),
    Column("size_bytes", BigInteger, nullable=False),  # as received
    Column("packing", Text, nullable=False),  # how raw is kept: "deflate" (RFC 1951, bare), or "" for as it is
    Column("raw", LargeBinary),  # NULL once pruned; the last column, so that reading the others skips it
)

report = Table(
    "report",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),  # the short id that people type
    Column("document_id", Id, ForeignKey("document.id"), nullable=False),
    Column("where_", Text, nullable=False),  # the place in the document
    Column("identity", LargeBinary, nullable=False),  # which report it is (DESIGN promise 2)
    Column("content", LargeBinary, nullable=False),  # what it says
    Column("counted", SmallInteger, nullable=False),  # 1; 0 for a conflict and for a foreign one: no tally has them
    Column("conflict_with", Id, ForeignKey("report.id")),  # of a conflict: the counted report of the same identity
    Column("pruned", SmallInteger, nullable=False, server_default=text("0")),  # 1: only what recognises it is left
    Column("organization_name", Text),
    Column("contact_info", Text),
    Column("sender", Text, nullable=False),  # Report.submitter
    Column("report_id", Text),
    Column("start_datetime", BigInteger, nullable=False),
    Column("end_datetime", BigInteger, nullable=False),
    Column("day", Integer, nullable=False),  # of start_datetime
    Column("received_at", BigInteger, nullable=False),
    Column("successful", BigInteger, nullable=False),  # plain sums of the summaries, as sent
    Column("failed", BigInteger, nullable=False),
    Column("findings", Integer, nullable=False),  # how many
    Column("extras", Text),  # JSON object, JSON path -> value; NULL for none
    Column("dkim", Text),  # the verdict (values.Dkim); NULL: nobody looked
    Column("dkim_domain", Text),  # d= of the signature that decided it
    Column("foreign_", SmallInteger, nullable=False, server_default=text("0")),  # 1: for domains not ours
    UniqueConstraint("identity", "content", name="report_identity_content"),
    Index("report_document", "document_id"),
    Index("report_day", "day"),
    Index("report_conflict", "conflict_with", sqlite_where=_IS_CONFLICT, postgresql_where=_IS_CONFLICT),
    Index("report_foreign", "id", sqlite_where=_IS_FOREIGN, postgresql_where=_IS_FOREIGN),
)

policy = Table(  # one entry of `policies`
    "policy",
    metadata,
    Column("report_id", Id, ForeignKey("report.id"), nullable=False),
    Column("n", Integer, nullable=False),  # its place in the report
    Column("policy_type", Text),
    Column("policy_domain", Text, nullable=False),  # as sent
    Column("report_domain", Text, nullable=False),  # whom it is filed under (DESIGN promise 8)
    Column("policy_string", Text),  # JSON array; NULL where absent
    Column("mx_host", Text),  # JSON array; NULL where absent
    Column("successful", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("failure_details", Integer),  # how many; NULL where the key was absent
    PrimaryKeyConstraint("report_id", "n"),
    sqlite_with_rowid=False,
)

failure = Table(  # one row of `failure-details`, kept beside the others of its domain and day
    "failure",
    metadata,
    Column("report_domain", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("report_id", Id, ForeignKey("report.id"), nullable=False),
    Column("n", Integer, nullable=False),  # the policy's place in the report
    Column("m", Integer, nullable=False),  # the row's place in the policy
    Column("policy_type", Text),
    Column("policy_domain", Text, nullable=False),
    Column("result_type", Text),
    Column("failed_session_count", BigInteger, nullable=False),
    Column("sending_mta_ip", Text),
    Column("receiving_mx_hostname", Text),
    Column("receiving_mx_helo", Text),
    Column("receiving_ip", Text),
    Column("additional_information", Text),
    Column("failure_reason_code", Text),
    PrimaryKeyConstraint("report_domain", "day", "report_id", "n", "m"),
    sqlite_with_rowid=False,
)

finding = Table(  # where the report departs from the RFC
    "finding",
    metadata,
    Column("report_id", Id, ForeignKey("report.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("code", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("where_", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("consequence", Text, nullable=False),
    Column("fix", Text, nullable=False),
    PrimaryKeyConstraint("report_id", "n"),
    sqlite_with_rowid=False,
)

sighting = Table(  # another document that brought a report which was here already; its bytes are not kept again
    "sighting",
    metadata,
    Column("report_id", Id, ForeignKey("report.id"), nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("file_name", Text),
    Column("received_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("report_id", "sha256"),
    sqlite_with_rowid=False,
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("document_id", Id, ForeignKey("document.id"), nullable=False),
    Column("where_", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # waiting, released (read since), other (no TLS report after all), pruned
    UniqueConstraint("document_id", "where_", name="quarantine_place"),
    Index("quarantine_waiting", "document_id", sqlite_where=_IS_WAITING, postgresql_where=_IS_WAITING),
)

filed = Table(  # every report under every domain that finds it: its report domains and its policy domains
    "filed",
    metadata,
    Column("domain", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("report_id", Id, ForeignKey("report.id"), nullable=False),
    PrimaryKeyConstraint("domain", "day", "report_id"),
    sqlite_with_rowid=False,
)

domain = Table(  # every report domain: a query over all of them is a short walk through each one's range of a tally
    "domain",
    metadata,
    Column("report_domain", Text, primary_key=True),
    sqlite_with_rowid=False,
)

tally = Table(  # sessions; see counting.py for the figures and for what `domain` is
    "tally",
    metadata,
    Column("domain", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("sender", Text, nullable=False),
    Column("policy_type", Text, nullable=False),  # '' where the sender named none
    Column("report_domain", Text, nullable=False),
    Column("proven", SmallInteger, nullable=False),  # 1: of the reports that their submitter signed, 0: of the others
    Column("reports", BigInteger, nullable=False),
    Column("mentions", BigInteger, nullable=False),
    Column("sent_successful", BigInteger, nullable=False),
    Column("sent_failed", BigInteger, nullable=False),
    Column("counted_total", BigInteger, nullable=False),
    Column("counted_failed", BigInteger, nullable=False),
    Column("not_itemised", BigInteger, nullable=False),
    PrimaryKeyConstraint("domain", "day", "sender", "policy_type", "report_domain", "proven"),
    sqlite_with_rowid=False,
)

failure_kind = Table(  # what failure rows of one kind have in common; '' where the sender named nothing
    "failure_kind",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),  # a hash of the rest
    Column("policy_type", Text, nullable=False),
    Column("policy_mode", Text, nullable=False),  # of MTA-STS: enforce, testing, none
    Column("policy_domain", Text, nullable=False),
    Column("result_type", Text, nullable=False),
    Column("receiving_mx_hostname", Text, nullable=False),
    Column("receiving_ip", Text, nullable=False),  # only where no host is named
    Column("failure_reason_code", Text, nullable=False),  # shortened, long numbers as #
)

failure_tally = Table(  # failed sessions as the failure rows have them
    "failure_tally",
    metadata,
    Column("domain", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("sender", Text, nullable=False),
    Column("kind_id", Id, ForeignKey("failure_kind.id"), nullable=False),
    Column("report_domain", Text, nullable=False),
    Column("proven", SmallInteger, nullable=False),  # as in tally
    Column("reports", BigInteger, nullable=False),
    Column("sent_failed", BigInteger, nullable=False),
    Column("counted_failed", BigInteger, nullable=False),
    PrimaryKeyConstraint("domain", "day", "sender", "kind_id", "report_domain", "proven"),
    sqlite_with_rowid=False,
)

pruning = Table(  # up to where facts were removed: `check` leaves those days alone
    "pruning",
    metadata,
    Column("what", Text, primary_key=True),  # facts, raw
    Column("before", BigInteger, nullable=False),  # facts: a day; raw: a time
    sqlite_with_rowid=False,
)

place = Table(  # where a source goes on after a restart; what key and value say is the source's business
    "place",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

source_state = Table(  # how each source of the service does, as it last said (values.SourceState)
    "source_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("trouble", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("last_success", BigInteger),
    Column("waiting", BigInteger),
    Column("outcomes", Text, nullable=False),  # JSON object, outcome -> documents
    Column("turned_away", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger),
    sqlite_with_rowid=False,
)

incident = Table(  # what is remembered of incidents: their begin, and what people said of them
    "incident",
    metadata,
    Column("id", Text, primary_key=True),
    Column("place", Text, nullable=False),  # as last told, so that one whose reports are pruned can still be named
    Column("title", Text, nullable=False),
    Column("first_day", Integer, nullable=False),
    Column("last_day", Integer, nullable=False),
    Column("mark", Text, nullable=False),  # none, resolved, ignored-until
    Column("mark_day", Integer),  # resolved: what was seen up to then; ignored-until: the first day it counts again
    Column("marked_at", BigInteger),
    Column("note", Text, nullable=False),
    sqlite_with_rowid=False,
)

incident_key = Table(  # place and fault under which failures were grouped -> the incident that they belonged to first
    "incident_key",
    metadata,
    Column("key", Text, primary_key=True),
    Column("incident_id", Text, ForeignKey("incident.id"), nullable=False),
    Index("incident_key_incident", "incident_id"),
    sqlite_with_rowid=False,
)

told = Table(  # what people were told of each thing that they are told of (telling.Told)
    "told",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    sqlite_with_rowid=False,
)

notice = Table(  # a message that was made to be sent
    "notice",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("token", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # alert, digest
    Column("event", Text, nullable=False),
    Column("key", Text, nullable=False),  # of what it is about, as in told; '' for several
    Column("severity", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("goes_on_from", Text, nullable=False),  # token of the first on the same thing, or ''
    Column("text_", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON, for webhooks
    Index("notice_key", "key"),
)

delivery = Table(  # where it goes
    "delivery",
    metadata,
    Column("notice_id", Id, ForeignKey("notice.id"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("state", Text, nullable=False),  # waiting, sent, failed (given up), superseded (a newer one says it)
    Column("tries", Integer, nullable=False),
    Column("lapsed", Integer, nullable=False),  # tries of which nobody knows how they ended
    Column("due_at", BigInteger, nullable=False),
    Column("claimed_until", BigInteger),  # by who sends it now
    Column("settled_at", BigInteger),
    Column("trouble", Text, nullable=False),
    PrimaryKeyConstraint("notice_id", "recipient", "address"),
    Index("delivery_waiting", "due_at", sqlite_where=_IS_WAITING, postgresql_where=_IS_WAITING),
    sqlite_with_rowid=False,
)
